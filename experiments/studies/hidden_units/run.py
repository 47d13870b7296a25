"""Train all widths and seeds as one population, and draw the decision boundaries."""

import jax
import numpy as np

import jaxnn
from experiments.reports import plots, tables
from experiments.runs.folder import StartRun
from experiments.runs.options import check_at_least_one
from experiments.runs.progress import show_progress
from experiments.studies.hidden_units import Options
from jaxnn.contrib import traced_width_mlp

WIDTHS = (1, 2, 3, 4, 5, 20, 50)
POINTS = 400
TRAIN_SEED, FRESH_SEED = 1, 2


def run_study(options: Options, start: StartRun) -> None:
    """Train, measure on the training points and on new ones, and draw the results."""
    check_at_least_one("seeds", options.seeds)
    check_at_least_one("iterations", options.iterations)
    optimizer = jaxnn.optimizer("sgd", options.learning_rate)
    train, fresh = flower(TRAIN_SEED), flower(FRESH_SEED)

    folder = start()
    plan = {"epochs": options.iterations, "report_every": max(1, options.iterations // 20)}
    logistic = jaxnn.logistic_regression(2)
    objective, key = jaxnn.objective(logistic.network, logistic.loss), jax.random.key(0)
    line = jaxnn.fit(objective, optimizer, logistic.init(key), train.x, train.y, key=key, **plan)

    net = jaxnn.mlp((2, max(WIDTHS), 1), "tanh")

    def member(h):
        model = traced_width_mlp((2, max(WIDTHS), 1), h["width"], "tanh", init="normal")
        key = jax.random.key(h["seed"])
        return jaxnn.Member(jaxnn.objective(model.network, model.loss), optimizer, model.init(key), key)

    members = jaxnn.grid(width=WIDTHS, seed=range(options.seeds))
    with show_progress("hidden_units", options.iterations) as show:
        population = jaxnn.fit_population(
            *(member, members, train.x, train.y),
            callback=lambda report: show(report["epoch"], ""),
            checkpoints=folder.checkpoints("widths"),
            **plan,
        )
    results = [_result("logistic regression", logistic, jax.tree.map(lambda a: a[None], line.params), train, fresh)]
    for width in WIDTHS:
        own = jax.tree.map(lambda a, mine=members["width"] == width: a[mine], population.params)
        results.append(_result(f"{width} hidden", net, own, train, fresh))

    rows = [[result["network"], *(_spread(result[part]) for part in ("train", "fresh"))] for result in results]
    columns = ("network", "accuracy %: median (range)", "on new points")
    table = tables.table(f"{POINTS} points on a flower, {options.seeds} seeds", columns, rows, 1)
    folder.write_text("report.txt", tables.show_with_notes([table]))
    folder.write_json("results.json", results)

    figure, axes = plots.grid(2, 4)
    params = [line.params, *(population.member(i).params for i in range(0, len(members["seed"]), options.seeds))]
    for axis, result, own in zip(axes.flat, results, params, strict=True):
        model = logistic if result["network"] == results[0]["network"] else net
        title = f"{result['network']}: {100 * result['train'][0]:.1f} %"
        plots.draw_decision_boundary(
            axis, lambda x, model=model, own=own: model.predict_proba(own, x)[:, 0], train.x, train.y, title=title
        )
    caption = "Output of each network over the plane, from the first seed, and the training points."
    folder.add_picture("boundaries.png", plots.png(figure), caption)


def flower(seed: int) -> jaxnn.Batch:
    """Return POINTS points r = 4 sin 4θ + noise, x = (r sin θ, r cos θ), of class 0 for half a turn, then of class 1.

    θ also has noise, of deviation 0.2, so that some points of one class lie on petals of the other.
    """
    random, half = np.random.RandomState(seed), POINTS // 2
    x, y = [], np.repeat([0, 1], half)
    for turn in (0, 1):
        angle = np.linspace(3.12 * turn, 3.12 * (turn + 1), half) + 0.2 * random.randn(half)
        radius = 4 * np.sin(4 * angle) + 0.2 * random.randn(half)
        x.append(np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1))
    return jaxnn.Batch(np.concatenate(x).astype(np.float32), y)


def _result(name: str, model: jaxnn.Model, params: object, train: jaxnn.Batch, fresh: jaxnn.Batch) -> dict:
    """Return the accuracies of a network with the params of each seed, leaves (seeds, ...)."""
    measure = jax.jit(jax.vmap(lambda p, x, y: jaxnn.accuracy(model.predict(p, x), y), in_axes=(0, None, None)))
    parts = {"train": train, "fresh": fresh}
    return {"network": name} | {part: measure(params, data.x, data.y).tolist() for part, data in parts.items()}


def _spread(shares: list[float]) -> str:
    low, middle, high = 100 * np.quantile(shares, (0, 0.5, 1))
    return f"{middle:.1f}" if len(shares) == 1 else f"{middle:.1f} ({low:.1f}-{high:.1f})"
