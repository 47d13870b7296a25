"""Measure each network at the start, train it at all learning rates as one population, and report."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

import jaxnn
from experiments.reports import plots, tables
from experiments.runs.divergence import ignore_divergence_warnings
from experiments.runs.folder import RunFolder, StartRun
from experiments.runs.options import check_at_least_one
from experiments.runs.progress import show_progress
from experiments.studies.normalization import Options
from experiments.studies.normalization.networks import KINDS, Kind, Start, make_blocks, measure_start

RATES = 2.0 ** np.arange(-12, 4)
CLASSES = 10
BATCH_SIZE = 128
GUESSING = float(np.log(CLASSES))
"""The loss of equal probabilities."""
TRAINED = GUESSING / 2
"""A network is trained at a rate if its loss in the last epoch, the median of the seeds, is below this."""
COLUMNS = (
    *("normalization", "std of activations\nlayer 1, last hidden", "norm of dJ/dW\nlayer 1, last hidden"),
    *("learning rates\nthat train it", "highest/\nlowest", "lowest\nloss", "\nat rate", "dev %\nat that rate"),
)


class Result(NamedTuple):
    """A network of one kind.

    Attributes:
      start: of the first seed, before training.
      losses: in the last epoch, (rates, seeds); NaN if it diverged.
      accuracy: on the dev set in percent, (rates, seeds).
    """

    start: Start
    losses: np.ndarray
    accuracy: np.ndarray

    @property
    def medians(self) -> np.ndarray:
        """Return the median loss of the seeds by rate, (rates,), infinite if that seed diverged."""
        return np.median(np.nan_to_num(self.losses, nan=np.inf), axis=1)

    @property
    def trained(self) -> np.ndarray:
        """Return the rates that train the network, in ascending order."""
        return RATES[self.medians < TRAINED]


def run_study(options: Options, start: StartRun) -> None:
    """Measure and train every network, and report the results."""
    for name in ("layers", "width", "epochs", "seeds"):
        check_at_least_one(name, getattr(options, name))
    train, dev = digits()

    folder = start()
    results = {}
    with show_progress("normalization", len(KINDS) * options.epochs) as show:
        for i, (name, kind) in enumerate(KINDS.items()):

            def show_epoch(report, before=i * options.epochs, name=name):
                show(before + report["epoch"], name)

            results[name] = measure(kind, options, train, dev, show_epoch, folder.checkpoints(name))
    _report(results, options, folder)


def digits() -> tuple[jaxnn.Batch, jaxnn.Batch]:
    """Return scikit-learn's digits, 8 x 8 pixels as rows, standardized: 1438 for training and 359 for dev."""
    from sklearn.datasets import load_digits  # slow to import, so not for --help

    x, y = load_digits(return_X_y=True)
    train, dev = jaxnn.split(x.astype(np.float32), y, (0.8, 0.2), seed=0, stratify=True)
    standardizer = jaxnn.data.fit_standardizer(train.x)
    return tuple(part._replace(x=jaxnn.standardize(standardizer, part.x)) for part in (train, dev))


def measure(
    kind: Kind,
    options: Options,
    train: jaxnn.Batch,
    dev: jaxnn.Batch,
    callback: Callable[[dict[str, Any]], None] | None = None,
    checkpoints: jaxnn.Checkpointer | None = None,
) -> Result:
    """Train a network at every rate from every seed, the seed varying fastest."""
    blocks = make_blocks(kind, options.layers, options.width, CLASSES)
    network, loss = jaxnn.chain(*blocks), jaxnn.softmax_cross_entropy()
    objective, in_shape = jaxnn.objective(network, loss), train.x.shape[1:]

    def member(h):
        init_key, fit_key = jax.random.split(jax.random.key(h["seed"]))
        params = network.init(init_key, in_shape)[0]
        return jaxnn.Member(objective, jaxnn.optimizer("sgd", h["rate"]), params, fit_key)

    first = jax.jit(lambda: member({"seed": 0, "rate": 1.0}).params)()
    with ignore_divergence_warnings():
        population = jaxnn.fit_population(
            *(member, jaxnn.grid(rate=RATES, seed=range(options.seeds)), train.x, train.y),
            epochs=options.epochs,
            batch_size=min(BATCH_SIZE, len(train.x)),
            callback=callback,
            checkpoints=checkpoints,
        )

    @jax.jit
    @jax.vmap
    def accuracy(params, stats):
        z = network.infer(params, stats, dev.x)
        return 100 * jaxnn.accuracy(jnp.argmax(z, axis=-1), dev.y)

    by_rate = (len(RATES), options.seeds)
    return Result(
        measure_start(blocks, first, loss, train),
        np.asarray(population.history[-1]["loss"]).reshape(by_rate),
        np.asarray(accuracy(population.params, population.stats)).reshape(by_rate),
    )


