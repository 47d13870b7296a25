"""Models: the networks of `mlp` and `logistic_regression`, predictions, params of other libraries, errors."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from tests.helpers.oracle import networks
from tests.helpers.programs import TOLERANCE, compiled, same

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)


def shapes(model):
    params = jax.eval_shape(lambda: model.network.init(KEY, model.in_shape)[0])
    return [leaf.shape for leaf in jax.tree.leaves(params)]


def arrays_for(model, seed=0):
    return [np.random.default_rng([seed, i]).normal(size=shape) for i, shape in enumerate(shapes(model))]


def params_for(model, seed=0):
    return jaxnn.models.params_from_arrays(model.network, model.in_shape, arrays_for(model, seed))


def oracle_outputs(arrays, activations, x):
    """The last layer's cache of the notes' network with these arrays W_1, b_1, ..."""
    parameters = [(W, b[:, None]) for W, b in zip(arrays[::2], arrays[1::2], strict=True)]
    return networks.forward(parameters, activations, x.T)[1][-1]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((3, 1), [(1, 3), (1,)]),
        ((3, 5, 2), [(5, 3), (5,), (2, 5), (2,)]),
        (np.array([4, 2, 2, 1]), [(2, 4), (2,), (2, 2), (2,), (1, 2), (1,)]),
    ],
)
def test_mlp_has_the_arrays_of_its_sizes(sizes, expected):
    model = jaxnn.mlp(sizes)
    assert shapes(model) == expected
    assert model.in_shape == (sizes[0],)


def test_parameter_count_of_a_known_network():
    assert sum(np.prod(shape) for shape in shapes(jaxnn.mlp((12288, 20, 7, 5, 1)))) == 245_760 + 20 + 147 + 40 + 6


OUTPUTS = {"binary": "sigmoid", "softmax": "softmax", "linear": "identity", "relu": "relu"}


@pytest.mark.parametrize("output", OUTPUTS)
def test_forward_of_a_network_made_elsewhere(output, x64):
    """NumPy's weights, by `params_from_arrays`, give NumPy's predictions."""
    model = jaxnn.mlp((3, 5, 4, 2), ["tanh", "leaky_relu"], output=output)
    x = np.random.default_rng(1).normal(size=(6, 3))
    expected = oracle_outputs(arrays_for(model), ["tanh", "leaky_relu", OUTPUTS[output]], x)
    params, rows = params_for(model), jnp.asarray(x)
    run = compiled(lambda p, x: (model.outputs(p, x), model.predict_proba(p, x), model.predict(p, x)))
    outputs, predicted, answers = run(params, rows)
    logits = output in ("binary", "softmax")
    np.testing.assert_allclose(outputs, (expected.Z if logits else expected.A).T, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(predicted, expected.A.T, rtol=1e-12, atol=1e-12)
    decided = {"binary": expected.A.T > 0.5, "softmax": expected.A.argmax(0)}.get(output, expected.A.T)
    np.testing.assert_allclose(answers, decided, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", jaxnn.nn.ACTIVATIONS)
def test_activation_by_name_is_between_the_layers(name, x64):
    model = jaxnn.mlp((3, 4, 1), name, output="linear")
    x = np.random.default_rng(1).normal(size=(6, 3))
    expected = oracle_outputs(arrays_for(model), [name, "identity"], x).A.T
    np.testing.assert_allclose(compiled(model.outputs)(params_for(model), jnp.asarray(x)), expected, rtol=1e-12)


def test_activation_may_be_a_layer():
    model = jaxnn.mlp((2, 3, 3, 1), jaxnn.leaky_relu(0.5), output="linear")
    mixed = jaxnn.mlp((2, 3, 3, 1), [jaxnn.leaky_relu(0.5), "leaky_relu"], output="linear")
    params = jax.tree.map(lambda a: -jnp.abs(a), params_for(model))
    run = compiled(lambda p: (model.outputs(p, jnp.ones((1, 2))), mixed.outputs(p, jnp.ones((1, 2)))))
    half, hundredth = run(params)
    first, b = (np.asarray(params[0][name]) for name in ("W", "b"))
    a = 0.5 * (first.sum(1) + b)
    z = params[2]["W"] @ a + params[2]["b"]
    expected = [params[4]["W"] @ np.where(z > 0, z, s * z) + params[4]["b"] for s in (0.5, 0.01)]
    np.testing.assert_allclose([half[0], hundredth[0]], expected, rtol=1e-5)


def test_one_initializer_per_layer():
    model = jaxnn.mlp((300, 200, 1), init=["he", jax.nn.initializers.constant(0.25)])
    params = model.init(KEY)
    np.testing.assert_allclose(np.std(params[0]["W"]), (2 / 300) ** 0.5, rtol=0.02)
    assert np.all(np.asarray(params[2]["W"]) == 0.25)
    assert not np.any(params[2]["b"])


@pytest.mark.parametrize("rate", [0.5, np.float32(0.5), np.array(0.5), np.array([0.5, 0.5]), jnp.array([0.5, 0.5])])
def test_a_dropout_rate_may_be_any_number_or_a_row_of_them(rate):
    model, x = jaxnn.mlp((4, 30, 30, 1), "tanh", dropout_rate=rate), jnp.ones((2, 4))
    params = params_for(model)
    z, _ = model.network.forward(params, x, KEY)
    expected, _ = jaxnn.mlp((4, 30, 30, 1), "tanh", dropout_rate=0.5).network.forward(params, x, KEY)
    np.testing.assert_array_equal(z, expected)


def test_dropout_is_on_hidden_layers_while_training():
    plain, dropping = jaxnn.mlp((4, 50, 50, 1), "tanh"), jaxnn.mlp((4, 50, 50, 1), "tanh", dropout_rate=[0.0, 0.5])
    params, x = params_for(plain), jnp.ones((2, 4))
    with_mask = (*params[:4], (), params[4])  # only the second hidden layer drops

    @compiled
    def run(params, with_mask):
        inference = plain.outputs(params, x), dropping.outputs(with_mask, x)
        return inference, [dropping.network.forward(with_mask, x, key)[0] for key in jax.random.split(KEY, 2)]

    (one, other), (first, second) = run(params, with_mask)
    np.testing.assert_array_equal(one, other)
    assert not np.any(np.isclose(first, one)) and not np.any(np.isclose(first, second))


@pytest.mark.representatives("sizes0")
@pytest.mark.parametrize("sizes", [(400, 1), (400, 3, 3, 3, 1)])
def test_inputs_are_dropped_while_training(sizes):
    """What reaches the first layer of a network of ones, a number for each input, is 1/(1 - rate) or 0."""
    plain = jaxnn.mlp(sizes, "identity", scan=True)
    dropping = jaxnn.mlp(sizes, "identity", input_dropout_rate=0.2, scan=True)
    params, x = dropping.init(KEY), jnp.ones((2, 400))
    arrays = jaxnn.models.params_to_arrays(dropping.network, params)
    same_params = jaxnn.models.params_from_arrays(plain.network, (400,), arrays)
    np.testing.assert_array_equal(dropping.outputs(params, x), plain.outputs(same_params, x))

    model = jaxnn.mlp((400, 1), "identity", input_dropout_rate=0.2, init="zeros")
    ((), dense) = model.init(KEY)
    z, _ = model.network.forward(((), {"W": dense["W"] + 1, "b": dense["b"]}), x, KEY)
    kept = np.asarray(z)[:, 0] * 0.8
    np.testing.assert_allclose(kept, kept.round(), atol=1e-3)
    assert (np.abs(kept - 320) < 5 * 8).all() and kept[0] != kept[1]


def test_logistic_regression_starts_at_zero():
    """All classes have the same probability."""
    binary, many = jaxnn.logistic_regression(4), jaxnn.logistic_regression(4, classes=3)
    assert (shapes(binary), shapes(many)) == ([(1, 4), (1,)], [(3, 4), (3,)])
    x = jnp.arange(8.0).reshape(2, 4)
    for model, share in ((binary, 0.5), (many, 1 / 3)):
        params = model.init(KEY)
        assert not any(np.any(leaf) for leaf in jax.tree.leaves(params))
        np.testing.assert_allclose(model.predict_proba(params, x), share, rtol=1e-6)


def test_predictions_by_hand():
    """z = 2x - 1 at x = 0, 1/2, 1."""
    x = jnp.array([[0.0], [0.5], [1.0]])
    model = jaxnn.logistic_regression(1)
    params = jaxnn.models.params_from_arrays(model.network, (1,), [np.array([[2.0]]), np.array([-1.0])])
    np.testing.assert_allclose(model.predict_proba(params, x), [[0.26894143], [0.5], [0.7310586]], rtol=1e-6)
    assert model.predict(params, x).tolist() == [0, 0, 1]  # a logit of 0 is not above 0
    many = jaxnn.logistic_regression(1, classes=3)
    params = jaxnn.models.params_from_arrays(many.network, (1,), [np.array([[0.0], [2], [-2]]), np.array([0.0, -1, 1])])
    assert many.predict(params, x).tolist() == [2, 0, 1]
    np.testing.assert_allclose(many.predict_proba(params, x[:1]), [[0.24472848, 0.09003057, 0.66524094]], rtol=1e-6)


def test_init_is_reproducible_and_follows_its_key():
    model = jaxnn.mlp((3, 2, 1))
    one, again, other = (np.asarray(model.init(jax.random.key(seed))[0]["W"]) for seed in (0, 0, 1))
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_params_from_arrays_is_a_round_trip_of_copies():
    model = jaxnn.mlp((3, 4, 2), "tanh", output="softmax")
    arrays = arrays_for(model)
    params = params_for(model)
    back = jax.tree.leaves(params)
    assert {leaf.dtype.name for leaf in back} == {"float32"}
    for array, leaf in zip(arrays, back, strict=True):
        np.testing.assert_allclose(leaf, array, rtol=1e-6)
    again = jaxnn.models.params_from_arrays(model.network, (3,), back)
    assert jax.tree.structure(again) == jax.tree.structure(params)
    assert not any(one is other for one, other in zip(jax.tree.leaves(again), back, strict=True))


def run_lengths(model):
    """How many copies each stack of weights has: 1 for those of a single layer."""
    params = jax.eval_shape(lambda: model.network.init(KEY, model.in_shape)[0])
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    return [leaf.shape[0] if len(leaf.shape) == 3 else 1 for path, leaf in leaves if jaxnn.regularizers.is_weight(path)]


@pytest.mark.parametrize(
    ("sizes", "options", "expected"),
    [
        ((9, 4, 4, 4, 2), dict(scan=True), [1, 2, 1]),
        ((9, 4, 4, 4, 2), dict(), [1, 1, 1, 1]),
        ((9, 4, 2), dict(scan=True), [1, 1]),
        ((4, 4, 4, 4), dict(scan=True), [1, 2]),  # also the last layer, if it has the size
        ((9, 4, 4, 4, 2, 2, 2, 2), dict(scan=True), [1, 2, 1, 3]),
        ((9, 4, 4, 4, 4, 4, 2), dict(scan=True, activation=["relu", "relu", "tanh", "tanh", "tanh"]), [1, 2, 2, 1]),
        ((9, 4, 4, 4, 4, 2), dict(scan=True, dropout_rate=[0.5, 0.5, np.float64(0.5), 0.0]), [1, 3, 1]),
        ((9, 4, 4, 4, 4, 2), dict(scan=True, init=["he", "he", "he", "lecun", "he"]), [1, 2, 1, 1]),
        ((9, 4, 4, 4, 2), dict(scan=True, activation=jaxnn.nn.elu(0.5), init=jax.nn.initializers.ones), [1, 2, 1]),
        ((9, 4, 4, 4, 2), dict(scan=True, activation=[jaxnn.nn.elu(0.5), jaxnn.nn.elu(0.5), "elu"]), [1, 2, 1]),
        ((9, 4, 4, 4, 2), dict(scan=True, activation=[jaxnn.nn.elu(0.5), jaxnn.nn.elu(0.4), "elu"]), [1, 1, 1, 1]),
        ((9, *[4] * 80, 2), dict(scan=True), [1, 79, 1]),
        ((9, *[4] * 80, 2), dict(), [1] * 81),  # at no depth by default
        ((9, *[4] * 80, 2), dict(scan=False), [1] * 81),
    ],
)
def test_equal_hidden_layers_are_scanned_on_request(sizes, options, expected):
    assert run_lengths(jaxnn.mlp(sizes, **options)) == expected


@pytest.mark.full
@pytest.mark.parametrize(("dtype", "gradients"), [("float32", "auto"), ("float32", "hand"), ("float64", "hand")])
def test_scanned_network_trains_like_the_unscanned_one(dtype, gradients):
    """From one key: the same start, the same units dropped, the same steps, up to rounding."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 5)).astype(dtype), np.arange(8) % 3
    results = []
    with jax.enable_x64(dtype == "float64"):
        for scan in (True, False):
            model = jaxnn.mlp((5, *[6] * 3, 3), "silu", output="softmax", dropout_rate=0.2, scan=scan)
            objective = jaxnn.objective(model.network, model.loss, jaxnn.l2(1e-2))
            params = model.init(KEY)
            state = jaxnn.train_state(params, optax.sgd(0.1), KEY)
            steps = jaxnn.train.make_steps(objective, optax.sgd(0.1), 4, gradients)
            state, losses = steps(state, jaxnn.Batch(jnp.asarray(x), jnp.asarray(y)))
            arrays = [jaxnn.models.params_to_arrays(model.network, p) for p in (params, state.params)]
            results.append((*arrays, losses, model.predict_proba(state.params, x)))
        (start, *scanned), (plain_start, *plain) = results
        for a, b in zip(start, plain_start, strict=True):
            np.testing.assert_array_equal(a, b)
        same(tuple(scanned), tuple(plain), **TOLERANCE[dtype])
        assert plain[1].dtype == dtype and not np.array_equal(plain[0][0], plain_start[0])


