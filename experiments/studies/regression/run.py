"""Train all L2 strengths of a network as one population, in float64, and compare with scikit-learn's ridge."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import optax

import jaxnn
from experiments.reports import plots, tables
from experiments.runs.folder import StartRun
from experiments.runs.options import check_at_least_one
from experiments.runs.progress import show_progress
from experiments.studies.regression import Options

STRENGTHS = (0.0, 0.001, 0.01, 0.1, 1.0)
HIDDEN = 16
NETWORKS = {
    "linear output": ((10, 1), "linear"),
    "ReLU output": ((10, 1), "relu"),
    f"{HIDDEN} tanh units, linear output": ((10, HIDDEN, 1), "linear"),
    f"{HIDDEN} tanh units, ReLU output": ((10, HIDDEN, 1), "relu"),
}


class Data(NamedTuple):
    """Ten standardized measurements of each patient, and the disease progression divided by `scale`, not centered."""

    train: jaxnn.Batch
    dev: jaxnn.Batch
    test: jaxnn.Batch
    scale: float


def run_study(options: Options, start: StartRun) -> None:
    """Train at every strength, choose by the dev set, and compare the linear network with ridge regression."""
    for name in ("seeds", "iterations", "hidden_iterations"):
        check_at_least_one(name.replace("_", "-"), getattr(options, name))
    data = load(options.seed)

    folder = start()
    with jax.enable_x64(True), show_progress("regression", len(NETWORKS)) as show:
        mean, ridge = data.train.y.mean(), [_ridge(data.train, strength) for strength in STRENGTHS]
        results = {
            "mean of the training set": _result(data, lambda x: np.full((1, 1, len(x)), mean)),
            "ridge, closed form": _result(data, lambda x: np.stack([one.predict(x)[None] for one in ridge])),
        }
        populations = {}
        for done, (name, (sizes, output)) in enumerate(NETWORKS.items()):
            show(done, name)
            model = jaxnn.mlp(sizes, "tanh", output=output, init="zeros" if len(sizes) == 2 else "lecun")
            populations[name] = _train(model, len(sizes) > 2, data.train, options)
            results[name] = _result(data, _predictions(model, populations[name]))
        difference = to_ridge(ridge, populations["linear output"].params)
        dead = change_from_zeros(data.train)

    table = tables.table(
        "Diabetes: root mean squared error; strengths chosen by the dev set",
        ("model", "L2 strength", "train", "dev", "test", "dev without L2", "smallest prediction"),
        [
            [name, "" if r["strength"] is None else f"{r['strength']:g}"]
            + [f"{r[part]:.2f}" for part in ("train", "dev", "test", "without", "smallest")]
            for name, r in results.items()
        ],
        1,
    )
    notes = [
        "linear output compared with ridge: largest difference of coefficients and intercept, relative to the largest "
        f"of them, over all strengths: {difference:.1e}",
        f"ReLU output initialized at 0, where its slope is 0: largest change of a param in 100 steps {dead:g}",
    ]
    folder.write_text("report.txt", tables.show_with_notes([table], notes))
    folder.write_json("results.json", {"networks": results, "to_ridge": difference, "change_from_zeros": dead})
    figure, axes = plots.grid(1, 1)
    curves = {name: (STRENGTHS, r["dev_by_strength"]) for name, r in results.items() if r["strength"] is not None}
    plots.draw_curves(axes[0, 0], curves, title="diabetes", x="strength of L2", y="dev RMSE")
    axes[0, 0].set_xscale("symlog", linthresh=STRENGTHS[1])
    caption = "Dev error of each network and of ridge regression, by strength of the L2 regularizer."
    folder.add_picture("strengths.png", plots.png(figure), caption)


def load(seed: int) -> Data:
    """Load train, dev and test (60, 20, 20 %) of the 442 patients, standardized by the training set."""
    from sklearn.datasets import load_diabetes  # slow to import, so not for --help

    x, y = load_diabetes(return_X_y=True)
    parts = jaxnn.split(x, y, (0.6, 0.2, 0.2), seed=seed)
    # The target is scaled but not centered: a ReLU output is never negative.
    stats, scale = jaxnn.data.fit_standardizer(parts[0].x), float(parts[0].y.std())
    return Data(*(jaxnn.Batch(jaxnn.standardize(stats, part.x), part.y / scale) for part in parts), scale)


def to_ridge(ridge: list, params: tuple) -> float:
    """Return the largest difference of a population's coefficients and intercepts from the closed form, relative."""
    ours = np.concatenate([params[0]["W"][:, 0], params[0]["b"]], axis=1)
    exact = np.array([[*one.coef_, one.intercept_] for one in ridge])
    return float(np.abs(ours - exact).max() / np.abs(exact).max())


