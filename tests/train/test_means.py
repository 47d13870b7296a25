"""The mean of a loss's terms: weights and counts against NumPy, no effect of what counts 0, and nothing added."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from tests.helpers.programs import TOLERANCE, compiled, same

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
M, T, N, K = 6, 4, 3, 5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(M, T, N)).astype(np.float32)
Y = RNG.integers(0, K, (M, T))
LABELS = np.where(RNG.uniform(size=(M, T)) < 0.4, -1, Y)
LABELS[1] = -1  # an example without labels
CLASS_WEIGHTS = [1.0, 0.0, 2.5, 1.0, 4.0]
PARAMS = {"W": jnp.asarray(RNG.normal(size=(K, N)), jnp.float32), "b": jnp.zeros(K)}


def _at_each_position(params, x, key=None):
    return x @ params["W"].T + params["b"].reshape(1, 1, K), x


def _backward_at_each_position(params, x, dz):
    return {"W": jnp.einsum("mtk,mtn->kn", dz, x), "b": dz.sum(axis=(0, 1))}, dz @ params["W"]


NETWORK = jaxnn.Layer(lambda key, in_shape: (PARAMS, (T, K)), _at_each_position, _backward_at_each_position)
LOSS = jaxnn.softmax_cross_entropy(class_weights=CLASS_WEIGHTS, ignore=-1)
OBJECTIVE = jaxnn.objective(NETWORK, LOSS)


def by_numpy(params, x, y, weight=None, normalizer=None):
    """(J, dW) of the network with LOSS, label after label, in float64."""
    W, b = (np.asarray(params[name], np.float64) for name in "Wb")
    weight = np.ones(len(x)) if weight is None else np.asarray(weight, np.float64)
    total, divisor, dW = 0.0, 0.0, np.zeros_like(W)
    for x_i, y_i, w in zip(x.astype(np.float64), y, weight, strict=True):
        for a, label in zip(x_i, y_i, strict=True):
            if label != -1 and w > 0:
                z = W @ a + b
                p = np.exp(z) / np.exp(z).sum()
                count = w * CLASS_WEIGHTS[label]
                total, divisor = total - count * np.log(p[label]), divisor + count
                dW += count * np.outer(p - np.eye(K)[label], a)
    factor = (1 if normalizer is None else weight.sum() / normalizer) / (divisor or 1)
    return factor * total, factor * dW


WEIGHTS = [[1.0] * M, [2.0, 0, 0.5, 1e-3, 7, 1], [0.0, 3, 0, 0, 0, 0], [0.0] * M, [1, 0, 2, 3, 0, 1]]


@pytest.mark.representatives("None-None", "weight1-None", "weight4-8.0", "weight7-None", "weight10-8.0")
@pytest.mark.parametrize(("weight", "normalizer"), [(None, None), *((w, n) for w in WEIGHTS for n in (None, 8.0))])
def test_mean_of_terms_is_numpys(weight, normalizer, x64):
    """With class weights and ignored labels; by hand and by JAX. If nothing counts, the mean and its gradient are 0."""
    params = jax.tree.map(lambda a: a.astype("float64"), PARAMS)
    batch = jaxnn.Batch(X.astype(float), LABELS, None if weight is None else jnp.asarray(weight), normalizer)

    @compiled
    def run(params):
        return [jaxnn.train.gradients_by(OBJECTIVE, gradients)(params, batch) for gradients in ("hand", "auto")]

    hand, auto = run(params)
    same(hand, auto, **TOLERANCE["float64"])
    value, dW = by_numpy(params, X, LABELS, weight, normalizer)
    (got, _), grads = hand
    np.testing.assert_allclose(got, value, **TOLERANCE["float64"])
    np.testing.assert_allclose(grads["W"], dW, **TOLERANCE["float64"])


@pytest.mark.representatives("None")
@pytest.mark.parametrize("weight", [None, [2.0, 0, 0.5, 1e-3, 7, 1]], ids=str)
def test_mean_over_positions_counts_each_of_them(weight, x64):
    """Without counts: Σ w L / (T Σ w)."""
    loss = jaxnn.softmax_cross_entropy()
    z, batch = jnp.asarray(RNG.normal(size=(M, T, K))), jaxnn.Batch(jnp.zeros((M, 1)), Y, weight)
    network = jaxnn.stateless(lambda x: (z + x[:, :, None], None), lambda cache, dy: dy.sum(axis=2)[:, :1])
    expected = np.average(loss.value(z, Y), axis=0, weights=weight).mean()
    np.testing.assert_allclose(jaxnn.objective(network, loss).evaluate((), (), batch), expected, **TOLERANCE["float64"])


@pytest.mark.full
def test_terms_that_count_0_change_nothing_exactly():
    """With any targets there, also NaN and inf: losses and gradients are the same to the last bit."""
    counts = jnp.asarray(RNG.uniform(size=(M, T)) < 0.5)
    loss = jaxnn.Loss(
        lambda z, y: (z - y)[..., 0] ** 2 / 2, lambda z, y: (z - y).at[..., 1:].set(0), counts=lambda z, y: counts
    )
    objective = jaxnn.objective(NETWORK, loss)
    y = jnp.asarray(RNG.normal(size=(M, T, 1)), jnp.float32)
    run = compiled(objective.value_and_grad)
    for weight in (None, jnp.array([1.0, 2, 0, 1, 0, 0.5])):
        dead = ~counts if weight is None else ~counts | (weight == 0)[:, None]
        results = [
            run(PARAMS, jaxnn.Batch(X, jnp.where(dead[..., None], filler, y), weight))
            for filler in (0.0, jnp.nan, jnp.inf, 3e38)
        ]
        for result in results:
            assert np.isfinite(result[0][0])
            jax.tree.map(np.testing.assert_array_equal, result, results[0])


def test_ignored_labels_change_nothing_even_where_logits_overflow():
    """With JAX's gradient of the loss too: logits are replaced before the loss, not only its value after it."""
    loss = jaxnn.softmax_cross_entropy(0.1, ignore=2)
    y = jnp.array([[0, 2, 1]])
    z = jnp.zeros((1, 3, 4))

    @compiled
    def run(z):
        return loss.value(z, y), loss.gradient(z, y), jax.grad(lambda z: loss.value(z, y).sum())(z)

    expected = run(z)
    for filler in (np.nan, np.inf, -np.inf, 3e38):
        jax.tree.map(np.testing.assert_array_equal, run(z.at[0, 1].set(filler)), expected)
    assert not expected[0][0, 1]
    assert not expected[1][0, 1].any()


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_counts_matter_by_their_ratios(scale):
    """No sum overflows or vanishes, also with weights of such sizes."""
    counts = jnp.array([1.0, 3.0, 0.0]) * scale
    loss = jaxnn.Loss(lambda z, y: z * 1, lambda z, y: jnp.ones_like(z), counts=lambda z, y: counts)
    objective = jaxnn.objective(jaxnn.nn.identity(), loss)
    z = jnp.array([1.0, 2.0, jnp.nan])
    for weight, expected in ((None, 7 / 4), ([1e30, 1e30, 1.0], 7 / 4), ([1e-30, 2e-30, 1e-25], 13 / 7)):
        value = compiled(objective.evaluate)((), (), jaxnn.Batch(z, z, None if weight is None else jnp.array(weight)))
        np.testing.assert_allclose(value, expected, rtol=1e-6)


