"""Weighted sums of losses against one written by hand, and losses of plain functions."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn import gradcheck
from jaxnn.losses import loss_from, weighted_sum
from tests.helpers.oracle import losses as oracle
from tests.helpers.programs import TOLERANCE, compiled, same

RNG = np.random.default_rng(0)
M = 6
X = RNG.normal(size=(M, 3)).astype(np.float32)
LABELS, BOXES = np.array([0, 1, -1, 2, -1, 1]), RNG.normal(size=(M, 2)).astype(np.float32)
PARTS = (jaxnn.dense(3), jaxnn.dense(2))
PARAMS = jax.jit(lambda *keys: tuple(part.init(key, (3,))[0] for part, key in zip(PARTS, keys, strict=True)))(
    jax.random.key(0), jax.random.key(1)
)
SOFTMAX = jaxnn.softmax_cross_entropy(ignore=-1)


def two_heads(container):
    """A layer of two outputs, in a dictionary, tuple or list."""
    names = ("label", "box") if container is dict else (0, 1)

    def forward(params, x, key=None):
        ways = [part.forward(p, x) for part, p in zip(PARTS, params, strict=True)]
        entries = [z for z, _ in ways]
        return (dict(zip(names, entries, strict=True)) if container is dict else container(entries)), [
            c for _, c in ways
        ]

    def backward(params, caches, dz):
        ways = [part.backward(p, c, dz[n]) for part, p, c, n in zip(PARTS, params, caches, names, strict=True)]
        return tuple(dp for dp, _ in ways), sum(dx for _, dx in ways)

    return jaxnn.Layer(lambda key, shape: (PARAMS, None), forward, backward)


@pytest.mark.representatives("tuple-None")
@pytest.mark.parametrize("weight", [None, [2.0, 1, 5, 0, 1, 0.5]], ids=str)
@pytest.mark.parametrize("container", [dict, tuple, list])
def test_sum_is_that_of_the_means(container, weight):
    """Each mean over what counts for its loss, times its factor: by two objectives of one output."""
    pairs = [(SOFTMAX, 2.0), (jaxnn.squared_error(), 0.5)]
    losses = dict(zip(("label", "box"), pairs, strict=True)) if container is dict else tuple(pairs)
    y = {"label": LABELS, "box": BOXES} if container is dict else container([LABELS, BOXES])
    weight = None if weight is None else jnp.array(weight)

    @compiled
    def run(params):
        batch = jaxnn.Batch(X, y, weight)
        both = jaxnn.objective(two_heads(container), weighted_sum(losses))
        alone = [
            jaxnn.objective(part, loss).value_and_grad(p, jaxnn.Batch(X, of, weight))
            for part, p, (loss, _), of in zip(PARTS, params, pairs, (LABELS, BOXES), strict=True)
        ]
        return [jaxnn.train.gradients_by(both, way)(params, batch) for way in ("hand", "auto")], alone

    (hand, auto), (((label, _), d_label), ((box, _), d_box)) = run(PARAMS)
    np.testing.assert_allclose(hand[0][0], 2 * label + 0.5 * box, rtol=1e-6)
    expected = jax.tree.map(lambda d: 2 * d, d_label), jax.tree.map(lambda d: 0.5 * d, d_box)
    same(hand[1], expected, **TOLERANCE["float32"])
    same(hand, auto, **TOLERANCE["float32"])


def test_sum_has_the_terms_and_the_gradient_of_one_written_by_hand():
    """Nested too; its factors may be traced."""
    z = {"a": jnp.array([[3.0], [1.0]]), "b": (jnp.array([1.0, 2.0]), jnp.array([[0.0, 0.0], [1.0, 1.0]]))}
    y = {"a": jnp.array([1.0, 1.0]), "b": (jnp.array([1.0, 0.0]), jnp.array([1, -1]))}

    @compiled
    def run(factor):
        inner = weighted_sum(((jaxnn.squared_error(), factor), (SOFTMAX, 3.0)))
        loss = weighted_sum({"a": (jaxnn.squared_error(), 10.0), "b": (inner, 0.5)})
        return loss.value(z, y), loss.gradient(z, y), loss.counts(z, y)

    value, gradient, counts = run(4.0)
    same(
        value,
        {"a": jnp.array([20.0, 0]), "b": (jnp.array([0.0, 4.0]), jnp.array([1.5 * np.log(2), 0], jnp.float32))},
        **TOLERANCE["float32"],
    )
    same(
        gradient,
        {"a": jnp.array([[20.0], [0]]), "b": (jnp.array([0.0, 4.0]), jnp.array([[0.75, -0.75], [0, 0]]))},
        **TOLERANCE["float32"],
    )
    assert counts["a"] is None
    assert counts["b"][0] is None
    assert counts["b"][1].tolist() == [1, 0]
    assert weighted_sum({"a": (jaxnn.squared_error(), 1)}).counts is None


@pytest.mark.full
def test_two_outputs_are_trained_alike_by_fit_and_from_a_stream():
    """With a padded last batch; each step's loss is the sum of the means over what counts in its batch."""
    loss = weighted_sum({"label": (SOFTMAX, 2.0), "box": (jaxnn.squared_error(), 0.5)})
    objective = jaxnn.objective(two_heads(dict), loss)
    y, options = {"label": LABELS, "box": BOXES}, dict(key=jax.random.key(0), epochs=2)
    fitted = jaxnn.fit(objective, optax.sgd(0.1), PARAMS, X, y, batch_size=4, shuffle=False, **options)
    parts = [(X[rows], {n: of[rows] for n, of in y.items()}) for rows in (slice(0, 4), slice(4, 6))]
    streamed = jaxnn.fit_stream(objective, optax.sgd(0.1), PARAMS, parts, **options)
    np.testing.assert_allclose(fitted.losses, streamed.losses, rtol=1e-6)
    z = [np.asarray(part.forward(p, X[:4])[0], np.float64) for part, p in zip(PARTS, PARAMS, strict=True)]
    label = oracle.softmax_cross_entropy_integer(z[0], np.maximum(LABELS[:4], 0))[LABELS[:4] >= 0].mean()
    box = oracle.squared_error(z[1], BOXES[:4]).mean()
    np.testing.assert_allclose(fitted.losses[0], 2 * label + 0.5 * box, rtol=1e-5)


