"""How attention runs in pieces, as in decoding: what it keeps of a memory, or of the times before a piece."""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp

from jaxnn.arrays import floats
from jaxnn.constraints import Constraint
from jaxnn.nn.attention import attention_forward
from jaxnn.nn.combinators import carrying_in_inference, carrying_nothing
from jaxnn.nn.head_axes import heads_forward, join_heads
from jaxnn.nn.kept_memories import ToKeep, Unread
from jaxnn.nn.layer import WITH_CARRY, Carried, Layer
from jaxnn.nn.linear import dense_forward
from jaxnn.sequences import Sequences, zero_beyond


def keeping_memory(layer: Layer, read: Callable[..., Any], attend: Callable[..., Any]) -> Layer:
    """Return attention to a memory with how it runs in pieces: what it reads of the memory may be kept.

    Args:
      layer: attention, from (x, memory) to y.
      read: (params, memory) -> what is kept, keys and values.
      attend: (params, x, what is kept) -> y.
    """
    of_each_piece = cast(Carried, carrying_nothing(layer).carried).layer

    def infer(params, stats, x_and_carry):
        (x, other), entry = WITH_CARRY.check("x", x_and_carry)
        if isinstance(entry, Unread):
            return of_each_piece.infer(params, stats, x_and_carry)
        kept = read(params, other) if isinstance(entry, ToKeep) else entry
        return attend(params, x, kept), kept

    return layer._replace(carried=Carried(of_each_piece._replace(infer=infer), lambda params, m, length: Unread()))


def remembering(init: Any, heads: int) -> Carried:
    """Return how causal attention runs in pieces: it carries keys and values, (m, length, heads, d), and how many."""

    def start(params, m, length):
        _WHOLE_LENGTH.check("length", length)
        W = params["key"]["W"]
        nothing = jnp.zeros((m, length, heads, len(W) // heads), W.dtype)
        return nothing, nothing, jnp.zeros(m, "int32")

    def infer(params, stats, x_and_carry):
        x, (keys, values, before) = x_and_carry
        x = floats(_NO_LENGTHS.check("x", x), "x")
        q, k, v = (heads_forward(params[name], heads, x) for name in ("query", "key", "value"))
        _piece_within(keys.shape[1]).check("x.shape[1]", x.shape[1])
        v = zero_beyond(jnp.isfinite(x).all(-1), v)  # 0 · NaN is NaN; keys of NaN make what sees them NaN
        put = jax.vmap(lambda kept, new, at: jax.lax.dynamic_update_slice_in_dim(kept, new.astype(kept.dtype), at, 0))
        keys, values, n = put(keys, k, before), put(values, v, before), x.shape[1]
        times = before[:, None] + jnp.arange(n, dtype="int32")[None]
        visible = jnp.arange(keys.shape[1], dtype="int32")[None, None] <= times[..., None]
        y, _ = attention_forward(q, keys.astype(k.dtype), values.astype(v.dtype), visible)
        z = dense_forward(params["output"], join_heads(y))[0]
        # Without room for the piece, earlier keys would be overwritten: NaN, since a compiled program cannot raise.
        z = jnp.where((before + n <= keys.shape[1])[:, None, None], z, jnp.nan)
        return z, (keys, values, before + n)

    return Carried(carrying_in_inference("attention", init, infer), start)


_WHOLE_LENGTH = Constraint(
    "that of the whole sequence",
    fix="attention keeps what it saw: pass length, of the prompt and of what is decoded",
    test=lambda length: length is not None,
)
_NO_LENGTHS = Constraint(
    "an array (m, T, n)",
    fix="with a carry, sequences have no lengths: pass x.x",
    test=lambda x: not isinstance(x, Sequences),
)


def _piece_within(length: int) -> Constraint:
    return Constraint(
        f"at most {length} times, the length that the carry was made for",
        fix="start_carry(layer, params, m, length) makes one for longer sequences",
        test=lambda n: n <= length,
    )