# Trainings: of each example with its weight, of padded batches and of streams.


def trained(x, y, weight=None, **options):
    return jaxnn.fit(OBJECTIVE, optax.sgd(0.5), PARAMS, x, y, key=KEY, epochs=3, weight=weight, **options)


@pytest.mark.full
def test_weight_0_is_no_row_and_weight_2_is_two_rows():
    weighted = trained(X, LABELS, [1, 0, 2, 1, 1, 0])
    rows = [0, 2, 2, 3, 4]
    repeated = trained(X[rows], LABELS[rows])
    np.testing.assert_allclose(weighted.losses, repeated.losses, rtol=1e-5)
    same(weighted.params, repeated.params, **TOLERANCE["float32"])
    np.testing.assert_allclose(weighted.losses[0], by_numpy(PARAMS, X[rows], LABELS[rows])[0], rtol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("weight", [None, [2.0, 1, 0.5, 1, 3, 0]], ids=str)
def test_each_batch_of_an_epoch_is_the_mean_over_what_counts_in_it(weight):
    """The last batch is padded; with weights, each is scaled by the weight of its examples. A stream is the same."""
    losses = []
    for rows in (slice(0, 4), slice(4, 6)):
        w = None if weight is None else np.array(weight)[rows]
        losses.append(by_numpy(PARAMS, X[rows], LABELS[rows], w, None if w is None else np.mean(weight) * len(w))[0])
    frozen, options = optax.sgd(0.0), dict(key=KEY, epochs=1)
    epoch = jaxnn.train.make_epoch(OBJECTIVE, frozen, 4, shuffle=False)
    data = jaxnn.Batch(jnp.asarray(X), jnp.asarray(LABELS), None if weight is None else jnp.asarray(weight))
    np.testing.assert_allclose(epoch(jaxnn.train_state(PARAMS, frozen, KEY), data)[1], losses, rtol=1e-5)
    batches = jaxnn.data.host_batches(X, LABELS, 4, seed=0, weight=weight, shuffle=False)
    np.testing.assert_allclose(
        jaxnn.fit_stream(OBJECTIVE, frozen, PARAMS, batches, **options).losses, losses, rtol=1e-5
    )
    fitted = jaxnn.fit(OBJECTIVE, frozen, PARAMS, X, LABELS, weight=weight, batch_size=4, shuffle=False, **options)
    np.testing.assert_allclose(fitted.losses, losses, rtol=1e-5)


def test_batch_without_labels_is_a_step_of_0_in_a_stream_and_an_error_in_fit():
    """A part of the data may have no labels, the whole may not."""
    none = np.full_like(LABELS, -1)
    result = jaxnn.fit_stream(OBJECTIVE, optax.sgd(0.5), PARAMS, [(X, none)], key=KEY, epochs=1)
    assert result.losses.tolist() == [0]
    jax.tree.map(np.testing.assert_array_equal, result.params, PARAMS)
    only_class_1 = np.where(LABELS == 1, 1, -1)  # its weight is 0
    for y, weight in ((none, None), (only_class_1, None), (LABELS, [0, 1, 0, 0, 0, 0])):
        with pytest.raises(
            ValueError, match=r"^y must have a label that counts in the loss, got none: every label is "
        ):
            trained(X, y, weight)


# What is added to a program, and what is rejected.


@pytest.mark.parametrize("weight", [None, "weight", "normalizer"])
def test_mean_of_a_plain_loss_costs_what_it_costs_written_out(weight):
    """The same equations, one by one."""
    network, loss = jaxnn.dense(1), jaxnn.squared_error()
    params = jax.eval_shape(lambda: network.init(KEY, (3,))[0])
    x, y, w, n = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((5, 3), (5,), (5,), ()))
    batch = jaxnn.Batch(x, y, w if weight else None, n if weight == "normalizer" else None)

    def shares_written_out(batch, losses):
        if batch.weight is None:
            return jnp.full_like(losses, 1 / 5)
        if batch.normalizer is None:
            w = jaxnn.data.weights.relative(batch.weight)
            total = w.sum()
        else:
            w, total = jaxnn.data.weights.in_range(batch.weight, batch.normalizer)
        return w / jnp.where(total == 0, 1, total)

    def written_out(params, batch):
        z, cache = network.forward(params, batch.x)
        losses = loss.value(z, batch.y)
        shares = shares_written_out(batch, losses)
        value = jnp.where(shares == 0, 0, losses * shares).sum() + jnp.zeros(())
        dz, column = loss.gradient(z, batch.y), shares.reshape(5, 1)
        return value, network.backward(params, cache, jnp.where(column == 0, 0, dz * column))[0]

    def equations(f):
        kinds = [str(equation.primitive) for equation in jax.make_jaxpr(f)(params, batch).eqns]
        return {kind: kinds.count(kind) for kind in kinds if kind not in ("convert_element_type", "broadcast_in_dim")}

    got, expected = equations(jaxnn.objective(network, loss).value_and_grad), equations(written_out)
    expected["add"] += 2  # the penalty's gradient, of W and of b
    assert got == expected


def test_counts_of_another_shape_raise():
    loss = jaxnn.Loss(lambda z, y: z, lambda z, y: z, counts=lambda z, y: jnp.ones(4))
    objective, batch = jaxnn.objective(jaxnn.nn.identity(), loss), jaxnn.Batch(jnp.ones((4, 3)), jnp.ones(4))
    with pytest.raises(ValueError, match=r"counts of the loss must have the shape of its terms, \(4, 3\), got \(4,\)"):
        jax.eval_shape(objective.evaluate, (), (), batch)
