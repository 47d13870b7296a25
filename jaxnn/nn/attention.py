"""Scaled dot-product attention: a mean of values, weighted by how well each key fits a query."""

import math
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp

from jaxnn.arrays import add_cotangents, cast_like, floats, widened
from jaxnn.constraints import Constraint, Count, Flag, Floats, Mask, Nothing, OneOf, RandomKey, checked
from jaxnn.factories.decorator import factory
from jaxnn.nn.alignments import SEQUENCE_AND_MEMORY, WITH_MEMORY
from jaxnn.nn.attention_in_blocks import blockwise_attention_backward, blockwise_attention_forward
from jaxnn.nn.combinators import carrying_in_inference, carrying_nothing
from jaxnn.nn.dropped_weights import kept_weights, scaled, thinned
from jaxnn.nn.initializers import INITIALIZERS, InitializerName, initial_weights
from jaxnn.nn.kept_memories import ToKeep, Unread
from jaxnn.nn.layer import NO_STATISTICS, WITH_CARRY, Carried, Layer
from jaxnn.nn.linear import dense_backward, dense_forward
from jaxnn.nn.probabilities import softmax_backward, softmax_where
from jaxnn.nn.shapes import SEQUENCE_SHAPE, structs
from jaxnn.nn.stochastic import RATE, TRAINING_KEY
from jaxnn.sequences import (
    Sequences,
    array_of,
    cotangent_with_lengths,
    split_lengths,
    visible_keys,
    with_lengths,
    within,
    zero_beyond,
)
from jaxnn.typing import Array, Key, Params, Scalar
from jaxnn.validation import is_constant

__all__ = ["attention_backward", "attention_forward", "multi_head_attention"]

_QUERIES, _KEYS = Floats("m queries heads d"), Floats("m keys heads d")
_VALUES, _OUTPUT = Floats("m keys heads d_v"), Floats("m queries heads d_v")


_KEPT = Mask("m heads queries keys") | Nothing()


@checked(q=_QUERIES, k=_KEYS, v=_VALUES, visible=Mask("examples queries keys") | Nothing(), kept=_KEPT, rate=RATE)
def attention_forward(
    q: Array, k: Array, v: Array, visible: Array | None = None, kept: Array | None = None, rate: Scalar = 0.0
) -> tuple[Array, tuple[Array, Array, Array, Array]]:
    """Compute y_i = Σ_j P_ij v_j for each head, with P_ij = softmax_j(q_i · k_j / √d) over the keys that i may see.

    Args:
      q: queries, (m, T_q, heads, d).
      k: keys, (m, T_k, heads, d).
      v: values, (m, T_k, heads, d_v), finite also where no query may see them.
      visible: whether a query may see a key, booleans (m, T_q, T_k), or (1, T_q, T_k) for all examples; `None` if each
        sees all. A query that sees no key has y = 0.
      kept: which weights P_ij dropout keeps, booleans (m, heads, T_q, T_k); `None` for all.
      rate: the fraction that it drops: y_i = Σ_j P_ij kept_ij/(1 - rate) v_j.

    Returns:
      y, (m, T_q, heads, d_v), and the cache: q, k, v and P, not thinned by dropout, (m, heads, T_q, T_k).

    Raises:
      ValueError: if the arrays do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> q, k, v = jnp.zeros((1, 1, 1, 2)), jnp.zeros((1, 2, 1, 2)), jnp.array([[[[1.0]], [[3.0]]]])
      >>> print(attention_forward(q, k, v)[0].ravel())
      [2.]

    Source: Vaswani et al., "Attention is all you need", 2017, equation 1.
    """
    scores = widened(jnp.einsum("mihd,mjhd->mhij", q, k)) / math.sqrt(q.shape[-1])
    seen = None if visible is None else jnp.broadcast_to(visible[:, None], scores.shape)
    P = softmax_where(scores, seen).astype(v.dtype)
    return scaled(jnp.einsum("mhij,mjhd->mihd", thinned(P, kept), v), kept, rate), (q, k, v, P)


