"""Integers and other byte orders: computations use the values of the NumPy arrays."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn.arrays import as_array, floats, promote_large_integers
from jaxnn.nn.shapes import is_sizes
from tests.helpers.registry import LAYER_CASES, name_of

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)
BIG = 3_000_000_000
KEY = jax.random.key(0)
SGD = optax.sgd(1.0)
Z, DA = np.array([-3, -1, 0, 2, 5]), np.array([1, 2, 3, 4, 5])
MASK = np.array([True, False, True, True, False])


def takes_params(name):
    """Whether a pure function of a layer takes its params first."""
    return next(iter(inspect.signature(getattr(jaxnn.functional, name)).parameters)) == "params"


# Public functions of z, or of a cache and a cotangent, and the arguments that come after these.
PURE = [name for name in jaxnn.functional.__all__ if name.endswith(("_forward", "_backward"))]
FORWARDS = {name: () for name in PURE if name.endswith("_forward") and not takes_params(name)}
BACKWARDS = {name: () for name in PURE if name.endswith("_backward") and not takes_params(name)}
FORWARDS |= {"dropout_forward": (0.4, KEY)}
BACKWARDS |= {"dropout_backward": (0.4,)}
# Of images: name of the layer -> the arguments of both functions.
OF_IMAGES = {
    "max_pool": (2,),
    "avg_pool": (2,),
    "upsample": (2,),
    "pad": (1,),
    "global_max_pool": (),
    "global_avg_pool": (),
}
# Those that keep whole numbers as they are, and attention, which takes three arrays.
KEPT, OF_SEQUENCES = {"flatten", "rescale"}, {"attention", "blockwise_attention"}
OF_PARAMS = {name.removesuffix("_forward") for name in PURE if name.endswith("_forward") and takes_params(name)}


def assert_same(ours, theirs):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def others(names):
    """The names of pure functions that take arrays of any shape."""
    return sorted(name for name in names if name.rpartition("_")[0] not in OF_IMAGES.keys() | KEPT | OF_SEQUENCES)


@pytest.mark.parametrize("asarray", [np.asarray, jnp.asarray])
@pytest.mark.parametrize("dtype", ["int64", "int8", ">i2"])
@pytest.mark.parametrize("name", others(FORWARDS))
def test_forward_of_whole_numbers_is_that_of_floats(name, dtype, asarray):
    forward, rest = getattr(jaxnn.functional, name), FORWARDS[name]
    z = Z.astype(dtype) if asarray is np.asarray else jnp.asarray(Z.astype(np.dtype(dtype).newbyteorder("=")))
    assert_same(forward(z, *rest), forward(jnp.asarray(Z, jnp.float32), *rest))


@pytest.mark.parametrize("name", others(BACKWARDS))
def test_backward_of_whole_numbers_is_that_of_floats(name):
    backward, rest = getattr(jaxnn.functional, name), BACKWARDS[name]
    masked = name in ("leaky_relu_backward", "dropout_backward")
    cache = MASK if masked else () if name == "identity_backward" else Z
    wide = jnp.asarray(cache, jnp.float32) if cache is Z else cache
    assert_same(backward(cache, DA, *rest), backward(wide, jnp.asarray(DA, jnp.float32), *rest))


@pytest.mark.representatives("max_pool", "global_avg_pool")
@pytest.mark.parametrize("name", OF_IMAGES)
def test_images_of_whole_numbers_are_floats(name):
    forward, backward = (getattr(jaxnn.functional, f"{name}_{way}") for way in ("forward", "backward"))
    x, results = np.arange(64).reshape(2, 4, 4, 2) % 7, []
    for given in (np.asarray, jnp.asarray, lambda a: jnp.asarray(a, jnp.float32)):
        y, cache = forward(given(x), *OF_IMAGES[name])
        dy = np.arange(y.size).reshape(y.shape) % 5
        results.append((y, backward(cache, given(dy), *OF_IMAGES[name])))
    assert_same(results[0], results[2])
    assert_same(results[1], results[2])


@pytest.mark.representatives("attention")
@pytest.mark.parametrize("name", sorted(OF_SEQUENCES))
def test_attention_of_whole_numbers_is_that_of_floats(name):
    forward, backward = (getattr(jaxnn.functional, f"{name}_{way}") for way in ("forward", "backward"))
    q, k, v = (np.arange(12).reshape(1, 3, 2, 2) * step % 7 for step in (1, 3, 5))
    results = []
    for given in (np.asarray, jnp.asarray, lambda a: jnp.asarray(a, jnp.float32)):
        y, cache = forward(given(q), given(k), given(v))
        results.append((y, backward(cache, given(v))))
    assert_same(results[0], results[2])
    assert_same(results[1], results[2])


def test_additive_attention_of_whole_numbers_is_that_of_floats():
    q, k, v = (np.arange(12).reshape(2, 3, 2) * step % 7 for step in (1, 3, 5))
    params, results = {"W": np.array([[1, -2]])}, []
    for given in (np.asarray, jnp.asarray, lambda a: jnp.asarray(a, jnp.float32)):
        y, cache = jaxnn.functional.additive_attention_forward(params, given(q), given(k), given(v))
        results.append((y, jaxnn.functional.additive_attention_backward(params, cache, given(v))))
    assert_same(results[0], results[2])
    assert_same(results[1], results[2])


def test_rescaled_whole_numbers_are_floats_with_a_gradient_of_none():
    for dtype in (">i2", np.int64, np.uint8, bool):
        y, cache = jaxnn.functional.rescale_forward(np.array([0, 1], dtype), 0.5)
        assert y.tolist() == [0, 0.5]
        assert y.dtype == "float32"
        assert jaxnn.functional.rescale_backward(cache, np.ones(2)).dtype == jax.dtypes.float0


def has_pure_functions_of_params(case):
    call = case.layer.factory_call
    return call is not None and call.factory.__name__ in OF_PARAMS and is_sizes(case.in_shape)


@pytest.mark.representatives("batch_norm", "dense_lecun")
@pytest.mark.parametrize("case", list(filter(has_pure_functions_of_params, LAYER_CASES)), ids=name_of)
def test_whole_numbers_into_a_layer_with_params_are_floats(case):
    x, results = np.arange(2 * math.prod(case.in_shape)).reshape(2, *case.in_shape) % 7, []
    for given in (np.asarray, jnp.asarray, lambda a: jnp.asarray(a, jnp.float32)):
        y, cache = case.layer.forward(case.params(), given(x))
        dy = np.arange(y.size).reshape(y.shape) % 5
        results.append((y, *case.layer.backward(case.params(), cache, given(dy))))
    assert_same(results[0], results[2])
    assert_same(results[1], results[2])


def test_constants_of_activations_may_be_positional():
    for forward, backward in (
        (jaxnn.functional.leaky_relu_forward, jaxnn.functional.leaky_relu_backward),
        (jaxnn.functional.elu_forward, jaxnn.functional.elu_backward),
    ):
        a, cache = forward(Z, 0.5)
        np.testing.assert_array_equal(backward(cache, DA, 0.5)[-2:], [4, 5])
        assert a[0] == forward(Z * 1.0, 0.5)[0][0] != -3


@pytest.mark.parametrize("x", [np.array([[BIG, 1]]), np.array([[BIG, 1]], ">i8"), np.array([[BIG, 1]], np.uint64)])
def test_dense_and_flatten_of_large_whole_numbers(x):
    params = {"W": np.array([[1.0, 0.0]], ">f4"), "b": np.zeros(1, ">f8")}
    z, cache = jaxnn.functional.dense_forward(params, x)
    assert z.tolist() == [[BIG]] and z.dtype == jnp.float32
    dparams, dx = jaxnn.functional.dense_backward(params, cache, np.ones((1, 1), int))
    assert dparams["W"].tolist() == [[BIG, 1]] and dx.tolist() == [[1, 0]]
    y, like = jaxnn.functional.flatten_forward(x)
    assert np.asarray(y).tolist() == [[BIG, 1]]
    assert np.asarray(jaxnn.functional.flatten_backward(like, x)).tolist() == [[BIG, 1]]
    for layer in (
        jaxnn.residual(jaxnn.dense(2, "zeros")),
        jaxnn.remat(jaxnn.relu()),
        jaxnn.contrib.mask_units(jaxnn.relu(), 2),
    ):
        y, _ = layer.forward(layer.init(KEY, (2,))[0], x)
        assert np.asarray(y).tolist() == [[BIG, 1]]
    assert jaxnn.differentiable(jaxnn.relu())((), x).tolist() == [[BIG, 1]]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda: jaxnn.functional.flatten_forward(np.float32(1)),
            r"x must be numbers \(m, ...\), got 1.0",
        ),
        (
            lambda: jaxnn.functional.flatten_backward(np.ones((0, 2, 3)), np.ones((4, 5))),
            r"dy must be numbers \(m, n=6\) .* float64 \(4, 5\)",
        ),
        (
            lambda: jaxnn.functional.flatten_backward(np.ones((0, 2)), np.ones(2)),
            r"dy must be numbers \(m, n=2\) .* got float64 \(2,\)",
        ),
        (
            lambda: jaxnn.functional.dropout_backward(np.ones((3, 1), bool), np.ones((3, 2)), 0.5),
            r"dy must be floats \(3,( 1)?\) for mask",
        ),
        (
            lambda: jaxnn.functional.dropout_backward(np.ones(3, bool), np.ones((2, 3)), 0.5),
            r"dy must be floats \(3,( 1)?\) for mask",
        ),
    ],
)
def test_shapes_that_would_broadcast_raise(ask, message):
    with pytest.raises(ValueError, match=message):
        ask()


LOSSES = sorted(name for name in jaxnn.functional.__all__ if name.endswith(("_value", "_gradient")))
LOSSES = [name for name in LOSSES if not name.startswith("ctc")]  # its labels are whole numbers: see its own tests


@pytest.mark.representatives(
    "hinge_value",
    "huber_gradient",
    "multiclass_hinge_value",
    "sigmoid_cross_entropy_gradient",
    "sigmoid_cross_entropy_value",
)
@pytest.mark.parametrize("name", LOSSES)
def test_targets_of_any_dtype_are_the_numbers_they_are(name):
    loss, classes = getattr(jaxnn.functional, name), name.startswith("multiclass")
    many = classes or name.startswith("softmax")
    z = np.array([[0.2, 0.4], [0.6, 0.3]], np.float32)
    y = np.array([0, 1]) if classes else np.array([[0, 1], [1, 0]])
    expected = loss(jnp.asarray(z), jnp.asarray(y))
    for dtype in (int, ">i4", np.uint8, *(() if classes else (">f4", ">f8", np.longdouble, bool))):
        assert_same(loss(z.astype(">f4"), y.astype(dtype)), expected)
    with pytest.raises(ValueError, match=r"^[az] must be an array of floats.*, got int64 \(2, 2\)"):
        loss(z.astype(int), y)
    if not many:
        assert_same(loss(z, y * BIG), loss(z, y * np.float32(BIG)))


@pytest.mark.representatives("9223372036854775808")
@pytest.mark.parametrize("label", [2**32, 2**32 + 1, -(2**32), 2**63])
def test_label_beyond_32_bits_is_not_a_class(label):
    z, y = np.array([[0.1, 0.9]], np.float32), np.array([label])
    for loss in (jaxnn.softmax_cross_entropy(), jaxnn.softmax_cross_entropy(0.1)):
        assert np.isnan(loss.value(z, y)).all()
        with pytest.raises(ValueError, match="y must be labels of 2 classes, from 0 to 1, got"):
            loss.check(z, y)
    with pytest.raises(ValueError, match=f"y must be labels of 2 classes, from 0 to 1, got {label} to {label}"):
        jaxnn.data.one_hot(y, 2)
    assert np.isnan(jaxnn.metrics.log_loss(z, y)) and np.isnan(jaxnn.metrics.log_loss(z[:, 0], y))
    assert np.isnan(jaxnn.metrics.expected_calibration_error(z, y)) and np.isnan(
        jaxnn.metrics.expected_calibration_error(z[:, 1], y)
    )
    for other in (np.array([0]), np.array([1]), np.array([label - 2**32])):
        assert jaxnn.accuracy(other, y) == jaxnn.accuracy(y, other) == 0
        assert (
            not jaxnn.metrics.confusion_matrix(other, y, 2).any()
            and not jaxnn.metrics.confusion_matrix(y, other, 2).any()
        )
        if abs(label - 2**32) <= 1:
            assert jax.jit(lambda p: jaxnn.accuracy(p, y))(jnp.asarray(other)) == 0
    assert jaxnn.accuracy(y, y) == 1


def test_labels_are_compared_to_the_last_digit():
    y = np.array([2**60, 2**60 + 1, 5])
    np.testing.assert_allclose(jaxnn.accuracy(np.array([2**60, 2**60, 5]), y), 2 / 3)
    minus = jnp.asarray(np.array([-1, 3], np.int32)), jnp.asarray(np.array([2**32 - 1, 3], np.uint32))
    assert jaxnn.accuracy(*minus) == 0.5 == jax.jit(jaxnn.accuracy)(*minus)
    mixed = jax.jit(jaxnn.accuracy)(jnp.array([0.0, 1.0, 2.0]), jnp.array([0, 1, 1], jnp.int8))
    np.testing.assert_allclose(mixed, 2 / 3)


def test_more_classes_than_a_byte_holds():
    y = jnp.array([3, 250], jnp.uint8)
    counts = jaxnn.metrics.confusion_matrix(y, y, 300)
    assert counts[250, 250] == 1 == counts[3, 3]
    assert np.isfinite(jaxnn.metrics.log_loss(jnp.full((2, 300), 1 / 300), y))


# Training.

X = np.linspace(-1, 1, 8, dtype=np.float32)[:, None]
NET = jaxnn.mlp((1, 1), output="linear", init="zeros")
OBJECTIVE, START = jaxnn.objective(NET.network, NET.loss), NET.init(KEY)


def by_fit(x, y, **options):
    return jaxnn.fit(OBJECTIVE, SGD, START, x, y, key=KEY, epochs=3, **options).params


def by_stream(x, y):
    return jaxnn.fit_stream(OBJECTIVE, SGD, START, [(x, y)], key=KEY, epochs=3, steps_per_call=1).params


def by_population(x, y):
    member = lambda h: jaxnn.Member(OBJECTIVE, SGD, START, KEY)  # noqa: E731
    params = jaxnn.fit_population(member, {"k": np.zeros(1, ">i4")}, x, y, epochs=3).params
    return jax.tree.map(lambda leaf: leaf[0], params)


def by_span(x, y):
    return jaxnn.contrib.fit_in_row_space(OBJECTIVE, SGD, START, x, y, key=KEY, epochs=3).params


STEPS, EPOCH = jaxnn.train.make_steps(OBJECTIVE, SGD, 3), jaxnn.train.make_epoch(OBJECTIVE, SGD, 8, shuffle=False)


def by_steps(x, y):
    return STEPS(jaxnn.train_state(START, SGD, KEY), jaxnn.Batch(x, y))[0].params


def by_epoch(x, y):
    state = jaxnn.train_state(START, SGD, KEY)
    for _ in range(3):
        state, _ = EPOCH(state, jaxnn.Batch(x, y))
    return state.params


@pytest.mark.representatives("by_fit", "by_stream", "by_steps", "by_epoch")
@pytest.mark.parametrize("train", [by_fit, by_stream, by_population, by_span, by_steps, by_epoch])
def test_training_takes_the_numbers_that_numpy_holds(train):
    large = np.arange(8) % 3 * BIG
    expected = train(X, large.astype(np.float32))
    if train is not by_steps and train is not by_epoch:
        assert_same(train(X.astype(np.longdouble), large.astype(np.longdouble)), expected)
    for y in (large, large.astype(">i8"), large.astype(np.uint64), large.astype(">f8")):
        assert_same(train(X, y), expected)
        assert_same(train(X.astype(">f4"), y), expected)


def test_a_stream_may_bring_large_numbers_late():
    small, large = (X[:4], np.arange(4)), (X[4:], np.arange(4) * BIG)
    options = dict(key=KEY, epochs=2, steps_per_call=1)
    whole = jaxnn.fit_stream(OBJECTIVE, SGD, START, [small, large], **options)
    wide = [(x, y.astype(np.float32)) for x, y in (small, large)]
    assert_same(whole.params, jaxnn.fit_stream(OBJECTIVE, SGD, START, wide, **options).params)


def test_params_may_be_in_the_other_byte_order():
    params = jax.tree.map(lambda leaf: np.asarray(leaf).astype(">f4"), START)
    assert_same(jaxnn.fit(OBJECTIVE, SGD, params, X, X[:, 0], key=KEY, epochs=3).params, by_fit(X, X[:, 0]))
    assert_same(NET.outputs(params, X), NET.outputs(START, X))
    assert_same(jaxnn.train_state(params, SGD, KEY).params, START)


def test_a_masked_array_in_a_stream_raises():
    masked = np.ma.masked_array(X, X > 0)
    with pytest.raises(ValueError, match="x must have no masked entries, got 4"):
        by_stream(masked, X[:, 0])


def test_models_take_whole_numbers():
    params = ({"W": jnp.ones((1, 1)), "b": jnp.zeros(1)},)
    for x in (np.array([[BIG]]), np.array([[BIG]], ">i8"), [[BIG]], np.array([[BIG]], np.longdouble)):
        for of in (NET.outputs, NET.predict_proba, NET.predict):
            assert of(params, x).tolist() == [[BIG]]


def test_penalties_of_whole_numbers_are_those_of_floats():
    whole, wide = {"W": np.array([[50_000, -3]])}, {"W": jnp.array([[50_000.0, -3.0]])}
    for regularizer in (jaxnn.l2(0.1), jaxnn.l1(0.1), jaxnn.regularizers.elastic_net(0.1, 0.1)):
        for params in (whole, jax.tree.map(jnp.asarray, whole)):
            assert_same(regularizer.value(params), regularizer.value(wide))
            assert_same(regularizer.gradient(params), regularizer.gradient(wide))


def test_data_take_both_byte_orders():
    x, y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 2, 0, 1, 2])
    stats = jaxnn.data.fit_standardizer(x)
    for dtype in (">f8", np.longdouble):
        assert_same(jaxnn.data.fit_standardizer(x.astype(dtype)), stats)
        assert_same(jaxnn.standardize(stats, x.astype(dtype)), jaxnn.standardize(stats, x))
        assert_same(jaxnn.contrib.row_space(x.astype(dtype))[1], jaxnn.contrib.row_space(x)[1])
        assert_same(
            jaxnn.split(x.astype(dtype), y, (0.5, 0.5), seed=0)[0].x, jaxnn.split(x, y, (0.5, 0.5), seed=0)[0].x
        )
    assert_same(jaxnn.data.one_hot(y.astype(">i2"), 3), jaxnn.data.one_hot(y, 3))
    assert_same(
        jaxnn.data.k_folds(y.astype(">i4"), 2, seed=0, stratify=True), jaxnn.data.k_folds(y, 2, seed=0, stratify=True)
    )
    assert jaxnn.data.check_batch(x.astype(">f4"), y.astype(">i4")).y.dtype.isnative
    assert jaxnn.accuracy(y.astype(">i4"), y) == jaxnn.accuracy(y.astype(">f4"), y) == 1
    assert jaxnn.grid(rate=np.array([0.5, 1], ">f4"))["rate"].tolist() == [0.5, 1]


@pytest.mark.full
def test_images_take_both_byte_orders():
    image = RNG.uniform(size=(4, 5)).astype(np.float32)
    augment = jaxnn.data.warp(jaxnn.data.random_shift(1))
    for change in (augment, jaxnn.data.random_flip(), jaxnn.data.random_crop(2, 2), jaxnn.data.gaussian_noise(0.1)):
        assert_same(change(KEY, image.astype(">f4")), change(KEY, image))
    places = np.array([[0.5, 1], [1, 2]], ">f8")
    assert_same(jaxnn.data.bilinear(image.astype(">f4"), places), jaxnn.data.bilinear(image, places.astype(np.float32)))


# The three that all of it goes through.


def test_held_keeps_what_fits():
    x = np.array([1, 2])
    assert promote_large_integers(x) is x and promote_large_integers(3) == 3 and promote_large_integers(None) is None
    assert promote_large_integers(jnp.ones(2)).dtype == jnp.float32
    assert promote_large_integers(np.array([2**31 - 1, -(2**31)])).dtype == np.int64
    assert promote_large_integers(np.array([2**32], np.uint64)).dtype == np.float32
    assert promote_large_integers(np.zeros(0, int)).dtype == np.int64


def test_arrays_are_in_dtypes_of_jax():
    for dtype in (">f4", ">i8", np.longdouble, ">c16", np.clongdouble, ">f2"):
        jnp.result_type(as_array("x", np.zeros(2, dtype)))
    assert as_array("x", np.array([1.5], np.longdouble)).dtype == np.float64
    assert floats(np.array([True])).dtype == np.float32


def test_arrays_of_objects_and_words_raise_in_one_line():
    x, params = np.ones((2, 3), object), {"W": np.ones((1, 3)), "b": np.ones(1)}
    for compute in (
        lambda x: jaxnn.functional.dense_forward(params, x),
        lambda x: jaxnn.functional.dropout_forward(x, 0.5, KEY),
    ):
        with pytest.raises(ValueError, match=r"^x must be real numbers, got object \(2, 3\): x.astype\('float32'\)$"):
            compute(x)
        with pytest.raises(ValueError, match="^x must be real numbers, got <U.*: words are not numeric, drop them"):
            compute(np.full((2, 3), "a"))
        with pytest.raises(ValueError, match=r"^x must be real numbers, got <U.* \(2, 3\): x.astype\('float32'\)$"):
            compute(x.astype(str))


def test_64_bits_hold_64_bits(x64):
    assert promote_large_integers(np.array([2**40])).dtype == np.int64
    assert floats(np.array([2**40])).dtype == np.float64
    assert jaxnn.functional.relu_forward(np.array([2**40]))[0].tolist() == [2.0**40]
