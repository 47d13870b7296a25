"""Train, diagnose, and draw learning and reliability curves."""

from typing import Any, NamedTuple

import jax
import numpy as np
import optax

import jaxnn
from experiments.reports import plots, tables, terminal
from experiments.runs.folder import StartRun
from experiments.runs.options import check_at_least_one
from experiments.runs.progress import show_progress
from experiments.studies.bias_variance import Options
from jaxnn.contrib import traced_width_mlp

FEW = 60
SHIFT = 2
SIZES = (20, 50, 100, 200, 400, 800)
CHOSEN_FROM, CHOSEN_BY = 200, 30
"""The number of networks, and of dev images that choose the best of them: so few that chance decides."""
CHOICE_STEPS = 60
WIDTHS = (2, 64)
CURVES = 4
"""Random orders of the examples behind each learning curve."""


class Case(NamedTuple):
    """A training: its name, the network, the epochs, the training set, and another part of its distribution."""

    name: str
    hidden: int
    epochs: int
    train: jaxnn.Batch
    train_dev: jaxnn.Batch | None = None


class Digits(NamedTuple):
    """Images (m, 8, 8) from 0 to 1, as rows of 64; dev and test are from the target distribution."""

    train: jaxnn.Batch
    train_dev: jaxnn.Batch
    dev: jaxnn.Batch
    test: jaxnn.Batch


