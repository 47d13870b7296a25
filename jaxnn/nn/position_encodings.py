"""Positions: attention sees no order of time, so the number of each time is added to its vector, as n numbers."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer

from jaxnn.arrays import cast_like, floats, in_memory
from jaxnn.constraints import Constraint, Count, Floats, Function, Leaves, OneOf, RandomKey, Real, checked
from jaxnn.explicit_axes import backward_on_any_axes, forward_on_any_axes
from jaxnn.factories.decorator import factory
from jaxnn.nn.combinators import carrying_in_inference
from jaxnn.nn.initializers import INITIALIZERS, scale_hint
from jaxnn.nn.layer import Carried, Layer
from jaxnn.nn.shapes import SEQUENCE_SHAPE, structs
from jaxnn.sequences import (
    Sequences,
    array_of,
    cotangent_with_lengths,
    split_lengths,
    with_lengths,
    within,
    zero_beyond,
)
from jaxnn.typing import Array, DTypeLike, Initializer, Params, Scalar

__all__ = [
    "learned_positions",
    "learned_positions_backward",
    "learned_positions_forward",
    "positions",
    "sinusoids",
]

_OFFSET = Real(0, whole=True)
_NAMES = ("zeros", "normal")
_SMALL = jax.nn.initializers.normal(0.02)


@checked(n_times=Count(), n=Count(), offset=_OFFSET)
def sinusoids(n_times: int, n: int, offset: Scalar = 0, dtype: DTypeLike = float) -> Array:
    """Return the positions of n_times times, p_{t, 2i} = sin(t / 10000^(2i/n)) and p_{t, 2i+1} = cos of the same.

    t is offset, ..., offset + n_times - 1.

    The vector of time t + k is a rotation of that of time t, by angles that depend on k alone.

    Args:
      n_times: the number of times.
      n: the number of numbers for each.
      offset: the first time; may be traced, such as the time that decoding has come to.
      dtype: of the result; the sines are computed in float32 at least.

    Returns:
      An array (n_times, n).

    Raises:
      ValueError: if a number is below 1, or offset below 0.

    Example:
      >>> print(sinusoids(1, 4, offset=1).round(2))
      [[0.84 0.54 0.01 1.  ]]

    Source: Vaswani et al., "Attention is all you need", 2017, section 3.5.
    """
    dtype = jnp.dtype(jnp.result_type(dtype))
    wide = dtype if jnp.finfo(dtype).bits >= 32 else jnp.dtype("float32")
    times = jnp.arange(n_times, dtype=wide) + jnp.asarray(offset, wide)
    rates = 10_000.0 ** (-2 * jnp.arange((n + 1) // 2, dtype=wide) / n)
    angles = times[:, None] * rates[None]
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)], -1).reshape(n_times, -1)[:, :n].astype(dtype)


@factory(computes="x + sinusoids(T, n)")
@checked(offset=_OFFSET)
def positions(offset: Scalar = 0) -> Layer:
    """Return the layer y_t = x_t + p_{offset+t} with the sines and cosines p of `sinusoids`, t = 0, ..., T - 1.

    Beyond the lengths of `Sequences`, y_t = 0 and dx_t = 0.

    Derivation. p does not depend on x, so dx = dy.

    Args:
      offset: the number of the first time; may be traced.

    Returns:
      A `Layer` without params from x (m, T, n), or `Sequences` of it, to y of the same shape.

    Raises:
      ValueError: if offset is not a whole number of at least 0; at `init`, if an example is not a sequence of floats.

    Example:
      >>> import jax, jaxnn
      >>> from jaxnn import nn
      >>> words = jax.ShapeDtypeStruct((20,), int)
      >>> network = jaxnn.chain(nn.embedding(1000, 64), positions(), nn.multi_head_attention(4))
      >>> network.init(jax.random.key(0), words)[1]
      (20, 64)

    Source: Vaswani et al., "Attention is all you need", 2017, section 3.5.
    """

    def init(key, in_shape):
        SEQUENCE_SHAPE.check("in_shape", array_of(in_shape))
        return (), in_shape

    def forward(params, x, key=None):
        x, lengths = split_lengths(x)
        x = floats(x, "x")
        _, n_times, n = x.shape
        p = in_memory(sinusoids(n_times, n, offset, x.dtype))  # else XLA computes sines for each example again
        y = x + p[None]
        return with_lengths(zero_beyond(within(lengths, n_times), y), lengths), (x[:0], lengths)

    def backward(params, cache, dy):
        like, lengths = cache
        dx = zero_beyond(within(lengths, like.shape[1]), cast_like(like, array_of(dy)))
        return (), cotangent_with_lengths(dx, lengths)

    def rows(params, n_times, n, first, dtype):
        return sinusoids(n_times, n, offset + first, dtype)

    return Layer(init, forward, backward, carried=_counting(init, rows))


@forward_on_any_axes
@checked(params=Leaves(E="longest n"), x=Floats("m T n"), offset=_OFFSET)
def learned_positions_forward(params: Params, x: Array, offset: Scalar = 0) -> tuple[Array, Array]:
    """Compute y_t = x_t + E[offset + t], with a learned vector for each time t = 0, ..., T - 1: a row of E.

    Args:
      params: `{"E": (longest, n)}`.
      x: (m, T, n).
      offset: the number of the first time; may be traced.

    Returns:
      y, in the shape of x, and the cache: x[:0], which has no elements and carries shape and dtype. If offset is
      traced and offset + T is above longest, y is NaN, since a compiled program cannot raise.

    Raises:
      ValueError: if the arrays do not fit, or offset + T is above longest.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"E": jnp.array([[0.5], [0.25], [0.125]])}
      >>> print(learned_positions_forward(params, jnp.ones((1, 2, 1)), offset=1)[0].ravel())
      [1.25  1.125]

    Source: Gehring et al., "Convolutional sequence to sequence learning", 2017, section 3.1.
    """
    E, n_times = params["E"], x.shape[1]
    _up_to(len(E)).check("x", n_times if isinstance(offset, Tracer) else offset + n_times)
    rows = lax.dynamic_slice_in_dim(E, offset, n_times)
    return x + jnp.where(offset + n_times <= len(E), rows, jnp.nan)[None], x[:0]


@backward_on_any_axes
@checked(params=Leaves(E="longest n"), like=Floats("0 T n"), dy=Floats("m T n"), offset=_OFFSET)
def learned_positions_backward(params: Params, like: Array, dy: Array, offset: Scalar = 0) -> tuple[Params, Array]:
    """Compute dE and dx of y_t = x_t + E[offset + t].

    Derivation. y is a sum, so dx = dy; row offset + t of E is added at time t of each example, so its gradient is
    Σ dy_t over the examples, and that of a row that no time has is 0.

    Args:
      params: `{"E": (longest, n)}`.
      like: the cache of `learned_positions_forward`.
      dy: cotangent of y, (m, T, n).
      offset: that of the forward.

    Example:
      >>> import jax.numpy as jnp
      >>> params, dy = {"E": jnp.zeros((3, 1))}, jnp.array([[[1.0], [2.0]], [[3.0], [4.0]]])
      >>> learned_positions_backward(params, jnp.ones((0, 2, 1)), dy, offset=1)[0]["E"].tolist()
      [[0.0], [4.0], [6.0]]
    """
    E = params["E"]
    dE = lax.dynamic_update_slice_in_dim(jnp.zeros_like(E), cast_like(E, dy.sum(0)), offset, 0)
    return {"E": dE}, cast_like(like, dy)


@factory(computes="learned_positions_forward(params, x)")
@checked(longest=Count(), offset=_OFFSET, init=OneOf(_NAMES, fix=scale_hint) | Function("key", "shape", "dtype"))
def learned_positions(
    longest: int, offset: Scalar = 0, init: Literal["zeros", "normal"] | Initializer = _SMALL
) -> Layer:
    """Return the layer y_t = x_t + E[offset + t]; `learned_positions_backward` derives its gradient.

    Beyond the lengths of `Sequences`, y_t = 0, and dy_t is taken as 0.

    Args:
      longest: the number of times that have a vector.
      offset: the number of the first time; may be traced.
      init: how E is initialized, "zeros", "normal" (with the deviation 0.01 of `INITIALIZERS`), or any initializer of
        `jax.nn.initializers`; by default normal with a deviation of 0.02.

    Returns:
      A `Layer` with params `{"E": (longest, n)}` from x (m, T, n), or `Sequences` of it, to y of the same shape.

    Raises:
      ValueError: if a number is below 1, offset below 0 or the initializer unknown; at `init`, if an example is not a
        sequence of floats; at `init` or when called, if offset + T is above longest.

    Example:
      >>> import jax
      >>> params, out_shape = learned_positions(100).init(jax.random.key(0), (20, 64))
      >>> params["E"].shape, out_shape
      ((100, 64), (20, 64))

    Source: Gehring et al., "Convolutional sequence to sequence learning", 2017, section 3.1.
    """

    @checked(key=RandomKey())
    def init_params(key, in_shape):
        n_times, n = structs(SEQUENCE_SHAPE.check("in_shape", array_of(in_shape))).shape
        _up_to(longest).check("in_shape", n_times)
        initializer = init if callable(init) else INITIALIZERS[init]()
        return {"E": initializer(key, (longest, n), jnp.result_type(float))}, in_shape

    def forward(params, x, key=None):
        x, lengths = split_lengths(x)
        y, like = learned_positions_forward(params, x, offset)
        return with_lengths(zero_beyond(within(lengths, x.shape[1]), y), lengths), (like, lengths)

    def backward(params, cache, dy):
        like, lengths = cache
        dy = zero_beyond(within(lengths, like.shape[1]), array_of(dy))
        dparams, dx = learned_positions_backward(params, like, dy, offset)
        return dparams, cotangent_with_lengths(dx, lengths)

    def rows(params, n_times, n, first, dtype):
        E, at = params["E"], offset + first
        found = lax.dynamic_slice_in_dim(E, at, n_times).astype(dtype)
        return jnp.where(at + n_times <= len(E), found, jnp.nan)

    return Layer(init_params, forward, backward, carried=_counting(init_params, rows))


def _counting(init: Any, rows: Any) -> Carried:
    """Return how positions run in pieces: they carry how many times there were before, (m,).

    `rows(params, n_times, n, first, dtype)` returns the positions (n_times, n) from time `first` on.
    """

    def infer(params, stats, x_and_carry):
        x, before = x_and_carry
        x = floats(x, "x")
        _, n_times, n = x.shape
        p = jax.vmap(lambda first: rows(params, n_times, n, first, x.dtype))(before)
        return x + p, before + n_times

    form = carrying_in_inference("positions", init, infer)
    return Carried(form, lambda params, m, length: jnp.zeros(m, "int32"))


def _up_to(longest: int) -> Constraint:
    return Constraint(
        f"sequences of at most {longest} times, the first of which is number offset",
        fix="learned_positions needs a vector for each time",
        test=lambda n: n <= longest,
    )


_PADDED = Sequences(jax.ShapeDtypeStruct((5, 3), "float32"), jax.ShapeDtypeStruct((), "int32"))

CASES = {
    "positions": (positions, (5, 4)),
    "positions_offset_lengths": (lambda: positions(3), _PADDED),
    "learned_positions": (lambda: learned_positions(12), (5, 4)),
    "learned_positions_offset_lengths": (lambda: learned_positions(13, 2), _PADDED),
}
