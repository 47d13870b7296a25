"""Train every initialization and seed as one population; report a table and plots."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxnn
from experiments.reports import plots, tables
from experiments.runs.folder import RunFolder, StartRun
from experiments.runs.options import check_at_least_one
from experiments.runs.progress import show_progress
from experiments.studies.initialization import Options

SIZES = (2, 10, 5, 1)
INITIALIZATIONS = {
    "zeros": lambda n_in, n_out: 0.0,
    "small": lambda n_in, n_out: 0.01,
    "large": lambda n_in, n_out: 10.0,
    "He": lambda n_in, n_out: (2 / n_in) ** 0.5,
    "Glorot": lambda n_in, n_out: (2 / (n_in + n_out)) ** 0.5,
}
"""The standard deviation of a layer's weights, which are normal."""
COURSE = {"zeros": "50", "large": "83", "He": "99"}
"""Published training accuracies, in percent."""
PARTS = (("train", 300, 1), ("test", 100, 2))
"""Name, examples and seed of each set."""
REPORTS = 30
COLUMNS = (
    "start",
    "course\ntrain %",
    "train %\nmedian (range)",
    "test %\nmedian (range)",
    "final cost\nmedian (range)",
)


def run_study(options: Options, start: StartRun) -> None:
    """Train from every initialization, and report the results."""
    check_at_least_one("steps", options.steps)
    check_at_least_one("seeds", options.seeds)
    jaxnn.optimizer("sgd", options.learning_rate)  # raises if the rate is invalid
    data = rings()

    folder = start()
    with show_progress("initialization", options.steps) as show:
        population = train(
            options, data["train"], lambda report: show(report["step"], ""), folder.checkpoints("initializations")
        )
    accuracy = {part: _accuracies(population.params, batch, options.seeds) for part, batch in data.items()}
    _report(accuracy, population, data["train"], folder)


def rings() -> dict[str, jaxnn.Batch]:
    """Return the course's points: an outer ring of class 0 around an inner ring of class 1."""
    from sklearn.datasets import make_circles  # slow to import, so not for --help

    parts = {
        "train": make_circles(300, noise=0.05, random_state=1),
        "test": make_circles(100, noise=0.05, random_state=2),
    }
    return {part: jaxnn.Batch(x.astype(np.float32), y) for part, (x, y) in parts.items()}


def train(
    options: Options, data: jaxnn.Batch, callback: Any, checkpoints: jaxnn.Checkpointer | None = None
) -> jaxnn.Population:
    """Train all initializations and seeds, the seed varying fastest."""
    layers = list(zip(SIZES, SIZES[1:], strict=False))
    deviations = jnp.array([[deviation(*sizes) for sizes in layers] for deviation in INITIALIZATIONS.values()])

    def member(h):
        inits = [_normal(deviations[h["start"], l]) for l in range(len(layers))]
        model, key = jaxnn.mlp(SIZES, "relu", init=inits), jax.random.key(h["seed"])
        sgd = jaxnn.optimizer("sgd", options.learning_rate)
        return jaxnn.Member(jaxnn.objective(model.network, model.loss), sgd, model.init(key), key)

    members = jaxnn.grid(start=range(len(INITIALIZATIONS)), seed=range(options.seeds))
    every = max(1, options.steps // REPORTS)
    return jaxnn.fit_population(
        *(member, members, data.x, data.y),
        epochs=options.steps,
        report_every=every,
        callback=callback,
        checkpoints=checkpoints,
    )


def _normal(deviation: jax.Array) -> jaxnn.typing.Initializer:
    return lambda key, shape, dtype: deviation.astype(dtype) * jax.random.normal(key, shape, dtype)


def _accuracies(params: Any, batch: jaxnn.Batch, seeds: int) -> np.ndarray:
    """Return the accuracies in percent, (initializations, seeds)."""
    model = jaxnn.mlp(SIZES, "relu")
    measure = jax.jit(jax.vmap(lambda params: 100 * jaxnn.accuracy(model.predict(params, batch.x), batch.y)))
    return np.asarray(measure(params)).reshape(-1, seeds)


def _report(
    accuracy: dict[str, np.ndarray], population: jaxnn.Population, data: jaxnn.Batch, folder: RunFolder
) -> None:
    costs = population.losses.reshape(len(INITIALIZATIONS), -1, population.losses.shape[1])
    spread = tables.median_and_range
    rows = [
        [
            name,
            COURSE.get(name, ""),
            spread(accuracy["train"][i]),
            spread(accuracy["test"][i]),
            spread(costs[i, :, -1], 3),
        ]
        for i, name in enumerate(INITIALIZATIONS)
    ]
    table = tables.table(f"Two rings, 2-10-5-1, {costs.shape[1]} seeds of each initialization", COLUMNS, rows, 1)
    folder.write_text("report.txt", tables.show_with_notes([table]))
    folder.write_json(
        "results.json",
        {
            name: {
                **{f"{part}_accuracy": values[i].tolist() for part, values in accuracy.items()},
                "final_cost": costs[i, :, -1].tolist(),
                "diverged_at": population.diverged_at[i * costs.shape[1] : (i + 1) * costs.shape[1]],
            }
            for i, name in enumerate(INITIALIZATIONS)
        },
    )
    caption = "Training cost by initialization, median over seeds; and the trained network's output, first seed."
    folder.add_picture("initializations.png", _draw(costs, population.params, data), caption)


def _draw(costs: np.ndarray, params: Any, data: jaxnn.Batch) -> bytes:
    figure, axes = plots.grid(2, 3)
    steps = np.arange(0, costs.shape[2], max(1, costs.shape[2] // 300))
    curves = {name: (steps, np.median(costs[i][:, steps], axis=0)) for i, name in enumerate(INITIALIZATIONS)}
    plots.draw_curves(axes[0, 0], curves, title="cost, median of the seeds", x="step", y="cost", log=True)
    model = jaxnn.mlp(SIZES, "relu")
    predict = jax.jit(model.predict_proba)
    for i, (name, panel) in enumerate(zip(INITIALIZATIONS, axes.ravel()[1:], strict=True)):
        first = jax.tree.map(lambda leaf, i=i: leaf[i * costs.shape[1]], params)
        plots.draw_decision_boundary(panel, lambda x, p=first: predict(p, x)[:, 0], data.x, data.y, title=name)
    return plots.png(figure)