def _report(results: dict[str, Result], options: Options, folder: RunFolder) -> None:
    title = f"Digits, {options.layers} hidden layers of {options.width} ReLU units, {options.seeds} seeds of each rate"
    table = tables.table(title, COLUMNS, [[name, *_cells(result)] for name, result in results.items()], 1)
    notes = [
        "normalization: before each ReLU. Weights have a variance of 1/n_in, with He of 2/n_in.",
        "std, norm: before the first step, on the training set, first seed.",
        f"learning rates: from {RATES[0]:.2g} to {RATES[-1]:.2g}, by factors of 2. A rate trains the network if the "
        f"loss in the last of {options.epochs} epochs, the median of the seeds, is below {TRAINED:.2f}, half of that "
        "of guessing.",
    ]
    folder.write_text("report.txt", tables.show_with_notes([table], notes))
    folder.write_json(
        "results.json",
        {
            name: {
                "deviations": result.start.deviations.tolist(),
                "gradients": result.start.gradients.tolist(),
                "rates": RATES.tolist(),
                "losses": result.losses.tolist(),
                "dev_accuracy": result.accuracy.tolist(),
            }
            for name, result in results.items()
        },
    )
    caption = (
        "By layer, before the first step: the standard deviation of activations, and the norm of the gradient with "
        "respect to weights. By learning rate: the loss in the last epoch, median of the seeds; dotted: guessing."
    )
    folder.add_picture("normalization.png", _draw(results), caption)


def _cells(result: Result) -> list[str]:
    deviations, gradients = result.start
    rates, best = result.trained, int(np.argmin(result.medians))
    return [
        f"{deviations[0]:.2g}, {deviations[-1]:.2g}",
        f"{gradients[0]:.2g}, {gradients[-2]:.2g}",
        f"{rates[0]:.2g} to {rates[-1]:.2g}" if len(rates) else "none",
        f"{rates[-1] / rates[0]:.0f}" if len(rates) else "",
        f"{result.medians[best]:.3f}",
        f"{RATES[best]:.2g}",
        f"{np.median(result.accuracy[best]):.1f}",
    ]


def _draw(results: dict[str, Result]) -> bytes:
    figure, axes = plots.grid(1, 3)
    for panel, title, values in (
        (axes[0, 0], "standard deviation of activations", lambda start: start.deviations),
        (axes[0, 1], "norm of dJ/dW", lambda start: start.gradients),
    ):
        curves = {name: _numbered(values(result.start)) for name, result in results.items()}
        plots.draw_curves(panel, curves, title=title, x="layer", y="", log=True)
    _draw_losses(axes[0, 2], results)
    return plots.png(figure)


def _numbered(values: np.ndarray) -> plots.Curve:
    return np.arange(1, len(values) + 1), values


def _draw_losses(panel: Axes, results: dict[str, Result]) -> None:
    highest = 2 * GUESSING
    for name, result in results.items():
        # Losses above the panel, and those of networks that diverged, are drawn at its upper edge.
        panel.plot(RATES, np.minimum(result.medians, highest), marker=".", label=name)
    panel.axhline(GUESSING, color="black", linewidth=0.8, linestyle=":")
    panel.set(title="loss in the last epoch", xlabel="learning rate", xscale="log", yscale="log")
    panel.grid(alpha=0.3)
    panel.legend(frameon=False)
    panel.set_ylim(top=1.1 * highest)
