"""Train each network on sequences that are made afresh, follow the gradient through time, and report."""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxnn
from experiments.reports import plots, tables
from experiments.runs import proof
from experiments.runs.folder import RunError, RunFolder, StartRun
from experiments.runs.options import check_at_least_one, check_seed
from experiments.runs.processes import fit_stream
from experiments.runs.progress import show_progress
from experiments.studies.adding import Options
from experiments.studies.adding.gradients import norms_through_time
from experiments.studies.adding.sequences import GUESSING, batches_of, draw
from jaxnn import nn

UPDATES = 100
"""Updates of an epoch."""
SOLVED = 0.01
_MEASURED_ON, _PROVED_ON = 2000, 20
COLUMNS = (
    *("network", "params", "mean squared\nerror", "below 0.01\nafter"),
    *("|dJ/ds_1| / |dJ/ds_{T-1}|\nbefore, after", "gradient\ndiff."),
)


class Result(NamedTuple):
    """A trained network.

    Attributes:
      params: their number.
      errors: the mean squared error after each epoch, on the same sequences.
      before, after: the norms of the gradient through time, before and after training, (T - 1,).
      difference: of the two gradients; see `proof.DEFINITION`.
    """

    params: int
    errors: list[float]
    before: np.ndarray
    after: np.ndarray
    difference: float


def cells(units: int) -> dict[str, nn.Cell]:
    """Return the cells by name."""
    return {
        "simple": nn.simple_cell(units, recurrent_init="lecun"),
        "simple, orthogonal": nn.simple_cell(units),
        "long short-term memory": nn.lstm_cell(units),
    }


def run_study(options: Options, start: StartRun) -> None:
    """Train and measure the networks, and report them."""
    for name in ("units", "epochs", "batch_size"):
        check_at_least_one(name.replace("_", "-"), getattr(options, name))
    if options.n_steps < 2:
        raise ValueError(f"--n-steps must be at least 2, got {options.n_steps}")
    check_seed(options.seed)
    jaxnn.optimizer("adam", options.learning_rate)  # raises if the rate is invalid
    folder, results = start(), {}
    measured = draw(np.random.default_rng((options.seed, 2**31)), _MEASURED_ON, options.n_steps)
    with show_progress("adding", len(cells(options.units)) * options.epochs) as show:
        for i, (name, cell) in enumerate(cells(options.units).items()):
            results[name] = _train(name, cell, measured, options, folder, partial(_show, show, i * options.epochs))
    _report(results, options, folder)


def _show(show: Any, before: int, name: str, entry: dict[str, Any]) -> None:
    show(before + entry["epoch"], f"{name}, error {entry['error']:.3g}")


def _train(name: str, cell: nn.Cell, measured: Any, options: Options, folder: RunFolder, show: Any) -> Result:
    network, loss = jaxnn.chain(nn.recurrent(cell, "last"), jaxnn.dense(1)), jaxnn.squared_error()
    objective, data = jaxnn.objective(network, loss), jaxnn.Batch(*measured)
    init_key, fit_key = jax.random.split(jax.random.key(options.seed))
    params = jax.jit(lambda key: network.init(key, (options.n_steps, 2))[0])(init_key)
    prove, few = proof.make_proof(name, objective), jax.tree.map(lambda a: a[:_PROVED_ON], data)
    difference, norms = prove(params, few), [_norms(cell, params, data)]
    data = jax.device_put(data)

    @jax.jit
    def measure(params, data):
        loss = objective.evaluate(params, (), data)
        return {"dev_loss": loss, "error": 2 * loss}  # the loss has a factor ½

    def log(entry: dict[str, Any]) -> None:
        folder.log(network=name, **entry)
        show(name, entry)

    rate = jaxnn.optim.schedule("cosine", options.learning_rate, options.epochs * UPDATES)
    fit = fit_stream(
        objective,
        jaxnn.optimizer("adam", rate, clip_norm=1.0),
        params,
        lambda epoch: batches_of(options.seed, epoch, UPDATES, options.batch_size, options.n_steps),
        key=fit_key,
        epochs=options.epochs,
        evaluate=lambda params: measure(params, data),
        callback=log,
        on_nan=options.on_nan,
        checkpoints=folder.checkpoints(name.replace(", ", "-").replace(" ", "-")),
    )
    if fit.diverged_at is not None:
        raise RunError(f"{name} diverged at {fit.divergence}; try a smaller --learning-rate")
    norms.append(_norms(cell, fit.params, data))
    return Result(
        sum(leaf.size for leaf in jax.tree.leaves(params)),
        [entry["error"] for entry in fit.history],
        *norms,
        max(difference, prove(fit.params, few)),
    )


