"""Learning curves: what more training data would bring, from trainings on parts of the data, all in one program."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.constraints import Count, Function, ListOf, checked
from jaxnn.data.batches import BATCH, Batch, number_of_examples
from jaxnn.data.examples import check_batch
from jaxnn.data.splitting import SEED, random_order
from jaxnn.population.cross_validation import measured_each, without_uncounted
from jaxnn.population.fitting import fit_population
from jaxnn.population.hyperparameters import as_members
from jaxnn.population.results import Member, Population, weighted
from jaxnn.train.arguments import WithStatistics
from jaxnn.typing import Array, ArrayLike, PyTree


class LearningCurve(NamedTuple):
    """The result of `learning_curve`, for n members, s random orders of the data and several sizes.

    Attributes:
      sizes: how many examples were trained on, (sizes,).
      train: name -> what was measured on those examples, (n, s, sizes), NaN where a training diverged.
      dev: name -> what was measured on the dev set, (n, s, sizes), NaN where a training diverged.
      population: the n·s·sizes trainings, the sizes of one order next to each other, order by order.
    """

    sizes: np.ndarray
    train: dict[str, np.ndarray]
    dev: dict[str, np.ndarray]
    population: Population


@checked(
    member=Function("hyperparameters"),
    sizes=ListOf(Count(), "a list of whole numbers of at least 1"),
    dev=BATCH,
    seeds=ListOf(SEED, "a list of whole numbers of at least 0", fix="seeds=[0] is one random order"),
    measure=WithStatistics("params", "batch"),
)
def learning_curve(
    member: Callable[[PyTree], Member],
    hyperparameters: PyTree,
    x: ArrayLike,
    y: ArrayLike,
    sizes: Sequence[int],
    *,
    dev: Batch,
    seeds: Sequence[int],
    measure: Callable[..., dict[str, Array]],
    stratify: bool = False,
    weight: ArrayLike | None = None,
    **options: Any,
) -> LearningCurve:
    """Train each of n members on training sets of several sizes, and measure it on these and on the dev set.

    Where dev error still falls and train error is far below it, more data help; where both have met, they do not.

    A training set of size k is the first k examples in a random order, so a larger one holds the smaller ones. The
    others have weight 0: all trainings have arrays of one shape and are one population. On full batches each training
    is the one on its examples alone. In mini-batches, every size makes the same number of steps, with batches of
    which only some examples count.

    Args:
      member: from one member's hyperparameters to its `Member`, as `fit_population` takes it; without weights, which
        are `weight`.
      hyperparameters: of the n members, leaves (n, ...): a grid of seeds for several random starts.
      x: inputs, (m, ...), floats.
      y: targets, (m,) or (m, k).
      sizes: how many examples to train on, each from 1 to m.
      dev: inputs and targets that are not trained on; its weight counts.
      seeds: one for each random order of the examples. Several show how much the curve owes to which examples it met.
      measure: `measure(params, batch) -> {name: scalar}`, or `measure(params, stats, batch)` for a network with
        statistics; the weights of `batch` are 1 where an example is trained on (times their own, if any) and 0
        elsewhere: every metric of jaxnn takes such weights. It is compiled.
      stratify: keep the classes' shares at every size; y must be labels (m,).
      weight: example weights, (m,), as `fit` takes them. Examples of weight 0 are left out before anything else, with
        any labels or values, and do not count in a size.
      **options: of `fit_population`: epochs, batch_size and so on.

    Returns:
      A `LearningCurve`.

    Raises:
      ValueError: if a size is outside 1..m, there are no seeds, a seed is not an int, the dev set is not a `Batch`, the
        member has weights, or `measure` is not such a function, and as `fit_population`.

    Example:
      >>> import jax, jaxnn, numpy as np, optax
      >>> x = np.random.default_rng(0).normal(size=(80, 30)).astype(np.float32)
      >>> y = (x[:, 0] > 0).astype(int)
      >>> model = jaxnn.logistic_regression(30)
      >>> def member(h):
      ...     key = jax.random.key(0)
      ...     objective = jaxnn.objective(model.network, model.loss, jaxnn.l2(h["l2"]))
      ...     return jaxnn.Member(objective, optax.sgd(1.0), model.init(key), key)
      >>> def measure(params, batch):
      ...     return {"error": jaxnn.metrics.error_rate(model.predict(params, batch.x), batch.y, batch.weight)}
      >>> h, dev = jaxnn.grid(l2=[0.01]), jaxnn.Batch(x[60:], y[60:])
      >>> curve = learning_curve(member, h, x[:60], y[:60], [10, 60], dev=dev, seeds=[0, 1], measure=measure, epochs=50)
      >>> errors = curve.dev["error"].mean(axis=(0, 1))
      >>> curve.dev["error"].shape, bool(errors[1] < errors[0])
      ((1, 2, 2), True)

    Source: Cortes et al., "Learning curves: asymptotic values and rate of convergence", 1993.
    """
    data, dev = (
        without_uncounted(check_batch(x, y, weight, whole_numbers=True)),
        check_batch(*dev[:3], whole_numbers=True),
    )
    m = number_of_examples(data)
    if max(sizes) > m:
        raise ValueError(f"sizes must be from 1 to the number of examples, {m}, got {max(sizes)}")
    # The place of each example in each order, (s, m): a training set of size k is those with places below k.
    places = np.stack([random_order(data.y, seed, stratify).argsort() for seed in seeds])
    own = np.asarray(np.ones(m) if data.weight is None else data.weight, jnp.result_type(float))
    hyperparameters, n = as_members(hyperparameters)
    shape = (n, len(seeds), len(sizes))
    of_member, order, size = (index.ravel() for index in np.indices(shape))

    def on_part(h):
        return weighted(member(h["member"]), jnp.where(jnp.asarray(places)[h["order"]] < h["size"], own, 0))

    members = jax.tree.map(lambda leaf: leaf[of_member], hyperparameters)
    size = np.asarray(sizes)[size]
    population = fit_population(on_part, {"member": members, "order": order, "size": size}, *data[:2], **options)
    trained_on = np.where(places[order] < size[:, None], own, own.dtype.type(0))
    counts = np.ones(number_of_examples(dev), np.float32) if dev.weight is None else dev.weight
    finite = np.array([at is None for at in population.diverged_at])

    def measured(batch, weights):
        values = measured_each(measure, population, batch, weights)
        return {name: np.where(finite, value, np.nan).reshape(shape) for name, value in values.items()}

    return LearningCurve(
        np.asarray(sizes),
        measured(data, trained_on),
        measured(dev, np.broadcast_to(counts, (len(size), len(counts)))),
        population,
    )
