"""k-fold cross-validation: all folds, of all members of a population, in one compiled program."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import promote_large_integers
from jaxnn.constraints import Function, OneOf, checked
from jaxnn.data.batches import Batch, number_of_examples, take
from jaxnn.data.examples import check_batch
from jaxnn.data.splitting import k_folds
from jaxnn.population.fitting import fit_population
from jaxnn.population.hyperparameters import as_members
from jaxnn.population.results import Member, Population, index_of_best, weighted
from jaxnn.train.arguments import WithStatistics, takes_statistics
from jaxnn.train.early_stopping import MODE, Mode
from jaxnn.typing import Array, ArrayLike, PyTree


class CrossValidation(NamedTuple):
    """The result of `cross_validate`, for n members and k folds.

    Attributes:
      measured: name -> what was measured on the examples held out, (n, k), NaN where a training diverged.
      population: the n·k trainings, those of one member next to each other, fold by fold.
    """

    measured: dict[str, np.ndarray]
    population: Population

    @checked(mode=MODE)
    def best(self, monitor: str, mode: Mode = "min") -> int:
        """Return the index of the member with the best mean over the folds, among those that diverged in none.

        Raises:
          ValueError: if the value was not measured, every member diverged, or the mode is another word.
        """
        OneOf(self.measured).check("monitor", monitor)
        return index_of_best(self.measured[monitor].mean(axis=1), mode)


@checked(member=Function("hyperparameters"), measure=WithStatistics("params", "batch"))
def cross_validate(
    member: Callable[[PyTree], Member],
    hyperparameters: PyTree,
    x: ArrayLike,
    y: ArrayLike,
    *,
    k: int,
    seed: int,
    measure: Callable[..., dict[str, Array]],
    stratify: bool = False,
    weight: ArrayLike | None = None,
    **options: Any,
) -> CrossValidation:
    """Train each of n members k times, each time without one fold of the examples, and measure it on that fold.

    Every example is held out once. A fold is left out by weights of 0, so all trainings have arrays of one shape and
    are one population of n·k: an example's weight is 0 exactly where nothing of it is learned.

    Args:
      member: from one member's hyperparameters to its `Member`, as `fit_population` takes it; without weights, which
        are `weight`.
      hyperparameters: of the n members, leaves (n, ...): one combination is a grid of one value each.
      x: inputs, (m, ...), floats.
      y: targets, (m,) or (m, k).
      k: how many folds, from 2 to m.
      seed: of the random folds.
      measure: `measure(params, batch) -> {name: scalar}`, or `measure(params, stats, batch)` for a network with
        statistics; the weights of `batch` are 1 where an example is held out (times their own, if any) and 0
        elsewhere: every metric of jaxnn takes such weights. It is compiled.
      stratify: keep the classes' shares in every fold; y must be labels (m,).
      weight: example weights, (m,), as `fit` takes them. Examples of weight 0 are left out before anything else, with
        any labels or values.
      **options: of `fit_population`: epochs, batch_size and so on.

    Returns:
      A `CrossValidation`.

    Raises:
      ValueError: if k is outside 2..m, the member has weights, or `measure` is not such a function, and as
        `fit_population`.

    Example:
      >>> import jax, jaxnn, numpy as np, optax
      >>> x = np.linspace(-1, 1, 12, dtype=np.float32)[:, None]
      >>> y = (x[:, 0] > 0).astype(int)
      >>> model = jaxnn.logistic_regression(1)
      >>> def member(h):
      ...     key = jax.random.key(0)
      ...     objective = jaxnn.objective(model.network, model.loss, jaxnn.l2(h["l2"]))
      ...     return jaxnn.Member(objective, optax.sgd(0.1), model.init(key), key)
      >>> def measure(params, batch):
      ...     return {"accuracy": jaxnn.accuracy(model.predict(params, batch.x), batch.y, batch.weight)}
      >>> result = cross_validate(member, jaxnn.grid(l2=[0.0, 9.0]), x, y, k=3, seed=0, measure=measure, epochs=50)
      >>> result.measured["accuracy"].shape, result.best("accuracy", mode="max")
      ((2, 3), 0)

    Source: Stone, "Cross-validatory choice and assessment of statistical predictions", 1974.
    """
    data = without_uncounted(check_batch(x, y, weight, whole_numbers=True))
    held_out = k_folds(data.y, k, seed=seed, stratify=stratify)
    own = np.asarray(np.ones(number_of_examples(data)) if data.weight is None else data.weight, jnp.result_type(float))
    hyperparameters, n = as_members(hyperparameters)
    members = jax.tree.map(lambda leaf: np.repeat(leaf, k, axis=0), hyperparameters)

    def without_fold(h):
        return weighted(member(h["member"]), jnp.asarray((1 - held_out) * own)[h["fold"]])

    folds = {"member": members, "fold": np.tile(np.arange(k), n)}
    population = fit_population(without_fold, folds, data.x, data.y, **options)
    measured = measured_each(measure, population, data, np.tile(held_out * own, (n, 1)))
    finite = np.array([at is None for at in population.diverged_at])
    return CrossValidation(
        {name: np.where(finite, values, np.nan).reshape(n, k) for name, values in measured.items()}, population
    )


def without_uncounted(data: Batch) -> Batch:
    """Return the examples whose weight is not 0."""
    if data.weight is None or (counts := np.asarray(data.weight) > 0).all():
        return data
    return take(data, counts)


def measured_each(
    measure: Callable[..., Any], population: Population, data: Batch, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Measure each of n members, with the example weights (n, m) of that member."""
    observed = takes_statistics(measure, "batch")

    @jax.jit
    def one_by_one(params, stats, data, weights):
        def one(member):
            params, stats, weight = member
            return measure(params, *([stats] if observed else []), data._replace(weight=weight))

        return jax.lax.map(one, (params, stats, weights))

    measured = one_by_one(
        population.params, population.stats, *jax.device_put((jax.tree.map(promote_large_integers, data), weights))
    )
    if not isinstance(measured, dict) or any(value.ndim != 1 for value in measured.values()):
        raise ValueError("measure must return a dictionary of scalars, such as {'accuracy': ...}")
    return {name: np.asarray(value) for name, value in measured.items()}
