"""The mini-batches of one lap, for peers whose users shuffle on the host."""

import numpy as np


def of_lap(workload, rng, m):
    """Return rows (steps, batch), reshuffled in each epoch; `None` for full batches."""
    if workload.batch is None:
        return [None] * workload.steps
    epochs = workload.steps * workload.batch // m
    return np.concatenate([rng.permutation(m) for _ in range(epochs)]).reshape(workload.steps, workload.batch)
