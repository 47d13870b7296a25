"""What a model reaches on data that it was not trained on: its loss, and how right its predictions are."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.arrays import promote_large_integers
from jaxnn.caching import bounded_cache
from jaxnn.constraints import Constraint, Instance, checked
from jaxnn.data.batches import Batch
from jaxnn.data.examples import check_batch
from jaxnn.losses.loss import Loss
from jaxnn.metrics.classification import accuracy
from jaxnn.metrics.regression import mean_absolute_error, r_squared
from jaxnn.models.model import Model, shapes_of_params
from jaxnn.nn.layer import Layer
from jaxnn.train.objectives import objective
from jaxnn.typing import Array, ArrayLike, Params, Statistics

Evaluate = Callable[..., dict[str, Array]]

_PREFIX = Constraint("a string", rejects=(None, 3), test=lambda value: isinstance(value, str))


@checked(model=Instance(Model, "a Model", "jaxnn.mlp makes one"), prefix=_PREFIX)
def evaluator(
    model: Model, x: ArrayLike, y: ArrayLike, weight: ArrayLike | None = None, *, prefix: str = "dev_"
) -> Evaluate:
    """Return a function that evaluates a model's params on data, for `evaluate` of `fit` and its relatives.

    Args:
      model: the `Model`.
      x: inputs, as for `fit`, kept on the device.
      y: targets, as for `fit`.
      weight: example weights (m,); all 1 by default.
      prefix: of the names.

    Returns:
      `evaluate(params, stats=(), hyperparameters=None)`, one compiled program, to a dictionary of scalars: "dev_loss",
      the model's mean loss as in inference, and "dev_accuracy" if the model predicts labels, else
      "dev_mean_absolute_error" and "dev_r_squared". The hyperparameters, of a member of a population, are not used.

    Raises:
      ValueError: if the data are not valid for `fit`, or do not fit the model.

    Example:
      >>> import jax, jaxnn, numpy as np
      >>> model, x, y = jaxnn.mlp((3, 4, 1)), np.ones((5, 3)), np.array([0, 1, 1, 0, 1])
      >>> evaluate = evaluator(model, x, y)
      >>> [*evaluate(model.init(jax.random.key(0)))]
      ['dev_loss', 'dev_accuracy']
    """
    data = check_batch(x, y, weight, whole_numbers=True)
    objective(model.network, model.loss).check(shapes_of_params(model.network, model.in_shape), data)
    data = jax.device_put(jax.tree.map(promote_large_integers, data))
    program = _program(model.network, model.loss, model.labels)

    def evaluate(params: Params, stats: Statistics = (), hyperparameters: Any = None) -> dict[str, Array]:
        loss, others = program(params, stats, data)
        return {f"{prefix}{name}": value for name, value in {"loss": loss, **others}.items()}

    return evaluate


@bounded_cache
def _program(network: Layer, loss: Loss, labels: Callable[[Array], Array]) -> Callable[..., Any]:
    measured = objective(network, loss)

    @jax.jit
    def evaluate(params: Params, stats: Statistics, data: Batch) -> tuple[Array, dict[str, Array]]:
        mean = measured.evaluate(params, stats, data)
        predicted = labels(network.infer(params, stats, data.x))
        if jnp.issubdtype(predicted.dtype, jnp.integer):
            return mean, {"accuracy": accuracy(predicted, data.y, data.weight)}
        errors = {"mean_absolute_error": mean_absolute_error, "r_squared": r_squared}
        return mean, {name: metric(predicted, data.y, data.weight) for name, metric in errors.items()}

    return evaluate
