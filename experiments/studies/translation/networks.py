"""The networks that translate: an encoder of the source, and a decoder that reads what the encoder makes of it.

For training they are one network, from (the target behind its start, the source) to the logits of the target with its
end. The vectors of subwords that are read, in both languages, and of those that are written are one array.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

import jaxnn
from experiments.studies.translation.subwords import END, START, Subwords, decoded, encoded, padded
from jaxnn import decoding, nn
from jaxnn.nn import Sequences
from jaxnn.typing import Array, Params


class Settings(NamedTuple):
    """What a network is trained with by default: see `Options`."""

    units: int
    dropout: float
    learning_rate: float


SETTINGS = {"recurrent": Settings(256, 0.3, 2e-3), "transformer": Settings(128, 0.2, 3e-3)}
HEADS, BLOCKS = 4, 3
_ATTENTION = 128
"""Hidden units of the additive attention."""
_AT_A_TIME, _MULTIPLE = 100, 16
"""Sentences that are translated at once, and of what their padded lengths are multiples."""


def recurrent_translator(vocabulary: int, units: int, dropout: float) -> jaxnn.Layer:
    """Return a bidirectional encoder, and a decoder with additive attention, both of gated recurrent units."""
    words = nn.each_step(jaxnn.chain(nn.embedding(vocabulary, units, "lecun"), jaxnn.dropout(dropout)))
    encoder = jaxnn.chain(words, nn.bidirectional(nn.gru_cell(units // 2)), nn.each_step(jaxnn.dropout(dropout)))
    decoder = jaxnn.chain(
        nn.parallel(words, nn.identity()),
        nn.recurrent_attention(nn.gru_cell(units), _ATTENTION),
        nn.each_step(jaxnn.chain(jaxnn.dropout(dropout), jaxnn.dense(vocabulary))),
    )
    return nn.tied(_whole(encoder, decoder), "0/1/0/0/E", "1/0/0/0/E", "1/2/1/W")


def transformer(vocabulary: int, units: int, dropout: float) -> jaxnn.Layer:
    """Return an encoder and a decoder of Transformer blocks, with the norms first."""
    words = jaxnn.chain(
        nn.each_step(jaxnn.chain(nn.embedding(vocabulary, units, "lecun"), nn.rescale(units**0.5))),
        nn.positions(),
        nn.each_step(jaxnn.dropout(dropout)),
    )
    block = partial(nn.transformer_block, HEADS, 4 * units, dropout_rate=dropout, activation="relu")
    encoder = jaxnn.chain(words, *[block()] * BLOCKS, nn.each_step(nn.layer_norm()))
    decoder = jaxnn.chain(
        nn.parallel(words, nn.identity()),
        *[block(causal=True, memory=True)] * BLOCKS,
        nn.select(0),
        nn.each_step(jaxnn.chain(nn.layer_norm(), jaxnn.dense(vocabulary))),
    )
    return nn.tied(_whole(encoder, decoder), "0/1/0/0/0/E", "1/0/0/0/0/E", f"1/{BLOCKS + 2}/1/W")


NETWORKS = {"recurrent": recurrent_translator, "transformer": transformer}


def _whole(encoder: jaxnn.Layer, decoder: jaxnn.Layer) -> jaxnn.Layer:
    return jaxnn.chain(nn.parallel(nn.identity(), encoder), decoder)


def parts_of(network: jaxnn.Layer, params: Params) -> tuple[jaxnn.Layer, Params, jaxnn.Layer, Params]:
    """Return the encoder and its params, and the decoder and its params."""
    (_, of_encoder), of_decoder = nn.untie(network, params)
    before, decoder = network.factory_call.arguments["layer"].factory_call.arguments["layers"]
    _, encoder = before.factory_call.arguments["layers"]
    return encoder, of_encoder, decoder, of_decoder


def inputs_of(source: Sequence[Sequence[int]], length: int | None = None) -> Sequences:
    """Return the source as the encoder reads it, each sentence with its end."""
    return padded([[*row, END] for row in source], length)


class Translator(NamedTuple):
    """A trained network, and what turns sentences into its inputs and its outputs into sentences.

    Attributes:
      network: as of `NETWORKS`.
      params: its params.
      subwords: those that it was trained on.
      longest: the most subwords of a translation, with its end.
    """

    network: jaxnn.Layer
    params: Params
    subwords: Subwords
    longest: int


def translate(translator: Translator, sentences: Sequence[str], beams: int, length_penalty: float) -> list[str]:
    """Return the best translation of each sentence that a beam search finds.

    The sentences are translated in groups of like lengths.
    """
    network, params, subwords, longest = translator
    rows = encoded(subwords, sentences)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found: dict[int, str] = {}
    for start in range(0, len(order), _AT_A_TIME):
        here = order[start : start + _AT_A_TIME]
        # Of few shapes, since each is compiled.
        length = -(-(1 + len(rows[here[-1]])) // _MULTIPLE) * _MULTIPLE
        group = [*here, *here[:1] * (_AT_A_TIME - len(here))] if start else here
        source = jax.tree.map(jnp.asarray, inputs_of([rows[i] for i in group], length))
        tokens, lengths = jax.device_get(_best(network, beams, longest, params, source, length_penalty))
        found |= zip(here, decoded(subwords, tokens[: len(here)], lengths[: len(here)]), strict=True)
    return [found[i] for i in range(len(rows))]


@partial(jax.jit, static_argnums=(0, 1, 2))
def _best(
    network: jaxnn.Layer, beams: int, longest: int, params: Params, source: Sequences, length_penalty: float
) -> tuple[Array, Array]:
    encoder, of_encoder, decoder, of_decoder = parts_of(network, params)
    memory = encoder.infer(of_encoder, (), source)
    prompt = jnp.full((len(source.x), 1), START)
    start = decoding.read(decoder, of_decoder, prompt, length=longest + 1, memory=memory)
    step = decoding.step_of(decoder, of_decoder, memory=True)
    best = decoding.beam_search(step, *start, longest, beams, END, length_penalty)
    return best.tokens[:, 0], best.lengths[:, 0]
