"""The recurrent network of characters, and what it writes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import jaxnn
from experiments.networks.spec import LayersSpec
from jaxnn import decoding, nn
from jaxnn.typing import Key, Params

_WIDTH = 64
"""Of the vectors of the characters."""


def recurrent_network(characters: int, units: int, dropout: float, n_steps: int) -> LayersSpec:
    """Return an embedding, a recurrent layer of long short-term memory and a dense layer, with dropout between them."""
    layers = (
        nn.each_step(jaxnn.chain(nn.embedding(characters, min(_WIDTH, characters)), jaxnn.dropout(dropout))),
        nn.recurrent(nn.lstm_cell(units)),
        nn.each_step(jaxnn.chain(jaxnn.dropout(dropout), jaxnn.dense(characters))),
    )
    return LayersSpec(jaxnn.chain(*layers), (n_steps,), in_dtype="int32")


@partial(jax.jit, static_argnums=(0, 3))
def continuation(
    network: jaxnn.Layer, params: Params, prompt: np.ndarray, n: int, key: Key, temperature: float
) -> jax.Array:
    """Return n characters that follow a prompt (m, T), drawn one after another, (m, n)."""
    step, start = decoding.step_of(network, params), decoding.read(network, params, prompt)
    return decoding.sample(step, *start, n, key=key, temperature=temperature).tokens


@partial(jax.jit, static_argnums=0)
def nats_of_each(network: jaxnn.Layer, params: Params, text: np.ndarray) -> jax.Array:
    """Return what each character of a text (n,) costs after those before it, -log p in nats, (n - 1,)."""
    log_p = jax.nn.log_softmax(network.infer(params, (), text[None, :-1])[0])
    return -jnp.take_along_axis(log_p, text[1:, None], axis=-1)[:, 0]
