"""Check the gradients, train all seeds in one program, measure, store and report."""

import contextlib
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxnn
from experiments.networks import storage
from experiments.networks.signals import layer_signals
from experiments.runs.divergence import first_divergence, skipped_lines
from experiments.runs.folder import RunError, RunFolder, StartRun
from experiments.runs.options import OnNan, check_at_least_one, check_seed
from experiments.runs.progress import show_progress
from experiments.runs.proof import make_proof
from experiments.studies.mnist import Options
from experiments.studies.mnist.data import SIDE, find_files, read_classes, read_images, split_dev
from experiments.studies.mnist.presets import PRESETS, Preset
from experiments.studies.mnist.report import DISTORTED_COLUMNS, Result, error_rates, write_report

_PROVED_ON = 1000
"""Number of images for the gradient check: in float64, and in two programs, all of them would take long."""
_MEASURED_ON = 10_000
_PREDICTED_AT_A_TIME = 1000
"""Number of images whose activations are in memory at once, for all seeds."""


def run_study(options: Options, start: StartRun) -> None:
    """Train a preset with several seeds, and compare it with the published result."""
    preset = _preset(options)
    _use_two_cpu_devices(preset.seeds, even=callable(preset.layers))
    parts = find_files(options.data_dir)
    classes = read_classes(parts["train"])
    preset = preset._replace(classes=len(classes.names))
    train = read_images(parts["train"], classes)
    # Without --dev, nothing is measured before training is over. With it, the test files are not opened.
    held_out = None
    if options.dev:
        train, held_out = split_dev(train, options.seed)
    if not preset.batch_size <= len(train.x):
        raise ValueError(
            f"--batch-size must be from 1 to {len(train.x)}, the size of the training set, got {preset.batch_size}"
        )
    test = None if options.dev else read_images(parts["test"], classes)
    in_shape = preset.spec.in_shape
    train, held_out, test = (
        batch and batch._replace(x=np.reshape(batch.x, (-1, *in_shape))) for batch in (train, held_out, test)
    )

    folder = start(tuple(dict.fromkeys(parts["train"].files + (() if options.dev else parts["test"].files))))
    model = preset.model()
    targets = _targets(preset, train.y)
    population, difference = _train(options, preset, model, jaxnn.Batch(train.x, targets), held_out, folder)
    measured = held_out if options.dev else test
    probabilities = _probabilities(model, population.params, measured.x)
    networks = _store(options, preset, model, classes.names, population, folder)
    seen = jaxnn.Batch(train.x[:_MEASURED_ON], train.y[:_MEASURED_ON])
    write_report(
        Result(
            name=options.preset,
            preset=preset,
            part="dev" if options.dev else "test",
            classes=classes.names,
            probabilities=probabilities,
            data=measured,
            train_error=error_rates(_probabilities(model, population.params, seen.x), seen.y),
            distorted=_distorted(preset, train.x) if preset.fields else None,
            history=population.history,
            first=networks[0],
            signals=layer_signals(preset.spec, networks[0], jaxnn.Batch(train.x[:_PROVED_ON], targets[:_PROVED_ON])),
            difference=difference,
        ),
        options.ensemble or preset.committee,
        folder,
        skipped_lines(
            options.on_nan, {f"seed {options.seed + i}": population.member(i).skipped for i in range(preset.seeds)}
        ),
    )


def _targets(preset: Preset, labels: np.ndarray) -> np.ndarray:
    """Return what the network is trained to: the labels, or with squared error a 1 at each."""
    return labels if preset.output == "softmax" else np.eye(preset.classes, dtype=np.float32)[labels]


def _use_two_cpu_devices(seeds: int, even: bool) -> None:
    """Use two CPU devices: half of the seeds on each core is faster than all on both. GPUs are unaffected.

    Args:
      seeds: the number of seeds.
      even: use two only if each has as many seeds, or there are at least five. Convolutional networks of a device take
        turns, so an odd one costs as much as two: too much of three, little of five.
    """
    # JAX raises if it is initialized already, as in a notebook: then the available devices are used.
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", 1 if even and seeds in (1, 3) else min(2, seeds))


def _preset(options: Options) -> Preset:
    """Return the preset, with the options applied."""
    changes = {name: getattr(options, name) for name in ("seeds", "epochs", "learning_rate", "batch_size")}
    changes = {name: value for name, value in changes.items() if value is not None}
    preset = PRESETS[options.preset]._replace(**changes)
    for name in ("seeds", "epochs", "batch_size"):
        check_at_least_one(name.replace("_", "-"), getattr(preset, name))
    check_seed(options.seed, preset.seeds)
    preset.optimizer(1)  # raises if the learning rate is invalid
    return preset


