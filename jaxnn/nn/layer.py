"""`Layer`, a forward/backward pair.

A network is a sequence of such pairs. Each forward takes the activations before it and returns its output and a cache;
the backward takes that cache and the cotangent of the output and returns the cotangents of the layer's parameters and
of its input. Forward runs left to right, backward right to left, and nothing else is needed: no tape, no tracing, no
class to inherit from.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from jaxnn.constraints import Constraint, Function, Instance, checked
from jaxnn.explicit_axes import as_rows, backward_on_any_axes, forward_on_any_axes, on_any_axes
from jaxnn.factories.decorator import completed_by, derived_field, factory, factory_made
from jaxnn.nn.shapes import simplified
from jaxnn.typing import Array, Cache, Key, Params, PyTree, Shapes, Statistics
from jaxnn.validation import unless_lengths

__all__ = ["Carried", "Layer", "stateless"]

Infer = Callable[[Params, Statistics, PyTree], PyTree]


def observe_nothing(cache: Cache) -> Statistics:
    """Return `()`, no statistics: the default of `Layer.observe`."""
    return ()


class Carried(NamedTuple):
    """How a layer of sequences runs a long one piece by piece: see `carried`.

    Attributes:
      layer: the `Layer` from (x, carry) to (y, carry), with the same params: it begins where an earlier piece ended.
      start: `start(params, m, length) -> carry`, zeros, of m sequences; a layer that keeps what it saw needs the whole
        length, `None` if unknown.
    """

    layer: Any
    start: Callable[[Params, int, int | None], PyTree]


def is_pair(value: Any) -> bool:
    """Return whether it is a tuple of two values, not one array, one shape (5, 3) or one batch of `Sequences`."""
    return type(value) is tuple and len(value) == 2 and not any(isinstance(one, int) for one in value)


WITH_CARRY = Constraint("(x, carry)", fix="start_carry(layer, params, m) makes the first carry", test=is_pair)
"""The constraint of what a carried layer takes."""


@factory_made
class Layer(NamedTuple):
    """Pure functions that share the sizes, rates and slopes captured by their factory.

    x and y are pytrees of arrays, each with the batch axis first; for most layers they are one array.

    Attributes:
      init: `init(key, in_shape) -> (params, out_shape)`. A shape is that of one example: a tuple of sizes for one array
        of floats, else a pytree of `jax.ShapeDtypeStruct`.
      forward: `forward(params, x, key=None) -> (y, cache)`, as in training: a random layer needs the key.
      backward: `backward(params, cache, dy) -> (dparams, dx)`: exactly the vector-Jacobian product of
        `(params, x) -> y` at the point where the cache was made. `dparams` has the structure,
        shapes and dtypes of `params`; `dx` those of `x`, with a float0 for whole numbers, as `jax.vjp` has it.
      infer: `infer(params, stats, x) -> y`, as in inference: without randomness, and with the statistics of training
        instead of those of the batch. By default the y of `forward`.
      observe: `observe(cache) -> stats`, the statistics of a batch that inference needs, `()` by default. Training
        takes weighted means of them over the batches, as of means and variances.
      across: whether y of one example depends on other examples, as in batch normalization. `forward` then has a fourth
        argument, `rows`, how much each example counts, (m,); `None` if all count 1. An example of weight 0 changes
        nothing, and one of weight 2 counts as if it were there twice.
      parts: `parts(params) -> [params of a layer, ...]` splits params by primitive layer, in execution order.
        Combinators override it; by default a layer is its only part.
      carried: how it runs a sequence in pieces, a `Carried`; `None` for a layer that does not. Combinators derive it
        from their parts.

    A layer is static (close over it, or make it a static argument); its params are data. One that a factory made
    equals, prints and pickles as the call that made it. One written as `Layer(...)` equals only itself, unless the
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

    init: Callable[[Key, Shapes], tuple[Params, Shapes]]
    forward: Callable[..., tuple[PyTree, Cache]]
    backward: Callable[[Params, Cache, PyTree], tuple[Params, PyTree]]
    infer: Infer = cast(Infer, None)  # see `derived_field`
    observe: Callable[[Cache], Statistics] = observe_nothing
    across: bool = False
    parts: Callable[[Params], list[Params]] = lambda params: [params]
    carried: Carried | None = None