@checked(dy=_OUTPUT, kept=_KEPT, rate=RATE)
def attention_backward(
    cache: tuple[Array, Array, Array, Array], dy: Array, kept: Array | None = None, rate: Scalar = 0.0
) -> tuple[Array, Array, Array]:
    """Compute dq, dk and dv.

    Derivation. y_i = Σ_j P_ij v_j gives dv_j = Σ_i P_ij dy_i and dP_ij = dy_i · v_j. Each row of P is a softmax of
    S_ij = q_i · k_j / √d, so dS_ij = P_ij (dP_ij - Σ_l P_il dP_il), which is 0 where P is; and S is a product, so

        dq_i = Σ_j dS_ij k_j / √d    dk_j = Σ_i dS_ij q_i / √d

    Dropout is a factor r_ij = kept_ij/(1 - rate) of each weight, which depends on nothing: y_i = Σ_j r_ij P_ij v_j, so
    dv_j = Σ_i r_ij P_ij dy_i and dP_ij = r_ij dy_i · v_j, and the rest is as without it.

    Args:
      cache: of `attention_forward`.
      dy: cotangent of y, (m, T_q, heads, d_v).
      kept: that of the forward.
      rate: that of the forward.

    Returns:
      dq, dk and dv, in the shapes of q, k and v.

    Example:
      >>> import jax.numpy as jnp
      >>> q, k, v = jnp.ones((1, 1, 1, 1)), jnp.zeros((1, 2, 1, 1)), jnp.array([[[[1.0]], [[3.0]]]])
      >>> y, cache = attention_forward(q, k, v)
      >>> [a.ravel().tolist() for a in attention_backward(cache, jnp.ones((1, 1, 1, 1)))]
      [[0.0], [-0.5, 0.5], [0.5, 0.5]]
    """
    q, k, v, P = cache
    dy = scaled(dy, kept, rate)
    dv = jnp.einsum("mhij,mihd->mjhd", thinned(P, kept), dy)
    dP = thinned(widened(jnp.einsum("mihd,mjhd->mhij", dy, v)), kept)
    dS = (softmax_backward(widened(P), dP) / math.sqrt(q.shape[-1])).astype(q.dtype)
    dq, dk = jnp.einsum("mhij,mjhd->mihd", dS, k), jnp.einsum("mhij,mihd->mjhd", dS, q)
    return cast_like(q, dq), cast_like(k, dk), cast_like(v, dv)


_BLOCK = Count() | Nothing()
_PARTS = ("query", "key", "value", "output")