def change_from_zeros(train: jaxnn.Batch) -> float:
    """Return the largest change of a param in 100 steps of a network with a ReLU output and initial params of 0."""
    model = jaxnn.mlp((10, 1), output="relu", init="zeros")
    start, key = model.init(jax.random.key(0)), jax.random.key(0)
    objective = jaxnn.objective(model.network, model.loss)
    fit = jaxnn.fit(objective, optax.sgd(0.3), start, train.x, train.y, key=key, epochs=100, report_every=100)
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(fit.params))


def _ridge(train: jaxnn.Batch, strength: float) -> object:
    """Return the ridge solution; its Σ (y - ŷ)² + alpha |w|² is 2m times the mean of ½(y - ŷ)² plus strength/2 |w|²."""
    from sklearn.linear_model import Ridge

    return Ridge(alpha=len(train.y) * strength, solver="svd").fit(train.x, train.y)


def _train(model: jaxnn.Model, hidden: bool, train: jaxnn.Batch, options: Options) -> jaxnn.Population:
    """Train with every strength and seed, the seed varying fastest."""
    optimizer = optax.adam(0.01) if hidden else optax.sgd(0.3)
    steps = options.hidden_iterations if hidden else options.iterations

    def member(h):
        key = jax.random.key(h["seed"])
        # The last leaf is the output's bias. It is initialized to the mean, where the slope of ReLU is 1.
        leaves, structure = jax.tree.flatten(model.init(key))
        params = jax.tree.unflatten(structure, [*leaves[:-1], leaves[-1] + train.y.mean()])
        return jaxnn.Member(jaxnn.objective(model.network, model.loss, jaxnn.l2(h["l2"])), optimizer, params, key)

    # Without a hidden layer nothing is random.
    members = jaxnn.grid(l2=STRENGTHS, seed=range(options.seeds if hidden else 1))
    return jaxnn.fit_population(member, members, train.x, train.y, epochs=steps, report_every=steps)


def _predictions(model: jaxnn.Model, population: jaxnn.Population) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of inputs (m, n) to the predictions of every strength and seed, (strengths, seeds, m)."""
    predict = jax.jit(jax.vmap(model.predict_proba, in_axes=(0, None)))
    return lambda x: np.asarray(predict(population.params, x)).reshape(len(STRENGTHS), -1, len(x))


def _result(data: Data, predict: Callable[[np.ndarray], np.ndarray]) -> dict:
    """Return the errors, in the target's units, at the strength with the best dev error; means over seeds."""
    parts = {"train": data.train, "dev": data.dev, "test": data.test}
    errors = {
        part: data.scale * np.sqrt(((predict(batch.x) - batch.y) ** 2).mean(axis=2)).mean(axis=1)
        for part, batch in parts.items()
    }
    best = int(errors["dev"].argmin())
    return {
        "strength": STRENGTHS[best] if len(errors["dev"]) > 1 else None,
        **{part: float(error[best]) for part, error in errors.items()},
        "without": float(errors["dev"][0]),
        "smallest": data.scale * float(predict(data.test.x)[best].min()),
        "dev_by_strength": errors["dev"].tolist(),
    }
