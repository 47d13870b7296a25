"""Losses against the oracle in float64, at large values in float32, at extremes, and errors."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from tests.helpers.oracle import losses as oracle
from tests.helpers.programs import TOLERANCE, compiled

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)
Z1, Z3 = RNG.normal(size=(6, 1)) * 4, RNG.normal(size=(6, 3)) * 4
BITS1, BITS3 = RNG.integers(0, 2, (6, 1)), RNG.integers(0, 2, (6, 3))
SOFT, CLASSES = RNG.dirichlet(np.ones(3), 6), RNG.integers(0, 3, 6)
FAR3 = Z3 * np.array([[1, 1e2, 1e4, 1e4, 1, 1e4]]).T

# name -> (loss, z, y, what the oracle says of both); y may lack z's axis of 1.
CASES = {
    "sigmoid": (jaxnn.sigmoid_cross_entropy, Z3, BITS3, oracle.sigmoid_cross_entropy, oracle.d_sigmoid_cross_entropy),
    "sigmoid_soft": (
        jaxnn.sigmoid_cross_entropy,
        Z3,
        SOFT,
        oracle.sigmoid_cross_entropy,
        oracle.d_sigmoid_cross_entropy,
    ),
    "sigmoid_far": (
        jaxnn.sigmoid_cross_entropy,
        FAR3,
        BITS3,
        oracle.sigmoid_cross_entropy,
        oracle.d_sigmoid_cross_entropy,
    ),
    "binary": (
        jaxnn.losses.binary_cross_entropy,
        1 / (1 + np.exp(-Z3)),
        BITS3,
        oracle.cross_entropy,
        oracle.d_cross_entropy,
    ),
    "binary_soft": (
        jaxnn.losses.binary_cross_entropy,
        1 / (1 + np.exp(-Z3)),
        SOFT,
        oracle.cross_entropy,
        oracle.d_cross_entropy,
    ),
    "softmax": (
        jaxnn.softmax_cross_entropy,
        Z3,
        CLASSES,
        oracle.softmax_cross_entropy_integer,
        oracle.d_softmax_cross_entropy_integer,
    ),
    "softmax_far": (
        jaxnn.softmax_cross_entropy,
        FAR3,
        CLASSES,
        oracle.softmax_cross_entropy_integer,
        oracle.d_softmax_cross_entropy_integer,
    ),
    "softmax_soft": (
        jaxnn.softmax_cross_entropy,
        Z3,
        SOFT,
        oracle.softmax_cross_entropy,
        oracle.d_softmax_cross_entropy,
    ),
    "softmax_unnormalised": (
        jaxnn.softmax_cross_entropy,
        Z3,
        5 * SOFT,
        oracle.softmax_cross_entropy,
        oracle.d_softmax_cross_entropy,
    ),
    "squared": (jaxnn.squared_error, Z3, 1e4 * SOFT, oracle.squared_error, oracle.d_squared_error),
    "absolute": (jaxnn.losses.absolute_error, Z3, 1e4 * SOFT, oracle.absolute_error, oracle.d_absolute_error),
    "huber": (jaxnn.losses.huber, Z3, SOFT, oracle.huber, oracle.d_huber),
    "huber_far": (
        partial(jaxnn.losses.huber, 2.5),
        FAR3,
        SOFT,
        partial(oracle.huber, delta=2.5),
        partial(oracle.d_huber, delta=2.5),
    ),
    "hinge": (jaxnn.losses.hinge, Z3, BITS3, oracle.hinge, oracle.d_hinge),
    "squared_hinge": (jaxnn.losses.squared_hinge, Z3, BITS3, oracle.squared_hinge, oracle.d_squared_hinge),
    "multiclass_hinge": (
        jaxnn.losses.multiclass_hinge,
        FAR3,
        CLASSES,
        oracle.multiclass_hinge,
        oracle.d_multiclass_hinge,
    ),
    "kl": (jaxnn.losses.kl_divergence, Z3, SOFT, oracle.kl_divergence, oracle.d_kl_divergence),
    "kl_far": (jaxnn.losses.kl_divergence, FAR3, np.eye(3)[CLASSES], oracle.kl_divergence, oracle.d_kl_divergence),
}


@pytest.fixture(scope="module")
def computed():
    """name -> (value, gradient) in float64, all in one program."""

    @compiled
    def run(given):
        return {name: (CASES[name][0]().value(z, y), CASES[name][0]().gradient(z, y)) for name, (z, y) in given.items()}

    with jax.enable_x64(True):
        return jax.device_get(run({name: (jnp.asarray(z), jnp.asarray(y)) for name, (_, z, y, _, _) in CASES.items()}))


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_are_the_oracles(name, computed):
    _, z, y, value, gradient = CASES[name]
    np.testing.assert_allclose(computed[name][0], value(z, y), **TOLERANCE["float64"])
    np.testing.assert_allclose(computed[name][1], gradient(z, y), **TOLERANCE["float64"])


BINARY = [jaxnn.sigmoid_cross_entropy, jaxnn.losses.binary_cross_entropy, jaxnn.squared_error]
BINARY += [jaxnn.losses.absolute_error, jaxnn.losses.huber, jaxnn.losses.hinge, jaxnn.losses.squared_hinge]


@pytest.mark.parametrize("make", BINARY)
def test_column_and_vector_are_the_same_examples(make, x64):
    """(m,) against (m, 1) never makes an (m, m) table."""
    loss, z, y = make(), jnp.asarray(1 / (1 + np.exp(-Z1))), jnp.asarray(BITS1)

    @compiled
    def run(z, y):
        return [(loss.value(a, b), loss.gradient(a, b)) for a in (z, z[:, 0]) for b in (y, y[:, 0])]

    (value, gradient), *others = run(z, y)
    assert value.shape == (6,)
    for i, (other_value, other_gradient) in enumerate(others):
        np.testing.assert_array_equal(other_value, value)
        np.testing.assert_array_equal(other_gradient, gradient if i == 0 else gradient[:, 0])


SHAPES = [
    ((6, 3), (6,)),
    ((6,), (6, 3)),
    ((6, 1), (5,)),
    ((6, 1), (5, 1)),
    ((6, 3), (6, 1)),
    ((6, 3), (3, 6)),
    ((6,), ()),
]


@pytest.mark.parametrize(("z", "y"), SHAPES, ids=str)
@pytest.mark.parametrize("make", BINARY)
def test_shapes_that_do_not_fit_raise(make, z, y):
    loss, z, y = make(), np.zeros(z, np.float32), np.zeros(y, np.float32)
    for function in (loss.value, loss.gradient, loss.check):
        with pytest.raises(ValueError, match=r"^y must be numbers in the shape of outputs [az], \(6.*, got"):
            function(z, y)


@pytest.mark.parametrize(
    ("z", "y", "message"),
    [
        (np.zeros((6, 1)), np.zeros(6, int), "k >= 2 classes.* sigmoid_cross_entropy"),
        (np.zeros(6), np.zeros(6, int), "k >= 2 classes.* sigmoid_cross_entropy"),
        (np.zeros((6, 3)), np.zeros(6), r"got float\d+ \(6,\).*astype\(int\)"),
        (np.zeros((6, 3)), np.zeros(5, int), r"class numbers \(6,\)"),
        (np.zeros((6, 3)), np.zeros((6, 2)), r"distributions \(6, 3\)"),
    ],
)
def test_softmax_raises_for_unreadable_targets(z, y, message):
    loss = jaxnn.softmax_cross_entropy()
    for function in (loss.value, loss.gradient, loss.check):
        with pytest.raises(ValueError, match=message):
            function(z, y)


@pytest.mark.parametrize("far", [1e4, 1e30])
def test_cross_entropies_far_out_in_float32(far):
    """A confident prediction has loss 0 if right and |z| if wrong: finite, with a gradient of 0 or ±1."""

    @compiled
    def run(z, wide):
        y, hot = jnp.array([0, 1, 0, 1]), jnp.array([[1, 0], [0, 1], [1, 0], [0, 1]])
        sigmoid, softmax = jaxnn.sigmoid_cross_entropy(), jaxnn.softmax_cross_entropy()
        return [
            (sigmoid.value(z, y), sigmoid.gradient(z, y)),
            (softmax.value(wide, y), softmax.gradient(wide, y)),
            (softmax.value(wide, hot), softmax.gradient(wide, hot)),
        ]

    z = np.array([-far, far, far, -far], np.float32)
    sigmoid, softmax, one_hot = jax.device_get(run(z, np.stack([0 * z, z], axis=1)))
    np.testing.assert_allclose(sigmoid[0], [0, 0, far, far], rtol=1e-6)
    np.testing.assert_array_equal(sigmoid[1], [0, 0, 1, -1])
    for value, gradient in (softmax, one_hot):
        np.testing.assert_allclose(value, [0, 0, far, far], rtol=1e-6)
        np.testing.assert_array_equal(gradient, [[0, 0], [0, 0], [-1, 1], [1, -1]])


def test_sigmoid_cross_entropy_of_an_infinite_logit():
    """As for probabilities 0 and 1: 0 if right, infinite if wrong, and infinite for soft labels."""
    loss, inf = jaxnn.sigmoid_cross_entropy(), np.inf
    z = jnp.array([inf, -inf, inf, -inf, inf, -inf])
    y = jnp.array([1.0, 0.0, 0.0, 1.0, 0.5, 0.5])
    np.testing.assert_array_equal(loss.value(z, y), [0, 0, inf, inf, inf, inf])
    slopes = [0, 0, 1, -1, 0.5, -0.5]
    np.testing.assert_array_equal(loss.gradient(z, y), slopes)
    np.testing.assert_array_equal(jax.grad(lambda z: loss.value(z, y).sum())(z), slopes)


def test_sigmoid_cross_entropy_of_soft_labels_keeps_its_digits():
    """For all soft labels and logits, float32 is accurate to a few roundings of the result."""
    loss, eps = jaxnn.sigmoid_cross_entropy(), np.finfo(np.float32).eps
    labels = np.array([0, 1e-7, 0.1, 0.5, 0.50001, 0.9, 1 - 1e-7, 1], np.float32)
    sizes = np.concatenate([[0.0], 10.0 ** np.arange(-6, 7)])
    z, y = (a.ravel().astype(np.float32) for a in np.meshgrid(np.concatenate([-sizes, sizes]), labels))
    exact_z, exact_y = z.astype(np.float64), y.astype(np.float64)
    positive, negative = exact_y * np.logaddexp(0, -exact_z), (1 - exact_y) * np.logaddexp(0, exact_z)
    np.testing.assert_allclose(loss.value(z, y), positive + negative, rtol=4 * eps, atol=1e-37)
    terms = (1 - exact_y) * np.exp(-np.logaddexp(0, -exact_z)), exact_y * np.exp(-np.logaddexp(0, exact_z))
    off = np.abs(np.asarray(loss.gradient(z, y), np.float64) - (terms[0] - terms[1]))
    assert (off <= 4 * eps * np.maximum(*terms) + 1e-37).all()


@pytest.mark.full
def test_sigmoid_cross_entropy_has_its_second_derivative(x64):
    """σ(1 - σ) for any label, also at 0, where the two answers are equally likely, by autodiff of both."""
    loss, z = jaxnn.sigmoid_cross_entropy(), np.array([0.0, -0.0, 1.0, -3.0, 30.0])
    expected = 1 / (2 + np.exp(z) + np.exp(-z))
    for y in (0.0, 0.3, 0.5, 1.0):
        labels = np.full(5, y)
        slope = jax.grad(lambda z, y: loss.value(z, y).sum())
        for first in (slope, loss.gradient):
            second = jax.grad(lambda z, first=first, labels=labels: first(z, labels).sum())(z)
            np.testing.assert_allclose(second, expected, **TOLERANCE["float64"])


def test_binary_cross_entropy_at_0_and_1():
    """Infinite if the prediction is confident and wrong; an absent term has value and gradient 0; never NaN."""
    a, y = jnp.array([0.0, 1.0, 0.0, 1.0, 0.0, 1.0]), jnp.array([0.0, 1.0, 1.0, 0.0, 0.5, 0.5])
    loss = jaxnn.losses.binary_cross_entropy()

    @compiled
    def run(a):
        return loss.value(a, y), loss.gradient(a, y), jax.grad(lambda a: loss.gradient(a, y)[:2].sum())(a)

    value, gradient, second = jax.device_get(run(a))
    np.testing.assert_array_equal(value, [0, 0, np.inf, np.inf, np.inf, np.inf])
    np.testing.assert_array_equal(gradient, [1, -1, -np.inf, np.inf, -np.inf, np.inf])
    np.testing.assert_array_equal(second[:2], [1, 1])


def test_logits_of_minus_infinity_rule_a_class_out():
    z = jnp.array([[0.0, -jnp.inf, 0.0]] * 2)
    loss = jaxnn.softmax_cross_entropy()
    y, hot = jnp.array([0, 1]), jnp.array([[1.0, 0, 0], [0, 1, 0]])
    for labels in (y, hot):
        value, gradient = jax.device_get(compiled(lambda z, y: (loss.value(z, y), loss.gradient(z, y)))(z, labels))
        np.testing.assert_allclose(value, [np.log(2), np.inf], rtol=1e-6)
        np.testing.assert_allclose(gradient, [[-0.5, 0, 0.5], [0.5, -1, 0.5]], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["int32", "int8"])
def test_class_number_outside_is_nan_in_a_program_and_raises_in_check(dtype):
    loss, z, y = jaxnn.softmax_cross_entropy(), jnp.zeros((4, 120)), jnp.array([0, 120, -1, 119], dtype)
    value = compiled(loss.value)(z, y)
    np.testing.assert_allclose(value, [np.log(120), np.nan, np.nan, np.log(120)], rtol=1e-6)
    with pytest.raises(ValueError, match="y must be labels of 120 classes, from 0 to 119, got -1 to 120"):
        loss.check(z, y)
    loss.check(z[::3], y[::3])


@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_class_numbers_in_few_bits_among_many_classes(dtype):
    """256 is 0 in 8 bits: class 0 must not be class 256 too."""
    loss, z = jaxnn.softmax_cross_entropy(), jnp.asarray(RNG.normal(size=(3, 300)), jnp.float32)
    y = np.array([0, 1, 200])
    run = compiled(lambda z, y: (loss.value(z, y), loss.gradient(z, y)))
    value, gradient = run(z, jnp.asarray(y, dtype))
    np.testing.assert_allclose(value, oracle.softmax_cross_entropy_integer(z, y), rtol=1e-5)
    np.testing.assert_allclose(gradient, oracle.d_softmax_cross_entropy_integer(z, y), atol=1e-6)


@pytest.mark.parametrize("make", BINARY[:2])
@pytest.mark.parametrize("labels", [[-1, 1], [0, 2]])
def test_labels_other_than_0_and_1_raise(make, labels):
    with pytest.raises(ValueError, match=f"y must be binary labels, from 0 to 1, got {labels[0]} to {labels[1]}"):
        make().check(np.zeros((2, 1)), np.array(labels))


def test_negative_share_of_a_class_raises():
    with pytest.raises(ValueError, match=r"y must be at least 0 in a distribution over classes, got -0\.5"):
        jaxnn.softmax_cross_entropy().check(np.zeros((1, 2)), np.array([[1.5, -0.5]]))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float32"])
def test_labels_of_any_dtype_mean_the_same(dtype):
    loss, z = jaxnn.sigmoid_cross_entropy(), jnp.asarray(Z1, jnp.float32)
    value, gradient = compiled(lambda z, y: (loss.value(z, y), loss.gradient(z, y)))(z, jnp.asarray(BITS1, dtype))
    assert value.dtype == gradient.dtype == jnp.float32
    np.testing.assert_allclose(value, oracle.sigmoid_cross_entropy(Z1, BITS1), rtol=1e-5)
    np.testing.assert_allclose(gradient, oracle.d_sigmoid_cross_entropy(Z1, BITS1), atol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_sigmoid_cross_entropy_gradient_of_sure_right_answers_keeps_its_digits(dtype):
    z, y = jnp.array([6.0, 17.0, 40.0, -6.0, -17.0, -40.0], dtype), jnp.array([1, 1, 1, 0, 0, 0])
    got = np.asarray(jaxnn.functional.sigmoid_cross_entropy_gradient(z, y), np.float64)
    expected = 1 / (1 + np.exp(np.abs(np.asarray(z, np.float64)))) * np.array([-1, -1, -1, 1, 1, 1])
    np.testing.assert_allclose(got, expected, rtol=4 * float(jnp.finfo(dtype).eps))


# Label smoothing


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_smoothed_labels_are_szegedy_s(smoothing, x64):
    """Equation by equation in NumPy: q'(k) = (1 - ε) [k = y] + ε/K, H(q', p), and p - q'."""
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(6, 5)) * 3, rng.integers(0, 5, 6)
    q = (1 - smoothing) * np.eye(5)[y] + smoothing / 5
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    smoothed = jaxnn.softmax_cross_entropy(smoothing=smoothing)
    for labels in (y, y[:, None], np.eye(5)[y]):
        np.testing.assert_allclose(smoothed.value(jnp.asarray(z), labels), -(q * np.log(p)).sum(axis=1), rtol=1e-12)
        np.testing.assert_allclose(smoothed.gradient(jnp.asarray(z), labels), p - q, rtol=1e-12, atol=1e-14)