def test_sum_checks_each_part():
    loss = weighted_sum({"label": (SOFTMAX, 1.0), "box": (jaxnn.squared_error(), 1.0)})
    z = {"label": np.zeros((M, 3), np.float32), "box": np.zeros((M, 2), np.float32)}
    loss.check(z, {"label": LABELS, "box": BOXES})
    with pytest.raises(ValueError, match="y must be labels of 3 classes, from 0 to 2, got 0 to 3"):
        loss.check(z, {"label": np.where(LABELS == 2, 3, LABELS), "box": BOXES})
    with pytest.raises(ValueError, match=r"y must be numbers in the shape of outputs z, \(6, 2\), got int64 \(6,\)"):
        loss.check(z, {"label": LABELS, "box": LABELS})
    batch = jaxnn.Batch(X, {"label": np.full(M, -1), "box": BOXES})
    with pytest.raises(
        ValueError, match=r"y\['label'\] must have a label that counts in the loss, got none: every label is"
    ):
        jaxnn.objective(two_heads(dict), loss).check(PARAMS, batch)


@pytest.mark.parametrize(
    ("losses", "z", "message"),
    [
        ({"a": (SOFTMAX, 1)}, {"b": 0}, r"z must be a dictionary with the keys of the losses, \['a'\], got .* \['b'\]"),
        ({"a": (SOFTMAX, 1)}, jnp.ones(3), r"z must be a dictionary .*, got float32 \(3,\)"),
        (((SOFTMAX, 1), (SOFTMAX, 1)), (jnp.ones(3),), "z must be one entry for each of the 2 losses, got 1 entries"),
        (((SOFTMAX, 1), (SOFTMAX, 1)), jnp.ones((2, 3)), r"z must be one entry for each of the 2 losses, got float32"),
    ],
)
def test_outputs_of_other_parts_raise(losses, z, message):
    for function in weighted_sum(losses):
        with pytest.raises(ValueError, match=message):
            function(z, z)


