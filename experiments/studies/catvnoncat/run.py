"""Check the gradients of each network, train it, store it, and report."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxnn
from experiments.networks import storage
from experiments.networks.spec import NetworkSpec
from experiments.runs.divergence import first_divergence, skipped_lines
from experiments.runs.folder import RunError, RunFolder, StartRun
from experiments.runs.options import OnNan, check_at_least_one
from experiments.runs.progress import show_progress
from experiments.runs.proof import make_proof
from experiments.studies.catvnoncat import Options, comparison, convolutional, regularized
from experiments.studies.catvnoncat.data import IMAGE_SHAPE, Photos, find_files, read_photos
from experiments.studies.catvnoncat.report import Row, spread, write_report


class Published(NamedTuple):
    """A network of the course, its published hyperparameters, and the published accuracies (train/test, in %).

    `scale` returns the deviation of a layer's initial weights from its number of inputs.
    """

    spec: NetworkSpec
    scale: Callable[[int], float]
    learning_rate: float
    iterations: int
    accuracy: str


N_X = 64 * 64 * 3
NETWORKS = {
    "logistic": Published(NetworkSpec((N_X, 1), init="zeros"), lambda n_in: 0, 0.005, 2000, "99.04/70"),
    "one-hidden": Published(NetworkSpec((N_X, 7, 1), init="normal"), lambda n_in: 0.01, 0.0075, 2500, "100/72"),
    # Each weight is drawn as randn/sqrt(n_in); JAX's lecun_normal has the same deviation, but is truncated.
    "four-layers": Published(
        NetworkSpec((N_X, 20, 7, 5, 1), init=jax.nn.initializers.variance_scaling(1.0, "fan_in", "normal")),
        lambda n_in: n_in**-0.5,
        *(0.0075, 2500, "98.6/80"),
    ),
}

DEEPEST = "four-layers"


def run_study(options: Options, start: StartRun) -> None:
    """Train the three networks, and compare them with the published results."""
    check_at_least_one("seeds", options.seeds)
    trainings = {name: _training(network, options) for name, network in NETWORKS.items()}
    files = find_files(options.data_dir)
    photos = read_photos(files)

    folder = start(files.values())
    rows, done = [], 0
    total = sum(training.iterations for training in trainings.values())
    total += options.beyond * regularized.SEEDS * regularized.EPOCHS
    total += options.convolutional * (trainings[DEEPEST].iterations + convolutional.EPOCHS)
    compared = None
    with show_progress("catvnoncat", total) as show:
        for name, training in trainings.items():
            show_network = partial(_show, show, done, name)
            rows.append(_train(name, training, photos, folder, show_network))
            done += training.iterations
        more = skipped_lines(options.on_nan, {row.network: row.skipped for row in rows})
        if options.beyond:
            results = regularized.train(photos, partial(_show, show, done, "beyond"), folder.checkpoints)
            more += regularized.lines(results, photos.test.y)
            done += regularized.SEEDS * regularized.EPOCHS
        if options.convolutional:
            training = trainings[DEEPEST]
            course = DEEPEST, training.published.spec, training.optimizer, training.iterations
            show_compared = partial(_show, show, done)
            compared = comparison.compare(photos, *course, options.on_nan, folder, show_compared)
            more += [*([""] if more else []), *comparison.lines(compared)]
    write_report(rows, photos, folder, more)
    if compared:
        comparison.add_pictures(compared, photos.classes, folder)


def _show(show: Callable[[int, str], None], before: int, note: str, done: int) -> None:
    show(before + done, note)


ITERATIONS_PER_REPORT = 100
"""Iterations between the costs that the course prints."""


class Training(NamedTuple):
    """The hyperparameters of a network in this run."""

    published: Published
    optimizer: optax.GradientTransformation
    iterations: int
    seeds: int
    on_nan: OnNan = "stop"


def _training(network: Published, options: Options) -> Training:
    rate = network.learning_rate if options.learning_rate is None else options.learning_rate
    iterations = network.iterations if options.iterations is None else options.iterations
    check_at_least_one("iterations", iterations)
    # Initial weights of zero are not random: every seed would repeat the same training.
    seeds = 0 if network.spec.init == "zeros" else options.seeds
    return Training(network, jaxnn.optimizer(options.optimizer, rate), iterations, seeds, options.on_nan)


def _train(name: str, training: Training, photos: Photos, folder: RunFolder, show: Callable[[int], None]) -> Row:
    """Check the gradients, train from every initialization, store, and check again; return the row of the table."""
    began = time.perf_counter()
    published = training.published
    spec = published.spec
    model = spec.model()
    prove = make_proof(name, jaxnn.objective(model.network, model.loss))
    first = course_start(model, spec.sizes, published.scale)
    initial_difference = prove(first, photos.train)
    log, checkpoints = partial(_log, name, folder, show, training.on_nan), folder.checkpoints(name)
    population = train(model, training, first, photos.train, log, checkpoints)
    _store(name, spec, photos, population, folder)
    trained = jax.device_get(population.member(0).params)
    return Row(
        network=name,
        spec=spec,
        published=published.accuracy,
        train=_accuracies(model, population.params, photos.train),
        test=_accuracies(model, population.params, photos.test),
        costs=population.losses.T,
        params=trained,
        difference={"initial": initial_difference, "trained": prove(trained, photos.train)},
        skipped=sum(population.member(i).skipped for i in range(len(population.diverged_at))),
        seconds=time.perf_counter() - began,
    )


def train(
    model: jaxnn.Model,
    training: Training,
    first: Any,
    data: jaxnn.Batch,
    log: Callable[[dict[str, Any]], bool | None],
    checkpoints: jaxnn.Checkpointer | None = None,
) -> jaxnn.Population:
    """Train on the full batch from the params `first`, and from random keys 0, 1, ..., all as one program."""

    @jax.jit
    def starts(first):
        params = jax.tree.map(lambda leaf: leaf[None], first)
        if training.seeds == 0:
            return params
        seeded = jax.vmap(lambda seed: model.init(jax.random.key(seed)))(jnp.arange(training.seeds))
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), params, seeded)

    objective = jaxnn.objective(model.network, model.loss)

    def member(params):
        # Nothing is random after initialization, neither a shuffle nor dropout, so the key is never used.
        return jaxnn.Member(objective, training.optimizer, params, jax.random.key(0))

    return jaxnn.fit_population(
        member,
        jax.device_get(starts(first)),
        data.x,
        data.y,
        epochs=training.iterations,
        report_every=ITERATIONS_PER_REPORT,
        callback=log,
        on_nan=training.on_nan,
        checkpoints=checkpoints,
    )


def _log(name: str, folder: RunFolder, show: Callable[[int], None], on_nan: OnNan, report: dict[str, Any]) -> bool:
    """Log and show a report; return true, to stop, if a network has diverged."""
    diverged = on_nan == "stop" and bool(np.isnan(report["loss"]).any())
    if not diverged:
        folder.log(network=name, iteration=report["step"], **spread(report["loss"]))
        show(report["step"])
    return diverged


def _store(name: str, spec: NetworkSpec, photos: Photos, population: jaxnn.Population, folder: RunFolder) -> None:
    """Write the params trained from the course's initial weights; raise a RunError if they diverged."""
    file = name + storage.SUFFIX
    stored = storage.StoredNetwork(spec, population.member(0).params, photos.classes, IMAGE_SHAPE)
    folder.write_bytes(file, storage.encode(stored))
    first = first_divergence(population.divergences)
    if first:
        before = population.losses[:, first.step - 1 : first.step].T
        folder.log(network=name, diverged_at=first.step, **(spread(before[0]) if len(before) else {}))
        raise RunError(
            f"{name} diverged at {first}; the params before it are in {folder.path / file}; "
            "try a smaller --learning-rate"
        )


def course_start(model: jaxnn.Model, sizes: Sequence[int], scale: Callable[[int], float]) -> Any:
    """Return the course's initial params: NumPy's legacy generator, seed 1, W = randn(n_out, n_in) scale(n_in)."""
    random = np.random.RandomState(1)
    arrays = []
    for n_in, n_out in zip(sizes, sizes[1:], strict=False):
        arrays += [random.randn(n_out, n_in) * scale(n_in), np.zeros(n_out)]
    return jaxnn.models.params_from_arrays(model.network, model.in_shape, arrays)


def _accuracies(model: jaxnn.Model, params: Any, batch: jaxnn.Batch) -> np.ndarray:
    """Return the accuracy of each network of a population, (networks,)."""
    labels = jax.jit(jax.vmap(model.predict, in_axes=(0, None)))(params, batch.x)
    return (np.asarray(labels) == batch.y).mean(axis=1)
