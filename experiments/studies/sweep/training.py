"""Train a sweep: one population, and so one compiled program, per activation and depth."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

import jaxnn
from experiments.datasets.dataset import Dataset
from experiments.networks.scaled_outputs import in_units, start_at_mean
from experiments.networks.scores import score_of, score_of_predictions
from experiments.networks.spec import Spec
from experiments.networks.storage import StoredNetwork
from experiments.networks.tables import embed_categories, embedded_size, in_shape_of, table_spec
from experiments.runs.divergence import ignore_divergence_warnings
from experiments.runs.options import OnNan
from experiments.studies.sweep.plan import Plan, Point, sizes
from jaxnn.contrib import slice_params, traced_width_mlp

PARAMS_AT_A_TIME = 2**26
"""The maximum number of params of all members in memory: some 3 GB with gradients and optimizer state."""
REPORTS = 10
"""Approximate number of reports of each population."""


class Group(NamedTuple):
    """Trainings that share one program.

    Attributes:
      points: their indices in the plan.
      sizes: units of each hidden layer of the widest network.
      fixed: the hyperparameters that all of them share.
      varying: name -> values (points x seeds,), the seed included and varying fastest.
    """

    points: list[int]
    sizes: tuple[int, ...]
    fixed: Point
    varying: dict[str, np.ndarray]

    def __str__(self) -> str:
        return f"{self.fixed['activation']}, hidden layers: {len(self.sizes)}"


class Training(NamedTuple):
    """The result of one training.

    Attributes:
      point: the index of its point in the plan.
      seed: its seed.
      params: the last finite ones, in the shapes of its group's widest network.
      dev_score, dev_loss: of these params: the accuracy, or R² for regression, and the loss without regularizer,
        dropout and label smoothing.
      train_loss: the mean objective of the last epoch, or NaN.
      diverged_at: the step, from 0, or `None`.
      divergence: what overflowed first, or `None`.
      skipped: the number of skipped updates.
    """

    point: int
    seed: int
    params: Any
    dev_score: float
    dev_loss: float
    train_loss: float
    diverged_at: int | None
    divergence: jaxnn.train.Divergence | None = None
    skipped: int = 0


def groups_of(plan: Plan) -> list[Group]:
    """Return the trainings of the plan by program; hyperparameters that do not vary in a program are constants."""
    numbers: dict[tuple[str, int], list[int]] = {}
    for i, point in enumerate(plan.points):
        numbers.setdefault((point["activation"], len(sizes(point))), []).append(i)
    return [_group(plan, points) for points in numbers.values()]


def _group(plan: Plan, numbers: list[int]) -> Group:
    points = [plan.points[i] for i in numbers]
    values = {name: [point[name] for point in points] for name in points[0]}
    fixed = {name: column[0] for name, column in values.items() if len(set(column)) == 1}
    varying = {name: np.repeat(column, len(plan.seeds)) for name, column in values.items() if name not in fixed}
    varying["seed"] = np.tile(plan.seeds, len(points))
    return Group(numbers, max(map(sizes, points)), fixed, varying)


def train(
    group: Group,
    data: Dataset,
    *,
    optimizer: str,
    epochs: int,
    batch_size: int,
    callback: Callable[[dict[str, Any]], None],
    on_nan: OnNan = "stop",
    checkpoints: jaxnn.Checkpointer | None = None,
) -> list[Training]:
    """Train a group as one population; points in the group's order, the seed varying fastest.

    The batches of each training depend on its seed, so its result is that of `jaxnn.fit` with `member_of`.
    """
    dev, of = jax.device_put(data.dev), score_of(data)

    @jax.jit
    def measure(params, h, dev):
        model = _model(group, data, group.fixed | h)
        z = model.outputs(params, dev.x)
        return {
            "dev_score": score_of_predictions(model.labels(z), dev.y, of),
            "dev_loss": model.loss.value(z, dev.y).mean(),
        }

    m = len(data.train.y)
    with ignore_divergence_warnings():
        population = jaxnn.fit_population(
            member_of(group, data, optimizer),
            group.varying,
            data.train.x,
            data.train.y,
            epochs=epochs,
            batch_size=None if batch_size == m else batch_size,
            shuffle="own",
            report_every=next(n for n in range(-(-epochs // REPORTS), 0, -1) if epochs % n == 0),
            evaluate=lambda params, h: measure(params, h, dev),
            callback=callback,
            on_nan=on_nan,
            checkpoints=checkpoints,
            chunk=max(1, PARAMS_AT_A_TIME // _spec(data, group.sizes).n_params),
        )
    params, last = jax.device_get(population.params), population.history[-1]
    n_seeds = len(population.diverged_at) // len(group.points)
    skipped = last.get("skipped", np.zeros(len(population.diverged_at)))
    return [
        Training(
            group.points[i // n_seeds],
            group.varying["seed"][i].item(),
            jax.tree.map(lambda leaf, i=i: leaf[i], params),
            *(last[name][i].item() for name in ("dev_score", "dev_loss", "loss")),
            population.diverged_at[i],
            divergence,
            int(skipped[i]),
        )
        for i, divergence in enumerate(population.divergences)
    ]


def member_of(group: Group, data: Dataset, optimizer: str) -> Callable[[Point], jaxnn.Member]:
    """Return `member(h)`: the training with the group's fixed hyperparameters and those in h, which may be traced."""

    def member(h):
        h = group.fixed | h
        model = _model(group, data, h)
        loss = loss_of(h["label_smoothing"], len(data.classes)) if data.target is None else model.loss
        # If all strengths are 0, there is no regularizer to compute.
        regularizer = None if group.fixed.get("l2") == 0 else jaxnn.l2(h["l2"])
        init_key, fit_key = jax.random.split(jax.random.key(h["seed"]))
        params = jax.tree.map(lambda leaf: leaf * h["init_scale"], model.init(init_key))
        params = start_at_mean(params, data.target)
        return jaxnn.Member(
            jaxnn.objective(model.network, loss, regularizer),
            _optimizer(optimizer, h),
            params,
            fit_key,
            data.train.weight,
        )

    return member


