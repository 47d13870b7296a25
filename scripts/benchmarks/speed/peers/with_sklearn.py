"""scikit-learn: MLPClassifier, an epoch at a time; its own initial weights."""

import numpy as np
from sklearn.neural_network import MLPClassifier


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
        random_state=0,
    )
    epochs = workload.steps if workload.batch is None else workload.steps * workload.batch // m
    classes = np.arange(2 if workload.output == "binary" else workload.sizes[-1])
    for _ in range(workload.laps):
        for _ in range(epochs):
            model.partial_fit(x, y, classes=classes)
        lap()
    return [a for w, b in zip(model.coefs_, model.intercepts_, strict=True) for a in (w.T, b)]