@factory(computes="attention_forward(q, k, v)")
@checked(heads=Count(), causal=Flag(), memory=Flag(), init=OneOf(INITIALIZERS), block=_BLOCK, dropout=RATE)
def multi_head_attention(
    heads: int,
    causal: bool = False,
    memory: bool = False,
    init: InitializerName = "glorot",
    block: int | None = None,
    dropout: Scalar = 0.0,
) -> Layer:
    """Return attention with several heads, from a sequence to itself or to another one.

    Queries, keys and values are dense layers of the sequence, split into heads; y is a dense layer of the heads side by
    side. `attention_backward` derives its gradient, and the chain rule through the four dense layers the rest.

    Args:
      heads: the number of heads, which divides n.
      causal: whether a time sees only itself and the times before it. Then a time that is not finite makes its y and
        all later ones NaN, and changes no earlier one, nor the gradients of a loss of earlier ones.
      memory: whether keys and values are of another sequence: then the input is (x, memory).
      init: how the four matrices are initialized.
      block: how many times a block of `blockwise_attention_forward` holds at most, such as 128: then what is kept for
        backward grows with T instead of T². `None` for all times at once, which is faster if T is below about 128.
      dropout: the fraction of the weights P_ij that is dropped in training, 0 <= dropout < 1. Which ones depends on the
        key and the place alone, so they are the same in blocks. Without blocks the mask is kept for backward, a byte
        for each pair; in blocks it is computed again.

    Returns:
      A `Layer` from x (m, T, n), or `Sequences` of it, to y of the same shape. Keys beyond their sequence's length are
      not seen. Params are those of four dense layers: `{"query": {"W": (n, n), "b": (n,)}, "key": {"W": (n, n)},
      "value": ..., "output": ...}`.
      Keys have no bias: it would add one number to all scores of a query, which their softmax does not see.

    Raises:
      ValueError: if an argument has another value; at `init`, if n is not a multiple of heads; when called, if forward
        has no key for dropout, or x is not a pair with a memory.

    Example:
      >>> import jax, jaxnn
      >>> from jaxnn import nn
      >>> block = jaxnn.chain(nn.residual(multi_head_attention(4, causal=True)), nn.each_step(nn.layer_norm()))
      >>> block.init(jax.random.key(0), (100, 64))[1]
      (100, 64)

    Sources: Vaswani et al., "Attention is all you need", 2017, section 3.2.2; dropout of the weights is in the code
    that they published.
    """
    drops = not is_constant(dropout, 0)

    @checked(key=RandomKey())
    def init_params(key, in_shape):
        x, other = SEQUENCE_AND_MEMORY.check("in_shape", in_shape) if memory else (in_shape, in_shape)
        (*_, n), (*_, n_memory) = (structs(SEQUENCE_SHAPE.check("in_shape", array_of(one))).shape for one in (x, other))
        _multiple_of(heads).check("in_shape", n)
        keys = jax.random.split(key, len(_PARTS))
        params = {
            name: {"W": (W := initial_weights(init, one, (n, size), "W")), "b": jnp.zeros(n, W.dtype)}
            for name, one, size in zip(_PARTS, keys, (n, n_memory, n_memory, n), strict=True)
        }
        return params | {"key": {"W": params["key"]["W"]}}, x

    def forward(params, x, key=None):
        return run(params, x, TRAINING_KEY.check("key", key) if drops else None)

    def run(params, x, key):
        x, other = WITH_MEMORY.check("x", x) if memory else (x, x)
        (x, lengths), (other, other_lengths) = split_lengths(x), split_lengths(other)
        x, other = floats(x, "x"), floats(other, "x")
        mask, seen = within(lengths, x.shape[1]), within(other_lengths, other.shape[1])
        x = zero_beyond(mask, x)
        other = zero_beyond(seen, other) if memory else x
        after = None
        if causal:
            other, after = _without_nan(other, x.shape[1])
            x = x if memory else other
        split = partial(_split, heads)
        of_parts = zip(_PARTS[:3], (x, other, other), strict=True)
        q, k, v = (split(dense_forward(_with_bias(params[name]), one)[0]) for name, one in of_parts)
        if block is None:
            kept = None if key is None else _kept_of_all(key, dropout, q, k)
            y, of_heads = attention_forward(q, k, v, _visible(causal, seen, x.shape[1], other.shape[1]), kept, dropout)
        else:
            kept = key
            y, of_heads = blockwise_attention_forward(q, k, v, block, seen, causal, key, dropout)
        y = _joined(y)
        z = dense_forward(params["output"], y)[0]
        z = z if after is None else jnp.where(after[..., None], jnp.asarray(jnp.nan, z.dtype), z)
        return with_lengths(zero_beyond(mask, z), lengths), (
            x,
            other,
            lengths,
            other_lengths,
            of_heads,
            y if block is None else None,
            after,
            kept,
        )

    def backward(params, cache, dz):
        x, other, lengths, other_lengths, of_heads, y, after, kept = cache
        mask, seen = within(lengths, x.shape[1]), within(other_lengths, other.shape[1])
        dz = zero_beyond(mask, array_of(dz))
        if after is not None:  # 0 · NaN is 0 here, any other cotangent of a NaN is one
            dz = jnp.where(after[..., None] & (dz != 0), jnp.asarray(jnp.nan, dz.dtype), dz)
        if block is None:
            d_output, dy = dense_backward(params["output"], y, dz)
            of_parts = attention_backward(of_heads, _split(heads, dy), kept, dropout)
        else:
            *_, y, _, _ = of_heads
            d_output, dy = dense_backward(params["output"], _joined(scaled(y, kept, dropout)), dz)
            of_parts = blockwise_attention_backward(of_heads, _split(heads, dy), block, causal, kept, dropout)
        shares = [
            dense_backward(_with_bias(params[name]), one, _joined(d))
            for name, one, d in zip(_PARTS[:3], (x, other, other), of_parts, strict=True)
        ]
        (dq_params, dx), (dk_params, d_keys), (dv_params, d_values) = shares
        dparams = dict(zip(_PARTS, (dq_params, {"W": dk_params["W"]}, dv_params, d_output), strict=True))
        if not memory:
            return dparams, cotangent_with_lengths(zero_beyond(mask, add_cotangents(dx, d_keys, d_values)), lengths)
        d_other = zero_beyond(seen, add_cotangents(d_keys, d_values))
        dx = cotangent_with_lengths(zero_beyond(mask, dx), lengths)
        return dparams, (dx, cotangent_with_lengths(d_other, other_lengths))

    @checked(stats=NO_STATISTICS)
    def infer(params, stats, x):
        return run(params, x, None)[0]

    def keys_and_values(params, other):
        other, lengths = split_lengths(other)
        seen = within(lengths, other.shape[1])
        other = zero_beyond(seen, floats(other, "x"))
        k, v = (_split(heads, dense_forward(_with_bias(params[name]), other)[0]) for name in ("key", "value"))
        return k, v, seen

    def attend_to(params, x, kept):
        (x, lengths), (k, v, seen) = split_lengths(x), kept
        mask = within(lengths, x.shape[1])
        q = _split(heads, dense_forward(params["query"], zero_beyond(mask, floats(x, "x")))[0])
        if block is None:
            y, _ = attention_forward(q, k, v, visible_keys(seen, q.shape[1]))
        else:
            y, _ = blockwise_attention_forward(q, k, v, block, seen)
        return with_lengths(zero_beyond(mask, dense_forward(params["output"], _joined(y))[0]), lengths)

    layer = Layer(init_params, forward, backward, infer)
    if memory:
        # A causal mask depends on the number of the query, which a piece of a sequence does not have.
        return layer if causal else _keeping_memory(layer, keys_and_values, attend_to)
    return layer._replace(carried=_remembering(init_params, heads) if causal else None)


