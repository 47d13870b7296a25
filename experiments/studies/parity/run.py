"""Check the constructed networks, and train networks of similar shapes with many seeds."""

from collections.abc import Sequence

import jax
import numpy as np
import optax

import jaxnn
from experiments.networks.spec import NetworkSpec
from experiments.reports import plots, tables
from experiments.runs.folder import StartRun
from experiments.runs.options import check_at_least_one
from experiments.runs.progress import show_progress
from experiments.studies.parity import Options
from experiments.studies.parity.construct import counting, one_for_each, patterns, tree

RATES = (0.003, 0.01, 0.03)
FACTORS = (1, 4)
"""The trained deep networks have this many times the units of the constructed tree."""


def run_study(options: Options, start: StartRun) -> None:
    """Construct, train and report."""
    for name in ("seeds", "iterations"):
        check_at_least_one(name, getattr(options, name))
    n = options.bits
    if n not in (2, 4, 8, 16):
        raise ValueError(f"--bits must be 2, 4, 8 or 16, to make a tree, got {n}")
    data = jaxnn.Batch(*patterns(n))

    folder = start()
    constructions = {"tree of XORs": tree, "counting, one layer": counting, "a unit for each odd pattern": one_for_each}
    constructed = [_construct(name, arrays(n), data) for name, arrays in constructions.items()]
    trained, curves = [], {}
    networks = {f"{kind}, {spec.n_params} params": spec for factor in FACTORS for kind, spec in pair(n, factor).items()}
    with show_progress("parity", len(networks)) as show:
        for name, spec in networks.items():
            result, curves[name] = _train(name, spec, data, options)
            trained.append(result)
            show(len(trained), name)

    shown = [
        tables.table(
            f"Parity of {n} bits: constructed weights",
            ("network", "layers", "hidden units", "params", "accuracy %"),
            [
                [r["network"], r["sizes"], f"{r['units']}", f"{r['params']:,}", f"{100 * r['accuracy']:.1f}"]
                for r in constructed
            ],
            2,
        ),
        tables.table(
            f"Trained weights: {options.iterations} steps of Adam on all {2**n} patterns, {options.seeds} seeds",
            ("network", "layers", "params", "rate", "all correct", "accuracy %: median (range)", "median cost"),
            [_cells(result, options.seeds) for result in trained],
            2,
        ),
    ]
    for table in shown:
        tables.show(table)
    folder.write_text("report.txt", "\n".join(tables.as_text(table) for table in shown))
    folder.write_json("results.json", {"constructed": constructed, "trained": trained})
    figure, axes = plots.grid(1, 1)
    title = f"parity of {n} bits: median cost over {options.seeds} seeds"
    plots.draw_curves(axes[0, 0], curves, title=title, x="step", y="cost", log=True)
    caption = "Training at each network's best learning rate: median cost over the seeds."
    folder.add_picture("costs.png", plots.png(figure), caption)


def pair(n: int, factor: int) -> dict[str, NetworkSpec]:
    """Return a deep network in the tree's shape, and a shallow one with equally many params."""
    sizes = [n]
    while sizes[-1] > 1:
        sizes.append(sizes[-1] // 2)
    deep = NetworkSpec((n, *(factor * 2 * size for size in sizes[1:]), 1), init="he")
    # w hidden units have (n + 1) w + w + 1 params.
    return {"deep": deep, "shallow": NetworkSpec((n, round((deep.n_params - 1) / (n + 2)), 1), init="he")}


def _construct(name: str, arrays: Sequence[np.ndarray], data: jaxnn.Batch) -> dict:
    spec = NetworkSpec((arrays[0].shape[1], *(len(W) for W in arrays[::2])))
    model = spec.model()
    params = jaxnn.models.params_from_arrays(model.network, model.in_shape, arrays)
    return {
        "network": name,
        "sizes": str(spec),
        "units": sum(spec.sizes[1:-1]),
        "params": spec.n_params,
        "accuracy": float(jaxnn.accuracy(model.predict(params, data.x), data.y)),
    }


def _train(name: str, spec: NetworkSpec, data: jaxnn.Batch, options: Options) -> tuple[dict, plots.Curve]:
    """Train all rates and seeds as one population; return the results of the rate with the most solutions."""
    model = spec.model()
    objective = jaxnn.objective(model.network, model.loss)

    def member(h):
        key = jax.random.key(h["seed"])
        return jaxnn.Member(objective, optax.adam(h["rate"]), model.init(key), key)

    population = jaxnn.fit_population(
        member,
        jaxnn.grid(rate=RATES, seed=range(options.seeds)),
        data.x,
        data.y,
        epochs=options.iterations,
        report_every=options.iterations,
    )
    measure = jax.jit(jax.vmap(lambda params, x, y: jaxnn.accuracy(model.predict(params, x), y), (0, None, None)))
    accuracies = np.asarray(measure(population.params, data.x, data.y)).reshape(len(RATES), -1)
    best = max(range(len(RATES)), key=lambda i: ((accuracies[i] == 1).sum(), accuracies[i].mean()))
    costs = np.median(population.losses.reshape(len(RATES), options.seeds, -1)[best], axis=0)
    result = {"network": name, "sizes": str(spec), "params": spec.n_params, "rate": RATES[best]}
    result["solved"] = {str(rate): int((own == 1).sum()) for rate, own in zip(RATES, accuracies, strict=True)}
    result |= {"accuracies": accuracies[best].tolist(), "cost": float(costs[-1])}
    return result, (range(len(costs)), costs)


def _cells(result: dict, seeds: int) -> list[str]:
    low, middle, high = 100 * np.quantile(result["accuracies"], (0, 0.5, 1))
    return [
        result["network"],
        result["sizes"],
        f"{result['params']:,}",
        f"{result['rate']:g}",
        f"{result['solved'][str(result['rate'])]} of {seeds}",
        f"{middle:.1f} ({low:.1f}-{high:.1f})",
        f"{result['cost']:.1e}",
    ]