def run_study(options: Options, start: StartRun) -> None:
    """Train the networks, diagnose each, and draw their learning curves."""
    check_at_least_one("epochs", options.epochs)
    check_at_least_one("curve-epochs", options.curve_epochs)
    if not 0 <= options.achievable_error <= 1:
        raise ValueError(f"--achievable-error must be from 0 to 1, got {options.achievable_error}")
    digits = load(options.seed)
    few = jaxnn.Batch(digits.train.x[:FEW], digits.train.y[:FEW])
    cases = [
        Case("2 hidden units", 2, options.epochs, digits.train),
        Case("one epoch", 64, 1, digits.train),
        # As many steps as the others.
        Case(f"256 hidden units, {FEW} examples", 256, options.epochs * len(digits.train.y) // FEW, few),
        Case(f"trained on images shifted by {SHIFT}", 64, options.epochs, moved(digits.train), moved(digits.train_dev)),
        Case("64 hidden units", 64, options.epochs, digits.train),
    ]

    folder, results, predicted = start(), [], {}
    with show_progress("bias_variance", len(cases) + 2) as show:
        for case in cases:
            result, predicted[case.name] = _train(case, digits, options)
            results.append(result)
            show(len(results), case.name)
        result, predicted[result["training"]] = _choose(digits, options)
        results.append(result)
        show(len(results), result["training"])
        curve = _learning_curve(digits, options)

    shown = [
        tables.table(
            f"Digits: {len(digits.train.y)} train, {len(digits.dev.y)} dev and {len(digits.test.y)} test images",
            (
                "training",
                "found",
                "train",
                "train-dev",
                "dev",
                "test error %",
                "bias",
                "variance",
                "mismatch",
                "test - dev",
                "ECE %",
            ),
            [_cells(result) for result in results],
            2,
        ),
        tables.table(
            f"Error %, train / dev, means over {CURVES} draws",
            ("training examples", *(f"{width} hidden units" for width in WIDTHS)),
            [
                [f"{size}", *(f"{100 * curve['train'][i][k]:.1f} / {100 * curve['dev'][i][k]:.1f}" for i in range(2))]
                for k, size in enumerate(curve["sizes"])
            ],
            0,
        ),
    ]
    steps = [f"{r['training']}: " + ("; ".join(r["next_steps"]) or "none") for r in results]
    for table in shown:
        tables.show(table)
    print("Suggested next steps:", *(terminal.wrap(f"  {step}") for step in steps), sep="\n")
    text = "\n".join(map(tables.as_text, shown))
    folder.write_text("report.txt", text + "\n".join(["Suggested next steps:", *steps]) + "\n")
    folder.write_json("results.json", {"trainings": results, "learning_curve": curve})
    caption = (
        "Error by training-set size: a small network, whose errors converge early to a high value, and a large one."
    )
    folder.add_picture("learning_curves.png", _draw_learning_curves(curve), caption)
    caption = "Accuracy on the test images by predicted probability; dashed: perfect calibration."
    folder.add_picture("reliability.png", _draw_reliability(results, predicted, digits.test), caption)


def load(seed: int) -> Digits:
    """Load 1797 images, split into 50, 10, 20 and 20 %, stratified by class."""
    from sklearn.datasets import load_digits  # slow to import, so not for --help

    x, y = load_digits(return_X_y=True)
    return Digits(*jaxnn.split((x / 16).astype(np.float32), y, (0.5, 0.1, 0.2, 0.2), seed=seed, stratify=True))


def moved(batch: jaxnn.Batch) -> jaxnn.Batch:
    """Return the images shifted right by SHIFT pixels, with wrap-around."""
    images = np.zeros((len(batch.x), 8, 8), np.float32)
    images[:, :, SHIFT:] = batch.x.reshape(-1, 8, 8)[:, :, :-SHIFT]
    return batch._replace(x=images.reshape(-1, 64))


def _train(case: Case, digits: Digits, options: Options) -> tuple[dict[str, Any], np.ndarray]:
    """Train a case; return its errors, diagnosis and calibration, and the probabilities of the test images, (m, 10)."""
    model = jaxnn.mlp((64, case.hidden, 10), "tanh", output="softmax")
    init_key, key = jax.random.split(jax.random.key(options.seed))
    fit = jaxnn.fit(
        jaxnn.objective(model.network, model.loss),
        optax.adam(3e-3),
        model.init(init_key),
        case.train.x,
        case.train.y,
        key=key,
        epochs=case.epochs,
        batch_size=min(32, len(case.train.y)),
        report_every=case.epochs,
    )
    parts = {"train": case.train, "train_dev": case.train_dev, "dev": digits.dev, "test": digits.test}
    return _judge(case.name, model, fit.params, parts, options)


def _choose(digits: Digits, options: Options) -> tuple[dict[str, Any], np.ndarray]:
    """Return what `_train` returns, for the best of many small networks, chosen by the error on few dev images."""
    model = jaxnn.mlp((64, 4, 10), "tanh", output="softmax")
    objective = jaxnn.objective(model.network, model.loss)

    def member(h):
        key = jax.random.key(h["seed"])
        return jaxnn.Member(objective, optax.adam(1e-2), model.init(key), key)

    def measure(params, h):
        return {"error": jaxnn.metrics.error_rate(model.predict(params, dev.x), dev.y)}

    dev = jaxnn.Batch(digits.dev.x[:CHOSEN_BY], digits.dev.y[:CHOSEN_BY])
    seeds, plan = jaxnn.grid(seed=range(CHOSEN_FROM)), {"epochs": CHOICE_STEPS, "report_every": CHOICE_STEPS}
    train = digits.train
    population = jaxnn.fit_population(member, seeds, train.x, train.y, evaluate=jax.jit(measure), **plan)
    best = population.member(population.best("error"))
    name = f"best of {CHOSEN_FROM} by {CHOSEN_BY} dev images"
    return _judge(name, model, best.params, {"train": train, "dev": dev, "test": digits.test}, options)


def _judge(
    name: str, model: jaxnn.Model, params: Any, parts: dict[str, jaxnn.Batch | None], options: Options
) -> tuple[dict[str, Any], np.ndarray]:
    """Return the errors on the parts, the diagnosis and the calibration, and the test probabilities, (m, 10)."""
    parts = {part: batch for part, batch in parts.items() if batch is not None}

    @jax.jit
    def measure(params, parts):
        errors = {part: jaxnn.metrics.error_rate(model.predict(params, b.x), b.y) for part, b in parts.items()}
        p = model.predict_proba(params, parts["test"].x)
        return errors, p, jaxnn.metrics.expected_calibration_error(p, parts["test"].y)

    errors, p, ece = jax.device_get(measure(params, parts))
    errors = {f"{part}_error": float(error) for part, error in errors.items()}
    counts = {f"n_{part}": len(batch.y) for part, batch in parts.items()}
    diagnosis = jaxnn.metrics.analyze_errors(achievable_error=options.achievable_error, **errors, **counts)
    return {"training": name, **errors, **diagnosis._asdict(), "ece": float(ece)}, p


def _learning_curve(digits: Digits, options: Options) -> dict[str, list]:
    """Return sizes, and errors (widths, sizes), means over the draws; each width is one population."""
    net = jaxnn.mlp((64, max(WIDTHS), 10), "tanh", output="softmax")

    def member(h):
        model = traced_width_mlp((64, max(WIDTHS), 10), h["width"], "tanh", output="softmax")
        key = jax.random.key(options.seed)
        return jaxnn.Member(jaxnn.objective(model.network, model.loss), optax.adam(1e-2), model.init(key), key)

    def measure(params, batch):
        return {"error": jaxnn.metrics.error_rate(net.predict(params, batch.x), batch.y, batch.weight)}

    curve = jaxnn.population.learning_curve(
        member,
        jaxnn.grid(width=WIDTHS),
        digits.train.x,
        digits.train.y,
        SIZES,
        dev=digits.dev,
        seeds=range(CURVES),
        measure=measure,
        stratify=True,
        epochs=options.curve_epochs,
        report_every=options.curve_epochs,
    )
    means = {part: getattr(curve, part)["error"].mean(axis=1).tolist() for part in ("train", "dev")}
    return {"sizes": curve.sizes.tolist(), **means}


def _cells(result: dict[str, Any]) -> list[str]:
    def percent(name):
        return "" if result.get(name) is None else f"{100 * result[name]:.1f}"

    def gap(name):
        return f"{percent(name)} ± {100 * result['noise'][name]:.1f}" if name in result["noise"] else ""

    return [
        result["training"],
        ", ".join(result["found"]),
        *(percent(f"{part}_error") for part in ("train", "train_dev", "dev", "test")),
        *(gap(name) for name in ("bias", "variance", "mismatch", "dev_overfitting")),
        percent("ece"),
    ]


def _draw_learning_curves(curve: dict[str, list]) -> bytes:
    figure, axes = plots.grid(1, len(WIDTHS))
    for axis, width, train, dev in zip(axes[0], WIDTHS, curve["train"], curve["dev"], strict=True):
        curves = {"train": (curve["sizes"], train), "dev": (curve["sizes"], dev)}
        plots.draw_curves(axis, curves, title=f"{width} hidden units", x="training examples", y="error")
        axis.set(ylim=(-0.02, 1))
    return plots.png(figure)


def _draw_reliability(results: list[dict[str, Any]], predicted: dict[str, np.ndarray], test: jaxnn.Batch) -> bytes:
    figure, axes = plots.grid(2, len(results) // 2)
    for axis, result in zip(axes.flat, results, strict=True):
        curve = jaxnn.metrics.reliability_curve(predicted[result["training"]], test.y)
        used = np.asarray(curve.count) > 0
        name = f"{result['training']}\nECE {100 * result['ece']:.1f} %"
        curves = {"network": (curve.confidence[used], curve.accuracy[used])}
        plots.draw_curves(axis, curves, title=name, x="confidence", y="accuracy")
        axis.plot([0, 1], [0, 1], color="gray", linestyle="dashed", linewidth=1)
    return plots.png(figure)