def _keeping_memory(layer: Layer, keys_and_values: Any, attend_to: Any) -> Layer:
    """Return attention to a memory with how it runs in pieces: keys and values may be made once, and kept."""
    of_each_piece = cast(Carried, carrying_nothing(layer).carried).layer

    def infer(params, stats, x_and_carry):
        (x, other), entry = WITH_CARRY.check("x", x_and_carry)
        if isinstance(entry, Unread):
            return of_each_piece.infer(params, stats, x_and_carry)
        kept = keys_and_values(params, other) if isinstance(entry, ToKeep) else entry
        return attend_to(params, x, kept), kept

    return layer._replace(carried=Carried(of_each_piece._replace(infer=infer), lambda params, m, length: Unread()))


def _remembering(init: Any, heads: int) -> Carried:
    """Return how causal attention runs in pieces: it carries keys and values, (m, length, heads, d), and how many."""

    def start(params, m, length):
        _WHOLE_LENGTH.check("length", length)
        W = params["key"]["W"]
        nothing = jnp.zeros((m, length, heads, len(W) // heads), W.dtype)
        return nothing, nothing, jnp.zeros(m, "int32")

    def infer(params, stats, x_and_carry):
        x, (keys, values, before) = x_and_carry
        x = floats(_NO_LENGTHS.check("x", x), "x")
        q, k, v = (_split(heads, dense_forward(_with_bias(params[name]), x)[0]) for name in ("query", "key", "value"))
        _piece_within(keys.shape[1]).check("x.shape[1]", x.shape[1])
        v = zero_beyond(jnp.isfinite(x).all(-1), v)  # as in `_without_nan`; keys of NaN make what sees them NaN
        put = jax.vmap(lambda kept, new, at: jax.lax.dynamic_update_slice_in_dim(kept, new.astype(kept.dtype), at, 0))
        keys, values, n = put(keys, k, before), put(values, v, before), x.shape[1]
        times = before[:, None] + jnp.arange(n, dtype="int32")[None]
        visible = jnp.arange(keys.shape[1], dtype="int32")[None, None] <= times[..., None]
        y, _ = attention_forward(q, keys.astype(k.dtype), values.astype(v.dtype), visible)
        z = dense_forward(params["output"], _joined(y))[0]
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


def _multiple_of(heads: int) -> Constraint:
    return Constraint(
        f"that of sequences with a multiple of {heads} numbers, one part for each head",
        fix="use a number of heads that divides it",
        test=lambda n: n % heads == 0,
    )


def _without_nan(x: Array, queries: int) -> tuple[Array, Array]:
    """Return x with 0 at times that are not finite, and which queries see such a time of a causal memory, (m, queries).

    A weight of 0 does not hide a value that is not finite: 0 · NaN is NaN. Both cost one pass over x, not over T².
    """
    finite = jnp.isfinite(x).all(-1)
    keys, never = jnp.arange(x.shape[1], dtype="int32"), max(x.shape[1], queries)
    first = jnp.where(finite, never, keys).min(1, initial=never)
    return zero_beyond(finite, x), jnp.arange(queries, dtype="int32")[None] >= first[:, None]


def _with_bias(params: Params) -> Params:
    """Return the params of a dense layer, a bias of 0 in place of one that is not there."""
    return {"b": jnp.zeros(len(params["W"]), params["W"].dtype), **params}


def _kept_of_all(key: Key, rate: Scalar, q: Array, k: Array) -> Array:
    m, queries, heads, _ = q.shape
    return kept_weights(key, rate, m, heads, jnp.arange(queries), jnp.arange(k.shape[1]))


def _visible(causal: bool, seen: Array | None, queries: int, keys: int) -> Array | None:
    """Return which keys each query may see, (m or 1, queries, keys); `None` if all."""
    of_keys = visible_keys(seen, queries)
    if not causal:
        return of_keys
    before = jnp.tril(jnp.ones((queries, keys), bool))[None]
    return before if of_keys is None else before & of_keys


def _split(heads: int, a: Array) -> Array:
    """Split the last axis into heads: (m, T, heads d) to (m, T, heads, d)."""
    return a.reshape(*a.shape[:-1], heads, a.shape[-1] // heads)


def _joined(a: Array) -> Array:
    """Return the heads side by side: (m, T, heads, d) to (m, T, heads d)."""
    return a.reshape(*a.shape[:-2], a.shape[-2] * a.shape[-1])


_PADDED = Sequences(jax.ShapeDtypeStruct((5, 4), "float32"), jax.ShapeDtypeStruct((), "int32"))
_OTHER = Sequences(jax.ShapeDtypeStruct((6, 3), "float32"), jax.ShapeDtypeStruct((), "int32"))

CASES = {
    "multi_head_attention": (lambda: multi_head_attention(2), (5, 4)),
    "multi_head_attention_one_head_causal": (lambda: multi_head_attention(1, causal=True), (3, 4)),
    "multi_head_attention_lengths": (lambda: multi_head_attention(2), _PADDED),
    "multi_head_attention_causal_lengths": (lambda: multi_head_attention(4, causal=True), _PADDED),
    "multi_head_attention_memory": (lambda: multi_head_attention(2, memory=True), (_PADDED, _OTHER)),
    "multi_head_attention_blocks": (lambda: multi_head_attention(2, block=2), (5, 4)),
    "multi_head_attention_blocks_causal_lengths": (lambda: multi_head_attention(4, causal=True, block=2), _PADDED),
    "multi_head_attention_blocks_memory": (
        lambda: multi_head_attention(2, memory=True, block=4),
        (_PADDED, _OTHER),
    ),
    "multi_head_attention_dropout": (
        lambda: multi_head_attention(2, causal=True, dropout=0.4),
        _PADDED,
        {"random": True},
    ),
    "multi_head_attention_dropout_blocks": (
        lambda: multi_head_attention(2, causal=True, block=2, dropout=0.4),
        _PADDED,
        {"random": True},
    ),
}
