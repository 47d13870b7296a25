"""Recurrent decoders that read a memory, against loops in NumPy; padding and what is kept."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import nn
from jaxnn.nn import Sequences
from tests.helpers.oracle.attention import d_read_memory, read_memory, visible_keys
from tests.helpers.oracle.cells import weight_shapes
from tests.helpers.programs import TOLERANCE, compiled, hand, same
from tests.nn.test_recurrence_oracle import CELLS, stored

pytestmark = pytest.mark.usefixtures("quick_compilation")

N, N_IN, N_K, UNITS = 3, 2, 4, 3


@pytest.mark.parametrize("fill", [0.0, np.nan])
@pytest.mark.parametrize("cell", CELLS)
def test_a_decoder_is_its_loops(cell, fill, x64):
    """Outputs and every gradient, at lengths of 0, 1, some and all; 30 times are several pieces."""
    (oracle, make, gates), rng, n_times = CELLS[cell], np.random.default_rng(17), 30
    weights = {name: rng.normal(size=shape) for name, shape in weight_shapes(oracle, N_IN + N_K, UNITS).items()}
    W_q, W_k, v = (rng.normal(size=size) for size in ((N, UNITS), (N, N_K), (N,)))
    x, h, dy = (rng.normal(size=(4, *size)) for size in ((n_times, N_IN), (5, N_K), (n_times, UNITS)))
    lengths, of_memory = np.array([n_times, 1, 0, 7]), np.array([5, 0, 3, 1])
    within, seen = ((np.arange(n) < ends[:, None])[..., None] for n, ends in ((n_times, lengths), (5, of_memory)))
    given = oracle, weights, x, h, W_q, W_k, v, lengths, visible_keys(4, 1, 5, of_memory)
    dweights, dx, dh, dW_q, dW_k, dv = d_read_memory(*given, dy)
    expected = read_memory(*given), params_of(dweights, gates, dW_q, dW_k, dv), dx, dh

    padded = [np.where(mask, a, fill) for mask, a in ((within, x), (seen, h))]
    pair = tuple(Sequences(jnp.asarray(a), jnp.asarray(n)) for a, n in zip(padded, (lengths, of_memory), strict=True))
    layer, params = nn.recurrent_attention(make(UNITS), N), params_of(weights, gates, W_q, W_k, v)
    run = compiled(partial(hand, layer))
    y, dparams, (dx, dh) = run(params, pair, Sequences(jnp.asarray(dy), pair[0].lengths), None)
    same((y.x, dparams, dx.x, dh.x), jax.tree.map(jnp.asarray, expected), **TOLERANCE["float64"])


def params_of(weights, gates, W_q, W_k, v):
    of_attention = {"query": {"W": W_q}, "key": {"W": W_k}, "score": {"W": v[None]}}
    return jax.tree.map(jnp.asarray, of_attention) | {"cell": stored(weights, gates)}


def test_the_memory_is_not_kept_for_each_time():
    layer, h = nn.recurrent_attention(nn.gru_cell(8), 8), jax.ShapeDtypeStruct((2, 50, 8), "float32")

    def kept(n_times):
        x = jax.ShapeDtypeStruct((2, n_times, 8), "float32")
        params = jax.eval_shape(
            lambda key: layer.init(key, (x.update(shape=x.shape[1:]), h.update(shape=(50, 8))))[0], jax.random.key(0)
        )
        cache = jax.eval_shape(lambda params, pair: layer.forward(params, pair)[1], params, (x, h))
        return sum(leaf.size for leaf in jax.tree.leaves(cache))

    of_one_time = (kept(40) - kept(20)) / 20
    assert of_one_time < 2 * (50 + 100) < 2 * 50 * 8  # the weights of all keys and a few vectors, of 2 examples
