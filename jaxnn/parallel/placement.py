"""Place arrays on a mesh: rows split over its data axis, params whole on each device or split by rules."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxnn.constraints import Constraint, Flag, Instance, ParamsTree, checked
from jaxnn.parallel.meshes import data_axis
from jaxnn.typing import Array, Params, PyTree

MESH = Instance(Mesh, "a jax.sharding.Mesh", fix="jaxnn.parallel.make_mesh()")
"""The constraint of a mesh."""

Rules = Mapping[str, PartitionSpec]
"""A regular expression for paths of params, such as ".*/W" -> how these are split; the first that matches counts."""


def _is_pattern(text: Any) -> bool:
    try:
        re.compile(text)
    except (re.error, TypeError):
        return False
    return True


_RULES = Constraint(
    "a dictionary from paths of params to jax.P specs",
    rejects=(3, {"W": 3}),
    fix='such as {".*/W": jax.P("data")}; paths are regular expressions',
    test=lambda rules: (
        isinstance(rules, Mapping)
        and all(isinstance(one, PartitionSpec) for one in rules.values())
        and all(map(_is_pattern, rules))
    ),
)


@checked(mesh=MESH, own_rows=Flag())
def place_rows(tree: PyTree, mesh: Mesh, own_rows: bool = False) -> PyTree:
    """Return arrays (m, ...) with their rows split over the mesh.

    Args:
      tree: arrays whose number of rows is a multiple of the devices on the data axis.
      mesh: any mesh.
      own_rows: whether each process has its own rows only: of all rows, the i-th of n equal parts in process i of n.

    Raises:
      ValueError: if the rows cannot be split into equal parts: `fit(..., mesh=mesh)` pads them, with weight 0.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxnn.parallel import make_mesh
      >>> place_rows(jnp.zeros((4, 3)), make_mesh(devices=jax.devices()[:1])).shape
      (4, 3)
    """
    axis = data_axis(mesh)
    n = own_devices(mesh) if own_rows else mesh.shape[axis]
    for leaf in jax.tree.leaves(tree):
        if not np.ndim(leaf):
            raise ValueError(f"rows must be arrays (m, ...), got {leaf!r}: place_whole places numbers")
        if np.shape(leaf)[0] % n:
            raise ValueError(
                f"rows must be a multiple of the {n} devices of axis {axis!r}, got shape {np.shape(leaf)}: "
                "fit(..., mesh=mesh) pads the last ones"
            )
    rows = NamedSharding(mesh, PartitionSpec(axis))
    return jax.tree.map(lambda leaf: put_own(leaf, rows), tree) if own_rows else put(tree, rows)


@checked(mesh=MESH)
def place_whole(tree: PyTree, mesh: Mesh) -> PyTree:
    """Return arrays that are whole on each device of the mesh; those that lie on it already stay as they are.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxnn.parallel import make_mesh
      >>> place_whole({"W": jnp.zeros((4, 3))}, make_mesh())["W"].sharding.is_fully_replicated
      True
    """
    whole = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda a: a if lies_on(a, mesh) else put(a, whole), tree)


@checked(params=ParamsTree(), mesh=MESH, rules=_RULES)
def split_params(params: Params, mesh: Mesh, rules: Rules) -> Params:
    """Return params on the mesh, split by rules; those that no rule matches are whole on each device.

    Training keeps them as they lie, and the optimizer's state of an array lies as the array: so each device holds a
    part of both.

    Args:
      params: a pytree of arrays.
      mesh: any mesh.
      rules: regular expressions that match whole paths, such as "0/W" of the weights of layer 0, and how to split
        these: a `jax.P` with an axis of the mesh, or `None`, for each axis of the array.

    Raises:
      ValueError: if a rule matches nothing, has more axes than an array, or does not split it into equal parts.

    Example:
      >>> import jax, jaxnn
      >>> from jaxnn.parallel import make_mesh
      >>> params, _ = jaxnn.chain(jaxnn.dense(8), jaxnn.dense(1)).init(jax.random.key(0), (4,))
      >>> split = split_params(params, make_mesh(), {"0/.*": jax.P("data")})
      >>> tuple(split[0]["W"].sharding.spec)
      ('data',)
    """
    unused: set[str | None] = {*rules}
    placed = {}
    leaves, structure = jax.tree_util.tree_flatten_with_path(params)
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        pattern = next((pattern for pattern in rules if re.fullmatch(pattern, name)), None)
        spec = PartitionSpec() if pattern is None else _shortened(rules[pattern])
        unused -= {pattern}
        _check_split(name, leaf, mesh, spec)
        placed[name] = put(leaf, NamedSharding(mesh, spec))
    if unused:
        raise ValueError(
            f"rules must match params, got {', '.join(sorted(map(repr, unused)))}: there are {', '.join(placed)}"
        )
    return structure.unflatten(placed.values())


@checked(params=ParamsTree(), mesh=MESH)
def split_evenly(params: Params, mesh: Mesh, axis: str | None = None) -> Params:
    """Return params on the mesh, each split along its longest axis that can be; the others are whole on each device.

    Over the data axis this is what is known as fully sharded data parallelism: each device holds a part of the params
    and of the optimizer's state, and the program gathers an array where it is needed.

    Args:
      params: a pytree of arrays.
      mesh: any mesh.
      axis: the name of the axis to split over; by default that of the rows.

    Raises:
      ValueError: if the mesh has no such axis.

    Example:
      >>> import jax, jaxnn
      >>> from jaxnn.parallel import make_mesh
      >>> params, _ = jaxnn.dense(8).init(jax.random.key(0), (4,))
      >>> tuple(split_evenly(params, make_mesh())["W"].sharding.spec)
      ('data',)
    """
    axis = data_axis(mesh) if axis is None else axis
    Constraint(f"one of {', '.join(mesh.axis_names)}", test=lambda axis: axis in mesh.axis_names).check("axis", axis)

    return jax.tree.map(lambda leaf: put(leaf, NamedSharding(mesh, even_spec(np.shape(leaf), mesh, axis))), params)


def even_spec(sizes: tuple[int, ...], mesh: Mesh, axis: str) -> PartitionSpec:
    """Return the spec that splits the longest axis which can be split over an axis of the mesh, if there is one."""
    able = [i for i, size in enumerate(sizes) if size % mesh.shape[axis] == 0 and size]
    longest = max(able, key=lambda i: sizes[i], default=None)
    return PartitionSpec() if longest is None else PartitionSpec(*[None] * longest, axis)


def put(tree: PyTree, sharding: NamedSharding) -> PyTree:
    """Return arrays placed by a sharding, also on devices of other processes, which then place the same arrays.

    Each process copies to its devices what lies there: nothing is sent, and of an array that lies on all processes
    already, only what is elsewhere.
    """
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)
    return jax.tree.map(partial(_put_on_processes, sharding=sharding), tree)


def _put_on_processes(leaf: Any, sharding: NamedSharding) -> Array:
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = _put_on_processes(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    if is_shared(leaf):
        return leaf if leaf.sharding == sharding else jax.jit(_itself, out_shardings=sharding)(leaf)
    host = _as_in_programs(leaf)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])


def put_own(leaf: Any, sharding: NamedSharding) -> Array:
    """Return an array placed by a sharding, of which each process passes the part of its devices."""
    return jax.make_array_from_process_local_data(sharding, _as_in_programs(leaf))


def gathered(tree: PyTree) -> PyTree:
    """Return whole arrays in each process: NumPy for those on devices of several processes, the others unchanged.

    All processes call it, since each sends its part.

    Example:
      >>> import jax.numpy as jnp
      >>> gathered({"W": jnp.arange(3)})["W"].tolist()
      [0, 1, 2]
    """
    return jax.tree.map(_gathered, tree)


def _gathered(leaf: Any) -> Any:
    if not is_shared(leaf):
        return leaf
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_gathered(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
    return np.asarray(put(leaf, NamedSharding(leaf.sharding.mesh, PartitionSpec())))


def own_devices(mesh: Mesh) -> int:
    """Return over how many devices this process splits its rows.

    Raises:
      ValueError: if processes have different numbers of them, or the same rows.
    """
    axis = data_axis(mesh)
    of_each: dict[int, set[int]] = {}  # the places on the axis of each process
    for place, device in np.ndenumerate(mesh.devices):
        of_each.setdefault(device.process_index, set()).add(place[mesh.axis_names.index(axis)])
    n = mesh.shape[axis]
    if any(len(places) * len(of_each) != n for places in of_each.values()):
        raise ValueError(
            f"the {n} places of axis {axis!r} must be equally many in each of the {len(of_each)} processes, and none "
            "in two of them: without own_rows, each passes all rows"
        )
    return n // len(of_each)


def check_same_devices(**trees: PyTree) -> None:
    """Raise ValueError unless all arrays that were put on devices lie on the same ones, as programs take them.

    Args:
      trees: name -> a pytree of arrays; the others follow where the first was put.
    """
    first = None
    for name, tree in trees.items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            if not isinstance(leaf, jax.Array) or isinstance(leaf, Tracer) or not leaf.committed:
                continue
            one = f"{name}{jax.tree_util.keystr(path)}", leaf.sharding.device_set
            first = first or one
            if one[1] != first[1]:
                got, expected = (", ".join(sorted(map(str, devices))) for _, devices in (one, first))
                raise ValueError(
                    f"{one[0]} must lie on {expected} as {first[0]} does, got {got}: jax.device_put(array, device), or "
                    "jaxnn.parallel.place_rows and place_whole for a mesh"
                )


def is_shared(leaf: Any) -> bool:
    """Return whether an array lies on devices of several processes."""
    return isinstance(leaf, jax.Array) and not leaf.is_fully_addressable


def _itself(a: Array) -> Array:
    return a


def _as_in_programs(leaf: Any) -> np.ndarray:
    host = np.asarray(leaf)
    return host.astype(jax.dtypes.canonicalize_dtype(host.dtype), copy=False)


def lies_on(leaf: Any, mesh: Mesh) -> bool:
    """Return whether an array lies on this mesh."""
    sharding = getattr(leaf, "sharding", None)
    return isinstance(sharding, NamedSharding) and sharding.mesh == mesh


def _shortened(spec: PartitionSpec) -> PartitionSpec:
    """Return a spec without what is not split at its end, as programs return it."""
    entries = list(spec)
    while entries and entries[-1] is None:
        entries.pop()
    return PartitionSpec(*entries)


def _check_split(name: str, leaf: Any, mesh: Mesh, spec: PartitionSpec) -> None:
    shape = np.shape(leaf)
    for axis in jax.tree.leaves(tuple(spec)):
        if axis not in mesh.axis_names:
            raise ValueError(f"rules must name axes of the mesh, {', '.join(mesh.axis_names)}, got {spec} for {name}")
    if len(spec) > len(shape):
        raise ValueError(f"rules must have at most an entry for each axis of {name} {shape}, got {spec}")
    for size, axes in zip(shape, spec, strict=False):
        parts = int(np.prod([mesh.shape[axis] for axis in jax.tree.leaves(axes)]))
        if size % parts:
            raise ValueError(
                f"rules must split {name} {shape} in equal parts, got {spec}: {size} is not {parts} times any"
            )
