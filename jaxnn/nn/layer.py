"""`Layer`, a forward/backward pair.

A network is a row of such pairs. The forward of each takes the activations before it and gives its own with a cache;
the backward takes the cotangent of its output with that cache and gives the cotangents of its parameters and of its
input. Forward runs left to right, backward right to left, and nothing else is needed: no tape, no tracing, no class to
inherit from.
"""

from collections.abc import Callable
from typing import NamedTuple

from jaxnn.factories.decorator import factory, known
from jaxnn.typing import Array, Cache, Key, Params, Shape
from jaxnn.validation import check_callable, described


@known
class Layer(NamedTuple):
    """Three pure functions. What they have in common (sizes, rates, slopes) their factory has captured.

    Attributes:
      init: `init(key, in_shape) -> (params, out_shape)`, shapes without the batch axis.
      forward: `forward(params, x, key=None) -> (y, cache)`. With `key=None` nothing is random:
        that is inference.
      backward: `backward(params, cache, dy) -> (dparams, dx)`: exactly the vector-Jacobian product of
        `(params, x) -> y` at the point that the cache was made at. `dparams` has the structure,
        shapes and dtypes of `params`; `dx` those of `x`.
      parts: `parts(params) -> [params of a layer, ...]`: of the layers that it is made of, in the order in which they
        are computed. A combinator says it; a layer that is made of no others leaves it, and is its only part.
      map: `map(f) -> Layer`: the same, of f(layer) in the place of each single layer that it is made of. A combinator
        says it; a layer that is made of no others leaves it, and `map_layers` takes f(layer) itself.

    A layer is static (close over it, or make it a static argument); its params are data. One that a factory made
    equals, prints and pickles as the call that made it. One written as `Layer(...)` equals itself alone, unless the
    function that returns it is decorated with `jaxnn.factory`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> layer = jaxnn.dense(3)
      >>> params, out_shape = layer.init(jax.random.key(0), (5,))
      >>> y, cache = layer.forward(params, jnp.ones((2, 5)))
      >>> dparams, dx = layer.backward(params, cache, jnp.ones_like(y))
      >>> y.shape, dparams["W"].shape, dx.shape
      ((2, 3), (3, 5), (2, 5))
    """

    init: Callable[[Key, Shape], tuple[Params, Shape]]
    forward: Callable[..., tuple[Array, Cache]]
    backward: Callable[[Params, Cache, Array], tuple[Params, Array]]
    parts: Callable[[Params], list[Params]] = lambda params: [params]
    map: Callable[[Callable[["Layer"], "Layer"]], "Layer"] | None = None


@factory
def stateless(
    forward: Callable[[Array], tuple[Array, Cache]],
    backward: Callable[[Cache, Array], Array],
    out_shape: Callable[[Shape], Shape] = lambda in_shape: in_shape,
) -> Layer:
    """A layer without parameters and without randomness, from the pure pair that defines it.

    Args:
      forward: `x -> (y, cache)`.
      backward: `(cache, dy) -> dx`.
      out_shape: an example's shape after the layer, given the shape before it; unchanged by default.

    Returns:
      A `Layer` whose params are `()`.

    Raises:
      ValueError: if forward or backward is no such function, as a `Layer` is not.

    Example:
      >>> import jax.numpy as jnp
      >>> square = stateless(lambda x: (x * x, x), lambda x, dy: 2 * x * dy)
      >>> y, cache = square.forward((), jnp.array([[3.0]]))
      >>> square.backward((), cache, jnp.ones_like(y))[1]
      Array([[6.]], dtype=float32)
    """
    check_callable("forward", forward, "x")
    check_callable("backward", backward, "cache", "dy")
    return Layer(
        init=lambda key, in_shape: ((), out_shape(in_shape)),
        forward=lambda params, x, key=None: forward(x),
        backward=lambda params, cache, dy: ((), backward(cache, dy)),
    )


def map_layers(f: Callable[[Layer], Layer], layer: Layer) -> Layer:
    """The layer, with f(single) in the place of each single layer that it is made of; of a single one, f(layer).

    Args:
      f: from a `Layer` to a `Layer` that takes the same params and inputs.
      layer: any `Layer`.

    Returns:
      A `Layer` that takes the params of `layer`.

    Example:
      >>> import jaxnn
      >>> network, met = jaxnn.chain(jaxnn.dense(4), jaxnn.residual(jaxnn.tanh())), []
      >>> _ = map_layers(lambda single: met.append(single) or single, network)
      >>> len(met)
      2
    """
    return f(layer) if layer.map is None else layer.map(f)


def check_layers(name: str, layers: tuple[Layer, ...]) -> None:
    """A ValueError unless there are layers, and all are; a combinator's name is for the message."""
    if not layers:
        raise ValueError(f"{name} takes at least one Layer, got none")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            fix = "call the factory (`relu()`, not `relu`)" if callable(layer) else "pass layers, such as dense(10)"
            if hasattr(layer, "network"):
                fix = "pass its network, model.network"
            elif isinstance(layer, list | tuple) and not hasattr(layer, "_fields"):
                fix = f"pass them one by one, {name}(*layers)"
            raise ValueError(f"{name} takes Layers, but argument {i} is {described(layer)}: {fix}")


def init_same_shape(name: str, layer: Layer, key: Key, in_shape: Shape) -> Params:
    """Fresh params of a layer that keeps the shape (...) of an example; a ValueError where it does not."""
    params, out_shape = layer.init(key, in_shape)
    if tuple(out_shape) != tuple(in_shape):
        raise ValueError(
            f"{name} needs a layer whose output has the shape of its input, got {in_shape} -> {out_shape}: "
            "add a dense layer that brings the shape back"
        )
    return params