def _completed(layer: Any) -> Any:
    """Return the layer with functions that run on explicit axes too."""
    parts = dict(
        forward=forward_on_any_axes(layer.forward),
        backward=backward_on_any_axes(layer.backward),
        infer=layer[3] and on_any_axes(layer[3], lambda y, params, stats, x: as_rows(y, x)),
    )
    return layer._replace(**parts)


completed_by(Layer, _completed)


def observes(*layers: Layer) -> bool:
    """Return whether one of the layers may observe something, which is known without a trace."""
    return any(layer.observe is not observe_nothing for layer in layers)


NO_STATISTICS = Constraint(
    "() for a layer without statistics",
    fix="statistics are those of another network",
    test=lambda stats: not jax.tree.leaves(stats),
)


def _infer_by_forward(layer: Layer) -> Infer:
    def infer(params, stats, x):
        NO_STATISTICS.check("stats", stats)
        return layer.forward(params, x)[0]

    return infer


derived_field(Layer, "infer", _infer_by_forward)


_OF_FLOATS = Constraint(
    "the shape of one example of floats",
    fix=lambda shape: unless_lengths(shape, "it takes floats: put embedding(vocabulary, n) before it"),
    test=lambda shape: all(jnp.issubdtype(getattr(a, "dtype", float), jnp.floating) for a in jax.tree.leaves(shape)),
)


@factory
@checked(forward=Function("x"), backward=Function("cache", "dy"))
def stateless(
    forward: Callable[[Array], tuple[Array, Cache]],
    backward: Callable[[Cache, Array], Array],
    out_shape: Callable[[Shapes], Shapes] = lambda in_shape: in_shape,
    whole_numbers: bool = False,
) -> Layer:
    """Return a layer without parameters and randomness from the pure pair that defines it.

    Args:
      forward: `x -> (y, cache)`.
      backward: `(cache, dy) -> dx`.
      out_shape: maps the shape of an example before the layer to that after it; unchanged by default.
      whole_numbers: whether the layer takes whole numbers and booleans as they are, with a float0 as their cotangent.

    Returns:
      A `Layer` whose params are `()`.

    Raises:
      ValueError: if forward or backward is not a function of these arguments; at `init`, if an example is whole numbers
        and the layer does not take them.

    Example:
      >>> import jax.numpy as jnp
      >>> square = stateless(lambda x: (x * x, x), lambda x, dy: 2 * x * dy)
      >>> y, cache = square.forward((), jnp.array([[3.0]]))
      >>> square.backward((), cache, jnp.ones_like(y))[1]
      Array([[6.]], dtype=float32)
    """
    return Layer(
        init=lambda key, in_shape: (
            (),
            out_shape(simplified(in_shape if whole_numbers else _OF_FLOATS.check("in_shape", in_shape))),
        ),
        forward=lambda params, x, key=None: forward(x),
        backward=lambda params, cache, dy: ((), backward(cache, dy)),
    )


def _likely_layer(value: Any) -> str:
    """Return the end of a message: the layer that may be meant."""
    if hasattr(value, "network"):
        return "pass its network, model.network"
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return "pass them one by one, chain(*layers)"
    return "call the factory (`relu()`, not `relu`)" if callable(value) else "pass layers, such as dense(10)"


LAYER = Instance(Layer, fix=_likely_layer)
"""The constraint of an argument that is a layer."""


CASES = {"stateless": (lambda: stateless(lambda x: (x * x, x), lambda x, dy: 2 * x * dy), (5,))}
