"""Softmax cross-entropy of sequences and images, class weights, and ignored labels, against NumPy."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from tests.helpers.oracle import losses as oracle
from tests.helpers.programs import TOLERANCE, compiled

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
softmax = jaxnn.softmax_cross_entropy


@pytest.mark.representatives("(3, 2)")
@pytest.mark.parametrize("axes", [(), (3,), (3, 2)], ids=str)
def test_each_position_is_a_row(axes, x64):
    """Of class numbers, with and without an axis of 1, one-hot and soft labels; terms and dz."""
    z, y = RNG.normal(size=(4, *axes, 5)) * 3, RNG.integers(0, 5, (4, *axes))
    soft = RNG.dirichlet(np.ones(5), (4, *axes))
    rows = z.reshape(-1, 5)
    loss = softmax()
    for labels, value, gradient in (
        (
            y,
            oracle.softmax_cross_entropy_integer(rows, y.ravel()),
            oracle.d_softmax_cross_entropy_integer(rows, y.ravel()),
        ),
        (soft, *(f(rows, soft.reshape(-1, 5)) for f in (oracle.softmax_cross_entropy, oracle.d_softmax_cross_entropy))),
    ):
        forms = (labels,) if labels is soft else (labels, labels[..., None], np.eye(5)[labels], labels.astype(np.uint8))
        for form in forms:
            loss.check(z, form)
            np.testing.assert_allclose(loss.value(z, form), value.reshape(4, *axes), **TOLERANCE["float64"])
            np.testing.assert_allclose(loss.gradient(z, form), gradient.reshape(z.shape), **TOLERANCE["float64"])


@pytest.mark.parametrize(
    ("z", "y", "message"),
    [
        ((4, 3, 5), np.zeros((4, 3)), r"class numbers \(4, 3\) or distributions \(4, 3, 5\), got .* y.astype\(int\)"),
        ((4, 3, 5), np.zeros(4, int), r"class numbers \(4, 3\) or distributions \(4, 3, 5\), got .* \(4,\)"),
        (
            (4, 5, 3),
            np.zeros((4, 3), int),
            r"got int64 \(4, 3\): classes are the last axis, use jnp.moveaxis\(z, 1, -1\)",
        ),
        ((4, 3, 1), np.zeros((4, 3), int), r"logits \(m, ..., k\) with k >= 2 classes"),
    ],
)
def test_labels_of_other_positions_raise(z, y, message):
    for function in (softmax().value, softmax().gradient, softmax().check):
        with pytest.raises(ValueError, match=message):
            function(np.zeros(z, np.float32), y)


def by_numpy(z, y, weight, ignore):
    """PyTorch's mean: Σ c_y L / Σ c_y over the labels that are not ignored, and its gradient."""
    weight = np.ones(z.shape[-1]) if weight is None else np.asarray(weight)
    kept = y != ignore
    c = np.where(kept, weight[np.where(kept, y, 0)], 0)
    rows, labels = z.reshape(-1, z.shape[-1]), np.where(kept, y, 0).ravel()
    value = oracle.softmax_cross_entropy_integer(rows, labels).reshape(y.shape)
    dz = oracle.d_softmax_cross_entropy_integer(rows, labels).reshape(z.shape)
    return (c * value).sum() / c.sum(), dz * c[..., None] / c.sum()


SETTINGS = [(None, -100), (None, -1), (None, 2), ([1.0, 0.0, 2.5, 4.0], -1), ([3, 1, 2, 4], None), ([1, 2, 3, 4], 0)]


def drawn(ignore):
    z, y = RNG.normal(size=(5, 3, 4)), RNG.integers(0, 4, (5, 3))
    y[0, 1] = y[2] = 0 if ignore is None else ignore
    return z, y


@pytest.mark.parametrize(("weight", "ignore"), SETTINGS)
def test_mean_is_that_of_the_labels_that_count(weight, ignore, x64):
    z, y = drawn(ignore)
    objective = jaxnn.objective(jaxnn.nn.identity(), softmax(class_weights=weight, ignore=ignore))
    value, dz = compiled(
        lambda z: (objective.evaluate((), (), jaxnn.Batch(z, y)), gradient_of_inputs(objective, z, y))
    )(z)
    expected = by_numpy(z, y, weight, ignore)
    np.testing.assert_allclose(value, expected[0], **TOLERANCE["float64"])
    np.testing.assert_allclose(dz, expected[1], **TOLERANCE["float64"])


