"""The network as decoders call it: one token in, the logits of the next one out."""

from collections.abc import Callable
from typing import NamedTuple

from jaxnn.constraints import Count, Nothing, Numbers, ParamsTree, checked
from jaxnn.nn.carrying import IN_PIECES, carried, start_carry
from jaxnn.nn.layer import Layer
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


@checked(network=IN_PIECES, params=ParamsTree())
def step_of(network: Layer, params: Params, stats: Statistics = ()) -> Step:
    """Return the step of a network of sequences, from tokens (m, T) to logits (m, T, k), that `carried` takes.

    Args:
      network: the `Layer`.
      params: its params.
      stats: its statistics, `()` if it has none.

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
        z, carry = layer.infer(params, stats, (tokens[:, None], carry))
        return carry, z[:, 0]

    return step


@checked(network=IN_PIECES, params=ParamsTree(), prompt=Numbers("m T"), length=Count() | Nothing())
def read(
    network: Layer, params: Params, prompt: Array, stats: Statistics = (), length: int | None = None
) -> tuple[PyTree, Array]:
    """Return what a network carries after a prompt, and the logits of the token that follows: how decoding begins.

    Args:
      network: as of `step_of`.
      params: its params.
      prompt: tokens, (m, T), at least one.
      stats: its statistics.
      length: of the whole sequences, with the prompt, for a network that keeps what it saw.

    Returns:
      The carry, and logits (m, k).

    Raises:
      ValueError: if the prompt is not (m, T), or has no token, and as `step_of`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> from jaxnn import nn
      >>> network = jaxnn.chain(nn.each_step(nn.embedding(5, 4)), nn.recurrent(nn.gru_cell(5)))
      >>> params, _ = network.init(jax.random.key(0), jax.ShapeDtypeStruct((7,), "int32"))
      >>> carry, logits = read(network, params, jnp.ones((2, 7), int))
      >>> logits.shape
      (2, 5)
    """
    if prompt.shape[1] == 0:
        raise ValueError("prompt must have at least one token, got (m, 0): begin with a token that starts a sequence")
    carry = start_carry(network, params, len(prompt), length)
    z, carry = carried(network).infer(params, stats, (prompt, carry))
    return carry, z[:, -1]