def _train(
    options: Options,
    preset: Preset,
    model: jaxnn.Model,
    train: jaxnn.Batch,
    held_out: jaxnn.Batch | None,
    folder: RunFolder,
) -> tuple[jaxnn.Population, float]:
    """Train all seeds in one program; also return the larger difference of the gradients, before and after training."""
    plain = jaxnn.objective(model.network, model.loss)
    objective = plain
    if preset.fields:
        image_shape = None if callable(preset.layers) else (SIDE, SIDE)
        objective = jaxnn.train.with_augmentation(plain, jaxnn.data.warp(*preset.fields), image_shape)
    optimizer = preset.optimizer(preset.epochs * -(-len(train.x) // preset.batch_size))

    def member(seed):
        init_key, fit_key = jax.random.split(jax.random.key(seed))
        return jaxnn.Member(objective, optimizer, model.init(init_key), fit_key)

    @jax.jit
    def measure(params, dev, targets):
        labels = jnp.argmax(model.outputs(params, dev.x), axis=-1)
        loss = plain.evaluate(params, (), jaxnn.Batch(dev.x, targets))
        return {"dev_error": jaxnn.metrics.error_rate(labels, dev.y), "dev_loss": loss}

    evaluate = None
    if held_out is not None:
        dev = jax.device_put((held_out, _targets(preset, held_out.y)))

        def evaluate(params, seed):
            return measure(params, *dev)

    prove = make_proof(options.preset, plain, jax.random.key(options.seed))
    batch = jaxnn.Batch(train.x[:_PROVED_ON], train.y[:_PROVED_ON])
    before = prove(member(options.seed).params, batch)
    with show_progress(f"mnist, {options.preset}", preset.epochs) as show:
        population = jaxnn.fit_population(
            member,
            np.arange(options.seed, options.seed + preset.seeds),
            train.x,
            train.y,
            epochs=preset.epochs,
            batch_size=preset.batch_size,
            shuffle="own",
            on_nan=options.on_nan,
            evaluate=evaluate,
            callback=partial(_log, folder, show, options.on_nan),
            checkpoints=folder.checkpoints(options.preset),
        )
    return population, max(before, prove(population.member(0).params, batch))


def _log(folder: RunFolder, show: Any, on_nan: OnNan, entry: dict[str, Any]) -> bool:
    """Log and show a report; return True, to stop, if a seed has diverged."""
    numbers = {name: np.asarray(value) for name, value in entry.items() if name not in ("epoch", "step")}
    if on_nan == "stop" and np.isnan(numbers["loss"]).any():
        return True
    medians = {name: float(np.median(value)) for name, value in numbers.items()}
    folder.log(epoch=entry["epoch"], step=entry["step"], **medians)
    show(entry["epoch"], ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in medians.items()))
    return False


def _probabilities(model: jaxnn.Model, params: Any, x: np.ndarray) -> np.ndarray:
    """Return probabilities by seed, example and class, (seeds, m, k); for squared error, the outputs instead."""
    of_all = jax.jit(jax.vmap(model.predict_proba, in_axes=(0, None)))
    parts = [x[i : i + _PREDICTED_AT_A_TIME] for i in range(0, len(x), _PREDICTED_AT_A_TIME)]
    return np.concatenate([of_all(params, part) for part in parts], axis=1)


def _distorted(preset: Preset, x: np.ndarray) -> np.ndarray:
    """Return the first images, each followed by distortions of the preset."""
    keys = jax.random.split(jax.random.key(0), DISTORTED_COLUMNS - 1)
    augment = jax.vmap(jaxnn.data.warp(*preset.fields), in_axes=(0, None))
    images = x[:6].reshape(-1, SIDE, SIDE)
    return np.concatenate([np.concatenate([image[None], augment(keys, image)]) for image in images])


def _store(
    options: Options,
    preset: Preset,
    model: jaxnn.Model,
    classes: tuple[str, ...],
    population: jaxnn.Population,
    folder: RunFolder,
) -> list[Any]:
    """Write each seed's network; return all params, or raise a RunError if one diverged."""
    plain, networks = preset.spec.model(), []
    for i in range(preset.seeds):
        arrays = jaxnn.models.params_to_arrays(model.network, population.member(i).params)
        params = jaxnn.models.params_from_arrays(plain.network, plain.in_shape, arrays)
        networks.append(params)
        stored = storage.StoredNetwork(preset.spec, params, classes)
        folder.write_bytes(f"seed-{options.seed + i}{storage.SUFFIX}", storage.encode(stored))
    diverged = first_divergence(population.divergences)
    if diverged:
        raise RunError(
            f"{options.preset} diverged at {diverged}; the params before are in {folder.path}; "
            "try a smaller --learning-rate"
        )
    return networks
