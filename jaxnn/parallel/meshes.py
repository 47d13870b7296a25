"""Meshes of devices: their axes, and the axis over which rows are split."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from jaxnn.constraints import Constraint, Count, Instance, ListOf, Nothing, checked
from jaxnn.typing import Device

DATA = "data"
"""The axis of a mesh over which rows are split."""
MODEL = "model"
"""The axis of a mesh over which params may be split."""


@checked(
    model=Count(),
    devices=ListOf(Instance(jax.Device), "a list of devices, such as jax.devices()[:2]") | Nothing(),
)
def make_mesh(model: int = 1, devices: Sequence[Device] | None = None) -> Mesh:
    """Return a mesh of all devices with explicit axes: "data", and "model" if params are to be split over it.

    Any mesh of JAX does as well, with explicit or automatic axes; rows are split over its axis "data", or over its
    first one. On explicit axes, JAX's default, the type of an array states how it is split.

    Args:
      model: the number of devices over which "model" splits params; rows are split over the others.
      devices: those to use; all of all processes by default.

    Raises:
      ValueError: if `model` does not divide the number of devices.

    Example:
      >>> make_mesh().shape[DATA] == len(jax.devices())
      True
    """
    devices = jax.devices() if devices is None else devices
    Constraint(f"a divisor of the {len(devices)} devices", test=lambda model: len(devices) % model == 0).check(
        "model", model
    )
    if model == 1:
        return Mesh(np.array(devices), (DATA,), axis_types=(AxisType.Explicit,))
    of_axes = np.array(devices).reshape(-1, model)
    return Mesh(of_axes, (DATA, MODEL), axis_types=(AxisType.Explicit,) * 2)


def data_axis(mesh: Mesh) -> str:
    """Return the name of the axis over which rows are split."""
    return DATA if DATA in mesh.axis_names else mesh.axis_names[0]


def mesh_of(tree: Any) -> Mesh | None:
    """Return the mesh of the first array that lies on one of several devices; `None` without one."""
    for leaf in jax.tree.leaves(tree):
        sharding = getattr(leaf, "sharding", None)
        if isinstance(sharding, jax.sharding.NamedSharding) and isinstance(sharding.mesh, Mesh):
            return sharding.mesh
    return None
