"""CTC against the sum over all paths and optax; lengths, labels that are impossible, padding, and what does not fit."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn import nn
from jaxnn.losses import ctc, ctc_gradient, ctc_value
from jaxnn.nn import Sequences
from jaxnn.sequences import array_of
from tests.helpers.oracle.ctc import ctc_loss, d_ctc_loss
from tests.helpers.programs import TOLERANCE, compiled, same
from tests.helpers.sequence_cases import ctc_cases

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(8)


@compiled
def value_and_gradient(z, y):
    """In one program: outside of one, the two recursions compile in dozens of pieces for each shape."""
    return ctc_value(z, y), array_of(ctc_gradient(z, y))


@pytest.mark.representatives("lengths_0_1_and_T")
@pytest.mark.parametrize("case", [*ctc_cases()], ids=lambda case: case.name)
def test_ctc_is_the_sum_over_all_paths(case, x64):
    given = case.lengths, case.labels, case.label_lengths
    z = Sequences(jnp.asarray(case.z), jnp.asarray(case.lengths))
    y = Sequences(jnp.asarray(case.labels), jnp.asarray(case.label_lengths))
    value, dz = value_and_gradient(z, y)
    np.testing.assert_array_equal(np.isinf(value), ~case.possible)
    np.testing.assert_allclose(value, ctc_loss(case.z, *given), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dz, d_ctc_loss(case.z, *given), rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal(dz[~case.possible], 0)


@pytest.mark.parametrize("labels", [(1, 1, 2), (2, 1), (3,), ()])
def test_the_recursions_of_the_docstrings_are_the_loss_and_its_gradient(labels, x64):
    """α, β, p(y) at any time and γ, as `ctc_value` and `ctc_gradient` define them, in probabilities."""
    T, k, S = 5, 4, 2 * len(labels) + 1
    z = RNG.normal(size=(T, k))
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    extended = [0, *(c for label in labels for c in (label, 0))]

    def ways(p, extended):
        alpha = np.zeros((T, S))
        alpha[0, :2] = p[0, extended[:2]]
        for t, s in np.ndindex(T - 1, S):
            from_places = [s, s - 1, s - 2][: 3 if s > 1 and extended[s] not in (0, extended[s - 2]) else min(s + 1, 2)]
            alpha[t + 1, s] = p[t + 1, extended[s]] * alpha[t, from_places].sum()
        return alpha

    alpha, beta = ways(p, extended), ways(p[::-1], extended[::-1])[::-1, ::-1]
    through = alpha * beta / p[:, extended]
    total = alpha[-1, -2:].sum()
    np.testing.assert_allclose(through.sum(1), total, rtol=1e-12)
    gamma = through @ np.eye(k)[extended] / total
    value, dz = value_and_gradient(jnp.asarray(z[None]), jnp.asarray([labels], int))
    np.testing.assert_allclose(value, -np.log([total]), rtol=1e-12)
    np.testing.assert_allclose(dz[0], p - gamma, rtol=1e-11, atol=1e-12)


@pytest.mark.full
@pytest.mark.parametrize("blank", [0, 4])
def test_ctc_is_that_of_optax_for_possible_labels(blank, x64):
    m, n_steps, k, n_labels = 6, 40, 5, 9
    z, y = RNG.normal(size=(m, n_steps, k)), RNG.integers(1, k, (m, n_labels))
    y = np.where(y == blank, 0, y)
    lengths, of_labels = RNG.integers(20, n_steps + 1, m), RNG.integers(0, n_labels + 1, m)
    paddings = 1.0 * (np.arange(n_steps) >= lengths[:, None]), 1.0 * (np.arange(n_labels) >= of_labels[:, None])

    def by_optax(z):
        given = jnp.asarray(paddings[0]), jnp.asarray(y), jnp.asarray(paddings[1])
        return optax.ctc_loss(z, *given, blank_id=blank)

    expected = compiled(lambda z: (lambda value, pull: (value, *pull(jnp.ones(m))))(*jax.vjp(by_optax, z)))(z)
    given = Sequences(jnp.asarray(z), jnp.asarray(lengths)), Sequences(jnp.asarray(y), jnp.asarray(of_labels))
    value, dz = compiled(lambda z, y: (ctc_value(z, y, blank), ctc_gradient(z, y, blank).x))(*given)
    same((value, dz), expected, **TOLERANCE["float64"])


@pytest.mark.parametrize("fill", [np.nan, np.inf])
def test_padding_changes_nothing(fill):
    lengths, of_labels = jnp.array([5, 0, 3]), jnp.array([2, 0, 1])
    within = np.arange(5)[None, :, None] < np.asarray(lengths)[:, None, None]
    labels = np.array([[1, 2], [1, 1], [2, 2]])
    z = RNG.normal(size=(3, 5, 3))

    def results(fill, beyond):
        y = np.where(np.arange(2) < np.asarray(of_labels)[:, None], labels, beyond)
        given = (
            Sequences(jnp.asarray(np.where(within, z, fill), "float32"), lengths),
            Sequences(jnp.asarray(y), of_labels),
        )
        return value_and_gradient(*given)

    for got, expected in zip(results(fill, -7), results(0.0, 1), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.full
def test_long_sequences_neither_overflow_nor_lose_digits(x64):
    z, y = jnp.asarray(RNG.normal(size=(2, 2000, 30)) * 5), jnp.asarray(RNG.integers(1, 30, (2, 200)))
    value, dz = value_and_gradient(z, y)
    narrow_value, narrow_dz = value_and_gradient(z.astype("float32"), y)
    assert narrow_value.dtype == narrow_dz.dtype == "float32"
    np.testing.assert_allclose(narrow_value, value, rtol=1e-5)
    np.testing.assert_allclose(narrow_dz, dz, rtol=0, atol=3e-4)
    np.testing.assert_allclose(dz.sum(-1), 0, atol=1e-9)


@pytest.mark.full
def test_logits_that_exclude_a_class(x64):
    z = jnp.array([[[0.0, -jnp.inf, 0.0], [0.0, 0.0, 0.0]]])
    np.testing.assert_allclose(value_and_gradient(z, jnp.array([[1]]))[0], -np.log(1 / 2 * 1 / 3), rtol=1e-12)
    value, dz = value_and_gradient(z, jnp.array([[1, 2]]))
    assert np.isposinf(value).all()
    assert np.isfinite(dz).all()


@pytest.mark.full
@pytest.mark.parametrize("gradients", ["hand", "auto"])
def test_impossible_labels_that_count_0_change_nothing(gradients):
    network = nn.each_step(jaxnn.dense(3))
    x, lengths = RNG.normal(size=(4, 6, 2)).astype("float32"), np.array([6, 1, 5, 4], "int32")
    y = Sequences(np.array([[1, 2], [1, 1], [2, 2], [1, 2]], "int32"), np.array([2, 2, 2, 1], "int32"))
    objective = jaxnn.objective(network, ctc(skip_impossible=True))
    params = network.init(jax.random.key(0), nn.shapes_of(Sequences(x, lengths)))[0]

    @compiled
    def value_and_grad(params, batch):
        if gradients == "auto":
            return jax.value_and_grad(lambda params: objective.value(params, batch, None)[0])(params)
        (value, _), dparams = objective.value_and_grad(params, batch, None)
        return value, dparams

    batches = [
        jaxnn.Batch(*jax.tree.map(lambda a, rows=rows: a[np.array(rows)], (Sequences(x, lengths), y)))
        for rows in ([0, 1, 2, 3], [0, 2, 3])
    ]
    results = [jax.tree.leaves(value_and_grad(params, batch)) for batch in batches]
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.full
def test_a_sequence_that_is_shorter_than_its_labels_need_is_named_before_training():
    """By its own length, not by the number of times that all are padded to."""
    layer = jaxnn.chain(nn.recurrent(nn.gru_cell(4)), nn.each_step(jaxnn.dense(3)))
    x, y = Sequences(np.zeros((3, 6, 2), "float32"), np.array([6, 2, 1])), np.array([[1, 1], [1, 1], [1, 1]])
    params, _ = layer.init(jax.random.key(0), nn.shapes_of(x))
    message = r"^z must be as long as its labels need, 3 times in example 1, got 2: omit the example, or use ctc\("
    with pytest.raises(ValueError, match=message):
        jaxnn.objective(layer, ctc()).check(params, jaxnn.Batch(x, y))
    jaxnn.objective(layer, ctc()).check(params, jaxnn.Batch(x._replace(lengths=np.array([6, 3, 4])), y))
    jaxnn.objective(layer, ctc(skip_impossible=True)).check(params, jaxnn.Batch(x, y))
    without = jaxnn.Batch(x, y, weight=np.array([1.0, 0, 0]))  # examples of weight 0 may be as they are
    jaxnn.objective(layer, ctc()).check(params, without)
    labels = Sequences(y, np.array([2, 1, 1]))  # one label needs one time
    jaxnn.objective(layer, ctc()).check(params, jaxnn.Batch(x, labels))


@pytest.mark.parametrize(
    ("z", "y", "message"),
    [
        ((2, 5, 3), [[1, 3], [1, 1]], "y must be labels from 0 to 2 other than the blank, 0, got 3 in example 0"),
        ((2, 5, 3), [[1, 2], [1, 0]], "got 0 in example 1"),
        ((2, 2, 3), [[1, 2], [1, 1]], "z must be as long as its labels need, 3 times in example 1, got 2: omit the"),
    ],
)
def test_data_that_do_not_fit_are_named(z, y, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ctc().check(jax.ShapeDtypeStruct(z, "float32"), np.array(y))


@pytest.mark.full
@pytest.mark.parametrize("dtype", ["int8", "uint8", ">i4", "int64", "uint16"])
def test_labels_of_any_dtype_are_the_numbers_they_are(dtype):
    z, y = RNG.normal(size=(2, 6, 130)).astype("float32"), np.array([[127, 1], [3, 3]])
    for function in (ctc_value, ctc_gradient):
        expected = function(jnp.asarray(z), jnp.asarray(y))
        np.testing.assert_array_equal(function(z, y.astype(dtype)), expected)
        lengths = np.array([2, 2], "uint8")
        np.testing.assert_array_equal(function(z, Sequences(y.astype(dtype), lengths)), expected)


@pytest.mark.full
def test_logits_of_whole_numbers_are_floats():
    # Of the shapes of the test above: outside of a program, each operation of the recursions is compiled for each.
    z, y = RNG.integers(-3, 4, (2, 6, 130)), np.array([[1, 2], [3, 3]])
    for function in (ctc_value, ctc_gradient):
        np.testing.assert_array_equal(function(z, y), function(jnp.asarray(z, "float32"), y))


def test_logits_and_labels_must_be_sequences():
    with pytest.raises(ValueError, match=r"z must be logits \(m, T, k\)"):
        ctc_value(jnp.zeros((2, 3)), jnp.array([[1], [1]]))
    with pytest.raises(ValueError, match=r"y must be class numbers \(m, U\)"):
        ctc_value(jnp.zeros((2, 3, 3)), jnp.array([[1.0], [1.0]]))
    with pytest.raises(ValueError, match="lengths must be whole numbers from 0 to 3, got 4 to 4"):
        ctc_value(Sequences(jnp.zeros((1, 3, 3)), jnp.array([4])), jnp.array([[1]]))