def test_traced_dropout_rates_are_not_equal():
    def outputs(rate):
        model = jaxnn.mlp((3, 4, 4, 4, 1), dropout_rate=[rate, rate, 0.5 * rate], scan=True)
        return len(model.init(KEY)), model.network.forward(model.init(KEY), jnp.ones((2, 3)), KEY)[0]

    n_runs, z = jax.jit(lambda rate: (jnp.array(outputs(rate)[0]), outputs(rate)[1]))(0.5)
    assert n_runs == 3 and z.shape == (2, 1)  # the first two have one rate, the third another one


@pytest.mark.parametrize("scan", [1.5, "yes", 2, None])
def test_scan_is_yes_or_no(scan):
    with pytest.raises(ValueError, match="scan must be True or False, got"):
        jaxnn.mlp((3, 4, 1), scan=scan)


def test_arrays_of_a_scanned_network_are_those_of_each_layer():
    sizes = (3, 4, 4, 4, 4, 2)
    scanned, plain = (jaxnn.mlp(sizes, "tanh", output="softmax", scan=scan) for scan in (True, False))
    arrays = arrays_for(plain)
    params = jaxnn.models.params_from_arrays(scanned.network, (3,), arrays)
    back = jaxnn.models.params_to_arrays(scanned.network, params)
    for array, leaf in zip(arrays, back, strict=True):
        np.testing.assert_allclose(leaf, array, rtol=1e-6)
    x = np.random.default_rng(1).normal(size=(6, 3))
    expected = oracle_outputs([a.astype(np.float64) for a in arrays], ["tanh"] * 4 + ["softmax"], x)
    np.testing.assert_allclose(scanned.predict_proba(params, jnp.asarray(x, jnp.float32)), expected.A.T, rtol=1e-5)
    arrays[4] = arrays[4][:, :3]
    with pytest.raises(ValueError, match=re.escape("[1][1]['W'][1] must have shape (4, 4), got (4, 3)")):
        jaxnn.models.params_from_arrays(scanned.network, (3,), arrays)
    with pytest.raises(ValueError, match=re.escape("arrays must be 10 ([0][0]['W'], [0][0]['b'], [1][1]['W'][0]")):
        jaxnn.models.params_from_arrays(scanned.network, (3,), arrays[:3])


