"""Meshes of several devices, and arrays placed on them."""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

KINDS = {"explicit": AxisType.Explicit, "auto": AxisType.Auto}
kinds = pytest.mark.parametrize("kind", KINDS)


def mesh(n, kind="explicit", names=("data",)):
    devices = np.array(jax.devices()[:n])
    return Mesh(devices.reshape(-1, *[1] * (len(names) - 1)), names, axis_types=(KINDS[kind],) * len(names))


def split(tree, mesh):
    """The arrays of a tree with their rows split over the mesh."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec("data")))


def whole(tree, mesh):
    """The arrays of a tree, whole on each device."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def specs(tree):
    """How each array is split, without axes at the end that are not."""

    def spec(a):
        entries = list(a.sharding.spec)
        while entries and entries[-1] is None:
            entries.pop()
        return tuple(entries)

    return [spec(a) for a in jax.tree.leaves(tree)]
