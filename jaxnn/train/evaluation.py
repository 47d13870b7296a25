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
from jaxnn.data.weights import relative
from jaxnn.losses.loss import Loss
from jaxnn.metrics.inputs import share_of
from jaxnn.metrics.regression import mean_absolute_error, r_squared
from jaxnn.models.model import Model, shapes_of_params
from jaxnn.nn.layer import Layer
from jaxnn.train.objectives import objective
from jaxnn.typing import Array, ArrayLike, Params, Statistics

Evaluate = Callable[..., dict[str, Array]]

_PREFIX = Constraint("a string", rejects=(None, 3), test=lambda value: isinstance(value, str))


@checked(
    model=Instance(Model, "a Model", "jaxnn.models.model_from makes one of any network"),
    prefix=_PREFIX,
)
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
      the model's mean loss as in inference, and "dev_accuracy" if the model predicts labels, of those that count in the
      loss, else "dev_mean_absolute_error" and "dev_r_squared"; the loss alone for outputs and targets of other kinds.
      The hyperparameters, of a member of a population, are not used.

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
    params = shapes_of_params(model.network, model.in_shape)
    objective(model.network, model.loss).check(params, data)
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
        z = network.infer(params, stats, data.x)
        return measured.evaluate(params, stats, data), _measured(loss, z, labels, data)

    return evaluate


def _measured(loss: Loss, z: Any, labels: Callable[[Array], Array], data: Batch) -> dict[str, Array]:
    """Return the metrics of one array of outputs, nothing for others."""
    if not isinstance(z, jax.Array) or not isinstance(data.y, jax.Array):
        return {}
    predicted, y = labels(z), data.y
    if jnp.issubdtype(predicted.dtype, jnp.integer):
        y = _as_labels(y, predicted, of_classes=predicted.ndim < z.ndim and z.shape[-1] > 1)
        return {} if y is None else {"accuracy": _counted_share(predicted == y, loss, z, data)}
    if predicted.ndim > 2 or predicted.reshape(len(y), -1).shape != y.reshape(len(y), -1).shape:
        return {}
    errors = {"mean_absolute_error": mean_absolute_error, "r_squared": r_squared}
    return {name: metric(predicted, y, data.weight) for name, metric in errors.items()}


def _as_labels(y: Array, predicted: Array, of_classes: bool) -> Array | None:
    """Return targets as labels in the shape of the predicted ones, `None` if they are in another one.

    Probabilities of the classes become the most probable one, those of a label 1 where they are above 1/2.
    """
    if of_classes and y.shape[:-1] == predicted.shape and y.ndim == predicted.ndim + 1 and y.shape[-1] > 1:
        return y.argmax(axis=-1)
    if y.shape == (*predicted.shape, 1):
        y = y[..., 0]
    if y.shape != predicted.shape:
        return None
    return y if of_classes or not jnp.issubdtype(y.dtype, jnp.floating) else y > 0.5


def _counted_share(right: Array, loss: Loss, z: Array, data: Batch) -> Array:
    """Return the weighted fraction of labels that are right, among those that count in the loss."""
    counts = None if loss.counts is None else loss.counts(z, data.y)
    weight = jnp.ones(len(right)) if data.weight is None else relative(data.weight)
    weight = jnp.broadcast_to(weight.reshape(-1, *[1] * (right.ndim - 1)), right.shape)
    if isinstance(counts, jax.Array) and counts.shape == right.shape:
        weight = jnp.where(counts > 0, weight, 0)
    return share_of(right.reshape(-1, 1), weight.reshape(-1))
