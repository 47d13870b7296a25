"""A plain JAX function as a layer, with the backward that JAX derives: to be replaced by a derived one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.constraints import Constraint, Function, checked
from jaxnn.factories.decorator import ByAutodiff, factory
from jaxnn.nn.layer import NO_STATISTICS, Layer
from jaxnn.nn.repetition import repeat
from jaxnn.nn.shapes import shapes_of, simplified, structs
from jaxnn.typing import Array, Cache, Key, Params, PyTree, Shapes, TreeStructure

__all__ = ["layer_from"]


def no_params(key: Key, in_shape: Shapes) -> Params:
    """Return `()`, the params of a function without any."""
    return ()


@factory
@checked(function=Function("params", "x"), init=Function("key", "in_shape"))
def layer_from(
    function: Callable[[Params, PyTree], PyTree], init: Callable[[Key, Shapes], Params] = no_params
) -> Layer:
    """Return a plain function of params and inputs as a layer, whose backward is `jax.vjp` of it.

    For a layer whose gradient is not derived yet, or a network of another library, such as Flax's `module.apply`. Its
    repr, and the reports that print it, show that it is by autodiff. What the backward needs is cached, except params.

    Args:
      function: `(params, x) -> y`, in training and in inference, without randomness.
      init: `(key, in_shape) -> params`; without it, params are `()`.

    Returns:
      A `Layer`. The shape of its output is that of the function on an example of `in_shape`.

    Raises:
      ValueError: if an argument is not a function of these arguments; at `init`, if an output has no batch axis.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> scale = layer_from(lambda params, x: params["s"][None] * x, lambda key, in_shape: {"s": jnp.ones(in_shape)})
      >>> network = jaxnn.chain(jaxnn.dense(4), scale)
      >>> params, out_shape = network.init(jax.random.key(0), (3,))
      >>> jax.tree.map(jnp.shape, params[1]), out_shape
      ({'s': (4,)}, (4,))
    """

    def init_layer(key, in_shape):
        params = init(key, simplified(in_shape))
        batch = jax.tree.map(lambda a: jax.ShapeDtypeStruct((_EXAMPLES, *a.shape), a.dtype), structs(in_shape))
        y = _BATCH.check("result of function(params, x)", jax.eval_shape(function, params, batch))
        return params, shapes_of(y)

    pair = autodiff_pair(function)

    def infer(params, stats, x):
        NO_STATISTICS.check("stats", stats)
        return function(params, x)

    return _ByAutodiff(init_layer, lambda params, x, key=None: pair.forward(params, x), pair.backward, infer)


_EXAMPLES = 2
_BATCH = Constraint(
    f"arrays (m, ...), for x of m = {_EXAMPLES} examples",
    fix="keep the axis of examples, x.mean(1) for x.mean()",
    test=lambda y: all(a.shape[:1] == (_EXAMPLES,) for a in jax.tree.leaves(y)),
)


class _ByAutodiff(ByAutodiff, Layer):
    """A layer whose backward is JAX's, as its repr states."""


class Pair(NamedTuple):
    """`forward(params, x) -> (y, cache)`, and `backward(params, cache, dy) -> (dparams, dx)`."""

    forward: Callable[[Params, PyTree], tuple[PyTree, Cache]]
    backward: Callable[[Params, Cache, PyTree], tuple[Params, PyTree]]


def autodiff_pair(function: Callable[[Params, PyTree], PyTree]) -> Pair:
    """Return a forward and its backward by `jax.vjp`, whose cache has no params, nor what is computed of them alone.

    Under `repeat`, a cache with the weights would be a copy of them for each layer. The backward has params as an
    argument; what it needs of them alone, it computes again.
    """

    def residuals(params, x):
        return jax.tree.leaves(jax.vjp(function, params, x)[1])

    def forward(params, x):
        y, pull = jax.vjp(function, params, x)
        leaves, places = jax.tree.leaves(pull), _places_of_x(residuals, params, x)
        like, structure = jax.tree.flatten(jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), x))
        return y, _Residuals([leaves[i] for i in places], places, tuple(like), structure)

    def backward(params, cache, dy):
        x = cache.structure.unflatten([jnp.ones(a.shape, a.dtype) for a in cache.like])
        leaves, structure = jax.tree.flatten(jax.vjp(function, params, x)[1])
        for i, kept in zip(cache.places, cache.kept, strict=True):
            leaves[i] = kept
        return structure.unflatten(leaves)(dy)

    return Pair(forward, backward)


def _places_of_x(function: Callable[..., list[Array]], params: Params, x: PyTree) -> tuple[int, ...]:
    """Return the places of the results of `function(params, x)` that depend on x."""
    jaxpr = jax.make_jaxpr(function)(params, x).jaxpr
    dependent = {id(variable) for variable in jaxpr.invars[len(jax.tree.leaves(params)) :]}
    for equation in jaxpr.eqns:
        if any(id(variable) in dependent for variable in equation.invars):
            dependent.update(map(id, equation.outvars))
    return tuple(i for i, variable in enumerate(jaxpr.outvars) if id(variable) in dependent)


@partial(jax.tree_util.register_dataclass, data_fields=["kept"], meta_fields=["places", "like", "structure"])
@dataclass(frozen=True)
class _Residuals:
    """What the backward needs and depends on x.

    Attributes:
      kept: the arrays.
      places: their places among the leaves of the function that `jax.vjp` returns.
      like: the shapes of the leaves of x.
      structure: of x.
    """

    kept: list[Array]
    places: tuple[int, ...]
    like: tuple[jax.ShapeDtypeStruct, ...]
    structure: TreeStructure


def _tanh_of_product(params: Params, x: Array) -> Array:
    return jnp.tanh(x @ params["W"].T)


def _square_weights(key: Key, in_shape: Shapes) -> Params:
    return {"W": jax.random.normal(key, (in_shape[0], in_shape[0]))}


CASES = {
    "layer_from": (lambda: layer_from(_tanh_of_product, _square_weights), (5,)),
    "layer_from_repeated": (lambda: repeat(layer_from(_tanh_of_product, _square_weights), 3), (5,)),
}