@pytest.mark.full
def test_smoothing_is_a_hyperparameter_of_a_population():
    """Each member is what `fit` makes of it; the smoothest is the least sure."""
    model, rng = jaxnn.mlp((3, 4), output="softmax", init="zeros"), np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)).astype(np.float32), rng.integers(0, 4, 20)
    start, key, sgd = model.init(jax.random.key(0)), jax.random.key(0), optax.sgd(0.5)

    def member(h):
        return jaxnn.Member(
            jaxnn.objective(model.network, jaxnn.softmax_cross_entropy(h["smoothing"])), sgd, start, key
        )

    amounts = [0.0, 0.3, 0.8]
    population = jaxnn.fit_population(member, {"smoothing": amounts}, x, y, epochs=30, report_every=30)
    for i, amount in enumerate(amounts):
        objective = jaxnn.objective(model.network, jaxnn.softmax_cross_entropy(amount))
        alone = jaxnn.fit(objective, sgd, start, x, y, key=key, epochs=30, report_every=30)
        np.testing.assert_allclose(population.losses[i], alone.losses, rtol=1e-5)
    surest = [model.predict_proba(population.member(i).params, x).max(axis=1).mean() for i in range(3)]
    assert surest[0] > surest[1] > surest[2]


def test_smoothing_keeps_the_dtype_and_raises_for_invalid_classes():
    z, y = jnp.zeros((2, 3), jnp.bfloat16), jnp.array([0, 7])
    value = jax.jit(lambda amount: jaxnn.softmax_cross_entropy(amount).value(z, y))(0.1)
    assert value.dtype == jnp.bfloat16
    assert np.isnan(value).tolist() == [False, True]
    with pytest.raises(ValueError, match="y must be labels of 3 classes, from 0 to 2, got 0 to 7"):
        jaxnn.softmax_cross_entropy(0.1).check(z, y)


