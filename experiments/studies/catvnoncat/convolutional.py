"""Train a convolutional network and the course's four layers on the same random splits of all cat photos.

Each network trains on all splits as one population: a photo that a split tests has weight 0 there. In training the
convolutional network, photos are flipped, shifted, rotated and scaled at random in every epoch. Its layers and
hyperparameters were chosen on ten splits of the course's training file into 159 and 50 photos.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import optax

import jaxnn
from experiments.networks import storage
from experiments.networks.spec import LayersSpec, Spec
from experiments.runs.divergence import first_divergence
from experiments.runs.folder import RunError, RunFolder
from experiments.runs.options import OnNan
from experiments.runs.proof import make_proof
from experiments.studies.catvnoncat.data import IMAGE_SHAPE
from experiments.studies.catvnoncat.splits import Outcome, Splits
from jaxnn import data, nn

NAME = "convolutional"
EPOCHS = 200
BATCH_SIZE = 32
LEARNING_RATE = 2e-3
"""The peak of a cosine schedule, after a warmup of a twentieth of all steps."""
_EPOCHS_PER_REPORT = 5
_PROVED_ON = 32
"""Number of photos for the gradient check, in float64."""
_CHANGES = data.compose(
    data.random_flip(), data.warp(data.random_shift(8), data.random_rotation(15), data.random_scale(0.2))
)


def make_spec() -> LayersSpec:
    """Return three convolutions of 3 x 3 with group normalization, on photos of half the size."""
    layers = [nn.rescale(1.0, -0.5), nn.avg_pool(2)]
    for maps in (16, 32, 64):
        layers += [nn.conv(maps, 3, init="he"), nn.group_norm(maps // 8), nn.relu(), nn.max_pool(2)]
    network = nn.chain(*layers, nn.global_avg_pool(), nn.dropout(0.3), nn.dense(1))
    return LayersSpec(network, IMAGE_SHAPE, "binary")


def distort(key: Any, image: Any) -> Any:
    """Flip, shift, rotate and scale a photo with pixels from 0 to 1 at random; what comes in from outside is gray."""
    return _CHANGES(key, image - 0.5) + 0.5


def train(
    splits: Splits,
    classes: tuple[str, ...],
    folder: RunFolder,
    show: Callable[[int], None],
    on_nan: OnNan = "stop",
) -> tuple[Outcome, float]:
    """Train the convolutional network, and store that of the first split.

    Returns:
      The outcome, and the larger difference of the gradients, before and after training.

    Raises:
      RunError: if a training diverged, or the gradients differ.
    """
    began = time.perf_counter()
    spec, m, epochs = make_spec(), len(splits.x), EPOCHS
    model = spec.model()
    plain = jaxnn.objective(model.network, model.loss)
    objective = jaxnn.train.with_augmentation(plain, distort)
    batch_size = min(BATCH_SIZE, m)
    steps = epochs * -(-m // batch_size)
    rate = jaxnn.optim.schedule("cosine", LEARNING_RATE, steps, warmup=steps // 20)
    x, optimizer = splits.x.reshape(-1, *IMAGE_SHAPE), jaxnn.optimizer("adam", rate)

    prove = make_proof(NAME, plain, jax.random.key(0))
    few = jaxnn.Batch(x[:_PROVED_ON], splits.y[:_PROVED_ON])
    difference = prove(model.init(jax.random.key(0)), few)
    population = _fit(
        *(model, objective, optimizer, x, splits),
        epochs=epochs,
        batch_size=batch_size,
        shuffle="own",
        report_every=min(_EPOCHS_PER_REPORT, epochs),
        on_nan=on_nan,
        callback=partial(_log, NAME, "epoch", folder, show, on_nan),
        checkpoints=folder.checkpoints(NAME),
    )
    outcome = _outcome(NAME, spec, model, population, x, began)
    stored = storage.StoredNetwork(spec, outcome.first, classes, IMAGE_SHAPE)
    folder.write_bytes(NAME + storage.SUFFIX, storage.encode(stored))
    _check_finite(NAME, population)
    return outcome, max(difference, prove(outcome.first, few))


def train_course(
    splits: Splits,
    name: str,
    spec: Spec,
    optimizer: optax.GradientTransformation,
    iterations: int,
    folder: RunFolder,
    show: Callable[[int], None],
    on_nan: OnNan = "stop",
) -> Outcome:
    """Train a network of the course, on the full batch, from the random weights of seed i on split i.

    Raises:
      RunError: if a training diverged.
    """
    began, model = time.perf_counter(), spec.model()
    population = _fit(
        *(model, jaxnn.objective(model.network, model.loss), optimizer, splits.x, splits),
        epochs=iterations,
        report_every=min(100, iterations),
        on_nan=on_nan,
        callback=partial(_log, f"{name}, splits", "iteration", folder, show, on_nan),
        checkpoints=folder.checkpoints(f"splits-{name}"),
    )
    _check_finite(name, population)
    return _outcome(name, spec, model, population, splits.x, began)


def _fit(
    model: jaxnn.Model,
    objective: jaxnn.Objective,
    optimizer: optax.GradientTransformation,
    x: np.ndarray,
    splits: Splits,
    **plan: Any,
) -> jaxnn.Population:
    """Train one member on each split; photos that it tests have weight 0."""
    weights = jax.device_put(np.float32(~splits.in_test))

    def member(split):
        init_key, fit_key = jax.random.split(jax.random.key(split))
        return jaxnn.Member(objective, optimizer, model.init(init_key), fit_key, weights[split])

    return jaxnn.fit_population(member, np.arange(len(weights)), x, splits.y, **plan)


def _outcome(
    name: str, spec: Spec, model: jaxnn.Model, population: jaxnn.Population, x: np.ndarray, began: float
) -> Outcome:
    networks = [jax.device_get(population.member(i).params) for i in range(len(population.steps))]
    # One network after another, since the activations of all of them would take much memory.
    predict = jax.jit(model.predict_proba)
    probabilities = np.stack([np.asarray(predict(params, x))[:, 0] for params in networks])
    epochs = population.history[-1]["epoch"]
    losses = population.losses.reshape(len(networks), epochs, -1).mean(axis=2)
    return Outcome(name, spec, probabilities, losses, networks[0], time.perf_counter() - began)


def _log(
    name: str,
    counted: str,
    folder: RunFolder,
    show: Callable[[int], None],
    on_nan: OnNan,
    report: dict[str, Any],
) -> bool:
    """Log and show a report; return true, to stop, if a training has diverged."""
    costs = np.asarray(report["loss"])
    diverged = on_nan == "stop" and bool(np.isnan(costs).any())
    if not diverged:
        spread = {"median": np.median(costs), "lowest": costs.min(), "highest": costs.max()}
        line = {f"splits_{each}": float(value) for each, value in spread.items()}
        folder.log(network=name, **{counted: report["epoch"]}, **line)
        show(report["epoch"])
    return diverged


def _check_finite(name: str, population: jaxnn.Population) -> None:
    first = first_divergence(population.divergences)
    if first:
        raise RunError(f"{name} diverged on a random split at {first}: try a smaller --learning-rate")
