"""`Layer`, a forward/backward pair, and the combinators that build layers from layers.

A network is a row of such pairs. The forward of each takes the activations before it and gives its
own with a cache; the backward takes the cotangent of its output with that cache and gives the
cotangents of its parameters and of its input. Forward runs left to right, backward right to left,
and nothing else is needed: no tape, no tracing, no class to inherit from.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.checks import check_callable, described, held
from jaxnn.factories import factory, known
from jaxnn.typing import Array, Cache, Key, Params, Shape


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


@factory
def residual(layer: Layer) -> Layer:
    """A skip connection: y = x + f(x), so dx = dy + f's own dx, and dparams is f's.

    Args:
      layer: a `Layer` whose output has the shape of its input.

    Returns:
      A `Layer` with the params and the cache of `layer`.

    Raises:
      ValueError: at `init` or forward, the layer changes the shape of its input.

    Example:
      >>> import jax.numpy as jnp, jaxnn
      >>> residual(jaxnn.identity()).forward((), jnp.array([[1.0]]))[0]
      Array([[2.]], dtype=float32)

    Source: He et al., "Deep residual learning for image recognition", 2015, equation 1.
    """
    check_layers("residual", (layer,))

    def init(key, in_shape):
        return init_same_shape("residual", layer, key, in_shape), in_shape

    def forward(params, x, key=None):
        x = held(x)
        y, cache = layer.forward(params, x, key)
        if y.shape != x.shape:
            raise ValueError(f"residual needs a layer that keeps the shape of its input, got {x.shape} -> {y.shape}")
        return x + y, cache

    def backward(params, cache, dy):
        dparams, dx = layer.backward(params, cache, dy)
        return dparams, dx + dy

    return Layer(init, forward, backward, layer.parts, lambda f: residual(map_layers(f, layer)))


@factory
def recompute(layer: Layer) -> Layer:
    """Gradient checkpointing by hand: remember only the input, run the forward again in the backward.

    Values and gradients are those of `layer`. Memory between forward and backward falls from the whole
    cache to x; time grows by one forward. The key is remembered too, so dropout drops the same units.

    On a CPU, XLA merges the two forwards of one straight line all the same, as it does for `jax.checkpoint`, and then
    nothing is saved. Under `repeat` they are in two loops, which nothing merges.

    Args:
      layer: any `Layer`; the longer the chain inside, the more is saved.

    Returns:
      A `Layer` with the params of `layer` and the cache (x, key).

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> network = recompute(jaxnn.chain(jaxnn.dense(64), jaxnn.tanh(), jaxnn.dense(64), jaxnn.tanh()))
      >>> params, _ = network.init(jax.random.key(0), (8,))
      >>> y, cache = network.forward(params, jnp.ones((2, 8)))
      >>> [leaf.shape for leaf in jax.tree.leaves(cache)]
      [(2, 8)]

    Source: Chen et al., "Training deep nets with sublinear memory cost", 2016.
    """
    check_layers("recompute", (layer,))

    def forward(params, x, key=None):
        x = held(x)
        y, _ = layer.forward(params, x, key)
        return y, (x, key)

    def backward(params, cache, dy):
        x, key = cache
        # Without the barrier XLA sees the same forward twice, merges the two, and keeps what was to be forgotten.
        params, x, dy = jax.lax.optimization_barrier((params, x, dy))
        _, cache = layer.forward(params, x, key)
        return layer.backward(params, cache, dy)

    return Layer(layer.init, forward, backward, layer.parts, lambda f: recompute(map_layers(f, layer)))


@factory
def with_dtype(layer: Layer, dtype: jnp.dtype) -> Layer:
    """The layer computed in another precision, on params and inputs that keep theirs.

    y = cast(f(cast(params), cast(x))): params (the master copy) and x are cast to `dtype` on the way in, y back
    to x's dtype on the way out. A cast's vector-Jacobian product is the cast back, so dparams comes in
    the dtype of params and dx in that of x.

    Args:
      layer: any `Layer`.
      dtype: a floating dtype, such as `jnp.bfloat16`. Integer leaves are left as they are.

    Returns:
      A `Layer` with the params of `layer`, whose cache is held in `dtype`.

    Raises:
      ValueError: the dtype is not a floating one.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> layer = with_dtype(jaxnn.dense(4), jnp.bfloat16)
      >>> params, _ = layer.init(jax.random.key(0), (3,))
      >>> y, cache = layer.forward(params, jnp.ones((2, 3)))
      >>> params["W"].dtype.name, cache.dtype.name, y.dtype.name
      ('float32', 'bfloat16', 'float32')

    Source: Micikevicius et al., "Mixed precision training", 2017, section 3.1.
    """
    check_layers("with_dtype", (layer,))
    try:
        name = "None" if dtype is None else jnp.dtype(dtype).name
    except TypeError:  # NumPy knows no such dtype
        name = described(dtype)
    if not name.startswith(("float", "bfloat")):
        raise ValueError(f"with_dtype computes in a floating dtype, got {name}: try jnp.bfloat16")
    if not isinstance(dtype, np.dtype):
        return with_dtype(layer, jnp.dtype(dtype))  # by one name of many

    def cast(tree):
        return jax.tree.map(lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree)

    def forward(params, x, key=None):
        y, cache = layer.forward(cast(params), cast(x), key)
        return y.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else y, cache

    def backward(params, cache, dy):
        dparams, dx = layer.backward(cast(params), cache, dy.astype(dtype))
        # y went out in x's dtype, so dy's dtype is x's, and dx's too.
        return jax.tree.map(lambda d, p: d.astype(p.dtype), dparams, params), dx.astype(dy.dtype)

    def map_each(f):
        # Casts between layers change no number: what one gives out in `dtype` comes into the next as it was.
        return map_layers(lambda single: f(with_dtype(single, dtype)), layer)

    return Layer(layer.init, forward, backward, layer.parts, None if layer.map is None else map_each)


def differentiable(layer: Layer) -> Callable[..., Array]:
    """The layer as one function for use inside anybody's `jax.grad`, with the hand-derived backward as its rule.

    The plain `layer.forward` carries no rule: JAX differentiates it by itself, which makes it the honest
    witness against which a backward is proved. This one does carry the rule, so comparing
    its gradient with `layer.backward` would compare a thing with itself.

    Args:
      layer: any `Layer`.

    Returns:
      `apply(params, x, key=None) -> y`, a `jax.custom_vjp` function: reverse mode, of any order. Forward mode
      (`jax.jvp`) raises, as it does for every `custom_vjp`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> apply = differentiable(jaxnn.tanh())
      >>> jax.grad(lambda x: apply((), x).sum())(jnp.array([[0.0]]))
      Array([[1.]], dtype=float32)
    """
    check_layers("differentiable", (layer,))

    @jax.custom_vjp
    def apply(params, x, key):
        return layer.forward(params, x, key)[0]

    def forward(params, x, key):
        y, cache = layer.forward(params, x, key)
        return y, (params, cache)

    def backward(residuals, dy):
        dparams, dx = layer.backward(*residuals, dy)
        return dparams, dx, None

    apply.defvjp(forward, backward)
    return lambda params, x, key=None: apply(params, held(x), key)


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