def test_params_of_another_network_have_no_arrays():
    with pytest.raises(ValueError, match="params must be a tuple of 3 entries"):
        jaxnn.models.params_to_arrays(jaxnn.mlp((3, 4, 1)).network, jaxnn.mlp((3, 1)).init(KEY))


ACTIVATIONS = sorted(jaxnn.nn.ACTIVATIONS)
ARRAYS = [np.zeros((4, 3)), np.zeros(4), np.zeros((2, 4)), np.zeros(2)]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (ARRAYS[:3], "arrays must be 4 ([0]['W'], [0]['b'], [2]['W'], [2]['b']), got 3"),
        ([*ARRAYS, np.zeros(1)], "arrays must be 4 ("),
        ([ARRAYS[0].T, *ARRAYS[1:]], "[0]['W'] must have shape (4, 3), got (3, 4): W is (n_out, n_in), transpose it"),
        ([ARRAYS[0], np.zeros((4, 1)), *ARRAYS[2:]], "[0]['b'] must have shape (4,), got (4, 1)"),
        ([*ARRAYS[:3], np.array([0, np.nan])], "[2]['b'] must be finite in float32, got inf or NaN"),
        ([*ARRAYS[:3], np.array([0, np.inf])], "[2]['b'] must be finite in float32, got inf or NaN"),
        ([*ARRAYS[:3], np.array([0, 1e300])], "[2]['b'] must be finite in float32, got inf or NaN"),
        ([*ARRAYS[:3], np.array([0, 1j])], "[2]['b'] must be real numbers, got complex128"),
        ([*ARRAYS[:3], np.array(["a", "b"])], "[2]['b'] must be real numbers, got <U1"),
        ({"W_1": ARRAYS[0]}, "arrays must be a list of arrays, as params_to_arrays returns them, got a dict"),
        (None, "arrays must be a list of arrays, as params_to_arrays returns them, got None"),
    ],
)
def test_wrong_arrays_raise(arrays, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        jaxnn.models.params_from_arrays(jaxnn.mlp((3, 4, 2), output="softmax").network, (3,), arrays)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: jaxnn.mlp((3,)), "sizes must be two or more whole numbers of at least 1, (n_0, ..., n_L), got (3,)"),
        (lambda: jaxnn.mlp((3, 0, 1)), "at least 1, (n_0, ..., n_L), got (3, 0, 1)"),
        (lambda: jaxnn.mlp((3, 2.5, 1)), "whole numbers of at least 1, (n_0, ..., n_L), got (3, 2.5, 1)"),
        (
            lambda: jaxnn.mlp((3, 4, 1), "Relu"),
            f"activation must be one of {ACTIVATIONS} or a Layer, got 'Relu': did you mean 'relu'?",
        ),
        (
            lambda: jaxnn.mlp((3, 4, 1), output="sigmoid"),
            "output must be one of ['binary', 'linear', 'relu', 'softmax'], got 'sigmoid'",
        ),
        (
            lambda: jaxnn.mlp((3, 4, 1), output="softmax"),
            "sizes must end in at least 2 classes for output='softmax', got 1",
        ),
        (
            lambda: jaxnn.mlp((3, 4, 1), ["relu", "tanh"]),
            "activation must be one value or 1, one per layer it applies to, got 2",
        ),
        (lambda: jaxnn.mlp((3, 4, 1), init=["he"]), "init must be one value or 2, one per layer it applies to, got 1"),
        (lambda: jaxnn.mlp((3, 4, 1), init="best"), "or a function, got 'best'"),
        (lambda: jaxnn.mlp((3, 4, 1), jaxnn.relu), "got the function relu: call the factory, relu()"),
        (
            lambda: jaxnn.mlp((3, 4, 1), init=3),
            "or a function, got 3: jax.nn.initializers.normal(3) has that standard deviation",
        ),
        (lambda: jaxnn.mlp((3, 4, 1), init=None), "init must be one value or a sequence with one per layer, got None"),
        (
            lambda: jaxnn.mlp((3, 4, 1), dropout_rate="0.5"),
            "dropout_rate must be one value or a sequence with one per layer, got '0.5'",
        ),
        (lambda: jaxnn.mlp(5), "two or more whole numbers of at least 1, (n_0, ..., n_L), got 5"),
        (
            lambda: jaxnn.logistic_regression(0),
            "n_in must be a whole number of at least 1, got 0",
        ),
        (
            lambda: jaxnn.logistic_regression(3, 2.5),
            "classes must be a whole number of at least 2, got 2.5",
        ),
        (
            lambda: jaxnn.mlp((3, 4, 1), dropout_rate=[0.1, 0.2]),
            "dropout_rate must be one value or 1, one per layer it applies to, got 2",
        ),
        (lambda: jaxnn.mlp((3, 4, 1), dropout_rate=1.0), "0 <= rate < 1, got 1.0"),
        (
            lambda: jaxnn.logistic_regression(3, classes=1),
            "classes must be a whole number of at least 2, got 1",
        ),
        (lambda: jaxnn.mlp((3, True)), "whole numbers of at least 1, (n_0, ..., n_L), got (3, True)"),
        (lambda: jaxnn.mlp((3, 4, 1), "sigmod"), "or a Layer, got 'sigmod': did you mean 'sigmoid'?"),
        (lambda: jaxnn.mlp((3, 4, 1), [jax.nn.relu]), "or a Layer, got the function relu"),
        (lambda: jaxnn.mlp((3, 4, 1), output=["binary"]), "'softmax'], got ['binary']"),
        (lambda: jaxnn.mlp((3, 4, 1), output="Softmax"), "did you mean 'softmax'?"),
        (lambda: jaxnn.mlp((3, 4, 1), dropout_rate=["a"]), "0 <= rate < 1, got 'a'"),
        (lambda: jaxnn.mlp((3, 4, 1), dropout_rate=True), "0 <= rate < 1, got True"),
        (
            lambda: jaxnn.mlp((3, 1), input_dropout_rate=[0.1]),
            "input_dropout_rate must be the fraction to drop, 0 <= rate < 1, got [0.1]",
        ),
        (
            lambda: jaxnn.mlp((3, 1), input_dropout_rate=None),
            "input_dropout_rate must be the fraction to drop, 0 <= rate < 1, got None",
        ),
        (
            lambda: jaxnn.logistic_regression("3"),
            "n_in must be a whole number of at least 1, got '3'",
        ),
        (lambda: jaxnn.logistic_regression(True), "n_in must be a whole number of at least 1, got True"),
        (
            lambda: jaxnn.models.params_to_arrays(jaxnn.mlp((3, 1)), ()),
            "must be a Layer, got a Model: pass its network, model.network",
        ),
        (
            lambda: jaxnn.models.params_from_arrays(jaxnn.mlp((3, 1)), (3,), []),
            "must be a Layer, got a Model: pass its network, model.network",
        ),
        (
            lambda: jaxnn.models.params_from_arrays(jaxnn.mlp((3, 1)).network, 3, []),
            "in_shape must be the shape of one example, got 3",
        ),
    ],
)
def test_wrong_models_raise(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_wrong_number_of_features_raises():
    model = jaxnn.logistic_regression(3)
    with pytest.raises(ValueError, match=r"x must be floats \(..., n_in=3\) for W .*, got float32 \(2, 4\)"):
        model.predict_proba(model.init(KEY), np.zeros((2, 4), np.float32))


OLD = jax.random.PRNGKey(0)


@pytest.mark.full
def test_keys_of_the_old_kind_start_the_same_network():
    model = jaxnn.mlp((3, 4, 4, 1), dropout_rate=0.5, scan=True)
    jax.tree.map(np.testing.assert_array_equal, model.init(OLD), model.init(KEY))


@pytest.mark.parametrize("init", [jaxnn.mlp((3, 1)).init, jax.jit(jaxnn.mlp((3, 1)).init)], ids=["plain", "jit"])
@pytest.mark.parametrize(
    ("key", "message"),
    [
        (0, r"must be one random key, got (0|int32 \(\)): jax.random.key"),
        (jnp.stack([KEY, KEY]), r"must be one random key, got .* \(2,\): index one"),
    ],
)
def test_invalid_key_raises(init, key, message):
    with pytest.raises(ValueError, match=f"^key .*{message}"):
        init(key)


class Frame:
    """The attributes that a data frame shares with arrays."""

    def __init__(self, a):
        self.a, self.shape = a, a.shape

    def __array__(self, dtype=None, copy=None):
        return self.a


@pytest.mark.parametrize(
    "as_given", [np.ndarray.tolist, list, Frame, memoryview], ids=["lists", "rows", "frame", "view"]
)
def test_inputs_may_be_array_like(as_given):
    model, x = jaxnn.mlp((3, 4, 2), "tanh", output="softmax"), np.arange(6, dtype=np.float32).reshape(2, 3)
    params = params_for(model)
    for of in (model.outputs, model.predict_proba, model.predict):
        np.testing.assert_array_equal(of(params, as_given(x)), of(params, x))


@pytest.mark.representatives("linear")
@pytest.mark.parametrize("output", ["binary", "softmax", "linear"])
def test_single_example_equals_a_row_of_a_batch(output, x64):
    model, x = jaxnn.mlp((3, 4, 2 if output == "softmax" else 1), "tanh", output=output), np.arange(6.0).reshape(2, 3)
    params = params_for(model)
    for of in (model.outputs, model.predict_proba, model.predict):
        np.testing.assert_allclose(of(params, x[1]), of(params, x)[1], rtol=1e-12)
        np.testing.assert_allclose(jax.vmap(of, (None, 0))(params, x), of(params, x), rtol=1e-12)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ("images", "x must be an array, got 'images'"),
        (None, "x must be an array, got None"),
        ([[1.0, 2.0, 3.0], [1.0]], "whose entries differ in shape"),
        (np.ones((2, 3), object), r"x must be real numbers, got object \(2, 3\): x.astype"),
        (np.full((2, 3), "1"), r"x must be real numbers, got <U1 \(2, 3\): x.astype"),
        (np.ones((3, 2)), r"x must be floats \(..., n_in=3\) for W .*, got float\d+ \(3, 2\)"),
    ],
)
def test_invalid_inputs_raise(x, message):
    model = jaxnn.logistic_regression(3)
    for of in (model.outputs, model.predict_proba, model.predict):
        with pytest.raises(ValueError, match=message):
            of(params_for(model), x)


