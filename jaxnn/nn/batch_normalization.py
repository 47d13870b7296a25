"""Batch normalization: each feature is brought to mean 0 and variance 1 over the examples of the batch."""

from contextvars import ContextVar
from typing import Any

import jax.numpy as jnp

from jaxnn.arrays import cast_like, floats, widened
from jaxnn.constraints import NO_CALL, Call, ExampleShape, Floats, Leaves, Nothing, RandomKey, Real, checked
from jaxnn.explicit_axes import backward_on_any_axes, forward_on_any_axes
from jaxnn.factories.decorator import factory
from jaxnn.nn.layer import Layer
from jaxnn.nn.moments import as_row
from jaxnn.typing import Array, Cache, Params, Rows, Statistics
from jaxnn.validation import described

__all__ = ["batch_norm", "batch_norm_backward", "batch_norm_forward", "batch_norm_infer"]

_EPS = Real(0, closed="right")
_PARAMS = Leaves(gamma="n", beta="n")
_FIX = "result.stats of fit are the statistics of training"
_STATISTICS = Leaves(lambda stats: "" if isinstance(stats, dict) else _FIX, _FIX, mean="n", var="n")


in_training: ContextVar[bool] = ContextVar("in_training", default=False)
"""Whether a step of training is traced. There a batch of one value for each channel raises: its variance is 0, so that
y is β and no gradient passes. One whose other examples have weight 0, as the padding of a last batch, does not."""


class _LeadingOf(Floats):
    """An array of floats in the shape of the first axes of another argument, but not of all.

    Args:
      argument: the name of the other argument, checked before.
    """

    def __init__(self, argument: str):
        super().__init__("m ...")
        self.argument, self.description = argument, f"floats for the first axes of {argument}"

    def check(self, name: str, value: Any, call: Call = NO_CALL) -> Any:
        """Return the array."""
        shape = call.arguments[self.argument].shape if self.argument in call.arguments else None
        array = floats(value, name)
        if shape is not None and not (0 < array.ndim < len(shape) and array.shape == shape[: array.ndim]):
            raise ValueError(f"{name} must be {self.description}, {shape}, got {described(value)}")
        return array


@forward_on_any_axes
@checked(params=_PARAMS, x=Floats("m ... n"), rows=_LeadingOf("x") | Nothing(), eps=_EPS)
def batch_norm_forward(
    params: Params, x: Array, rows: Rows | None = None, eps: float = 1e-5
) -> tuple[Array, dict[str, Array]]:
    """Compute y = γ x̂ + β with x̂ = (x - μ)/σ, μ the mean of each feature over the batch and σ² its variance plus ε.

    With w_i how much row i counts and N = Σ_i w_i, μ = Σ_i w_i x_i/N and σ² = Σ_i w_i (x_i - μ)²/N + ε. The rows are
    all axes but the last, so images (m, height, width, n) are normalized over their pixels too. For a row of weight 0,
    x_i is replaced with the constant 0, so that y_i = β - γ μ/σ there; if all weights are 0, N is replaced with 1. μ
    and σ are computed in float32 at least, in two passes; unlike layer normalization, (x - μ)² must not overflow.

    Args:
      params: `{"gamma": (n,), "beta": (n,)}`, the gain γ and the shift β.
      x: inputs, (m, ..., n). Whole numbers become floats.
      rows: how much each example counts, (m,), or each position of it, (m, T); `None` if all count 1. Where that is 0,
        0 is put for x, so that it changes nothing, also if it is not finite.
      eps: ε, which is added to the variance; above 0.

    Returns:
      y, in the shape of x, and the cache: x̂, 1/σ, w and N, with the mean and the variance (without ε).

    Raises:
      ValueError: if the last axis of x does not have the size of γ and β, or rows do not have leading axes of x; in a
        step of training, if there is one value for each channel.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"gamma": jnp.ones(2), "beta": jnp.zeros(2)}
      >>> y, cache = batch_norm_forward(params, jnp.array([[1.0, 10.0], [3.0, 30.0]]))
      >>> print(y)
      [[-0.999995 -1.      ]
       [ 0.999995  1.      ]]

    Source: Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
    shift", 2015.
    """
    if in_training.get() and x.size == x.shape[-1]:
        fix = "use a batch_size above 1 and above the number of micro_batches, or layer_norm()"
        raise ValueError(f"x must be more than one value for each channel in training, got {described(x)}: {fix}")
    over, wide = tuple(range(x.ndim - 1)), widened(x)
    weight, n = _weights(wide, rows)
    if rows is not None:
        wide = jnp.where(weight == 0, 0, wide)  # since 0 · NaN is NaN
    mean = (weight * wide).sum(over) / n
    centered = wide - as_row(mean, x)
    var = (weight * centered**2).sum(over) / n
    scale = 1 / jnp.sqrt(var + eps)
    normalized = centered * as_row(scale, x)
    y = as_row(params["gamma"], x) * normalized + as_row(params["beta"], x)
    cache = {"x": normalized.astype(x.dtype), "scale": scale, "weight": weight, "n": n, "mean": mean, "var": var}
    return y.astype(jnp.result_type(x, *params.values())), cache


