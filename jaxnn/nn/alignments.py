"""Additive attention: a small network scores how well a key fits a query, as recurrent decoders read their input."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxnn.arrays import add_cotangents, cast_like, floats, in_memory, wide_einsum, widened
from jaxnn.constraints import Constraint, Count, Floats, Leaves, Mask, Nothing, Numbers, OneOf, RandomKey, checked
from jaxnn.explicit_axes import backward_on_any_axes, forward_on_any_axes
from jaxnn.factories.decorator import factory
from jaxnn.nn.initializers import INITIALIZERS, InitializerName, initial_weights
from jaxnn.nn.layer import Layer, is_pair
from jaxnn.nn.probabilities import softmax_backward, softmax_where
from jaxnn.nn.shapes import SEQUENCE_SHAPE, structs, with_lengths_of
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
from jaxnn.typing import Array, Key, Params, PyTree

__all__ = ["additive_attention", "additive_attention_backward", "additive_attention_forward"]

_QUERIES, _KEYS = Floats("m queries n"), Floats("m keys n")
_VALUES, _OUTPUT = Floats("m keys n_v"), Floats("m queries n_v")

SEQUENCE_AND_MEMORY = Constraint(
    "a pair of shapes, of the queries and of the memory",
    rejects=((4,), 4, None),
    fix="each is that of one sequence, (T, n), without the axis of examples",
    test=lambda shape: isinstance(shape, tuple | list) and len(shape) == 2 and not isinstance(shape, Sequences),
)
"""The constraint of the shape of an example that is a sequence with the memory that it reads."""

WITH_MEMORY = Constraint(
    "a pair (x, memory)", fix="the memory is another sequence, such as what an encoder returns", test=is_pair
)
"""The constraint of sequences with the memory that they read."""

_ELEMENTS = 2**22
"""The most elements of tanh(q_i + k_j) at once: a CPU takes long to allocate larger arrays."""

Cache = tuple[Array, Array, Array, Array]


@forward_on_any_axes
@checked(params=Leaves(W="1 n"), q=_QUERIES, k=_KEYS, v=_VALUES, visible=Mask("examples queries keys") | Nothing())
def additive_attention_forward(
    params: Params, q: Array, k: Array, v: Array, visible: Array | None = None
) -> tuple[Array, Cache]:
    """Compute y_i = Σ_j P_ij v_j, with P_ij = softmax_j(e_ij), e_ij = W tanh(q_i + k_j), over the keys that i may see.

    q_i and k_j are what the first layer of the network makes of a query and a key, W_q s_i and W_k h_j. So a decoder,
    which makes one query at each step, computes all k_j once. q_i for i = 1, ..., T_q and k_j for j = 1, ..., T_k are
    vectors of n numbers, W is a row of n, and v_j and y_i have n_v. If a query sees no key, y_i = 0.

    Args:
      params: `{"W": (1, n)}`.
      q: queries, (m, T_q, n).
      k: keys, (m, T_k, n).
      v: values, (m, T_k, n_v), finite also where no query may see them.
      visible: whether a query may see a key, booleans (m, T_q, T_k), or (1, T_q, T_k) for all examples; `None` if each
        sees all. A query that sees no key has y = 0.

    Returns:
      y, (m, T_q, n_v), and the cache: q, k, v and P, (m, T_q, T_k). The tanh, n times as large as P, is not kept.

    Raises:
      ValueError: if the arrays do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> q, k, v = jnp.zeros((1, 1, 2)), jnp.zeros((1, 2, 2)), jnp.array([[[1.0], [3.0]]])
      >>> print(additive_attention_forward({"W": jnp.ones((1, 2))}, q, k, v)[0].ravel())
      [2.]

    Source: Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and translate", 2015,
    section 3.1 and appendix A.1.2.
    """
    w = params["W"][0]

    def scores(total, q):
        return total, wide_einsum("mijn,n->mij", _hidden(q, k), w)

    _, e = _over_pieces(scores, (), k, q)
    seen = None if visible is None else jnp.broadcast_to(visible, e.shape)
    P = softmax_where(e, seen).astype(v.dtype)
    return jnp.einsum("mij,mjd->mid", P, v), (q, k, v, P)


@backward_on_any_axes
@checked(params=Leaves(W="1 n"), dy=_OUTPUT)
def additive_attention_backward(params: Params, cache: Cache, dy: Array) -> tuple[Params, tuple[Array, Array, Array]]:
    """Compute dW, dq, dk and dv; the tanh are computed again.

    Derivation. For one example, y_i = Σ_j P_ij v_j gives dv_j = Σ_i P_ij dy_i and dP_ij = dy_i · v_j. Each row of P is
    a softmax of e, so de_ij = P_ij (dP_ij - Σ_l P_il dP_il), which is 0 where P is. With z_ij = q_i + k_j,
    t_ij = tanh(z_ij) and tanh' = 1 - tanh²,

        dW = Σ_ij de_ij t_ij    dz_ij = de_ij W (1 - t_ij²)    dq_i = Σ_j dz_ij    dk_j = Σ_i dz_ij

    dW is the sum over the examples, which share W.

    Args:
      params: `{"W": (1, n)}`.
      cache: of `additive_attention_forward`.
      dy: cotangent of y, (m, T_q, n_v).

    Returns:
      `{"W": dW}`, and (dq, dk, dv) in the shapes of q, k and v.

    Example:
      >>> import jax.numpy as jnp
      >>> params, q, k = {"W": jnp.ones((1, 1))}, jnp.zeros((1, 1, 1)), jnp.zeros((1, 2, 1))
      >>> y, cache = additive_attention_forward(params, q, k, jnp.array([[[1.0], [3.0]]]))
      >>> dparams, given = additive_attention_backward(params, cache, jnp.ones((1, 1, 1)))
      >>> dparams["W"].item(), [a.ravel().tolist() for a in given]
      (0.0, [[0.0], [-0.5, 0.5], [0.5, 0.5]])
    """
    q, k, v, P = cache
    w = params["W"][0]
    dv = jnp.einsum("mij,mid->mjd", P, dy)
    de = softmax_backward(widened(P), widened(jnp.einsum("mid,mjd->mij", dy, v))).astype(q.dtype)

    def shares(total, q, de):
        t = _hidden(q, k)
        dz = widened(in_memory(de[..., None] * (1 - t * t) * w[None, None, None]))  # else computed for each sum again
        of_piece = wide_einsum("i,in->n", de.reshape(-1), t.reshape(-1, len(w))), dz.sum(1)
        return jax.tree.map(jnp.add, total, of_piece), dz.sum(2)

    start = jnp.zeros_like(widened(w)), jnp.zeros_like(widened(k))
    (dw, dk), dq = _over_pieces(shares, start, k, q, de)
    return {"W": cast_like(w, dw)[None]}, (cast_like(q, dq), cast_like(k, dk), cast_like(v, dv))


@factory(computes="additive_attention_forward(params, q, k, v)")
@checked(n=Count(), init=OneOf(INITIALIZERS))
def additive_attention(n: int, init: InitializerName = "glorot") -> Layer:
    """Return attention by a network of n hidden units: y_i = Σ_j P_ij h_j, P_ij = softmax_j(W tanh(W_q s_i + W_k h_j)).

    h is the memory, such as the outputs of an encoder, and s the queries, such as the states of a decoder. No layer has
    a bias. `additive_attention_backward` derives the gradient, and the chain rule through W_q and W_k the rest.

    Args:
      n: the number of hidden units.
      init: how the three matrices are initialized.

    Returns:
      A `Layer` from (s (m, T_q, n_q), h (m, T_k, n_k)), each of which may be `Sequences`, to y (m, T_q, n_k). Keys
      beyond their sequence's length are not seen. Params are `{"query": {"W": (n, n_q)}, "key": {"W": (n, n_k)},
      "score": {"W": (1, n)}}`.

    Raises:
      ValueError: if n is below 1 or init is unknown; at `init` and when called, if an example is not a pair of
        sequences of floats, or has another number of features.

    Example:
      >>> import jax, jaxnn
      >>> states, memory = jax.ShapeDtypeStruct((7, 32), float), jax.ShapeDtypeStruct((20, 64), float)
      >>> additive_attention(16).init(jax.random.key(0), (states, memory))[1]
      (7, 64)

    Source: Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and translate", 2015.
    """

    @checked(key=RandomKey())
    def init_params(key, in_shape):
        s, h = SEQUENCE_AND_MEMORY.check("in_shape", in_shape)
        (n_times, n_q), (_, n_k) = (structs(SEQUENCE_SHAPE.check("in_shape", array_of(one))).shape for one in (s, h))
        return three_matrices(init, jax.random.split(key, 3), n, n_q, n_k), with_lengths_of(s, (n_times, n_k))

    def forward(params, x, key=None):
        (s, lengths), (h, of_memory) = map(split_lengths, WITH_MEMORY.check("x", x))
        _check_queries(params["query"]["W"], s)
        check_memory(params["key"]["W"], s, h)
        s, h = floats(s, "x"), floats(h, "x")
        mask, seen = within(lengths, s.shape[1]), within(of_memory, h.shape[1])
        s, h = zero_beyond(mask, s), zero_beyond(seen, h)
        q, k = s @ params["query"]["W"].T, h @ params["key"]["W"].T
        y, cache = additive_attention_forward(params["score"], q, k, h, visible_keys(seen, s.shape[1]))
        return with_lengths(zero_beyond(mask, y), lengths), (s, lengths, of_memory, cache)

    def backward(params, cache, dy):
        s, lengths, of_memory, cache = cache
        _, _, h, _ = cache
        mask, seen = within(lengths, s.shape[1]), within(of_memory, h.shape[1])
        of_score, (dq, dk, dv) = additive_attention_backward(params["score"], cache, zero_beyond(mask, array_of(dy)))
        (of_query, ds), (of_key, dh) = (
            linear_backward(params[name], one, d) for name, one, d in (("query", s, dq), ("key", h, dk))
        )
        ds, dh = zero_beyond(mask, ds), zero_beyond(seen, add_cotangents(dh, dv))
        dx = cotangent_with_lengths(ds, lengths), cotangent_with_lengths(dh, of_memory)
        return {"query": of_query, "key": of_key, "score": of_score}, dx

    return Layer(init_params, forward, backward)


@checked(W_q=Floats("n n_q"), x=Numbers("m T n_q"))
def _check_queries(W_q: Array, x: Array) -> None:
    """Raise ValueError unless queries can be made of the sequences."""


@checked(W_k=Floats("n n_k"), x=Numbers("m T n_in"), h=Numbers("m keys n_k"))
def check_memory(W_k: Array, x: Array, h: Array) -> None:
    """Raise ValueError unless each sequence has a memory, of which keys can be made."""


def three_matrices(init: InitializerName, keys: Key, n: int, n_q: int, n_k: int) -> Params:
    """Return W_q, W_k and W of additive attention, `{"query": {"W": ...}, "key": ..., "score": ...}`, of three keys."""
    sizes = {"query": (n, n_q), "key": (n, n_k), "score": (1, n)}
    return {
        name: {"W": initial_weights(init, one, size, "W")}
        for one, (name, size) in zip(keys, sizes.items(), strict=True)
    }


def linear_backward(params: Params, x: Array, dz: Array) -> tuple[Params, Array]:
    """Return dW and dx of z = x Wᵀ, as `dense_backward` derives them."""
    W = params["W"]
    return {"W": cast_like(W, jnp.tensordot(dz, x, ((0, 1), (0, 1))))}, cast_like(x, dz @ W)


def _hidden(q: Array, k: Array) -> Array:
    """Return tanh(q_i + k_j), (m, T_q, T_k, n)."""
    return jnp.tanh(q[:, :, None] + k[:, None])


def _over_pieces(
    f: Callable[..., tuple[PyTree, Array]], total: PyTree, k: Array, *of_queries: Array
) -> tuple[PyTree, Array]:
    """Return `f(total, *arrays)` of arrays (m, T_q, ...), computed in pieces of as many queries as fit into memory."""
    n_times, of_one_query = of_queries[0].shape[1], k.size
    fitting = (n for n in range(1, n_times + 1) if n_times % n == 0 and n * of_one_query <= _ELEMENTS)
    size = max(fitting, default=1)
    if size >= n_times:
        return f(total, *of_queries)
    pieces = [a.reshape(a.shape[0], -1, size, *a.shape[2:]).swapaxes(0, 1) for a in of_queries]
    total, out = lax.scan(lambda total, piece: f(total, *piece), total, pieces)
    out = out.swapaxes(0, 1)
    return total, out.reshape(out.shape[0], n_times, *out.shape[3:])


_QUERY = Sequences(jax.ShapeDtypeStruct((5, 4), "float32"), jax.ShapeDtypeStruct((), "int32"))
_MEMORY = Sequences(jax.ShapeDtypeStruct((6, 3), "float32"), jax.ShapeDtypeStruct((), "int32"))

CASES = {
    "additive_attention": (lambda: additive_attention(4), (_QUERY.x, _MEMORY.x)),
    "additive_attention_lengths": (lambda: additive_attention(3), (_QUERY, _MEMORY)),
}
