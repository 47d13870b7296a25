"""Attention in blocks: what is kept between forward and backward grows with T, not with T².

The weights of all pairs of a query and a key are never in memory at once. Queries and keys are cut into blocks, and one
loop goes over the pairs of a block of queries with a block of keys. Under a causal mask, the pairs whose keys all come
after the queries are not in it, about half of them.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from jaxnn.arrays import cast_like, in_memory, wide_einsum, widened
from jaxnn.constraints import Count, Flag, Floats, Mask, Nothing, checked
from jaxnn.explicit_axes import rows_on_any_axes
from jaxnn.nn.dropped_weights import DROPOUT_KEY, kept_weights, scaled, thinned
from jaxnn.nn.stochastic import RATE
from jaxnn.typing import Array, Key, PyTree, Scalar

__all__ = ["blockwise_attention_backward", "blockwise_attention_forward"]

_QUERIES, _KEYS = Floats("m queries heads d"), Floats("m keys heads d")
_VALUES, _OUTPUT = Floats("m keys heads d_v"), Floats("m queries heads d_v")

Cache = tuple[Array, Array, Array, Array | None, Array, Array, Array]


@rows_on_any_axes
@checked(
    q=_QUERIES,
    k=_KEYS,
    v=_VALUES,
    block=Count(),
    seen=Mask("m keys") | Nothing(),
    causal=Flag(),
    key=DROPOUT_KEY,
    rate=RATE,
)
def blockwise_attention_forward(
    q: Array,
    k: Array,
    v: Array,
    block: int = 128,
    seen: Array | None = None,
    causal: bool = False,
    key: Key | None = None,
    rate: Scalar = 0.0,
) -> tuple[Array, Cache]:
    """Compute the y of `attention_forward` block by block, without the weights of all pairs in memory.

    Derivation. For one query q_i of d numbers, with scores S_j = q_i · k_j / √d of the keys that it may see, and their
    values v_j, the softmax needs the maximum of S_j and the sum of e^{S_j}, and y is a sum with the same factors.
    All three are brought up to date by one block of keys after another: μ, ℓ and a hold max S_j, Σ e^(S_j - μ) and
    Σ e^(S_j - μ) v_j over the blocks so far, and a block with scores S changes them to

        μ' = max(μ, max_j S_j)
        ℓ' = e^(μ - μ') ℓ + Σ_j e^(S_j - μ')
        a' = e^(μ - μ') a + Σ_j e^(S_j - μ') v_j

    No exponent is above 0. After the last block y = a/ℓ, and μ + log ℓ is log Σ_j e^{S_j}. μ and ℓ are kept, not that
    sum, in which a large μ leaves log ℓ no digits. A query that sees no key has y = 0, and ℓ = 1 in the cache.

    Dropout, of the fraction rate, leaves weights out of a, but not of μ and ℓ, and then y = a/(ℓ (1 - rate)).

    Args:
      q: queries, (m, T_q, heads, d).
      k: keys, (m, T_k, heads, d).
      v: values, (m, T_k, heads, d_v), finite also where no query may see them.
      block: how many queries and how many keys a block holds at most; blocks are made of about equal sizes.
      seen: whether a key is seen at all, booleans (m, T_k), as within the length of its sequence; `None` if all are.
      causal: whether query i sees only the keys j ≤ i.
      key: a random key, by which weights are dropped; `None` to drop none.
      rate: the fraction that is dropped. Of equal keys, the same weights are dropped in blocks of any size.

    Returns:
      y, (m, T_q, heads, d_v), and the cache: q, k, v, seen, a/ℓ, which is y unless weights are dropped, and μ and ℓ,
      (m, T_q, heads) each.

    Raises:
      ValueError: if the arrays do not fit, or block is below 1.

    Example:
      >>> import jax.numpy as jnp
      >>> q, k, v = jnp.zeros((1, 1, 1, 2)), jnp.zeros((1, 3, 1, 2)), jnp.array([[[[1.0]], [[3.0]], [[8.0]]]])
      >>> print(blockwise_attention_forward(q, k, v, block=2)[0].ravel())
      [4.]

    Sources: Rabe and Staats, "Self-attention does not need O(n²) memory", 2021; Dao et al., "FlashAttention: fast and
    memory-efficient exact attention with IO-awareness", 2022, algorithm 1.
    """
    grid = _grid(q, k, block, causal)
    Q, K, V = _cut(_scaled(q), *grid.queries), _cut(k, *grid.keys), _cut(v, *grid.keys)
    shown, dtype, kept = _shown(grid, seen), widened(q).dtype, _kept(grid, q, key, rate)
    least = jnp.finfo(dtype).min  # not -inf, of which two differ by NaN

    def pair(state, i, j):
        S = shown(i, j, _scores(_at(Q, i), _at(K, j)), least)
        before, total, a = (_at(of_all, i) for of_all in state)
        top = jnp.maximum(before, lax.stop_gradient(S.max(-1)))  # y does not depend on it
        P = in_memory(shown(i, j, jnp.exp(S - top[..., None]), 0))
        weights = thinned(P, kept(i, j)).astype(v.dtype)
        shrink, of_block = jnp.exp(before - top), wide_einsum("mhij,mhjd->mhid", weights, _at(V, j))
        after = top, shrink * total + P.sum(-1), shrink[..., None] * a + of_block
        return tuple(_put(of_all, one, i) for of_all, one in zip(state, after, strict=True))

    rows = Q.shape[:-1]
    start = jnp.full(rows, least, dtype), jnp.zeros(rows, dtype), jnp.zeros((*rows, v.shape[-1]), dtype)
    top, total, a = _over_pairs(grid, pair, start)
    total = jnp.where(total == 0, jnp.ones((), dtype), total)
    y = _joined(a / total[..., None], q.shape[1]).astype(v.dtype)
    top, total = (_joined(of_all[..., None], q.shape[1])[..., 0] for of_all in (top, total))
    return scaled(y, key, rate), (q, k, v, seen, y, top, total)


@rows_on_any_axes
@checked(dy=_OUTPUT, block=Count(), causal=Flag(), key=DROPOUT_KEY, rate=RATE)
def blockwise_attention_backward(
    cache: Cache, dy: Array, block: int = 128, causal: bool = False, key: Key | None = None, rate: Scalar = 0.0
) -> tuple[Array, Array, Array]:
    """Compute dq, dk and dv of attention, with the weights of each block computed again.

    Derivation. The weights of any block are P_ij = e^(S_ij - μ_i) / ℓ_i, S_ij = q_i · k_j / √d, for the keys that i may
    see, and 0 for others; μ_i and ℓ_i are those of `blockwise_attention_forward` after the last block.
    `attention_backward` derives dv_j = Σ_i P_ij dy_i, dP_ij = dy_i · v_j and dS_ij = P_ij (dP_ij - Σ_l P_il dP_il). The
    sum over all keys needs no second loop, since y contains it:

        Σ_l P_il dP_il = Σ_l P_il dy_i · v_l = dy_i · y_i

    So each pair of blocks adds its share to dq_i = Σ_j dS_ij k_j / √d, dk_j = Σ_i dS_ij q_i / √d and dv_j.

    With dropout, ȳ_i = Σ_j kept_ij P_ij v_j and y = ȳ/(1 - rate), so dȳ = dy/(1 - rate), and kept_ij is a factor of
    P_ij in dv and of dȳ_i · v_j in dP. The sum is dȳ_i · ȳ_i, as above. The same key makes the same kept_ij again.

    Args:
      cache: of `blockwise_attention_forward`.
      dy: cotangent of y, (m, T_q, heads, d_v).
      block: how many queries and how many keys a block holds at most; it may differ from that of the forward.
      causal: that of the forward.
      key: that of the forward.
      rate: that of the forward.

    Returns:
      dq, dk and dv, in the shapes of q, k and v.

    Raises:
      ValueError: if dy is not an array of four axes, or block is below 1.

    Example:
      >>> import jax.numpy as jnp
      >>> q, k, v = jnp.ones((1, 1, 1, 1)), jnp.zeros((1, 2, 1, 1)), jnp.array([[[[1.0]], [[3.0]]]])
      >>> y, cache = blockwise_attention_forward(q, k, v, block=1)
      >>> [a.ravel().tolist() for a in blockwise_attention_backward(cache, jnp.ones((1, 1, 1, 1)), block=1)]
      [[0.0], [-0.5, 0.5], [0.5, 0.5]]

    Source: Dao et al., "FlashAttention: fast and memory-efficient exact attention with IO-awareness", 2022, section 3
    and appendix B.
    """
    q, k, v, seen, y, top, total = cache
    dy = scaled(dy, key, rate)
    grid = _grid(q, k, block, causal)
    Q, K, V, dY = _cut(_scaled(q), *grid.queries), _cut(k, *grid.keys), _cut(v, *grid.keys), _cut(dy, *grid.queries)
    mean = _cut((widened(dy) * widened(y)).sum(-1, keepdims=True), *grid.queries)
    tops, factors = (_cut(of_all[..., None], *grid.queries) for of_all in (top, 1 / total))
    shown, least, kept = _shown(grid, seen), jnp.finfo(top.dtype).min, _kept(grid, q, key, rate)

    def pair(state, i, j):
        q_i, k_j, v_j, dy_i = _at(Q, i), _at(K, j), _at(V, j), _at(dY, i)
        S = shown(i, j, _scores(q_i, k_j) - _at(tops, i), least)
        S = jnp.where(S > 0, jnp.zeros((), S.dtype), S)  # above 0 by rounding alone, which of scores of 1e8 is large
        P = in_memory(shown(i, j, jnp.exp(S) * _at(factors, i), 0))
        of_pair = kept(i, j)
        dS = P * (thinned(wide_einsum("mhid,mhjd->mhij", dy_i, v_j), of_pair) - _at(mean, i))
        P, dS = thinned(P, of_pair).astype(dy.dtype), in_memory(dS).astype(q.dtype)
        dQ, dK, dV = state
        return (
            _put(dQ, _at(dQ, i) + wide_einsum("mhij,mhjd->mhid", dS, k_j), i),
            _put(dK, _at(dK, j) + wide_einsum("mhij,mhid->mhjd", dS, q_i), j),
            _put(dV, _at(dV, j) + wide_einsum("mhij,mhid->mhjd", P, dy_i), j),
        )

    dQ, dK, dV = _over_pairs(grid, pair, tuple(jnp.zeros_like(widened(a)) for a in (Q, K, V)))
    return (
        cast_like(q, _scaled(_joined(dQ, q.shape[1]))),
        cast_like(k, _joined(dK, k.shape[1])),
        cast_like(v, _joined(dV, k.shape[1])),
    )


class _Grid(NamedTuple):
    """How queries and keys are cut: the number of blocks of each, and how long a block is."""

    queries: tuple[int, int]
    keys: tuple[int, int]
    n_keys: int
    causal: bool

    def ends(self, i: Any, minimum: Callable[[Any, Any], Any]) -> Any:
        """Return how many blocks of keys the queries of block i see, the first ones."""
        (blocks, size), last_query = self.keys, (i + 1) * self.queries[1] - 1
        return minimum(blocks, last_query // size + 1) if self.causal and blocks else blocks

    def hidden(self, i: Any, j: Any) -> Array | None:
        """Return the pairs of block i of queries and block j of keys that are not one of both, or of an earlier key."""
        (n, size), length = self.keys, self.queries[1]
        keys = (j * size + jnp.arange(size, dtype="int32"))[None]
        padded = keys >= self.n_keys if n * size > self.n_keys else None
        if not self.causal:
            return padded
        later = keys > (i * length + jnp.arange(length, dtype="int32"))[:, None]
        return later if padded is None else later | padded


def _grid(q: Array, k: Array, block: int, causal: bool) -> _Grid:
    def cut(n):
        pieces = -(-n // block)
        return pieces, -(-n // max(pieces, 1))

    return _Grid(cut(q.shape[1]), cut(k.shape[1]), k.shape[1], causal)


def _over_pairs(grid: _Grid, pair: Callable[[PyTree, Any, Any], PyTree], start: PyTree) -> PyTree:
    """Return the state after `pair(state, i, j)` of each block i of queries with each block j of keys that it sees."""

    def step(carry, _):
        state, i, j = carry
        last = j + 1 == grid.ends(i, jnp.minimum)
        return (pair(state, i, j), jnp.where(last, i + 1, i), jnp.where(last, 0, j + 1)), None

    zero = jnp.zeros((), "int32")
    pairs = sum(grid.ends(i, min) for i in range(grid.queries[0]))
    if pairs == 0:  # no queries or no keys: there is no block that a loop could be traced with
        return start
    return lax.scan(step, (start, zero, zero), length=pairs)[0][0]


def _shown(grid: _Grid, seen: Array | None) -> Callable[[Any, Any, Array, Any], Array]:
    """Return the function that puts another number where a query of a block does not see a key of another."""
    of_keys = None if seen is None else _cut(seen[..., None, None], *grid.keys)[..., 0]

    def shown(i, j, a, other):
        hidden = grid.hidden(i, j)
        a = a if hidden is None else jnp.where(hidden[None, None], jnp.asarray(other, a.dtype), a)
        return a if of_keys is None else jnp.where(_at(of_keys, j)[:, :, None], a, jnp.asarray(other, a.dtype))

    return shown


def _kept(grid: _Grid, q: Array, key: Key | None, rate: Scalar) -> Callable[[Any, Any], Array | None]:
    """Return the function from a block of queries and one of keys to which of their weights dropout keeps."""
    (_, length), (_, size), (m, _, heads, _) = grid.queries, grid.keys, q.shape
    if key is None:
        return lambda i, j: None

    return lambda i, j: kept_weights(
        key, rate, m, heads, i * length + jnp.arange(length, dtype="int32"), j * size + jnp.arange(size, dtype="int32")
    )


def _cut(a: Array, blocks: int, size: int) -> Array:
    """Cut time into blocks, the last of them filled with 0: (m, T, heads, d) to (blocks, m, heads, size, d)."""
    m, n, heads, d = a.shape
    a = jnp.pad(a, ((0, 0), (0, blocks * size - n), (0, 0), (0, 0)))
    return a.reshape(m, blocks, size, heads, d).transpose(1, 0, 3, 2, 4)


def _joined(a: Array, n: int) -> Array:
    """Join blocks to times: (blocks, m, heads, size, d) to (m, T, heads, d)."""
    blocks, m, heads, size, d = a.shape
    return a.transpose(1, 0, 3, 2, 4).reshape(m, blocks * size, heads, d)[:, :n]


def _at(a: Array, i: Array) -> Array:
    return lax.dynamic_index_in_dim(a, i, 0, keepdims=False)


def _put(a: Array, block: Array, i: Array) -> Array:
    return lax.dynamic_update_index_in_dim(a, block, i, 0)


def _scaled(q: Array) -> Array:
    """Return q / √d."""
    return q / math.sqrt(q.shape[-1])


def _scores(q: Array, k: Array) -> Array:
    """Return the products of q / √d and k.

    They are put in memory so that forward and backward round them alike: a multiplication fused with the subtraction of
    μ would not round its product, and large scores differ by more than 1 in their last digit.
    """
    return in_memory(wide_einsum("mhid,mhjd->mhij", q, k))