@backward_on_any_axes
def batch_norm_backward(params: Params, cache: dict[str, Array], dy: Array) -> tuple[Params, Array]:
    """Compute dγ = Σ dy x̂, dβ = Σ dy, and dx_i = γ/σ (dy_i - w_i (dβ + x̂_i dγ)/N), with w_i how much row i counts.

    Where w_i = 0, dx_i = 0.

    Derivation, for one feature. y_i = γ x̂_i + β gives dγ and dβ, and γ dy_i as the cotangent of x̂_i. With s_i = w_i/N,
    μ = Σ_k s_k x_k, σ² = Σ_k s_k (x_k - μ)² + ε and Σ_k s_k = 1,

        ∂μ/∂x_i   = s_i
        ∂σ/∂x_i   = s_i (x_i - μ)/σ = s_i x̂_i                 the part through μ is Σ_k s_k (x_k - μ) = 0
        ∂x̂_k/∂x_i = ([i = k] - s_i)/σ - x̂_k/σ · s_i x̂_i        the quotient rule on (x_k - μ)/σ
        dx_i      = γ Σ_k dy_k ∂x̂_k/∂x_i = γ/σ (dy_i - s_i Σ_k dy_k - s_i x̂_i Σ_k dy_k x̂_k)

    and the two sums are dβ and dγ. A row of weight 0 has the constant 0 in place of x_i, so dx_i = 0, and not γ/σ dy_i
    as in the last line. Its y_i = γ x̂_i + β, with x̂_i = -μ/σ, still depends on γ, on β and, through μ and σ, on the
    other rows: so the sums over k, which are dβ and dγ, contain it.

    Args:
      params: `{"gamma": (n,), "beta": (n,)}`.
      cache: of `batch_norm_forward`.
      dy: cotangent of y, (m, ..., n).

    Returns:
      `{"gamma": dγ (n,), "beta": dβ (n,)}` and dx, in the shape of x.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"gamma": jnp.ones(1), "beta": jnp.zeros(1)}
      >>> y, cache = batch_norm_forward(params, jnp.array([[1.0], [2.0], [3.0]]))
      >>> print(batch_norm_backward(params, cache, jnp.array([[1.0], [0.0], [0.0]]))[1].ravel().round(3))
      [ 0.204 -0.408  0.204]
    """
    x, scale, weight, n = (cache[name] for name in ("x", "scale", "weight", "n"))
    wide, normalized, over = widened(floats(dy, "dy")), widened(x), tuple(range(x.ndim - 1))
    dgamma, dbeta = (wide * normalized).sum(over), wide.sum(over)
    gain = as_row(widened(params["gamma"]) * scale, x)
    dx = gain * (wide - weight * ((as_row(dbeta, x) + normalized * as_row(dgamma, x)) / n))
    if weight.ndim:
        dx = jnp.where(weight == 0, 0, dx)  # where 0 was put for x
    return {"gamma": cast_like(params["gamma"], dgamma), "beta": cast_like(params["beta"], dbeta)}, cast_like(x, dx)


