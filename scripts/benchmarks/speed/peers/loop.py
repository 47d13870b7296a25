"""A population, one network after another, with the `train` of an entry."""

import numpy as np


def population(train, workload, x, y, lap):
    networks = []
    for members in of_laps(workload):
        networks += [train(member, x, y, no_lap) for member in members]
        lap()
    return stack(networks)


def of_laps(workload):
    """Return the workloads of each lap's members; a lap has as many steps as if all members trained in parallel."""
    members = [workload._replace(rate=r, seed=s, population=None) for r, s in workload.population.members]
    size = len(members) // workload.laps
    return [members[i : i + size] for i in range(0, len(members), size)]


def stack(networks):
    return [np.stack(leaves) for leaves in zip(*networks, strict=True)]


def no_lap():
    pass
