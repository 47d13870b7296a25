"""Whole numbers and other byte orders: the numbers that NumPy holds are those that are computed with."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn as nn
from jaxnn.arrays import as_array, floats, held

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)
BIG = 3_000_000_000
KEY = jax.random.key(0)
SGD = optax.sgd(1.0)
Z, DA = np.array([-3, -1, 0, 2, 5]), np.array([1, 2, 3, 4, 5])
MASK = np.array([True, False, True, True, False])

# Public functions of z, or of a cache and a cotangent, and the arguments that come after these.
FORWARDS = {name: () for name in nn.__all__ if name.endswith("_forward")}
BACKWARDS = {name: () for name in nn.__all__ if name.endswith("_backward")}
FORWARDS |= {"dropout_forward": (0.4, KEY)}
BACKWARDS |= {"dropout_backward": (0.4,)}
OF_LAYERS = {"dense_forward", "dense_backward", "flatten_forward", "flatten_backward"}


def assert_same(ours, theirs):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("asarray", [np.asarray, jnp.asarray])
@pytest.mark.parametrize("dtype", ["int64", "int8", ">i2"])
@pytest.mark.parametrize("name", sorted(FORWARDS.keys() - OF_LAYERS))
def test_forward_of_whole_numbers_is_that_of_floats(name, dtype, asarray):
    forward, rest = getattr(nn, name), FORWARDS[name]
    z = Z.astype(dtype) if asarray is np.asarray else jnp.asarray(Z.astype(np.dtype(dtype).newbyteorder("=")))
    assert_same(forward(z, *rest), forward(jnp.asarray(Z, jnp.float32), *rest))


@pytest.mark.parametrize("name", sorted(BACKWARDS.keys() - OF_LAYERS))
def test_backward_of_whole_numbers_is_that_of_floats(name):
    backward, rest = getattr(nn, name), BACKWARDS[name]
    masked = name in ("leaky_relu_backward", "dropout_backward")
    cache = MASK if masked else () if name == "identity_backward" else Z
    wide = jnp.asarray(cache, jnp.float32) if cache is Z else cache
    assert_same(backward(cache, DA, *rest), backward(wide, jnp.asarray(DA, jnp.float32), *rest))


def test_constants_of_activations_may_come_in_their_place():
    for forward, backward in ((nn.leaky_relu_forward, nn.leaky_relu_backward), (nn.elu_forward, nn.elu_backward)):
        a, cache = forward(Z, 0.5)
        np.testing.assert_array_equal(backward(cache, DA, 0.5)[-2:], [4, 5])
        assert a[0] == forward(Z * 1.0, 0.5)[0][0] != -3


@pytest.mark.parametrize("x", [np.array([[BIG, 1]]), np.array([[BIG, 1]], ">i8"), np.array([[BIG, 1]], np.uint64)])
def test_dense_and_flatten_of_large_whole_numbers(x):
    params = {"W": np.array([[1.0, 0.0]], ">f4"), "b": np.zeros(1, ">f8")}
    z, cache = nn.dense_forward(params, x)
    assert z.tolist() == [[BIG]] and z.dtype == jnp.float32
    dparams, dx = nn.dense_backward(params, cache, np.ones((1, 1), int))
    assert dparams["W"].tolist() == [[BIG, 1]] and dx.tolist() == [[1, 0]]
    y, like = nn.flatten_forward(x)
    assert np.asarray(y).tolist() == [[BIG, 1]]
    assert np.asarray(nn.flatten_backward(like, x)).tolist() == [[BIG, 1]]
    for layer in (nn.residual(nn.dense(2, "zeros")), nn.recompute(nn.relu()), nn.first_units(nn.relu(), 2)):
        y, _ = layer.forward(layer.init(KEY, (2,))[0], x)
        assert np.asarray(y).tolist() == [[BIG, 1]]
    assert nn.differentiable(nn.relu())((), x).tolist() == [[BIG, 1]]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: nn.flatten_forward(np.float32(1)), r"x must be an array of examples \(m, ...\), got 1.0"),
        (lambda: nn.flatten_backward(np.ones((0, 2, 3)), np.ones((4, 5))), r"dy must be \(m, 6\) .* float64 \(4, 5\)"),
        (lambda: nn.flatten_backward(np.ones((0, 2)), np.ones(2)), r"dy must be \(m, 2\) .* got float64 \(2,\)"),
        (lambda: nn.dropout_backward(np.ones((3, 1), bool), np.ones((3, 2)), 0.5), r"mask must have the shape of dy"),
        (lambda: nn.dropout_backward(np.ones(3, bool), np.ones((2, 3)), 0.5), r"mask must have the shape of dy"),
    ],
)
def test_shapes_that_would_broadcast_are_refused(ask, message):
    with pytest.raises(ValueError, match=message):
        ask()


LOSSES = sorted(name for name in nn.__all__ if name.endswith(("_value", "_gradient")))


@pytest.mark.parametrize("name", LOSSES)
def test_targets_of_any_dtype_are_the_numbers_they_are(name):
    loss, many = getattr(nn, name), name.startswith("softmax")
    z = np.array([[0.2, 0.4], [0.6, 0.3]], np.float32)
    y = np.array([[0, 1], [1, 0]])
    expected = loss(jnp.asarray(z), jnp.asarray(y))
    for dtype in (int, ">i4", ">f4", ">f8", np.longdouble, np.uint8, bool):
        assert_same(loss(z.astype(">f4"), y.astype(dtype)), expected)
    with pytest.raises(ValueError, match=r"outputs z are int64 \(2, 2\), expected an array of floats"):
        loss(y, y)
    if not many:
        assert_same(loss(z, y * BIG), loss(z, y * np.float32(BIG)))


@pytest.mark.parametrize("label", [2**32, 2**32 + 1, -(2**32), 2**63])
def test_a_label_beyond_32_bits_is_no_class(label):
    z, y = np.array([[0.1, 0.9]], np.float32), np.array([label])
    for loss in (nn.softmax_cross_entropy(), nn.softmax_cross_entropy(0.1)):
        assert np.isnan(loss.value(z, y)).all()
        with pytest.raises(ValueError, match="labels run from"):
            loss.check(z, y)
    with pytest.raises(ValueError, match=f"y holds labels from {label} to {label}"):
        nn.one_hot(y, 2)
    assert np.isnan(nn.log_loss(z, y)) and np.isnan(nn.log_loss(z[:, 0], y))
    assert np.isnan(nn.expected_calibration_error(z, y)) and np.isnan(nn.expected_calibration_error(z[:, 1], y))
    for other in (np.array([0]), np.array([1]), np.array([label - 2**32])):
        assert nn.accuracy(other, y) == nn.accuracy(y, other) == 0
        assert not nn.confusion_matrix(other, y, 2).any() and not nn.confusion_matrix(y, other, 2).any()
        if abs(label - 2**32) <= 1:
            assert jax.jit(lambda p: nn.accuracy(p, y))(jnp.asarray(other)) == 0
    assert nn.accuracy(y, y) == 1


def test_labels_are_compared_to_the_last_digit():
    y = np.array([2**60, 2**60 + 1, 5])
    np.testing.assert_allclose(nn.accuracy(np.array([2**60, 2**60, 5]), y), 2 / 3)
    minus = jnp.asarray(np.array([-1, 3], np.int32)), jnp.asarray(np.array([2**32 - 1, 3], np.uint32))
    assert nn.accuracy(*minus) == 0.5 == jax.jit(nn.accuracy)(*minus)
    mixed = jax.jit(nn.accuracy)(jnp.array([0.0, 1.0, 2.0]), jnp.array([0, 1, 1], jnp.int8))
    np.testing.assert_allclose(mixed, 2 / 3)


def test_more_classes_than_a_byte_holds():
    y = jnp.array([3, 250], jnp.uint8)
    counts = nn.confusion_matrix(y, y, 300)
    assert counts[250, 250] == 1 == counts[3, 3]
    assert np.isfinite(nn.log_loss(jnp.full((2, 300), 1 / 300), y))


# Training.

X = np.linspace(-1, 1, 8, dtype=np.float32)[:, None]
NET = nn.mlp((1, 1), output="linear", init="zeros")
OBJECTIVE, START = nn.objective(NET.network, NET.loss), NET.init(KEY)


def by_fit(x, y, **options):
    return nn.fit(OBJECTIVE, SGD, START, x, y, key=KEY, epochs=3, **options).params


def by_stream(x, y):
    return nn.fit_stream(OBJECTIVE, SGD, START, [(x, y)], key=KEY, epochs=3, steps_per_call=1).params


def by_population(x, y):
    member = lambda h: nn.Member(OBJECTIVE, SGD, START, KEY)  # noqa: E731
    params = nn.fit_population(member, {"k": np.zeros(1, ">i4")}, x, y, epochs=3).params
    return jax.tree.map(lambda leaf: leaf[0], params)


def by_span(x, y):
    return nn.fit_in_span(OBJECTIVE, SGD, START, x, y, key=KEY, epochs=3).params


STEPS, EPOCH = nn.make_steps(OBJECTIVE, SGD, 3), nn.make_epoch(OBJECTIVE, SGD, 8, shuffle=False)


def by_steps(x, y):
    return STEPS(nn.train_state(START, SGD, KEY), nn.Batch(x, y))[0].params


def by_epoch(x, y):
    state = nn.train_state(START, SGD, KEY)
    for _ in range(3):
        state, _ = EPOCH(state, nn.Batch(x, y))
    return state.params


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
    whole = nn.fit_stream(OBJECTIVE, SGD, START, [small, large], **options)
    wide = [(x, y.astype(np.float32)) for x, y in (small, large)]
    assert_same(whole.params, nn.fit_stream(OBJECTIVE, SGD, START, wide, **options).params)


def test_params_may_be_in_the_other_byte_order():
    params = jax.tree.map(lambda leaf: np.asarray(leaf).astype(">f4"), START)
    assert_same(nn.fit(OBJECTIVE, SGD, params, X, X[:, 0], key=KEY, epochs=3).params, by_fit(X, X[:, 0]))
    assert_same(NET.outputs(params, X), NET.outputs(START, X))
    assert_same(nn.train_state(params, SGD, KEY).params, START)


def test_a_masked_array_in_a_stream_is_refused():
    masked = np.ma.masked_array(X, X > 0)
    with pytest.raises(ValueError, match="x is masked at 4 places"):
        by_stream(masked, X[:, 0])


def test_models_take_whole_numbers():
    params = ({"W": jnp.ones((1, 1)), "b": jnp.zeros(1)},)
    for x in (np.array([[BIG]]), np.array([[BIG]], ">i8"), [[BIG]], np.array([[BIG]], np.longdouble)):
        for of in (NET.outputs, NET.predict, NET.classify):
            assert of(params, x).tolist() == [[BIG]]


def test_penalties_of_whole_numbers_are_those_of_floats():
    whole, wide = {"W": np.array([[50_000, -3]])}, {"W": jnp.array([[50_000.0, -3.0]])}
    for penalty in (nn.l2(0.1), nn.l1(0.1), nn.elastic_net(0.1, 0.1)):
        for params in (whole, jax.tree.map(jnp.asarray, whole)):
            assert_same(penalty.value(params), penalty.value(wide))
            assert_same(penalty.gradient(params), penalty.gradient(wide))


def test_data_take_both_byte_orders():
    x, y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 2, 0, 1, 2])
    stats = nn.fit_standardizer(x)
    for dtype in (">f8", np.longdouble):
        assert_same(nn.fit_standardizer(x.astype(dtype)), stats)
        assert_same(nn.standardize(stats, x.astype(dtype)), nn.standardize(stats, x))
        assert_same(nn.row_span(x.astype(dtype))[1], nn.row_span(x)[1])
        assert_same(nn.split(x.astype(dtype), y, (0.5, 0.5), seed=0)[0].x, nn.split(x, y, (0.5, 0.5), seed=0)[0].x)
    assert_same(nn.one_hot(y.astype(">i2"), 3), nn.one_hot(y, 3))
    assert_same(nn.k_folds(y.astype(">i4"), 2, seed=0, stratify=True), nn.k_folds(y, 2, seed=0, stratify=True))
    assert nn.check_batch(x.astype(">f4"), y.astype(">i4")).y.dtype.isnative
    assert nn.accuracy(y.astype(">i4"), y) == nn.accuracy(y.astype(">f4"), y) == 1
    assert nn.grid(rate=np.array([0.5, 1], ">f4"))["rate"].tolist() == [0.5, 1]


def test_images_take_both_byte_orders():
    image = RNG.uniform(size=(4, 5)).astype(np.float32)
    augment = nn.displaced(nn.shifts(1))
    for change in (augment, nn.flips(), nn.crops(2, 2), nn.gaussian_noise(0.1)):
        assert_same(change(KEY, image.astype(">f4")), change(KEY, image))
    places = np.array([[0.5, 1], [1, 2]], ">f8")
    assert_same(nn.bilinear(image.astype(">f4"), places), nn.bilinear(image, places.astype(np.float32)))


# The three that all of it goes through.


def test_held_keeps_what_fits():
    x = np.array([1, 2])
    assert held(x) is x and held(3) == 3 and held(None) is None
    assert held(jnp.ones(2)).dtype == jnp.float32
    assert held(np.array([2**31 - 1, -(2**31)])).dtype == np.int64
    assert held(np.array([2**32], np.uint64)).dtype == np.float32
    assert held(np.zeros(0, int)).dtype == np.int64


def test_arrays_are_in_dtypes_of_jax():
    for dtype in (">f4", ">i8", np.longdouble, ">c16", np.clongdouble, ">f2"):
        jnp.result_type(as_array("x", np.zeros(2, dtype)))
    assert as_array("x", np.array([1.5], np.longdouble)).dtype == np.float64
    assert floats(np.array([True])).dtype == np.float32


def test_arrays_of_objects_and_words_are_refused_in_one_line():
    x, params = np.ones((2, 3), object), {"W": np.ones((1, 3)), "b": np.ones(1)}
    for compute in (lambda x: nn.dense_forward(params, x), lambda x: nn.dropout_forward(x, 0.5, KEY)):
        with pytest.raises(ValueError, match=r"^x must be numbers, got object \(2, 3\): x.astype\('float32'\)$"):
            compute(x)
        with pytest.raises(ValueError, match="^x must be numbers, got <U.*: words are no numbers: drop them"):
            compute(np.full((2, 3), "a"))
        with pytest.raises(ValueError, match=r"^x must be numbers, got <U.* \(2, 3\): x.astype\('float32'\)$"):
            compute(x.astype(str))


def test_64_bits_hold_64_bits(x64):
    assert held(np.array([2**40])).dtype == np.int64
    assert floats(np.array([2**40])).dtype == np.float64
    assert nn.relu_forward(np.array([2**40]))[0].tolist() == [2.0**40]