@checked(params=_PARAMS, stats=_STATISTICS, x=Floats("... n"), eps=_EPS)
def batch_norm_infer(params: Params, stats: Statistics, x: Array, eps: float = 1e-5) -> Array:
    """Compute y = γ (x - μ)/σ + β with the mean and variance that were observed in training.

    Args:
      params: `{"gamma": (n,), "beta": (n,)}`.
      stats: `{"mean": (n,), "var": (n,)}`.
      x: inputs, (..., n).
      eps: ε, which is added to the variance.

    Returns:
      y, in the shape of x.

    Raises:
      ValueError: if the statistics are missing or those of another network.

    Example:
      >>> import jax.numpy as jnp
      >>> params, stats = {"gamma": jnp.ones(1), "beta": jnp.zeros(1)}, {"mean": jnp.ones(1), "var": jnp.ones(1)}
      >>> batch_norm_infer(params, stats, jnp.array([[3.0]])).round(3).item()
      2.0
    """
    wide = widened(x)
    mean, var = (as_row(stats[name].astype(wide.dtype), x) for name in ("mean", "var"))
    normalized = (wide - mean) / jnp.sqrt(var + eps)
    y = as_row(params["gamma"], x) * normalized + as_row(params["beta"], x)
    return y.astype(jnp.result_type(x, *params.values()))


@factory(computes="batch_norm_forward(params, x)")
@checked(eps=_EPS)
def batch_norm(eps: float = 1e-5) -> Layer:
    """Return the layer y = γ (x - μ)/σ + β over the examples of a batch; `batch_norm_backward` derives its gradient.

    In inference, μ and σ are averages of those of the batches in training, so that the output of an example does not
    depend on others. γ starts at one and β at zero. Neither is a weight, so no regularizer shrinks them by default.

    Args:
      eps: ε in σ² = variance + ε, a scalar above 0; may be traced.

    Returns:
      A `Layer` with params `{"gamma": (n,), "beta": (n,)}` and statistics `{"mean": (n,), "var": (n,)}`, n the last
      axis of an example.

    Raises:
      ValueError: if eps is not a finite number above 0; at `init`, if an example is a single number; in inference, if
        the statistics are missing or those of another network; in a step of training, if a batch has one value for each
        channel, as one example that is a vector.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> network = jaxnn.chain(jaxnn.dense(4), batch_norm(), jaxnn.relu())
      >>> params, out_shape = network.init(jax.random.key(0), (3,))
      >>> y, cache = network.forward(params, jnp.ones((2, 3)))
      >>> jax.tree.map(jnp.shape, network.observe(cache))
      ((), {'mean': (4,), 'var': (4,)}, ())
    """

    @checked(key=RandomKey(), in_shape=ExampleShape(least=1))
    def init(key, in_shape):
        dtype = jnp.result_type(float)
        return {"gamma": jnp.ones(in_shape[-1], dtype), "beta": jnp.zeros(in_shape[-1], dtype)}, in_shape

    def forward(params, x, key=None, rows=None):
        return batch_norm_forward(params, x, rows, eps)

    def infer(params, stats, x):
        return batch_norm_infer(params, stats, x, eps)

    return Layer(init, forward, batch_norm_backward, infer, _observed, across=True)


def _observed(cache: Cache) -> Statistics:
    return {"mean": cache["mean"], "var": cache["var"]}


def _weights(x: Array, rows: Rows | None) -> tuple[Array, Array]:
    """Return how much each row counts, with the axes of x or as a scalar, and the sum over all rows, 1 instead of 0."""
    n = x.size // x.shape[-1]
    if rows is None:
        return jnp.ones((), x.dtype), jnp.asarray(n, x.dtype)
    rows = rows.astype(x.dtype)
    total = rows.sum() * (n // max(rows.size, 1))
    return jnp.expand_dims(rows, tuple(range(rows.ndim, x.ndim))), jnp.where(total == 0, 1, total)


CASES = {
    "batch_norm": (batch_norm, (5,)),
    "batch_norm_images": (batch_norm, (2, 3, 4)),
    "batch_norm_eps": (lambda: batch_norm(0.5), (5,)),
}
