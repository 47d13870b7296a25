"""Scaled dot-product attention: a mean of values, weighted by how well each key fits a query."""

import math

import jax.numpy as jnp

from jaxnn.arrays import cast_like, widened
from jaxnn.constraints import Floats, Mask, Nothing, checked
from jaxnn.nn.dropped_weights import scaled, thinned
from jaxnn.nn.probabilities import softmax_backward, softmax_where
from jaxnn.nn.stochastic import RATE
from jaxnn.typing import Array, Scalar

__all__ = ["attention_backward", "attention_forward"]

_QUERIES, _KEYS = Floats("m queries heads d"), Floats("m keys heads d")
_VALUES, _OUTPUT = Floats("m keys heads d_v"), Floats("m queries heads d_v")
_KEPT = Mask("m heads queries keys") | Nothing()


@checked(q=_QUERIES, k=_KEYS, v=_VALUES, visible=Mask("examples queries keys") | Nothing(), kept=_KEPT, rate=RATE)
def attention_forward(
    q: Array, k: Array, v: Array, visible: Array | None = None, kept: Array | None = None, rate: Scalar = 0.0
) -> tuple[Array, tuple[Array, Array, Array, Array]]:
    """Compute y_i = Σ_j P_ij v_j for each head, with P_ij = softmax_j(q_i · k_j / √d) over the keys that i may see.

    In one example and head, q_i for i = 1, ..., T_q and k_j for j = 1, ..., T_k are vectors of d numbers, and v_j and
    y_i of d_v. A key that i may not see has P_ij = 0; if it sees none, y_i = 0. With dropout, y_i = Σ_j r_ij P_ij v_j
    with r_ij = kept_ij/(1 - rate), where kept_ij is 1 for a weight that is kept and 0 for one that is dropped, and rate
    is the fraction that is dropped.

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

    Derivation. For one example and head, with the symbols of `attention_forward`, y_i = Σ_j P_ij v_j gives
    dv_j = Σ_i P_ij dy_i and dP_ij = dy_i · v_j. Each row of P is a softmax of S_ij = q_i · k_j / √d, so
    dS_ij = P_ij (dP_ij - Σ_l P_il dP_il), which is 0 where P is, as for a key that is not seen; and S is a product, so

        dq_i = Σ_j dS_ij k_j / √d    dk_j = Σ_i dS_ij q_i / √d

    Dropout is a factor r_ij = kept_ij/(1 - rate) of each weight, which does not depend on q, k or v:
    y_i = Σ_j r_ij P_ij v_j, so dv_j = Σ_i r_ij P_ij dy_i and dP_ij = r_ij dy_i · v_j, and the rest is as without it.

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
