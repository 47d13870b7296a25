"""jaxnn: a model, an objective, `fit`."""

import jax
import numpy as np

import jaxnn


def train(workload, x, y, lap, gradients="hand"):
    model = jaxnn.mlp(workload.sizes, workload.activation, output=workload.output, init=workload.init)
    epochs = workload.steps if workload.batch is None else workload.steps * workload.batch // len(y)
    result = jaxnn.fit(
        jaxnn.objective(model.network, model.loss),
        jaxnn.optimizer(workload.optimizer, workload.rate),
        model.init(jax.random.key(0)),
        x,
        y,
        key=jax.random.key(1),
        epochs=workload.laps * epochs,
        batch_size=workload.batch,
        gradients=gradients,
        report_every=epochs,
        callback=lambda report: lap(),
    )
    return [np.asarray(a) for a in jaxnn.params_to_arrays(model.network, result.params)]
