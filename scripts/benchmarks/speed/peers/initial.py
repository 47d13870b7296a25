"""Initial weights for entries without their own initializers; learning rates and seeds of a population's members."""

import numpy as np

from scripts.benchmarks.speed.networks import weights


def arrays(workload, seed: int = 0) -> list[np.ndarray]:
    """Return the params of a network in the order of `speed.networks`, float32."""
    rng, found = np.random.default_rng(seed), []
    scale = {"zeros": lambda n: 0.0, "lecun": lambda n: n**-0.5, "he": lambda n: (2 / n) ** 0.5}[workload.init]
    for layer in weights(workload.network, workload.sizes):
        if layer.start is not None:
            found.append(np.full(layer.shape, layer.start, np.float32))
            continue
        n_in, zeros = layer.size // layer.units, np.zeros(layer.units, np.float32)
        found.append(np.float32(scale(n_in)) * rng.standard_normal(layer.shape, np.float32))
        # The bias, the shift and the gain.
        found += [zeros, zeros, zeros + 1] if layer.normalized else [zeros] * layer.bias
    return found


def stacked(workload) -> list[np.ndarray]:
    """Return W_1, b_1, W_2, ... of all members of a population, with the members as first axis."""
    members = [arrays(workload, seed) for _, seed in workload.population.members]
    return [np.stack(leaves) for leaves in zip(*members, strict=True)]


def rates(workload) -> np.ndarray:
    """Return the learning rate of each member, (members,) float32."""
    return np.array([rate for rate, _ in workload.population.members], np.float32)


def seeds(workload) -> np.ndarray:
    """Return the seed of each member, (members,) int32."""
    return np.array([seed for _, seed in workload.population.members], np.int32)
