"""Attention with several heads: dense layers make queries, keys and values, and one layer of what the heads return."""

import jax
import jax.numpy as jnp

from jaxnn.arrays import add_cotangents, floats
from jaxnn.constraints import Constraint, Count, Flag, Nothing, OneOf, RandomKey, checked
from jaxnn.factories.decorator import factory
from jaxnn.nn.alignments import SEQUENCE_AND_MEMORY, WITH_MEMORY
from jaxnn.nn.attention import attention_backward, attention_forward
from jaxnn.nn.attention_in_blocks import blockwise_attention_backward, blockwise_attention_forward
from jaxnn.nn.attention_in_pieces import keeping_memory, remembering
from jaxnn.nn.dropped_weights import kept_weights, scaled
from jaxnn.nn.head_axes import heads_backward, heads_forward, join_heads, split_heads
from jaxnn.nn.initializers import INITIALIZERS, InitializerName, initial_weights
from jaxnn.nn.layer import NO_STATISTICS, Layer
from jaxnn.nn.linear import dense_backward, dense_forward
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
from jaxnn.typing import Array, Key, Scalar
from jaxnn.validation import is_constant

__all__ = ["multi_head_attention"]

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
    side.

    Derivation. `attention_backward` derives the gradient of the heads; the rest is the chain rule through the four
    dense layers, and a sequence that three of them read has the sum of their cotangents.

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

    def attend(q, k, v, seen, key=None):
        """Return the mean of the values, the cache, and what backward needs of dropout."""
        if block is None:
            kept = None if key is None else _kept_of_all(key, dropout, q, k)
            visible = _visible(causal, seen, q.shape[1], k.shape[1])
            return *attention_forward(q, k, v, visible, kept, dropout), kept
        return *blockwise_attention_forward(q, k, v, block, seen, causal, key, dropout), key

    def run(params, x, key):
        x, other = WITH_MEMORY.check("x", x) if memory else (x, x)
        (x, lengths, mask), (other, other_lengths, seen) = _padded(x), _padded(other)
        after = None
        if causal:
            other, after = _without_nan(other, x.shape[1])
            x = x if memory else other
        of_parts = zip(_PARTS[:3], (x, other, other), strict=True)
        q, k, v = (heads_forward(params[name], heads, one) for name, one in of_parts)
        y, of_heads, kept = attend(q, k, v, seen, key)
        y = join_heads(y)
        z = dense_forward(params["output"], y)[0]
        z = z if after is None else jnp.where(after[..., None], jnp.asarray(jnp.nan, z.dtype), z)
        y = y if block is None else None
        cache = x, other, lengths, other_lengths, of_heads, y, after, kept
        return with_lengths(zero_beyond(mask, z), lengths), cache

    def backward(params, cache, dz):
        x, other, lengths, other_lengths, of_heads, y, after, kept = cache
        mask, seen = within(lengths, x.shape[1]), within(other_lengths, other.shape[1])
        dz = zero_beyond(mask, array_of(dz))
        if after is not None:  # 0 · NaN is 0 here, any other cotangent of a NaN is one
            dz = jnp.where(after[..., None] & (dz != 0), jnp.asarray(jnp.nan, dz.dtype), dz)
        if block is None:
            d_output, dy = dense_backward(params["output"], y, dz)
            of_parts = attention_backward(of_heads, split_heads(heads, dy), kept, dropout)
        else:
            *_, y, _, _ = of_heads
            d_output, dy = dense_backward(params["output"], join_heads(scaled(y, kept, dropout)), dz)
            of_parts = blockwise_attention_backward(of_heads, split_heads(heads, dy), block, causal, kept, dropout)
        inputs = zip(_PARTS[:3], (x, other, other), of_parts, strict=True)
        shares = [heads_backward(params[name], one, d) for name, one, d in inputs]
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

    def read(params, other):
        other, _, seen = _padded(other)
        return *(heads_forward(params[name], heads, other) for name in ("key", "value")), seen

    def attend_to(params, x, kept):
        (x, lengths, mask), (k, v, seen) = _padded(x), kept
        y, *_ = attend(heads_forward(params["query"], heads, x), k, v, seen)
        return with_lengths(zero_beyond(mask, dense_forward(params["output"], join_heads(y))[0]), lengths)

    layer = Layer(init_params, forward, backward, infer)
    if memory:
        # A causal mask depends on the number of the query, which a piece of a sequence does not have.
        return layer if causal else keeping_memory(layer, read, attend_to)
    return layer._replace(carried=remembering(init_params, heads) if causal else None)


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


def _padded(x: Array | Sequences) -> tuple[Array, Array | None, Array | None]:
    """Return x with 0 beyond the lengths, the lengths, and which times are within them."""
    x, lengths = split_lengths(x)
    mask = within(lengths, x.shape[1])
    return zero_beyond(mask, floats(x, "x")), lengths, mask


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
