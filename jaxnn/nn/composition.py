"""Layers one after the other (`chain`) and around each other (`residual`): the chain rule."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import add_cotangents, promote_large_integers
from jaxnn.constraints import Each, ExampleTree, RandomKey, checked
from jaxnn.factories.decorator import factory
from jaxnn.marking.places import RESIDUAL
from jaxnn.nn.activations import sigmoid, tanh
from jaxnn.nn.boundaries import run_init
from jaxnn.nn.combinators import (
    Naming,
    alone,
    check_kept,
    combined,
    in_a_tuple,
    init_same_shape,
    layer_keys,
    naming_layer,
)
from jaxnn.nn.layer import LAYER, Layer
from jaxnn.nn.linear import dense
from jaxnn.nn.rectifiers import relu, silu
from jaxnn.nn.reshaping import flatten
from jaxnn.nn.shapes import hashable, simplified
from jaxnn.nn.stochastic import dropout
from jaxnn.typing import Key, Params, PyTree, Shapes

__all__ = ["chain", "residual"]


@factory
@checked(layer=LAYER)
def residual(layer: Layer) -> Layer:
    """Return a layer with a skip connection, y = x + f(x). Lengths of `Sequences` stay as they are.

    Derivation. dy reaches x directly and through f, so dx is dy plus the dx of f, and dparams is that of f.

    Args:
      layer: a `Layer` whose output has the shape of its input.

    Returns:
      A `Layer` with the params and the cache of `layer`.

    Raises:
      ValueError: if the layer changes the shape of its input, at `init` or forward.

    Example:
      >>> import jax.numpy as jnp, jaxnn
      >>> residual(jaxnn.nn.identity()).forward((), jnp.array([[1.0]]))[0]
      Array([[2.]], dtype=float32)

    Source: He et al., "Deep residual learning for image recognition", 2015, equation 1.
    """

    def init(key, in_shape):
        return init_same_shape("residual", layer, key, in_shape), in_shape

    def forward(run, x):
        x = jax.tree.map(promote_large_integers, x)
        y = run(0, x)
        check_kept("residual", "the shape", jax.tree.map(jnp.shape, x), jax.tree.map(jnp.shape, y))
        return add_floats(x, y)

    def backward(run, dy):
        return add_cotangents(run(0, dy), dy)

    return combined([layer], alone(RESIDUAL), init, forward, backward, lambda key: [key])


def add_floats(x: PyTree, y: PyTree) -> PyTree:
    """Return x + y, leaf by leaf; whole numbers of y, such as lengths of sequences, are as they are."""
    return jax.tree.map(lambda a, b: a + b if jnp.issubdtype(jnp.result_type(b), jnp.inexact) else b, x, y)


@factory
@checked(layers=Each(LAYER, least=1))
def chain(*layers: Layer) -> Layer:
    """Compose layers one after another: y = f_L(... f_2(f_1(x))).

    Derivation. Backward is the chain rule, read from the right: with dx_L = dy, layer l turns the cotangent of its
    output into (dparams_l, dx_{l-1}), and dx_{l-1} is the cotangent of layer l-1's output.

    Args:
      *layers: at least one `Layer`.

    Returns:
      A `Layer` whose params and cache are tuples with one entry per layer. Layer i draws its random numbers
      from `fold_in(key, i)`, so a layer added at the end does not change those before it.

    Raises:
      ValueError: if there is no layer, or an argument is not a `Layer`; when called, if params or a cache were made by
        another network, or the key is not a random key.

    Example:
      >>> import jax, jaxnn
      >>> network = chain(jaxnn.dense(4), jaxnn.tanh(), jaxnn.dense(1))
      >>> params, out_shape = network.init(jax.random.key(0), (3,))
      >>> out_shape, [len(p) for p in params]
      ((1,), [2, 0, 2])

    Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986.
    """
    return sequential(layers, partial(layer_keys, n=len(layers)), 0, len(layers))


def sequential(
    layers: Sequence[Layer], keys_of: Callable[[Key], Sequence[Key] | Key], first: int = 0, total: int | None = None
) -> Layer:
    """Return the layers one after another, layer i with the key `keys_of(key)[i]`.

    With `total`, errors name a layer by its number in the whole network, in which layer 0 here is number `first` + 1.
    """
    naming = partial(naming_layer, layers, first, total)

    @checked(key=RandomKey())
    def init(key, in_shape):
        return init_all(layers, partial(keys_of, key), in_shape, naming)

    def forward(run, x):
        for i in range(len(layers)):
            x = run(i, x)
        return x

    def backward(run, dy):
        for i in reversed(range(len(layers))):
            dy = run(i, dy)
        return dy

    return combined(layers, in_a_tuple(len(layers)), init, forward, backward, keys_of, naming)


@checked(in_shape=ExampleTree())
def init_all(
    layers: Sequence[Layer], keys_of: Callable[[], Any], in_shape: Shapes, naming: Naming
) -> tuple[tuple[Params, ...], Shapes]:
    """Initialize consecutive layers; return the params of each and the shape after the last.

    Equal layers on equal shapes are initialized by one loop over their keys. The numbers are the same, but the
    initializer compiles once; otherwise compiling it would take most of the time to a deep network's first step.
    """
    keys, times, shape = keys_of(), _times(layers), simplified(in_shape)
    params, groups = {}, {}  # by index of a layer; the shapes and indices of equal layers on equal shapes
    for i, layer in enumerate(layers):
        if times[i] == 1:
            with naming(i):
                params[i], shape = run_init(layer, keys[i], shape)
        else:
            group = layer, hashable(shape)
            if group not in groups:
                with naming(i):
                    groups[group] = shape, _out_shape(layer, keys[i], shape), []
            _, shape, indices = groups[group]
            indices.append(i)
        shape = simplified(shape)
    for (layer, _), (layer_shape, _, indices) in groups.items():
        # The keys are made again, since JAX's check for reused keys counts an indexed array of keys as used up.
        stacked = jax.lax.map(partial(_init_params, layer, layer_shape), keys_of()[np.array(indices)])
        params |= {index: jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i, index in enumerate(indices)}
    return tuple(params[i] for i in range(len(layers))), shape


def _times(layers: Sequence[Layer]) -> list[int]:
    """Return how many of the layers equal each; 1 if the functions of one have no hash."""
    try:
        times = Counter(layers)
    except TypeError:
        return [1] * len(layers)
    return [times[layer] for layer in layers]


def _init_params(layer: Layer, in_shape: Shapes, key: Key) -> Params:
    return run_init(layer, key, in_shape)[0]


def _out_shape(layer: Layer, key: Key, in_shape: Shapes) -> Shapes:
    """Return the shape after the layer without drawing its params."""
    shapes = []
    jax.eval_shape(lambda key: shapes.append(run_init(layer, key, in_shape)[1]), key)
    return shapes[0]


CASES = {
    "residual": (lambda: residual(chain(dense(5), tanh())), (5,)),
    "residual_dropout": (lambda: residual(chain(dense(5), sigmoid(), dropout(0.4))), (5,), {"random": True}),
    "chain": (lambda: chain(dense(4), relu(), dense(3)), (5,)),
    "chain_of_one": (lambda: chain(dense(4)), (5,)),
    "chain_images": (lambda: chain(flatten(), dense(3), silu()), (2, 3, 2)),
    "chain_dropout": (lambda: chain(dropout(0.2), chain(dense(5), sigmoid(), dropout(0.4))), (5,), {"random": True}),
}