def gradient_of_inputs(objective, z, y):
    """dz by hand: of a parameter that is added to z."""
    shift = jaxnn.Layer(lambda key, shape: (), lambda d, x, key=None: (x + d, None), lambda d, cache, dy: (dy, dy))
    loss = objective.factory_call.arguments["loss"]
    return jaxnn.objective(shift, loss).value_and_grad(jnp.zeros_like(z), jaxnn.Batch(z, y))[1]


def test_distribution_counts_the_weights_of_its_classes(x64):
    loss = softmax(class_weights=[1.0, 2.0, 5.0])
    z, y = jnp.asarray(RNG.normal(size=(4, 3))), np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 1, 1], [0.2, 0.3, 0.5]])
    np.testing.assert_allclose(loss.counts(z, y), [1, 1.5, 7, 3.3], rtol=1e-12)
    np.testing.assert_array_equal(loss.value(z, y), softmax().value(z, y))
    one_hot = np.eye(3)[[0, 2, 1, 1]]
    np.testing.assert_array_equal(loss.counts(z, one_hot), loss.counts(z, np.array([0, 2, 1, 1])))
    np.testing.assert_array_equal(loss.counts(z, one_hot.astype(int)), [1, 5, 2, 2])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32"])
def test_ignored_labels_of_any_dtype(dtype):
    """255 is padding of images in 8 bits; -1 is not a byte, so no label is ignored."""
    z, y = jnp.asarray(RNG.normal(size=(4, 3)), jnp.float32), np.array([0, 1, 2, 1])
    number = {"int8": -1, "uint8": 255, "int32": -(2**31)}[dtype]
    y[1] = number
    loss = softmax(ignore=number)
    loss.check(z, y.astype(dtype))
    value, counts = compiled(lambda y: (loss.value(z, y), loss.counts(z, y)))(y.astype(dtype))
    expected = oracle.softmax_cross_entropy_integer(np.asarray(z), np.array([0, 0, 2, 1]))
    np.testing.assert_allclose(value, expected * [1, 0, 1, 1], **TOLERANCE["float32"])
    assert counts.tolist() == [1, 0, 1, 1]
    assert softmax(ignore=-1).counts(z, jnp.array([0, 1, 2, 255], "uint8")).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    "make", [{}, {"class_weights": [0.0, 1.0, 0.0]}, {"ignore": -1}, {"class_weights": [0.0, 1, 2], "ignore": -1}]
)
def test_class_number_outside_is_nan_in_the_mean_too(make):
    """It counts, even if the classes at the ends of the range have weight 0."""
    objective = jaxnn.objective(jaxnn.nn.identity(), softmax(**make))
    run = compiled(lambda y: objective.evaluate((), (), jaxnn.Batch(jnp.zeros((3, 3)), y)))
    assert np.isfinite(run(jnp.array([0, 1, 2])))
    for wrong in (-2, 3, 2**30):
        assert np.isnan(run(jnp.array([0, 1, wrong])))
        with pytest.raises(ValueError, match="y must be labels of 3 classes, from 0 to 2, got"):
            softmax(**make).check(jnp.zeros((3, 3)), np.array([0, 1, wrong]))


def test_a_class_number_outside_has_the_gradient_p():
    z = jnp.asarray(RNG.normal(size=(3, 4)), jnp.float32)
    dz = jaxnn.losses.softmax_cross_entropy_gradient(z, jnp.array([-1, 4, 2**30]))
    np.testing.assert_allclose(dz, jax.nn.softmax(z), **TOLERANCE["float32"])


@pytest.mark.parametrize("scale", [1e-300, 1e-20, 1.0, 1e30, 1e300])
def test_class_weights_matter_by_their_ratios(scale):
    z, y = jnp.asarray(RNG.normal(size=(6, 3)), jnp.float32), np.array([0, 1, 2, 2, 1, 0])
    values = [
        jaxnn.objective(jaxnn.nn.identity(), softmax(class_weights=weights)).evaluate((), (), jaxnn.Batch(z, y))
        for weights in (np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 4.0]) * scale)
    ]
    np.testing.assert_allclose(*values, rtol=1e-6)


