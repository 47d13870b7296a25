"""Positions against loops in NumPy, with offsets, lengths and padding."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import functional, nn
from jaxnn.nn import Sequences
from tests.helpers.oracle.attention import sinusoids
from tests.helpers.programs import TOLERANCE, compiled, hand, same

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(14)


@pytest.mark.representatives("5-3-4")
@pytest.mark.parametrize(("n_times", "n", "offset"), [(7, 6, 0), (5, 3, 4), (1, 1, 100), (3, 8, 5000)])
def test_sinusoids_are_their_formula(n_times, n, offset, x64):
    expected = sinusoids(n_times, n, offset)
    np.testing.assert_allclose(nn.sinusoids(n_times, n, offset), expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(jax.jit(lambda t: nn.sinusoids(n_times, n, t))(offset), expected, rtol=1e-11, atol=1e-12)


def learned(n_times, n):
    return nn.learned_positions(n_times), {"E": jnp.asarray(RNG.normal(size=(n_times, n)))}


@pytest.mark.parametrize("of", ["positions", "learned_positions"])
@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_what_is_beyond_a_length_is_zero(of, fill, x64):
    layer, params = (nn.positions(), ()) if of == "positions" else learned(6, 4)
    table = sinusoids(5, 4) if of == "positions" else np.asarray(params["E"])[:5]
    lengths, x, dy = np.array([5, 0, 1, 3]), RNG.normal(size=(4, 5, 4)), RNG.normal(size=(4, 5, 4))
    within = (np.arange(5) < lengths[:, None])[..., None]
    batch = Sequences(jnp.asarray(np.where(within, x, fill)), jnp.asarray(lengths))
    y, dparams, dx = hand(layer, params, batch, Sequences(jnp.asarray(dy), batch.lengths), None)
    np.testing.assert_allclose(y.x, np.where(within, x + table, 0), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(dx.x, np.where(within, dy, 0))
    if params:
        expected = np.zeros((6, 4))
        for i, t in np.ndindex(4, 5):
            expected[t] += within[i, t] * dy[i, t]
        np.testing.assert_allclose(dparams["E"], expected, rtol=1e-12, atol=1e-12)


def test_one_time_after_another_is_all_at_once(x64):
    """By offsets that are traced, as decoding by steps adds the position of one time later."""
    x, (layer, params) = jnp.asarray(RNG.normal(size=(2, 6, 4))), learned(6, 4)

    @compiled
    def at(t, x):
        return nn.positions(t).infer((), (), x), nn.learned_positions(6, t).infer(params, (), x)

    steps = [at(t, x[:, t : t + 1]) for t in range(6)]
    got = jax.tree.map(lambda *of_times: jnp.concatenate(of_times, 1), *steps)
    same(got, (nn.positions().infer((), (), x), layer.infer(params, (), x)), **TOLERANCE["float64"])


def test_a_traced_time_beyond_the_last_vector_is_nan():
    params = {"E": jnp.ones((3, 2))}
    y = jax.jit(lambda t: functional.learned_positions_forward(params, jnp.ones((1, 1, 2)), t)[0])
    assert np.isfinite(y(2)).all()
    assert np.isnan(y(3)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.positions(-1), "offset must be finite and at least 0, got -1"),
        (lambda: nn.positions(0.5), "offset must be finite and at least 0, got 0.5"),
        (lambda: nn.positions().init(jax.random.key(0), (4,)), "the shape of one sequence of floats, (T, n), got (4,)"),
        (lambda: nn.learned_positions(0), "longest must be a whole number of at least 1, got 0"),
        (
            lambda: nn.learned_positions(5).init(jax.random.key(0), (6, 4)),
            "in_shape must be sequences of at most 5 times, the first of which is number offset, got 6",
        ),
        (
            lambda: functional.learned_positions_forward({"E": jnp.ones((3, 2))}, jnp.ones((1, 2, 2)), 2),
            "x must be sequences of at most 3 times, the first of which is number offset, got 4",
        ),
    ],
)
def test_what_does_not_fit_raises_in_one_line(call, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)
