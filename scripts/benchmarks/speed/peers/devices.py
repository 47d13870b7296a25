"""The devices of a population, for the entries that run on JAX."""

import math
import os

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def shardings(members: int, at_most: int | None = None) -> tuple[NamedSharding, NamedSharding]:
    """Return the shardings of an array of all members, split along its first axis, and of a shared array.

    A CPU becomes one device per core. Call this before any other use of JAX.
    """
    cores = math.gcd(members, at_most or os.cpu_count())
    if cores > 1:
        jax.config.update("jax_num_cpu_devices", cores)
    devices = jax.devices()[:at_most]
    mesh = Mesh(np.array(devices[: math.gcd(members, len(devices))]), ("members",))
    return NamedSharding(mesh, PartitionSpec("members")), NamedSharding(mesh, PartitionSpec())