def test_params_of_another_network_raise():
    """One with as many layers of other sizes would give as many numbers as it has units, silently."""
    one, other = jaxnn.mlp((3, 4, 1)), jaxnn.mlp((3, 4, 2), output="softmax")
    with pytest.raises(
        ValueError,
        match=r"^layer 3 of 3, dense\(1\): params must be {W: \(n_out=1, n_in\).* \(2, 4\).*: use params of this n",
    ):
        one.predict(params_for(other), np.zeros((2, 3)))
    several = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), params_for(one))
    with pytest.raises(ValueError, match=r"W: float32 \(2, 4, 3\), .*: jax.vmap over the params of several networks"):
        one.predict(several, np.zeros((2, 3)))


@pytest.mark.full
def test_a_single_image_is_predicted_as_in_a_batch():
    model = jaxnn.models.lenet((12, 12, 1), 3)
    params = model.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (4, 12, 12, 1))

    @compiled
    def run(params, x):
        return [(of_all[2], of_one) for of_all, of_one in zip(predicted(x), predicted(x[2]), strict=True)]

    def predicted(x):
        return model.outputs(params, x), model.predict_proba(params, x), model.predict(params, x)

    for of_all, of_one in run(params, x):
        np.testing.assert_allclose(of_one, of_all, rtol=1e-5)