def test_class_weights_may_be_hyperparameters():
    z, y = jnp.asarray(RNG.normal(size=(6, 3)), jnp.float32), np.array([0, 1, 2, 2, 1, 0])

    def value(weights):
        objective = jaxnn.objective(jaxnn.nn.identity(), softmax(class_weights=weights))
        objective.check((), jaxnn.Batch(z, y))
        return objective.evaluate((), (), jaxnn.Batch(z, y))

    many = np.array([[1.0, 2.0, 4.0], [0.0, 1.0, 0.0]], np.float32)
    alone = [value(weights) for weights in many]
    np.testing.assert_allclose(jax.jit(jax.vmap(value))(many), alone, rtol=1e-6)


CALLS = [
    (
        {"class_weights": [1.0, -1.0]},
        r"class_weights must be finite numbers \(k,\) of at least 0, .*, got \[1.0, -1.0\]",
    ),
    ({"class_weights": [1.0, np.inf]}, "class_weights must be finite numbers"),
    ({"class_weights": [0.0, 0.0]}, "class_weights must be finite numbers .* one above 0"),
    ({"class_weights": {0: 1.0, 1: 2.0}}, "class_weights must be finite numbers"),
    ({"ignore": 0.5}, "ignore must be a 32-bit class number or None, got 0.5: -1, for example"),
    ({"ignore": "-1"}, "ignore must be a 32-bit class number or None, got '-1'"),
    ({"ignore": True}, "ignore must be a 32-bit class number or None, got True"),
]


@pytest.mark.parametrize(("given", "message"), CALLS)
def test_invalid_settings_raise(given, message):
    with pytest.raises(ValueError, match=message):
        softmax(**given)


def test_settings_that_do_not_fit_the_data_raise():
    z = np.zeros((2, 3), np.float32)
    for function in (softmax(class_weights=[1, 2]).check, softmax(class_weights=[1, 2]).counts):
        with pytest.raises(
            ValueError, match="class_weights must be 3 numbers, one for each class of the outputs, got 2"
        ):
            function(z, np.array([0, 1]))
    for function in softmax(ignore=-1):
        with pytest.raises(
            ValueError, match=r"y must be integer class numbers \(2,\), got int64 \(2, 3\): use y.argmax\(-1\)"
        ):
            function(z, np.eye(3)[:2].astype(int))
        with pytest.raises(
            ValueError, match=r"y must be integer class numbers \(2,\), got float64 \(2,\): .*astype\(int\)"
        ):
            function(z, np.zeros(2))


def test_labels_of_fit_are_checked_without_the_ignored_ones():
    model = jaxnn.logistic_regression(2, 3)._replace(loss=softmax(ignore=-1))
    x, params = np.ones((4, 2), np.float32), model.init(KEY)

    def run(y):
        objective = jaxnn.objective(model.network, model.loss)
        return jaxnn.fit(objective, optax.sgd(0.1), params, x, y, key=KEY, epochs=1)

    assert np.isfinite(run(np.array([0, -1, 2, -1])).losses).all()
    with pytest.raises(ValueError, match="y must be labels of 3 classes, from 0 to 2, got -2 to 2"):
        run(np.array([0, -1, 2, -2]))
    with pytest.raises(ValueError, match="every label is ignored"):
        run(np.full(4, -1))


def test_losses_of_equal_settings_are_equal():
    weights = np.array([1.0, 2.0])
    loss = softmax(class_weights=weights, ignore=-1)
    weights[0] = 5  # has no effect
    assert (
        loss
        == softmax(0.0, np.array([1.0, 2.0]), -1)
        == softmax(class_weights=np.array([1.0, 2.0]), ignore=np.int64(-1))
    )
    assert loss != softmax(class_weights=np.array([1.0, 2.0]))
    assert repr(softmax(0.1, [1, 2], -1)) == "softmax_cross_entropy(smoothing=0.1, class_weights=[1, 2], ignore=-1)"
    assert repr(softmax()) == "softmax_cross_entropy()"
    for other in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        assert other == loss
        assert hash(other) == hash(loss)
        assert other.counts(np.zeros((2, 2), np.float32), np.array([0, -1])).tolist() == [1, 0]
