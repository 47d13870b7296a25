"""Train every strength and seed as one population; report a table and plots."""

from typing import Any

import jax
import numpy as np

import jaxnn
from experiments.reports import plots, tables
from experiments.runs.folder import RunFolder, StartRun
from experiments.runs.options import check_at_least_one
from experiments.runs.progress import show_progress
from experiments.studies.regularization import Options

SIZES = (2, 32, 16, 1)
KINDS = {
    "none": (0.0, 0.0),
    "L2 0.001": (1e-3, 0.0),
    "L2 0.01": (1e-2, 0.0),
    "L2 0.1": (1e-1, 0.0),
    "dropout 0.1": (0.0, 0.1),
    "dropout 0.3": (0.0, 0.3),
    "dropout 0.5": (0.0, 0.5),
}
"""The strength of L2, and the dropout rate of the hidden layers."""
POOL, M_TRAIN, M_TEST = 200, 100, 2000
"""The number of points in the pool of training sets, in a training set, and in the test set."""
WRONG, NOISE = 0.1, 0.2
"""The share of wrong labels in training and test set, and the standard deviation of the points' noise."""
REPORTS = 20
COLUMNS = (
    *("regularization", "train %\nmean", "test %\nmean", "train, change\nmean ± 2 s.e.", "test, change\nmean ± 2 s.e."),
    *("test better\nseeds", "test cost\nmean"),
)


def run_study(options: Options, start: StartRun) -> None:
    """Train with every kind of regularization, and report the results."""
    check_at_least_one("steps", options.steps)
    check_at_least_one("seeds", options.seeds)
    jaxnn.optimizer("adam", options.learning_rate)  # raises if the rate is invalid
    pool, test = moons(POOL, seed=0), moons(M_TEST, seed=1)

    folder = start()
    with show_progress("regularization", options.steps) as show:
        population = train(options, pool, lambda report: show(report["step"], ""), folder.checkpoints("kinds"))
    measured = _measure(population, pool, test, options.seeds)
    _report(measured, population, pool, folder)


def moons(m: int, seed: int) -> jaxnn.Batch:
    """Return two noisy half circles, one for each class, with some wrong labels."""
    from sklearn.datasets import make_moons  # slow to import, so not for --help

    x, y = make_moons(m, noise=NOISE, random_state=seed)
    wrong = np.random.default_rng(seed).permutation(m) < WRONG * m
    return jaxnn.Batch(x.astype(np.float32), np.where(wrong, 1 - y, y))


def drawn(seed: jax.Array) -> jax.Array:
    """Return the training set of a seed as example weights of the pool, (POOL,): 1 for the points that are in it."""
    return (jax.random.permutation(jax.random.key(seed), POOL) < M_TRAIN).astype(np.float32)


def network(dropout_rate: Any = 0.5) -> jaxnn.Model:
    """Return the network; the dropout rate does not matter for prediction."""
    return jaxnn.mlp(SIZES, "relu", init="he", dropout_rate=dropout_rate)


def train(
    options: Options, pool: jaxnn.Batch, callback: Any, checkpoints: jaxnn.Checkpointer | None = None
) -> jaxnn.Population:
    """Train all kinds and seeds: the same seed means the same initial weights and the same points."""

    def member(h):
        model = network(h["dropout"])
        objective = jaxnn.objective(model.network, model.loss, jaxnn.l2(h["l2"]))
        init_key, fit_key = jax.random.split(jax.random.key(h["seed"]))
        adam = jaxnn.optimizer("adam", options.learning_rate)
        return jaxnn.Member(objective, adam, model.init(init_key), fit_key, drawn(h["seed"]))

    (l2, dropout), seed = np.repeat(list(KINDS.values()), options.seeds, axis=0).T, np.arange(options.seeds)
    members = {"l2": l2, "dropout": dropout, "seed": np.tile(seed, len(KINDS))}
    every = max(1, options.steps // REPORTS)
    return jaxnn.fit_population(
        *(member, members, pool.x, pool.y),
        epochs=options.steps,
        report_every=every,
        callback=callback,
        checkpoints=checkpoints,
    )


def _measure(population: jaxnn.Population, pool: jaxnn.Batch, test: jaxnn.Batch, seeds: int) -> dict[str, np.ndarray]:
    """Return name -> (kinds, seeds): accuracies in percent, and the test cost, without dropout."""
    model = network()

    def measure(params, seed):
        return {
            "train": 100 * jaxnn.accuracy(model.predict(params, pool.x), pool.y, drawn(seed)),
            "test": 100 * jaxnn.accuracy(model.predict(params, test.x), test.y),
            "test_cost": model.loss.value(model.outputs(params, test.x), test.y).mean(),
        }

    measured = jax.jit(jax.vmap(measure))(population.params, population.hyperparameters["seed"])
    return {name: np.asarray(values).reshape(-1, seeds) for name, values in measured.items()}


def _report(
    measured: dict[str, np.ndarray], population: jaxnn.Population, pool: jaxnn.Batch, folder: RunFolder
) -> None:
    train, test = measured["train"], measured["test"]
    rows = [
        [
            name,
            *(f"{part[i].mean():.1f}" for part in (train, test)),
            *(_change(part[i] - part[0]) if i else "" for part in (train, test)),
            f"{(test[i] > test[0]).sum()} of {test.shape[1]}" if i else "",
            f"{measured['test_cost'][i].mean():.3f}",
        ]
        for i, name in enumerate(KINDS)
    ]
    title = f"Two moons, {M_TRAIN} points, {WRONG:.0%} of the labels wrong; {test.shape[1]} seeds of each kind"
    table = tables.table(title, COLUMNS, rows, 1)
    note = f"change: from none, paired by seed; a perfect network would have {100 * (1 - WRONG):.0f} % on either set."
    folder.write_text("report.txt", tables.show_with_notes([table], [note]))
    results = {name: {key: values[i].tolist() for key, values in measured.items()} for i, name in enumerate(KINDS)}
    folder.write_json("results.json", results)
    caption = "Output of the first seed's network after each training, and its training points."
    folder.add_picture("boundaries.png", _draw(population.params, pool, test.shape[1]), caption)


def _change(difference: np.ndarray) -> str:
    """Return the mean of paired differences (seeds,), and twice its standard error."""
    if len(difference) == 1:
        return f"{difference[0]:+.1f}"
    return f"{difference.mean():+.1f} ± {2 * difference.std(ddof=1) / len(difference) ** 0.5:.1f}"


def _draw(params: Any, pool: jaxnn.Batch, seeds: int) -> bytes:
    figure, axes = plots.grid(2, 4)
    inside = np.asarray(drawn(0)) == 1
    predict = jax.jit(network().predict_proba)
    for i, (name, panel) in enumerate(zip(KINDS, axes.ravel(), strict=False)):
        first = jax.tree.map(lambda leaf, i=i: leaf[i * seeds], params)
        plots.draw_decision_boundary(
            panel, lambda x, p=first: predict(p, x)[:, 0], pool.x[inside], pool.y[inside], title=name
        )
    for panel in axes.ravel()[len(KINDS) :]:
        panel.remove()
    return plots.png(figure)
