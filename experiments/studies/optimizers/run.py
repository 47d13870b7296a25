"""Train a population of learning rates for each optimizer and problem; report a table and plots."""

from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes

import jaxnn
from experiments.reports import plots, tables
from experiments.runs.divergence import ignore_divergence_warnings
from experiments.runs.folder import RunFolder, StartRun
from experiments.runs.options import check_at_least_one
from experiments.runs.progress import show_progress
from experiments.studies.optimizers import Options

RATES = 2.0 ** np.arange(-12, 5)
"""Learning rates; only 1 for lbfgs, which has a line search."""
OPTIMIZERS = tuple(jaxnn.optim.OPTIMIZERS)
PATHS = ("adam", "momentum", "lbfgs", "sgd")
"""Optimizers whose paths over the bowl are drawn, and their number of steps."""
PATH_STEPS = 60


class Problem(NamedTuple):
    """A cost to minimize down to `goal` in a limited number of steps; `lowest` is its minimum."""

    name: str
    model: jaxnn.Model
    params: Any
    data: jaxnn.Batch
    goal: float
    lowest: float
    steps: int

    @property
    def objective(self) -> jaxnn.Objective:
        return jaxnn.objective(self.model.network, self.model.loss)


class Result(NamedTuple):
    """An optimizer at its best rate: the cost before each step, (steps,), and when it is at the goal for good."""

    rate: float
    costs: np.ndarray
    reached: int | None


def run_study(options: Options, start: StartRun) -> None:
    """Minimize every problem with every optimizer, and report the results."""
    check_at_least_one("line-steps", options.line_steps)
    check_at_least_one("network-steps", options.network_steps)
    raw, standardized = lines(options.line_steps)
    problems = [raw, standardized, network(options.network_steps)]

    folder = start()
    results = {}
    with show_progress("optimizers", len(problems) * len(OPTIMIZERS)) as show:
        for problem in problems:
            for name in OPTIMIZERS:
                show(len(results), f"{problem.name}, {name}")
                results[problem.name, name] = minimize(problem, name)
    _report(problems, results, folder)


def lines(steps: int) -> list[Problem]:
    """Return linear regression of y = 3 + 2x + noise, with x from 5 to 20 raw and standardized; ŷ = wx + b.

    The Hessian of the cost is [[mean x², mean x], [mean x, 1]] over (w, b): the identity if x is standardized.
    """
    random = np.random.default_rng(0)
    x = random.uniform(5, 20, (100, 1)).astype(np.float32)
    y = (3 + 2 * x + random.normal(size=x.shape)).astype(np.float32)
    inputs = {"raw": x, "standardized": jaxnn.standardize(jaxnn.data.fit_standardizer(x), x)}
    model = jaxnn.mlp((1, 1), output="linear", init="zeros")
    params = model.init(jax.random.key(0))
    problems = []
    for name, x in inputs.items():
        design = np.concatenate([x, np.ones_like(x)], axis=1).astype(np.float64)
        lowest = np.linalg.lstsq(design, y.astype(np.float64))[1].item() / 2 / len(x)
        goal = lowest + 1e-4 * ((y.astype(np.float64) ** 2).mean() / 2 - lowest)
        problems.append(Problem(f"line, x {name}", model, params, jaxnn.Batch(x, y), goal, lowest, steps))
    return problems


def network(steps: int) -> Problem:
    """Return 30-16-1 on all of the breast cancer data: only the fit of the training set is measured."""
    from sklearn.datasets import load_breast_cancer  # slow to import, so not for --help

    x, y = load_breast_cancer(return_X_y=True)
    x = x.astype(np.float32)
    data = jaxnn.Batch(jaxnn.standardize(jaxnn.data.fit_standardizer(x), x), y)
    model = jaxnn.mlp((30, 16, 1), "tanh")
    return Problem("network 30-16-1", model, model.init(jax.random.key(0)), data, 0.03, 0.0, steps)


def minimize(problem: Problem, name: str) -> Result:
    """Minimize with every rate, as one population; return the rate that reaches the goal first, or else ends lowest."""
    objective, key = problem.objective, jax.random.key(0)

    def member(h):
        return jaxnn.Member(objective, jaxnn.optimizer(name, h["rate"]), problem.params, key)

    rates = np.ones(1) if name == "lbfgs" else RATES
    x, y = problem.data[:2]
    plan = dict(epochs=problem.steps, report_every=problem.steps)
    with ignore_divergence_warnings():
        population = jaxnn.fit_population(member, {"rate": rates}, x, y, **plan)
    costs = population.losses
    # The first step after the last one above the goal: momentum, for example, may reach the goal and leave it again.
    above = ~(costs <= problem.goal)
    steps = np.where(above[:, -1], np.inf, problem.steps - above[:, ::-1].argmax(axis=1))
    # In a tie, or if none reaches it, the one that ends lowest; a divergence is NaN, and comes last.
    best = np.lexsort((np.nan_to_num(costs[:, -1], nan=np.inf), steps))[0]
    return Result(rates[best].item(), costs[best], int(steps[best]) if np.isfinite(steps[best]) else None)