PAIRS = {
    "sigmoid": (jaxnn.sigmoid_cross_entropy(), [[0.5], [-1.0]], [1, 0]),
    "binary": (jaxnn.losses.binary_cross_entropy(), [[0.5], [0.25]], [1, 0]),
    "softmax": (jaxnn.softmax_cross_entropy(), [[0.5, 1.0], [-1.0, 0.0]], [1, 0]),
    "smoothed": (jaxnn.softmax_cross_entropy(0.1), [[0.5, 1.0], [-1.0, 0.0]], [1, 0]),
    "squared": (jaxnn.squared_error(), [[0.5], [-1.0]], [1, 0]),
    "huber": (jaxnn.losses.huber(2.0), [[0.5], [-1.0]], [1, 0]),
    "hinge": (jaxnn.losses.hinge(), [[0.5], [-1.0]], [1, 0]),
    "sigmoid_smoothed": (jaxnn.sigmoid_cross_entropy(smoothing=0.1), [[0.5], [-1.0]], [1, 0]),
    "binary_smoothed": (jaxnn.losses.binary_cross_entropy(0.1), [[0.5], [0.25]], [1, 0]),
    "multiclass": (jaxnn.losses.multiclass_hinge(), [[0.5, 1.0], [-1.0, 0.0]], [1, 0]),
    "kl": (jaxnn.losses.kl_divergence(2.0), [[0.5, 1.0], [-1.0, 0.0]], [[1, 0], [0.5, 0.5]]),
}


@pytest.mark.parametrize("name", PAIRS)
def test_non_float_outputs_raise(name):
    """Beside an integer z, y would be rounded to one: arguments that changed places would make a loss, a wrong one."""
    loss, z, y = PAIRS[name]
    for of in (loss.value, loss.gradient):
        for outputs in (z, np.array(z).astype(int), None, "z"):
            with pytest.raises(
                ValueError,
                match="^[az] must be an array of floats.*, got .*: outputs are the first argument, targets the next",
            ):
                of(outputs, np.array(y))


@pytest.mark.representatives("binary_smoothed", "huber", "sigmoid_smoothed")
@pytest.mark.parametrize("name", PAIRS)
def test_targets_may_be_a_list(name):
    loss, z, y = PAIRS[name]
    z = jnp.array(z)
    for of in (loss.value, loss.gradient):
        np.testing.assert_array_equal(of(z, y), of(z, jnp.array(y)))
        for targets, message in (
            (["a", "b"], "^y must be numbers, got <U1"),
            (None, "y must be an array, got None"),
            ([[1], [1, 0]], "differ in shape"),
        ):
            with pytest.raises(ValueError, match=message):
                of(z, targets)
