"""The networks of characters, what a text costs them, and what they write."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import jaxnn
from experiments.networks.spec import LayersSpec
from jaxnn import decoding, nn
from jaxnn.factories.decorator import calls_of
from jaxnn.typing import Array, Key, Params

_WIDTH = 64
"""Of the vectors of the characters, before a recurrent layer."""
_BLOCKS, HEADS = 4, 4


def recurrent_network(characters: int, units: int, dropout: float, n_steps: int) -> LayersSpec:
    """Return an embedding, a recurrent layer of long short-term memory and a dense layer, with dropout between them."""
    layers = (
        nn.each_step(jaxnn.chain(nn.embedding(characters, min(_WIDTH, characters)), jaxnn.dropout(dropout))),
        nn.recurrent(nn.lstm_cell(units)),
        nn.each_step(jaxnn.chain(jaxnn.dropout(dropout), jaxnn.dense(characters))),
    )
    return LayersSpec(jaxnn.chain(*layers), (n_steps,), in_dtype="int32")


def transformer(characters: int, units: int, dropout: float, n_steps: int) -> LayersSpec:
    """Return an embedding, positions, four causal Transformer blocks and a dense layer."""
    layers = (
        nn.each_step(nn.embedding(characters, units)),
        nn.positions(),
        *[nn.transformer_block(HEADS, 4 * units, causal=True, dropout_rate=dropout)] * _BLOCKS,
        nn.each_step(jaxnn.chain(nn.layer_norm(), jaxnn.dense(characters))),
    )
    return LayersSpec(jaxnn.chain(*layers), (n_steps,), in_dtype="int32")


NETWORKS = {"lstm": recurrent_network, "transformer": transformer}


def reads_windows(spec: LayersSpec) -> bool:
    """Return whether the network sees as many characters as it was trained on, instead of all before."""
    return bool(calls_of(spec.network, nn.transformer_block))


def continuation(
    spec: LayersSpec, params: Params, prompt: np.ndarray, n: int, key: Key, temperature: float
) -> np.ndarray:
    """Return n characters that follow a prompt (m, T), drawn one after another, (m, n).

    A network that reads windows sees the last half of a window again when one is full.
    """
    if not reads_windows(spec):
        return np.asarray(_continuation(spec.network, params, prompt, n, key, temperature))
    (window,), text = spec.in_shape, prompt
    while text.shape[1] < prompt.shape[1] + n:
        seen = text[:, -max(window // 2, 1) :]
        many = min(window - seen.shape[1], prompt.shape[1] + n - text.shape[1])
        here = jax.random.fold_in(key, text.shape[1])
        drawn = _continuation(spec.network, params, seen, many, here, temperature)
        text = np.concatenate([text, drawn], axis=1)
    return text[:, prompt.shape[1] :]


@partial(jax.jit, static_argnums=(0, 3))
def _continuation(network: jaxnn.Layer, params: Params, prompt: Array, n: int, key: Key, temperature: float) -> Array:
    step = decoding.step_of(network, params)
    start = decoding.read(network, params, prompt, length=prompt.shape[1] + n)
    return decoding.sample(step, *start, n, key=key, temperature=temperature).tokens


def nats_of_each(spec: LayersSpec, params: Params, text: np.ndarray) -> np.ndarray:
    """Return what each character of a text (n,) costs after those before it, -log p in nats, (n - 1,).

    A network that reads windows sees at least half a window before each, but at the beginning of the text.
    """
    if not reads_windows(spec):
        return np.asarray(_nats(spec.network, params, text[None]))[0]
    window = min(spec.in_shape[0], len(text) - 1)
    half = max(window // 2, 1)
    starts = [*range(0, len(text) - 1 - window, half), len(text) - 1 - window]
    nats = np.empty(len(text) - 1, np.float32)
    for i in reversed(range(0, len(starts), _AT_A_TIME)):
        here = starts[i : i + _AT_A_TIME]
        for start, row in reversed([*zip(here, _rows(spec, params, text, here, window), strict=True)]):
            nats[start : start + window] = row  # an earlier window has more before the places that it shares
    return nats


_AT_A_TIME = 64
"""Windows that are measured at once."""


def _rows(spec: LayersSpec, params: Params, text: np.ndarray, starts: list[int], window: int) -> np.ndarray:
    return np.asarray(_nats(spec.network, params, np.stack([text[i : i + window + 1] for i in starts])))


@partial(jax.jit, static_argnums=0)
def _nats(network: jaxnn.Layer, params: Params, text: Array) -> Array:
    log_p = jax.nn.log_softmax(network.infer(params, (), text[:, :-1]))
    return -jnp.take_along_axis(log_p, text[:, 1:, None], axis=-1)[..., 0]