def path(problem: Problem, name: str, rate: float) -> np.ndarray:
    """Return (w, b) before each of the first steps, (1 + PATH_STEPS, 2)."""
    x, y = problem.data[:2]
    fit = jaxnn.fit(
        *(problem.objective, jaxnn.optimizer(name, rate), problem.params, x, y),
        key=jax.random.key(0),
        epochs=PATH_STEPS,
        evaluate=lambda params: {"w": params[0]["W"][0, 0], "b": params[0]["b"][0]},
    )
    return np.array([(0.0, 0.0), *((report["w"], report["b"]) for report in fit.history)])


def _report(problems: list[Problem], results: dict[tuple[str, str], Result], folder: RunFolder) -> None:
    columns = ["optimizer"]
    for problem in problems:
        columns += [f"{problem.name}\nsteps to {problem.goal:.3f}", "\nbest rate"]
    rows = []
    for name in OPTIMIZERS:
        cells = []
        for problem in problems:
            result = results[problem.name, name]
            cells += [f"> {problem.steps}" if result.reached is None else str(result.reached), f"{result.rate:.2g}"]
        rows.append([name, *cells])
    table = tables.table("Full-batch steps to a given cost, each at its best rate", columns, rows, 1)
    notes = [
        "line: the goal is the minimum plus a ten-thousandth of the initial cost's distance from it.",
        *(f"{p.name}: the condition number is {_elongation(p):.0f}." for p in problems[:2]),
        "steps: after which the cost stays at or below the goal until the last step.",
        "lbfgs: a step is a line search, which computes the cost and its gradient several times.",
    ]
    folder.write_text("report.txt", tables.show_with_notes([table], notes))
    folder.write_json(
        "results.json",
        [
            {"problem": problem, "optimizer": name, "rate": result.rate, "steps": result.reached}
            for (problem, name), result in results.items()
        ],
    )
    caption = (
        f"Cost of each optimizer at its best rate; and the first {PATH_STEPS} steps of linear regression over weight "
        "and bias, on the elongated bowl and on the round one."
    )
    folder.add_picture("optimizers.png", _draw(problems, results), caption)


def _elongation(problem: Problem) -> float:
    """Return the condition number of the Hessian of linear regression with respect to (w, b)."""
    x = problem.data.x[:, 0].astype(np.float64)
    return np.linalg.cond([[(x**2).mean(), x.mean()], [x.mean(), 1.0]])


def _draw(problems: list[Problem], results: dict[tuple[str, str], Result]) -> bytes:
    figure, axes = plots.grid(2, len(problems))
    for panel, problem in zip(axes[0], problems, strict=True):
        curves = {}
        for name in OPTIMIZERS:
            # By rounding, a cost may be below the minimum.
            excess = np.maximum(results[problem.name, name].costs - problem.lowest, 1e-7)
            curves[name] = (np.arange(len(excess)) + 1, excess)
        what = "cost above the minimum" if problem.lowest else "cost"
        plots.draw_curves(panel, curves, title=problem.name, x="step", y=what, log=True)
        panel.set(xscale="log")
        panel.axhline(problem.goal - problem.lowest, color="black", linewidth=0.8, linestyle=":")
    for panel, problem in zip(axes[1], problems[:2], strict=False):
        paths = {name: path(problem, name, results[problem.name, name].rate) for name in PATHS}
        _draw_bowl(panel, problem, paths)
    axes[1, 2].remove()
    return plots.png(figure)


def _draw_bowl(panel: Axes, problem: Problem, paths: dict[str, np.ndarray]) -> None:
    points = np.concatenate(list(paths.values()))
    low, high = points.min(axis=0), points.max(axis=0)
    # The same scale in both directions, so that a round bowl looks round.
    reach = 0.6 * (high - low).max()
    w, b = (np.linspace(middle - reach, middle + reach, 200) for middle in (low + high) / 2)
    x, y = problem.data[:2]
    residuals = w[None, :, None] * x[:, 0] + b[:, None, None] - y[:, 0]
    excess = np.maximum((residuals**2).mean(axis=-1) / 2 - problem.lowest, 1e-9)
    panel.contour(w, b, np.log10(excess), levels=15, colors="gray", linewidths=0.5)
    plots.draw_curves(panel, {name: p.T for name, p in paths.items()}, title=problem.name, x="w", y="b")
    panel.set_aspect("equal")