def test_sums_of_equal_parts_are_equal():
    def make(factor=0.5):
        return weighted_sum({"label": (jaxnn.softmax_cross_entropy(), 1.0), "box": (jaxnn.squared_error(), factor)})

    assert make() == make()
    assert make() != make(0.25)
    assert hash(make()) == hash(make())
    assert pickle.loads(pickle.dumps(make())) == make()
    expected = "weighted_sum({'label': (softmax_cross_entropy(), 1.0), 'box': (squared_error(), 0.5)})"
    assert repr(make()) == expected


def test_gradcheck_finds_a_missing_factor():
    right = weighted_sum({"a": (jaxnn.squared_error(), 2.0), "b": (jaxnn.squared_error(), 1.0)})
    wrong = right._replace(gradient=lambda z, y: {n: z[n] - y[n] for n in z})
    z, y = ({n: jnp.asarray(RNG.normal(size=(3, 2)), jnp.float32) for n in "ab"} for _ in range(2))
    assert gradcheck.loss(right, z, y, fast=True)
    report = gradcheck.loss(wrong, z, y, fast=True)
    assert not report
    assert "'a'" in str(report)


# Of a plain function.


def log_cosh(z, y):
    return jnp.log(jnp.cosh(z - y)).sum(axis=-1)


def known(z, y):
    return y >= 0


def test_gradient_of_a_plain_function_is_jaxs(x64):
    z, y = RNG.normal(size=(4, 2)), RNG.normal(size=(4, 2))
    loss = loss_from(log_cosh)
    np.testing.assert_allclose(loss.value(z, y), np.log(np.cosh(z - y)).sum(axis=1), **TOLERANCE["float64"])
    np.testing.assert_allclose(loss.gradient(jnp.asarray(z), y), np.tanh(z - y), **TOLERANCE["float64"])
    tree = loss_from(lambda z, y: {n: z[n] ** 2 * y for n in z})
    d = tree.gradient({"a": jnp.asarray(z), "b": jnp.asarray(z[:, 0])[:, None]}, 2.0)
    np.testing.assert_allclose(d["a"], 4 * z, rtol=1e-12)
    np.testing.assert_allclose(d["b"][:, 0], 4 * z[:, 0], rtol=1e-12)


def test_terms_of_a_plain_function_may_count():
    loss = loss_from(lambda z, y: jnp.abs(z - y), known)
    z, y = jnp.array([1.0, 2.0, 3.0]), jnp.array([0.0, -1.0, 1.0])
    assert jaxnn.objective(jaxnn.nn.identity(), loss).evaluate((), (), jaxnn.Batch(z, y)) == 1.5


def test_losses_of_the_same_function_are_equal():
    loss = loss_from(log_cosh)
    assert loss == loss_from(log_cosh) == pickle.loads(pickle.dumps(loss))
    assert loss != loss_from(known)
    assert loss != loss_from(log_cosh, known)
    assert repr(loss) == "loss_from(log_cosh) by autodiff"
    assert isinstance(loss, jaxnn.Loss)
    assert repr(weighted_sum({"a": (loss, 1)})) == "weighted_sum({'a': (loss_from(log_cosh) by autodiff, 1)})"


@pytest.mark.parametrize("given", [(3,), (lambda z: z,), (log_cosh, 3), (log_cosh, lambda z: z)])
def test_not_a_function_raises(given):
    with pytest.raises(ValueError, match="^(function|counts) must be a function"):
        loss_from(*given)