def _norms(cell: nn.Cell, params: Any, data: jaxnn.Batch) -> np.ndarray:
    """Return the norms of the gradient through time, with the error of each example as J."""
    of_cell, of_dense = params
    a = nn.recurrent(cell, "last").infer(of_cell, (), data.x)
    z, cache = jaxnn.dense(1).forward(of_dense, a)
    dz = jaxnn.functional.squared_error_gradient(z, data.y)
    return norms_through_time(cell, of_cell, data.x, jaxnn.dense(1).backward(of_dense, cache, dz)[1])


def _report(results: dict[str, Result], options: Options, folder: RunFolder) -> None:
    title = f"The adding problem, {options.n_steps} numbers, {options.units} units"
    table = tables.table(title, COLUMNS, [[name, *_cells(result)] for name, result in results.items()], 1)
    notes = [
        f"mean squared error: after {options.epochs * UPDATES} updates on {options.batch_size} sequences each, on "
        f"{_MEASURED_ON} others; always 1 has {GUESSING:.3f}",
        "s_t: the state after time t, of long short-term memory its cell c; J: half the squared error of a sequence",
        f"gradient diff.: {proof.DEFINITION}, on some sequences, in float64; more than {proof.BOUND:g} fails the run",
    ]
    folder.write_text("report.txt", tables.show_with_notes([table], notes))
    folder.write_json(
        "results.json",
        {
            name: {
                "params": result.params,
                "errors": result.errors,
                "norms_before": result.before.tolist(),
                "norms_after": result.after.tolist(),
                "gradient_difference": result.difference,
            }
            for name, result in results.items()
        },
    )
    caption = (
        "The mean squared error by epoch; dotted: always 1. The norm of the error's gradient with respect to the state "
        "at each time, before training and after it: what is read there can only be learned if it has not vanished."
    )
    folder.add_picture("adding.png", _draw(results), caption)


def _cells(result: Result) -> list[str]:
    solved = next((i for i, error in enumerate(result.errors, 1) if error < SOLVED), None)
    return [
        f"{result.params:,}",
        f"{result.errors[-1]:.4f}",
        "not" if solved is None else f"{solved * UPDATES} updates",
        ", ".join(f"{norms[0] / norms[-1]:.1e}" for norms in (result.before, result.after)),
        f"{result.difference:.1e}",
    ]


def _draw(results: dict[str, Result]) -> bytes:
    figure, axes = plots.grid(1, 3)
    errors = {name: (range(1, len(result.errors) + 1), result.errors) for name, result in results.items()}
    plots.draw_curves(axes[0, 0], errors, title="mean squared error", x="epoch", y="", log=True)
    axes[0, 0].axhline(GUESSING, color="black", linewidth=0.8, linestyle=":")
    for panel, title, norms in (
        (axes[0, 1], "|dJ/ds_t| before training", lambda result: result.before),
        (axes[0, 2], "|dJ/ds_t| after training", lambda result: result.after),
    ):
        curves = {name: (range(1, len(norms(result)) + 1), norms(result)) for name, result in results.items()}
        plots.draw_curves(panel, curves, title=title, x="time t", y="", log=True)
    return plots.png(figure)
