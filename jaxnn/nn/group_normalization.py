"""Group normalization: each group of channels of an example is brought to mean 0 and variance 1, over all places."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.arrays import cast_like, widened
from jaxnn.constraints import NO_CALL, Call, Count, ExampleShape, Floats, Leaves, RandomKey, Real, checked
from jaxnn.explicit_axes import backward_on_any_axes, forward_on_any_axes
from jaxnn.factories.decorator import factory
from jaxnn.nn.layer import Layer
from jaxnn.nn.moments import checked_cotangent, mean_of_rows, standardize, standardize_backward
from jaxnn.typing import Array, Cache, Params

__all__ = ["group_norm", "group_norm_backward", "group_norm_forward"]

_EPS = Real(0, closed="right")


class _Groups(Count):
    """How many groups the channels of params, checked before, are divided into."""

    def check(self, name: str, value: Any, call: Call = NO_CALL) -> int:
        """Return the number; raise ValueError if it does not divide the number of channels."""
        return _dividing(super().check(name, value, call), call.sizes["n"])


@forward_on_any_axes
@checked(params=Leaves(gamma="n", beta="n"), x=Floats("m ... n"), groups=_Groups(), eps=_EPS)
def group_norm_forward(params: Params, x: Array, groups: int, eps: float = 1e-5) -> tuple[Array, Cache]:
    """Compute y = γ x̂ + β with x̂ = (x - μ)/σ, μ the mean of x over a group of an example and σ² its variance plus ε.

    The n channels are divided into groups of n/groups adjacent ones; a group of an example has these channels of all
    its places. With one group this is layer normalization over places and channels; with n groups, one channel each,
    it is instance normalization. μ and σ are computed in float32 at least, and also right for numbers whose squares
    overflow.

    Args:
      params: `{"gamma": (n,), "beta": (n,)}`, the gain γ and the shift β.
      x: inputs, (m, ..., n), such as images (m, height, width, n). Whole numbers become floats.
      groups: the number of groups, which divides n.
      eps: ε, which is added to the variance; above 0.

    Returns:
      y, in the shape of x, and the cache: x itself, not a copy, with μ and σ, (m, 1, groups, 1) each.

    Raises:
      ValueError: if the last axis of x does not have the size of γ and β, or is not divisible by groups.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"gamma": jnp.ones(4), "beta": jnp.zeros(4)}
      >>> y, cache = group_norm_forward(params, jnp.array([[1.0, 3.0, -10.0, 10.0]]), groups=2)
      >>> print(y.round(3))
      [[-1.  1. -1.  1.]]
    """
    z = _in_groups(x, groups)
    normalized, *statistics = standardize(z, _mean_of_groups, eps)
    y = _in_groups(params["gamma"], groups) * normalized + _in_groups(params["beta"], groups)
    return y.reshape(x.shape).astype(jnp.result_type(x, *params.values())), (x, *statistics)


@backward_on_any_axes
def group_norm_backward(params: Params, cache: tuple[Array, Array, Array], dy: Array) -> tuple[Params, Array]:
    """Compute dγ = Σ dy x̂, dβ = Σ dy, and dx = (d - mean(d) - x̂ mean(d x̂))/σ with d = γ dy.

    The sums are over examples and places, the means over a group of an example.

    Derivation. It is that of `layer_norm_backward` for the N numbers x_k of one group, places times channels of the
    group: μ = Σ_k x_k/N and σ² = Σ_k (x_k - μ)²/N + ε, so ∂x̂_k/∂x_j = ([j = k] - 1/N - x̂_k x̂_j/N)/σ. With
    d_k = γ_c dy_k the cotangent of x̂_k, c the channel of number k,

        dx_j = Σ_k d_k ∂x̂_k/∂x_j = (d_j - Σ_k d_k/N - x̂_j Σ_k d_k x̂_k/N)/σ

    A channel's γ is one factor for all places, so both sums are first taken over the places, which gives dγ and dβ of
    this example, and then, times γ, over the channels of the group.

    Args:
      params: `{"gamma": (n,), "beta": (n,)}`.
      cache: of `group_norm_forward`.
      dy: cotangent of y, (m, ..., n).

    Returns:
      `{"gamma": dγ (n,), "beta": dβ (n,)}` and dx, in the shape of x.

    Raises:
      ValueError: if dy does not have the shape of x.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"gamma": jnp.ones(3), "beta": jnp.zeros(3)}
      >>> y, cache = group_norm_forward(params, jnp.array([[1.0, 2.0, 3.0]]), groups=1)
      >>> print(group_norm_backward(params, cache, jnp.array([[1.0, 0.0, 0.0]]))[1].round(3))
      [[ 0.204 -0.408  0.204]]

    Source: Wu and He, "Group normalization", 2018, section 3.
    """
    x, mu, deviation = cache
    groups = mu.shape[2]
    z, dz = _in_groups(x, groups), _in_groups(checked_cotangent(x, dy), groups)
    gain = widened(_in_groups(params["gamma"], groups))
    dx, product = standardize_backward(z, mu, deviation, _mean_of_groups, gain, dz)
    # In two steps, since the sums over places are those of the means.
    dparams = {name: a.sum(1).sum(0).ravel() for name, a in (("gamma", product), ("beta", dz))}
    return jax.tree.map(cast_like, params, dparams), cast_like(x, dx.reshape(x.shape))


@factory(computes="group_norm_forward(params, x, groups)")
@checked(groups=Count(), eps=_EPS)
def group_norm(groups: int, eps: float = 1e-5) -> Layer:
    """Return the layer y = γ (x - μ)/σ + β over the places and the channels of each group, for each example alone.

    `group_norm_backward` derives its gradient. γ starts at one and β at zero. Neither is a weight, so no regularizer
    shrinks them by default.

    Args:
      groups: the number of groups, which divides the number of channels: 1 is layer normalization over places and
        channels, one for each channel instance normalization.
      eps: ε in σ² = variance + ε, a scalar above 0; may be traced.

    Returns:
      A `Layer` with params `{"gamma": (n,), "beta": (n,)}`, n the last axis of an example, for any number of others.

    Raises:
      ValueError: if groups is not a whole number of at least 1, or eps is not a finite number above 0; at `init`, if an
        example is a single number, or its channels are not divisible by groups.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> layer = group_norm(2)
      >>> params, out_shape = layer.init(jax.random.key(0), (8, 8, 4))
      >>> layer.infer(params, (), jnp.ones((3, 8, 8, 4))).shape
      (3, 8, 8, 4)
    """

    @checked(key=RandomKey(), in_shape=ExampleShape(least=1))
    def init(key, in_shape):
        n, dtype = in_shape[-1], jnp.result_type(float)
        _dividing(groups, n)
        return {"gamma": jnp.ones(n, dtype), "beta": jnp.zeros(n, dtype)}, in_shape

    return Layer(init, lambda params, x, key=None: group_norm_forward(params, x, groups, eps), group_norm_backward)


def _dividing(groups: int, n: int) -> int:
    if n % groups:
        divisors = [k for k in range(1, n + 1) if n % k == 0]
        raise ValueError(f"groups must divide the {n} channels of x, got {groups}: one of {divisors}")
    return groups


def _in_groups(a: Array, groups: int) -> Array:
    """Return x (m, ..., n) as (m, places, groups, n/groups), or γ or β (n,) as (1, 1, groups, n/groups)."""
    m, *places = a.shape[:-1] or (1,)
    return a.reshape(m, math.prod(places), groups, a.shape[-1] // groups)


def _mean_of_groups(a: Array, weights: Array) -> Array:
    """Return the mean of `weights * a` over places and the channels of a group, (m, 1, groups, 1)."""
    of_channels = a.sum(1, keepdims=True) * weights
    return mean_of_rows(of_channels, jnp.ones(a.shape[-1], a.dtype)) / a.shape[1]


CASES = {
    "group_norm": (lambda: group_norm(2), (6,)),
    "group_norm_images": (lambda: group_norm(2), (2, 3, 4)),
    "group_norm_eps": (lambda: group_norm(3, 0.5), (6,)),
    "group_norm_one_group": (lambda: group_norm(1), (2, 4)),
    "group_norm_one_channel_each": (lambda: group_norm(4), (3, 4)),
}
