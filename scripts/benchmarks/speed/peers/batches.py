"""The mini-batches of one lap, for peers whose users shuffle on the host."""

import numpy as np


def of_lap(workload, rng, m):
    """(steps, batch) rows, each epoch in an order of its own; `None` for all the examples."""
    if workload.batch is None:
        return [None] * workload.steps
    epochs = workload.steps * workload.batch // m
    return np.concatenate([rng.permutation(m) for _ in range(epochs)]).reshape(workload.steps, workload.batch)
