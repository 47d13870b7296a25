"""The devices that a population is spread over, for the peers that run on JAX."""

import math
import os

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def shardings(members: int, at_most: int | None = None) -> tuple[NamedSharding, NamedSharding]:
    """Where an array of all members goes, in equal shares along its first axis, and where one that they share goes.

    A CPU is made to count as one device for each core. To be called before JAX is used for anything else.
    """
    cores = math.gcd(members, at_most or os.cpu_count())
    if cores > 1:
        jax.config.update("jax_num_cpu_devices", cores)
    devices = jax.devices()[:at_most]
    mesh = Mesh(np.array(devices[: math.gcd(members, len(devices))]), ("members",))
    return NamedSharding(mesh, PartitionSpec("members")), NamedSharding(mesh, PartitionSpec())
