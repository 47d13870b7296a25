"""Recurrent layers against loops in NumPy over examples, times and units; slip 15."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import functional, nn
from tests.helpers.oracle import cells as oracle_cells
from tests.helpers.oracle import recurrence
from tests.helpers.oracle.slips import COURSE_SLIPS
from tests.helpers.oracle.targets import lstm_weights
from tests.helpers.programs import TOLERANCE, compiled, same
from tests.helpers.sequence_cases import draw, sequence_cases

pytestmark = pytest.mark.usefixtures("quick_compilation")

# The library's cell, and the oracle's names of its gates in the order in which the library stores them.
CELLS = {
    "simple": (oracle_cells.SIMPLE, nn.simple_cell, "a"),
    "lstm": (oracle_cells.LSTM, nn.lstm_cell, "fuoc"),
    "gru_before": (oracle_cells.GRU_BEFORE, lambda n: nn.gru_cell(n, "before"), "ruc"),
    "gru_after": (oracle_cells.GRU_AFTER, nn.gru_cell, "ruc"),
}


def stored(weights, gates):
    """The oracle's weights, gate by gate, as the library's params."""
    params = {
        "W_x": jnp.concatenate([weights[f"W_{gate}x"] for gate in gates]),
        "W_a": jnp.concatenate([weights[f"W_{gate}a"] for gate in gates]),
        "b": jnp.concatenate([weights[f"b_{gate}"] for gate in gates]),
    }
    return params | ({"b_a": jnp.asarray(weights["b_ca"])} if "b_ca" in weights else {})


@partial(compiled, static_argnums=0)
def run(layer, params, batch, start, dy, dlast):
    """Outputs, last states and gradients: one program for all cases of a cell in a direction and one shape."""
    (y, last), cache = layer.forward(params, (batch, start))
    return y.x, last, layer.backward(params, cache, (nn.Sequences(dy, batch.lengths), dlast))


# Every case of one shape, for two cells: further shapes are further programs.
@pytest.mark.representatives("mixed-gru_after")
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("case", [*sequence_cases()], ids=lambda case: case.name)
def test_recurrence_is_its_loops(cell, case, x64):
    """Outputs, last states and every gradient, each direction with a start that is given."""
    oracle, make, gates = CELLS[cell]
    given = draw(oracle, case)
    y, lasts = recurrence.recurrence(oracle, given.weights, case.x, case.lengths, given.initial, case.directions)
    expected = recurrence.d_recurrence(
        oracle, given.weights, case.x, case.lengths, given.initial, given.dy, given.dlast, case.directions
    )
    batch = nn.Sequences(jnp.asarray(case.x), jnp.asarray(case.lengths))

    def direction(i, name):
        layer = nn.recurrent(make(case.n), reverse=name == "reverse", state="given")
        dy = jnp.asarray(given.dy[..., i * case.n : (i + 1) * case.n])
        start, dlast = (jax.tree.map(jnp.asarray, one[i]) for one in (given.initial, given.dlast))
        return run(layer, stored(given.weights[i], gates), batch, start, dy, dlast)

    results = [direction(i, name) for i, name in enumerate(case.directions)]
    same(jnp.concatenate([y for y, _, _ in results], -1), jnp.asarray(y), **TOLERANCE["float64"])
    dweights, dx, dinitial = expected
    for i, (_, last, (dparams, (_, dstart))) in enumerate(results):
        wanted = lasts[i], stored(dweights[i], gates), dinitial[i]
        same((last, dparams, dstart), jax.tree.map(jnp.asarray, wanted), **TOLERANCE["float64"])
    same(sum(dx.x for _, _, (_, (dx, _)) in results), jnp.asarray(dx), **TOLERANCE["float64"])


def test_the_gate_before_the_product_is_that_of_its_sources(x64):
    """Chung et al.'s formula with z, and equations 5 to 8 of Cho et al. with 1 - z in its place."""
    rng, (m, n_in, n) = np.random.default_rng(7), (4, 2, 3)
    W_x, W_a, b = (rng.normal(size=shape) for shape in ((3 * n, n_in), (3 * n, n), 3 * n))
    x, h = rng.normal(size=(m, n_in)), rng.normal(size=(m, n))
    u = x @ W_x.T + b
    (of_r, of_z, of_candidate), (in_r, in_z, in_candidate) = np.split(W_a, 3), np.split(u, 3, axis=1)
    r, z = (1 / (1 + np.exp(-(h @ W.T + v))) for W, v in ((of_r, in_r), (of_z, in_z)))
    candidate = np.tanh(in_candidate + (r * h) @ of_candidate.T)
    params = jax.tree.map(jnp.asarray, {"W_x": W_x, "W_a": W_a, "b": b})
    (a,), _ = functional.gru_reset_before_forward(params, (jnp.asarray(h),), jnp.asarray(u))
    np.testing.assert_allclose(a, (1 - z) * h + z * candidate, rtol=1e-12)
    # Cho et al.'s z is the logistic function of the negative argument.
    of_cho = 1 / (1 + np.exp(h @ of_z.T + in_z))
    np.testing.assert_allclose(a, of_cho * h + (1 - of_cho) * candidate, rtol=1e-12)


@pytest.mark.representatives("lstm_without_the_future")
@pytest.mark.parametrize("slip", [slip for slip in COURSE_SLIPS if slip.section_item == 15], ids=lambda slip: slip.name)
def test_slip_15_is_another_gradient(slip, x64):
    """The library's gradient is the oracle's right one; the slip is neither."""
    arguments = slip.target.arguments(np.random.default_rng(3))
    right, wrong = slip.target.gradient(*arguments), slip.function(*arguments)
    x, *arrays, dy = arguments
    weights = lstm_weights(arrays)
    layer = nn.recurrent(nn.lstm_cell(dy.shape[-1]))
    params = stored(weights, "fuoc")
    y, cache = layer.forward(params, jnp.asarray(x))
    dparams, dx = layer.backward(params, cache, jnp.asarray(dy))
    got = [np.asarray(dx), *(np.asarray(a) for a in jax.tree.leaves(dparams))]
    for gradient, is_right in ((right, True), (wrong, False)):
        dx, *dweights = gradient
        stacked = stored(lstm_weights(dweights), "fuoc")
        close = [
            np.allclose(a, b, rtol=1e-10, atol=1e-12)
            for a, b in zip(got, [dx, *map(np.asarray, jax.tree.leaves(stacked))], strict=True)
        ]
        assert all(close) is is_right


@pytest.mark.full
def test_a_step_is_the_layer_of_one_time():
    params = nn.lstm_cell(3).init(jax.random.key(0), (2,))
    state, u = (jnp.ones((4, 3)), jnp.ones((4, 3))), jnp.ones((4, 12))
    after, kept = functional.lstm_cell_forward(params, state, u)
    assert [a.shape for a in after] == [(4, 3)] * 2
    dparams, dstate, du = functional.lstm_cell_backward(params, (state, after), kept, after)
    assert (dparams["W_a"].shape, du.shape) == ((12, 3), (4, 12))
