"""Which words of the source the decoder reads at each word that it writes: the probabilities of its attention."""

from collections import defaultdict
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxnn
from experiments.studies.translation.networks import HEADS, parts_of
from jaxnn import functional
from jaxnn.factories.decorator import calls_of
from jaxnn.marking.harvested import each_mark
from jaxnn.marking.harvesting import harvest
from jaxnn.marking.places import params_path
from jaxnn.nn import recurrent_attention
from jaxnn.typing import Array, Params


def alignment(network: jaxnn.Layer, params: Params, source: Array, words: Array) -> np.ndarray:
    """Return how much of each subword of a source (1, T_source) the decoder reads at each of its words (1, T).

    Of several heads, the mean; of several blocks, those of the last.

    Returns:
      Probabilities, (T, T_source): each row adds up to 1.
    """
    return np.asarray(_alignment(network, params, source, words))


@partial(jax.jit, static_argnums=0)
def _alignment(network: jaxnn.Layer, params: Params, source: Array, words: Array) -> Array:
    encoder, of_encoder, decoder, of_decoder = parts_of(network, params)
    memory = encoder.infer(of_encoder, (), source)
    find = _of_recurrence if calls_of(decoder, recurrent_attention) else _of_last_block
    return find(decoder, of_decoder, words, memory)


def _of_recurrence(decoder: jaxnn.Layer, params: Params, words: Array, memory: Array) -> Array:
    """Return P of additive attention, whose query at each time is the output before it."""
    first, reading, _ = decoder.factory_call.arguments["layers"]
    pair = first.infer(params[0], (), (words, memory))
    outputs = reading.infer(params[1], (), pair)
    before = jnp.pad(outputs, ((0, 0), (1, 0), (0, 0)))[:, :-1]
    of_query, of_key = (params[1][name]["W"].T for name in ("query", "key"))
    _, (*_, P) = functional.additive_attention_forward(params[1]["score"], before @ of_query, memory @ of_key, memory)
    return P[0]


def _of_last_block(decoder: jaxnn.Layer, params: Params, words: Array, memory: Array) -> Array:
    """Return the mean over the heads of P of the last attention to the memory."""
    _, marks = harvest(lambda params: decoder.infer(params, (), (words, memory)), lambda a: a)(params)
    inputs = defaultdict(list)
    for one in each_mark(marks):
        if one.what == "inputs":
            inputs[params_path(one.place)].append(one.measured)
    attentions = jax.tree_util.tree_leaves_with_path(params, is_leaf=_is_attention)
    at, of_attention = [(at, one) for at, one in attentions if _is_attention(one) and len(inputs[_path(at)]) == 2][-1]
    q, k, v = (
        functional.dense_forward({"b": jnp.zeros(len(one["W"])), **one}, x)[0]
        for one, x in zip(
            (of_attention[name] for name in ("query", "key", "value")),
            (inputs[_path(at)][i] for i in (0, 1, 1)),
            strict=True,
        )
    )
    _, (*_, P) = functional.attention_forward(*(a.reshape(*a.shape[:2], HEADS, -1) for a in (q, k, v)))
    return P[0].mean(0)


def _is_attention(tree: Any) -> bool:
    return isinstance(tree, dict) and tree.keys() == {"query", "key", "value", "output"}


def _path(keys: Any) -> str:
    return jax.tree_util.keystr(keys)
