"""scikit-learn: MLPClassifier, one epoch at a time, with its own initial weights.

These halve the variance from one ReLU layer to the next, so that a network of 64 or more such layers does not learn.
"""

import os

import numpy as np
from joblib import Parallel, delayed
from sklearn.neural_network import MLPClassifier

from scripts.benchmarks.speed.peers import loop


def train(workload, x, y, lap):
    m = len(y)
    model = MLPClassifier(
        workload.sizes[1:-1],
        activation=workload.activation,
        solver=workload.optimizer,
        alpha=0.0,
        batch_size=m if workload.batch is None else workload.batch,
        learning_rate_init=workload.rate,
        momentum=0.0,
        nesterovs_momentum=False,
        shuffle=workload.batch is not None,
        random_state=workload.seed,
    )
    epochs = workload.steps if workload.batch is None else workload.steps * workload.batch // m
    classes = np.arange(2 if workload.output == "binary" else workload.sizes[-1])
    for _ in range(workload.laps):
        for _ in range(epochs):
            model.partial_fit(x, y, classes=classes)
        lap()
    return [a for w, b in zip(model.coefs_, model.intercepts_, strict=True) for a in (w.T, b)]


def population(workload, x, y, lap):
    """Train members in processes on all cores, whose memory is not in the peak."""
    networks = []
    with Parallel(n_jobs=os.cpu_count()) as parallel:
        for members in loop.of_laps(workload):
            networks += parallel(delayed(train)(member, x, y, loop.no_lap) for member in members)
            lap()
    return loop.stack(networks)
