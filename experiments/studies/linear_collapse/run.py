"""Train with L-BFGS in float64, and compare the decision functions."""

import jax
import numpy as np
import optax

import jaxnn
from experiments.reports import tables
from experiments.runs.folder import StartRun
from experiments.runs.options import check_at_least_one
from experiments.runs.progress import show_progress
from experiments.studies.linear_collapse import Options

FEATURES = 10
"""The first ten features of breast cancer, the means. All thirty separate the classes completely, and then there are no
optimal weights: larger ones are always better."""
WIDTH = 8
NETWORKS = {
    "logistic regression": (),
    "2 linear layers": ("identity",),
    "3 linear layers": ("identity",) * 2,
    "5 linear layers": ("identity",) * 4,
    "5 layers, tanh in the third": ("identity", "identity", "tanh", "identity"),
}
COLUMNS = (
    *("network", "cost", "max\n|gradient|", "accuracy %", "agreement with\nlogistic %"),
    *("largest logit difference\nto logistic", "\nto the best affine function"),
)


def run_study(options: Options, start: StartRun) -> None:
    """Train each network to the optimum, compare, and report."""
    check_at_least_one("iterations", options.iterations)
    with jax.enable_x64(True):
        data = load()
        folder, results = start(), []
        with show_progress("linear_collapse", len(NETWORKS)) as show:
            for name, activations in NETWORKS.items():
                results.append(_train(name, activations, data, options))
                show(len(results), name)
    reference = results[0]["logits"]
    for result in results:
        logits = result.pop("logits")
        result["agreement"] = float(((logits > 0) == (reference > 0)).mean())
        result["to_logistic"] = float(np.abs(logits - reference).max())
        result["to_affine"] = float(np.abs(logits - best_affine(data.x, logits)).max())
    table = tables.table(f"Breast cancer, {FEATURES} features, float64", COLUMNS, [_cells(r) for r in results], 1)
    folder.write_text("report.txt", tables.show_with_notes([table]))
    folder.write_json("results.json", results)


def load() -> jaxnn.Batch:
    """Load all examples, standardized: there is no generalization to measure here."""
    from sklearn.datasets import load_breast_cancer  # slow to import, so not for --help

    x, y = load_breast_cancer(return_X_y=True)
    x = x[:, :FEATURES]
    return jaxnn.Batch(jaxnn.standardize(jaxnn.data.fit_standardizer(x), x), y)


def best_affine(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the values at x of the affine function of x (m, n) that is closest to z (m,)."""
    ones = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    return ones @ np.linalg.lstsq(ones, z, rcond=None)[0]


def _train(name: str, activations: tuple[str, ...], data: jaxnn.Batch, options: Options) -> dict:
    sizes = (FEATURES, *[WIDTH] * len(activations), 1)
    model = jaxnn.mlp(sizes, activations, init="lecun")
    objective, key = jaxnn.objective(model.network, model.loss), jax.random.key(options.seed)
    plan = {"epochs": options.iterations, "report_every": options.iterations}
    fit = jaxnn.fit(objective, optax.lbfgs(), model.init(key), data.x, data.y, key=key, **plan)
    (cost, _), grads = jax.jit(objective.value_and_grad)(fit.params, data)
    logits = np.asarray(model.outputs(fit.params, data.x))[:, 0]
    return {
        "network": name,
        "cost": float(cost),
        "gradient": max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(grads)),
        "accuracy": float(((logits > 0) == data.y).mean()),
        "logits": logits,
    }


def _cells(result: dict) -> list[str]:
    return [
        result["network"],
        f"{result['cost']:.9f}",
        f"{result['gradient']:.1e}",
        *(f"{100 * result[name]:.2f}" for name in ("accuracy", "agreement")),
        *(f"{result[name]:.1e}" for name in ("to_logistic", "to_affine")),
    ]
