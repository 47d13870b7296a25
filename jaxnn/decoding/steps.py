"""The network as decoders call it: one token in, the logits of the next one out."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.constraints import Constraint, Count, Flag, Nothing, Numbers, ParamsTree, checked
from jaxnn.nn.carrying import IN_PIECES, carried, start_carry
from jaxnn.nn.kept_memories import to_keep
from jaxnn.nn.layer import Layer, is_pair
from jaxnn.typing import Array, Params, PyTree, Statistics

Step = Callable[[PyTree, Array], tuple[PyTree, Array]]
"""`step(carry, tokens) -> (carry, logits)`, tokens (m,) and logits (m, k); leaves of the carry are (m, ...)."""


class Decoded(NamedTuple):
    """Sequences of tokens.

    Attributes:
      tokens: whole numbers, (..., n_steps); `end` beyond the length.
      lengths: of the sequences, with their end, (...).
      scores: log-probabilities of the sequences, (...); of beams, with the length penalty.
    """

    tokens: Array
    lengths: Array
    scores: Array


def check_decoding(step: Step, carry: PyTree, logits: Array, end: int | None) -> None:
    """Raise ValueError if a step does not return what it is given, or the end is no token. Nothing is computed."""
    m, k = logits.shape
    if k == 0:
        raise ValueError(f"logits must be of at least one token, got {m, k}: the network ends with dense(tokens)")
    if end is not None and end >= k:
        raise ValueError(f"end must be a token, from 0 to {k - 1}, got {end}: logits have {k} tokens")
    given = jax.tree.map(lambda a: jax.ShapeDtypeStruct(jnp.shape(a), jnp.result_type(a)), (carry, logits))
    returned = jax.eval_shape(step, carry, jax.ShapeDtypeStruct((m,), "int32"))
    got, expected = (jax.tree.map(lambda a: f"{a.dtype} {a.shape}", tree) for tree in (returned, given))
    if got != expected:
        raise ValueError(f"step must return (carry, logits) like those that it begins with, {expected}, got {got}")


@checked(network=IN_PIECES, params=ParamsTree(), memory=Flag())
def step_of(network: Layer, params: Params, stats: Statistics = (), memory: bool = False) -> Step:
    """Return the step of a network of sequences, from tokens (m, T) to logits (m, T, k), that `carried` takes.

    Args:
      network: the `Layer`.
      params: its params.
      stats: its statistics, `()` if it has none.
      memory: whether the network is the decoder of an encoder, from (tokens, memory): then the memory is part of the
        carry, (carry, memory), of which a beam takes the rows of its sequence.

    Returns:
      A pure function `step(carry, tokens) -> (carry, logits)`, which decoders scan.

    Raises:
      ValueError: if a part of the network cannot continue from an earlier piece.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> from jaxnn import nn
      >>> network = jaxnn.chain(nn.each_step(nn.embedding(5, 4)), nn.recurrent(nn.gru_cell(5)))
      >>> params, _ = network.init(jax.random.key(0), jax.ShapeDtypeStruct((1,), "int32"))
      >>> carry, logits = read(network, params, jnp.array([[0, 2, 1]]))
      >>> carry, logits = step_of(network, params)(carry, jnp.argmax(logits, axis=-1))
      >>> logits.shape
      (1, 5)
    """
    layer = carried(network)

    def step(carry, tokens):
        before, h = _CARRY_AND_MEMORY.check("carry", carry) if memory else (carry, None)
        z, after = layer.infer(params, stats, (_beside(tokens[:, None], h), before))
        return ((after, h) if memory else after), z[:, 0]

    return step


_CARRY_AND_MEMORY = Constraint(
    "(carry, memory)", fix="read(decoder, params, prompt, memory=memory) makes the first", test=is_pair
)


def _beside(tokens: Array, memory: PyTree | None) -> PyTree:
    """Return what a network takes: tokens, and beside them a memory if there is one."""
    return tokens if memory is None else (tokens, memory)


@checked(network=IN_PIECES, params=ParamsTree(), prompt=Numbers("m T"), length=Count() | Nothing())
def read(
    network: Layer,
    params: Params,
    prompt: Array,
    stats: Statistics = (),
    length: int | None = None,
    memory: PyTree | None = None,
) -> tuple[PyTree, Array]:
    """Return what a network carries after a prompt, and the logits of the token that follows: how decoding begins.

    Args:
      network: as of `step_of`.
      params: its params.
      prompt: tokens, (m, T), at least one.
      stats: its statistics.
      length: of the whole sequences, with the prompt, for a network that keeps what it saw.
      memory: what an encoder makes of the source, (m, ...) or `Sequences`, for a decoder from (tokens, memory).

    Returns:
      The carry, with a memory (carry, memory), and logits (m, k). What layers make of the memory for all steps, such as
      the keys and values of attention, is computed here, and part of the carry.

    Raises:
      ValueError: if the prompt is not (m, T), or has no token, a memory is that of another decoder, and as `step_of`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> from jaxnn import nn
      >>> network = jaxnn.chain(nn.each_step(nn.embedding(5, 4)), nn.recurrent(nn.gru_cell(5)))
      >>> params, _ = network.init(jax.random.key(0), jax.ShapeDtypeStruct((7,), "int32"))
      >>> carry, logits = read(network, params, jnp.ones((2, 7), int))
      >>> logits.shape
      (2, 5)

      An encoder, and a decoder that reads what it makes of the source:

      >>> encoder = jaxnn.chain(nn.each_step(nn.embedding(9, 8)), nn.bidirectional(nn.gru_cell(4)))
      >>> words = jaxnn.chain(nn.each_step(nn.embedding(5, 8)), nn.positions())
      >>> block = nn.transformer_block(2, 16, causal=True, memory=True)
      >>> decoder = jaxnn.chain(nn.parallel(words, nn.identity()), block, nn.select(0), nn.each_step(jaxnn.dense(5)))
      >>> network = jaxnn.chain(nn.parallel(nn.identity(), encoder), decoder)  # from (target, source), for training
      >>> source, start = jnp.ones((2, 6), int), jnp.zeros((2, 1), int)
      >>> (((), of_encoder), of_decoder), _ = network.init(jax.random.key(0), nn.shapes_of((start, source)))
      >>> memory = encoder.infer(of_encoder, (), source)
      >>> carry, logits = read(decoder, of_decoder, start, length=20, memory=memory)
      >>> step = step_of(decoder, of_decoder, memory=True)
      >>> jaxnn.decoding.beam_search(step, carry, logits, n_steps=19, beams=3, end=4).tokens.shape
      (2, 3, 19)
    """
    if prompt.shape[1] == 0:
        raise ValueError("prompt must have at least one token, got (m, 0): begin with a token that starts a sequence")
    if prompt.shape[0] == 0:
        raise ValueError(f"prompt must be of at least one sequence, got {prompt.shape}")
    carry = start_carry(network, params, len(prompt), length)
    carry = carry if memory is None else to_keep(carry)
    z, carry = carried(network).infer(params, stats, (_beside(prompt, memory), carry))
    return (carry if memory is None else (carry, memory)), z[:, -1]
