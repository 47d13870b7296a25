"""The outputs of a network on some data: their shapes, and whether it takes the data, before a program is compiled."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import dtype_hint
from jaxnn.caching import bounded_cache
from jaxnn.indices import indices_found
from jaxnn.nn.layer import Layer
from jaxnn.nn.shapes import from_hashable, hashable, shapes_of, structs
from jaxnn.typing import Params


def shapes_of_outputs(network: Layer, params: Params, x: Any) -> Any:
    """Return the shapes of the network's outputs; raise ValueError if it does not take such inputs.

    Whole numbers that it passes on, such as the lengths of sequences, are returned themselves.
    """
    # NumPy's float64 is float32 in a program, unless jax_enable_x64 is set.
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, jax.dtypes.canonicalize_dtype(a.dtype)), x)
    whole = [a for a in jax.tree.leaves(x) if not jnp.issubdtype(a.dtype, jnp.floating)]
    if not whole:
        return _forward_program(network).eval_shape(params, shapes)
    # Layers that take floats reject others at `init`.
    try:
        bounds, passed_on = _uses_of_whole_numbers(network, hashable(shapes_of(shapes)))
    except ValueError as error:
        if not hasattr(x, "dtype"):
            raise
        raise ValueError(f"x must be floats, got {x.dtype}: {dtype_hint('x', x)}") from error
    leaves = jax.tree.leaves(x)
    for i, n in bounds:
        numbers = np.asarray(jax.device_get(leaves[i]))
        if numbers.size and (numbers.min() < 0 or numbers.max() >= n):
            _check_concrete(network, params, x)
    outputs, structure = jax.tree.flatten(_forward_program(network).eval_shape(params, shapes))
    return structure.unflatten([one if i is None else leaves[i] for one, i in zip(outputs, passed_on, strict=True)])


@bounded_cache
def _uses_of_whole_numbers(network: Layer, key: Any) -> tuple[list[tuple[int, int]], list[int | None]]:
    """Return the leaves of x that a layer takes as indices, with the number that they must be below, and which are z's.

    The second list has the number of a leaf of x for each leaf of z that is one, `None` for the others.
    """
    in_shape = from_hashable(key)
    batch = jax.tree.map(lambda a: jax.ShapeDtypeStruct((1, *a.shape), a.dtype), structs(in_shape))
    found, bounds, passed_on = [], [], []

    def forward(x):
        params, _ = network.init(jax.random.key(0), in_shape)
        z, _ = network.forward(params, x, jax.random.key(0))
        leaves = jax.tree.leaves(x)
        bounds.extend((i, n) for index, n in found for i, leaf in enumerate(leaves) if leaf is index)
        whole = {id(leaf): i for i, leaf in enumerate(leaves) if not jnp.issubdtype(leaf.dtype, jnp.floating)}
        passed_on.extend(whole.get(id(leaf)) for leaf in jax.tree.leaves(z))
        return z

    reset = indices_found.set(found)
    try:
        jax.eval_shape(forward, batch)
    finally:
        indices_found.reset(reset)
    return bounds, passed_on


def _check_concrete(network: Layer, params: Params, x: Any) -> None:
    """Trace the network with the whole numbers of x, so that the layer that does not take them raises."""
    leaves, structure = jax.tree.flatten(jax.device_get(x))  # NumPy's, for `a.reshape` of others would be traced
    floats = [a if jnp.issubdtype(a.dtype, jnp.floating) else None for a in leaves]

    def forward(params, floats):
        given = [whole if a is None else a for a, whole in zip(floats, leaves, strict=True)]
        return network.forward(params, structure.unflatten(given), jax.random.key(0))[0]

    jax.eval_shape(forward, params, floats)


@bounded_cache
def _forward_program(network: Layer) -> Any:
    # For `check`, which a stream calls often: the compiled function caches its output shapes. A layer's own cache can
    # hold other things than arrays, so it is not returned.
    return jax.jit(lambda params, x: network.forward(params, x, jax.random.key(0))[0])
