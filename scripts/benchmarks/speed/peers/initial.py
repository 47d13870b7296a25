"""Initial weights for entries without their own initializers; learning rates and seeds of a population's members."""

import numpy as np


def arrays(sizes: tuple[int, ...], init: str, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (W (n_out, n_in), b) of each layer, float32."""
    rng = np.random.default_rng(seed)
    scale = {"zeros": lambda n: 0.0, "lecun": lambda n: n**-0.5, "he": lambda n: (2 / n) ** 0.5}[init]
    return [
        (np.float32(scale(n_in)) * rng.standard_normal((n_out, n_in), np.float32), np.zeros(n_out, np.float32))
        for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True)
    ]


def stacked(workload) -> list[np.ndarray]:
    """Return W_1, b_1, W_2, ... of all members of a population, with the members as first axis."""
    members = [arrays(workload.sizes, workload.init, seed) for _, seed in workload.population.members]
    return [np.stack(leaves) for layer in zip(*members, strict=True) for leaves in zip(*layer, strict=True)]


def rates(workload) -> np.ndarray:
    """Return the learning rate of each member, (members,) float32."""
    return np.array([rate for rate, _ in workload.population.members], np.float32)


def seeds(workload) -> np.ndarray:
    """Return the seed of each member, (members,) int32."""
    return np.array([seed for _, seed in workload.population.members], np.int32)
