"""Where a training lies: data in shards, split over a mesh, and a state of which each array keeps its place."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxnn.caching import bounded_cache
from jaxnn.constraints import Constraint
from jaxnn.data.batches import Batch
from jaxnn.data.shards import Shards
from jaxnn.explicit_axes import beside, on_any_axes
from jaxnn.parallel.meshes import data_axis, mesh_of
from jaxnn.parallel.placement import gathered, is_shared, lies_on, place_whole, put, put_own
from jaxnn.train.carries import has_carry
from jaxnn.train.drawing import laid_out
from jaxnn.train.objectives import Objective
from jaxnn.train.steps import TrainState
from jaxnn.typing import Array, Key, Params, PyTree


def number_of_shards(objective: Objective, shards: int | None, stated: Mesh | None, mesh: Mesh | None) -> int:
    """Return the number of shards: as many as stated, or one for each device of a mesh that is stated, or 1.

    The rows of an objective with a carry stay in their order, so that they are whole on each device.

    Raises:
      ValueError: if the devices cannot have equally many shards each.
    """
    devices = 1 if mesh is None else mesh.shape[data_axis(mesh)]
    n = (1 if stated is None or has_carry(objective) else devices) if shards is None else shards
    Constraint(
        f"1, or a multiple of the {devices} devices that rows are split over",
        test=lambda n: n == 1 or n % devices == 0,
    ).check("shards", n)
    return n


def placed_data(data: Batch, shards: Shards | None, mesh: Mesh | None) -> Batch:
    """Return data (m, ...) as programs take them: in shards, which are split over the mesh, if there are these."""
    if shards is not None:
        lying = mesh_of(data)
        if lying is not None and lying != mesh:  # whose devices may not divide the shards
            data, lying = jax.device_get(gathered(data)), None
        data = laid_out(data, shards) if lying is None else _laying_out(shards)(data)
    if mesh is None:
        return jax.device_put(data)
    rows = NamedSharding(mesh, PartitionSpec(data_axis(mesh)))
    if shards is None:
        return place_whole(data, mesh)
    return jax.tree.map(lambda a: put(a, rows) if np.ndim(a) else place_whole(a, mesh), data)


def placed_group(group: PyTree, mesh: Mesh | None, own_rows: bool = False) -> PyTree:
    """Return arrays (steps, m, ...) of several batches on the device, their rows split over a mesh, if there is one.

    With `own_rows`, they are those of this process.
    """
    if mesh is None:
        return jax.device_put(group)
    axis = data_axis(mesh)
    rows = NamedSharding(mesh, PartitionSpec(None, axis))

    def place(a):
        if own_rows and np.ndim(a) > 1:
            return put_own(a, rows)
        is_rows = np.ndim(a) > 1 and np.shape(a)[1] % mesh.shape[axis] == 0
        return put(a, rows) if is_rows else place_whole(a, mesh)

    return jax.tree.map(place, group)


@bounded_cache
def _laying_out(shards: Shards) -> Any:
    def lay_out(data):
        return laid_out(data, shards)

    def places(outputs, data):
        axis = next((jax.typeof(a).sharding.spec[0] for a in jax.tree.leaves(data) if a.ndim), None)
        return jax.tree.map(lambda a: PartitionSpec(axis) if a.ndim else PartitionSpec(), outputs)

    return jax.jit(on_any_axes(lay_out, places))


def placed_state(state: TrainState, mesh: Mesh | None) -> TrainState:
    """Return a state on the mesh: what the optimizer keeps of an array lies as the array, all else is whole."""
    if mesh is None:
        return state
    params = place_whole(state.params, mesh)

    def place(leaf, spec):
        sharding = NamedSharding(mesh, spec)
        return leaf if lies_on(leaf, mesh) and leaf.sharding.spec == spec else put(leaf, sharding)

    opt_state = jax.tree.map(place, state.opt_state, beside(state.opt_state, params))
    others = (state.key, state.step, state.stats, state.carry)
    return TrainState(params, opt_state, *place_whole(others, mesh))


def placed_like(tree: PyTree, like: PyTree) -> PyTree:
    """Return arrays where those of a tree of the same structure lie, if these lie on a mesh."""
    if mesh_of(like) is None:
        return tree
    return jax.tree.map(lambda a, b: put(a, b.sharding), tree, like)


def placed_start(params: Params, key: Key, mesh: Mesh | None) -> tuple[Params, Key]:
    """Return params and key on the mesh, if there is one; params of NumPy, which can change later, as copies."""
    if mesh is None:
        return params, key
    params = jax.tree.map(lambda a: a if isinstance(a, jax.Array) else jax.device_put(a, may_alias=False), params)
    return place_whole((params, key), mesh)


def copied(leaf: Array) -> Array:
    """Return a copy of an array where it lies: by transfer, which compiles nothing, if this process has all of it."""
    return jnp.copy(leaf) if is_shared(leaf) else jax.device_put(leaf, may_alias=False)


def on_one_device(*trees: PyTree) -> tuple[PyTree, ...]:
    """Return arrays on the device to which the first of them is committed, since a program takes those of one alone.

    Arrays that `jax.device_put(a, device)` made are committed to that device; others follow them, and are unchanged.
    """
    committed = [a for a in jax.tree.leaves(trees) if isinstance(a, jax.Array) and a.committed]
    if len({frozenset(a.sharding.device_set) for a in committed}) < 2:
        return trees
    place = committed[0].sharding
    return jax.tree.map(lambda a: jax.device_put(a, place) if isinstance(a, jax.Array) else a, trees)


def mesh_for(mesh: Mesh | None, data: Batch, params: Params) -> Mesh | None:
    """Return the mesh to train on: the one that is stated, or on which data or params lie; `None` for one device."""
    return mesh_of((data, params)) if mesh is None else mesh