def loss_of(share: Any, classes: int) -> jaxnn.Loss:
    """Return the loss with smoothed labels (1 - share) y + share/classes.

    Source: Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016, section 7.
    """
    return jaxnn.softmax_cross_entropy(share) if classes > 2 else jaxnn.sigmoid_cross_entropy(smoothing=share)


def network_of(training: Training, point: Point, data: Dataset) -> StoredNetwork:
    """Return the network of a training; if it is narrower than its group's, only its first units, which it used."""
    spec = _spec(data, sizes(point), point["activation"])
    model = spec.model()
    params = in_units(slice_params(model.network, model.in_shape, training.params), data.target)
    return StoredNetwork(spec, params, data.classes, data.image_shape, data.standardizer)


def _model(group: Group, data: Dataset, h: Point) -> jaxnn.Model:
    options = dict(output=data.output, init="he", dropout_rate=h["dropout"])
    n_in = embedded_size(data.numbers, data.embedded)
    layer_sizes = (n_in, *group.sizes, data.n_outputs)
    if "width" not in group.varying:
        model = jaxnn.mlp(layer_sizes, h["activation"], **options)
    else:
        model = traced_width_mlp(layer_sizes, h["width"], h["activation"], **options)
    if not data.embedded:
        return model
    network = jaxnn.chain(*embed_categories(data.embedded), model.network)
    return model._replace(network=network, in_shape=in_shape_of(data.numbers, data.embedded))


def _spec(data: Dataset, hidden: tuple[int, ...], activation: str = "relu") -> Spec:
    return table_spec(data.numbers, data.embedded, (*hidden, data.n_outputs), activation, data.output)


def _optimizer(name: str, h: Point) -> optax.GradientTransformation:
    if name == "momentum":
        return optax.sgd(h["learning_rate"], momentum=h["momentum"])
    return jaxnn.optimizer(name, h["learning_rate"])
