"""Functions of arrays on a mesh with explicit axes, JAX's default: inside of them, XLA places what they compute.

On explicit axes the type of an array states how it is split, and an operation raises if its result could lie in more
than one way, as a product over split rows does. What comes out of a function has a place that is known: a gradient lies
as what it is the gradient of, outputs as the examples that they belong to, a mean over all of them is whole on each
device. So only the outputs of a function are placed, and its inside is compiled as on automatic axes.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxnn.typing import PyTree

WHOLE = PartitionSpec()
"""The place of an array that is whole on each device."""

Places = Callable[..., PyTree]
"""`places(outputs, *args) -> specs`: of the outputs, shapes, and the arguments, a spec for each leaf of the outputs."""


F = TypeVar("F", bound=Callable[..., Any])


def on_any_axes(function: F, places: Places) -> F:
    """Return the function, which on explicit axes computes as on automatic ones; `places` are those of its outputs.

    Without explicit axes among its arguments it is the function itself.
    """
    if hasattr(function, "on_any_axes"):
        return function

    @wraps(function)
    def run(*args, **kwargs):
        mesh = explicit_mesh((args, kwargs))
        if mesh is None:
            return function(*args, **kwargs)
        given = inspect.signature(function).bind(*args, **kwargs)
        return _run_on(mesh, function, places, given.args, given.kwargs)

    vars(run)["on_any_axes"] = True
    return cast(F, run)


def forward_on_any_axes(function: F) -> F:
    """Return `forward(params, x, ...)` for any axes: outputs and cache are split as the examples are."""
    return on_any_axes(function, lambda outputs, params, x, *_: as_rows(outputs, x))


def backward_on_any_axes(function: F) -> F:
    """Return `backward(params, cache, ..., dy)` for any axes: dparams lie as params, other cotangents as dy."""

    def places(outputs, params, *given):
        dparams, *others = outputs
        dy = next((rows for rows in map(_with_rows, reversed(given)) if rows), [])
        return beside(dparams, params), *as_rows(others, dy)

    return on_any_axes(function, places)


def rows_on_any_axes(function: F) -> F:
    """Return a function without params for any axes: outputs are split as the examples are."""
    return on_any_axes(function, lambda outputs, *given: as_rows(outputs, _with_rows(given)))


def explicit_mesh(tree: PyTree) -> Any:
    """Return the mesh of the first array on explicit axes; `None` without one."""
    for leaf in jax.tree.leaves(tree):
        aval = getattr(leaf, "aval", None)  # ten times as fast as `jax.typeof`, in each call of each layer
        mesh = getattr(getattr(aval, "sharding", None), "mesh", None)
        if mesh is not None and AxisType.Explicit in mesh.axis_types:
            return mesh
    return None


def as_rows(outputs: PyTree, x: PyTree) -> PyTree:
    """Return the places of outputs that belong to the examples of x: split as these are, if they have as many rows."""
    leaves = [leaf for leaf in jax.tree.leaves(x) if np.ndim(leaf)]
    m = leaves[0].shape[0] if leaves else None
    split = next((spec[0] for spec in map(place_of, leaves) if len(spec) and spec[0] is not None), None)
    return jax.tree.map(lambda a: PartitionSpec(split) if a.ndim and a.shape[0] == m else WHOLE, outputs)


def _with_rows(given: PyTree) -> PyTree:
    """Return the arrays that have examples: what a cache keeps for its dtype has none."""
    return [leaf for leaf in jax.tree.leaves(given) if np.ndim(leaf) and len(leaf)]


def like(outputs: PyTree, given: PyTree) -> PyTree:
    """Return the places of outputs that lie as given arrays of the same structure do."""
    places = map(place_of, jax.tree.leaves(given))
    return jax.tree.structure(outputs).unflatten(places)


def beside(kept: PyTree, params: PyTree) -> PyTree:
    """Return the places of what an optimizer keeps: of an array as large as one of the params, that of this one.

    Arrays belong together if the path of what is kept ends with that of the params, as the path of Adam's means does;
    copies of params, (n, ...), are split in the axes after the first. All else is whole.
    """
    places = {
        tuple(map(str, path)): (np.shape(leaf), place_of(leaf))
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }

    def place(path, leaf):
        path = tuple(map(str, path))
        for i in range(len(path) + 1):
            shape, spec = places.get(path[i:], (None, WHOLE))
            if leaf.shape == shape:
                return spec
            if leaf.shape[1:] == shape:
                return PartitionSpec(None, *spec)
        return WHOLE

    return jax.tree_util.tree_map_with_path(place, kept)


def whole(outputs: PyTree) -> PyTree:
    """Return the places of outputs that are whole on each device."""
    return jax.tree.map(lambda _: WHOLE, outputs)


def place_of(leaf: Any) -> PartitionSpec:
    """Return how an array is split, in a program if its axes are explicit."""
    if explicit_mesh(leaf) is not None:
        return jax.typeof(leaf).sharding.spec
    return getattr(getattr(leaf, "sharding", None), "spec", WHOLE)


def _run_on(mesh: Any, function: Callable[..., Any], places: Places, args: Any, kwargs: Any) -> Any:
    leaves, structure = jax.tree.flatten((args, kwargs))
    traced = [i for i, leaf in enumerate(leaves) if isinstance(leaf, jax.Array | np.ndarray) and not _is_float0(leaf)]
    fixed: dict[str, Any] = {}  # what is no array, such as the cotangents of whole numbers, stays outside

    def inside(*arrays):
        given = list(leaves)
        for i, array in zip(traced, arrays, strict=True):
            given[i] = array
        args, kwargs = structure.unflatten(given)
        outputs, fixed["structure"] = jax.tree.flatten(function(*args, **kwargs))
        fixed["leaves"] = [None if isinstance(a, jax.Array) else a for a in outputs]
        return [a for a in outputs if isinstance(a, jax.Array)]

    arrays = _on_one_mesh([leaves[i] for i in traced])
    mesh = getattr(mesh, "abstract_mesh", mesh)
    explicit = [name for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True) if kind == AxisType.Explicit]
    # As inside, also if a mesh is set: on explicit axes a new array is whole, and does not fit beside others.
    with jax.sharding.use_abstract_mesh(mesh.update_axis_types(dict.fromkeys(explicit, AxisType.Auto))):
        shapes = iter(jax.eval_shape(inside, *(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays)))
    outputs = [next(shapes) if leaf is None else leaf for leaf in fixed["leaves"]]
    specs = jax.tree.leaves(places(fixed["structure"].unflatten(outputs), *args), is_leaf=_is_spec)
    specs = [spec for spec, leaf in zip(specs, fixed["leaves"], strict=True) if leaf is None]
    with jax.sharding.use_abstract_mesh(mesh):
        computed: Any = jax.sharding.auto_axes(inside, axes=tuple(explicit), out_sharding=specs)
        if not any(isinstance(a, Tracer) for a in arrays):
            computed = jax.jit(computed)  # outside of a program, new arrays would have no devices
        found = iter(computed(*arrays))
    return fixed["structure"].unflatten([next(found) if leaf is None else leaf for leaf in fixed["leaves"]])


def _on_one_mesh(arrays: list[Any]) -> list[Any]:
    """Return arrays of JAX; outside of a program, those that lie on one device are put on the mesh of the others."""
    meshes = (getattr(getattr(a, "sharding", None), "mesh", None) for a in arrays if not isinstance(a, Tracer))
    mesh = next((mesh for mesh in meshes if isinstance(mesh, Mesh)), None)
    if mesh is None:
        return [a if isinstance(a, jax.Array) else jnp.asarray(a) for a in arrays]
    whole = NamedSharding(mesh, WHOLE)
    return [a if isinstance(a, Tracer) or explicit_mesh(a) is not None else jax.device_put(a, whole) for a in arrays]


def _is_float0(leaf: Any) -> bool:
    return leaf.dtype == jax.dtypes.float0


def _is_spec(value: Any) -> bool:
    return isinstance(value, PartitionSpec)
