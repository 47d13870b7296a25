"""The one loop of every training: restore, advance, report, stop early, save, explain.

`fit`, `fit_stream` and `fit_population` differ in how they make a number of epochs, and in whether one training or n
are made at a time. Everything else is here. What is kept of each training has the shape () for one and (n,) for n, so
that the same lines serve both.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.train.checkpoints import Checkpoint, Checkpointer, restored
from jaxnn.train.divergence import Divergence, warn_of_divergence
from jaxnn.train.early_stopping import EarlyStopping
from jaxnn.train.progress import progress_bar
from jaxnn.train.reports import make_report
from jaxnn.train.steps import TrainState
from jaxnn.typing import Array


class Advanced(NamedTuple):
    """What some epochs brought.

    Attributes:
      losses: the objective before each update, (..., steps); NaN, or absent, from the step on that was not finite.
      last_epoch: those of the last epoch, (..., steps of an epoch).
      diverged_at: the number of the step that was not finite, (...), or -1.
    """

    losses: np.ndarray
    last_epoch: np.ndarray
    diverged_at: np.ndarray


class Training(Protocol):
    """One training, or n side by side: what the loop needs of it.

    Attributes:
      shape: () for one training, (n,) for n.
      state: the current `TrainState`; of n, leaves (n, ...). What diverged or was stopped stays at its last state.
      steps: the number of updates that were made so far.
      skipped: the number of updates that were skipped, (...), or `None` if none ever is.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def state(self) -> TrainState: ...  # noqa: D102
    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def skipped(self) -> np.ndarray | None: ...  # noqa: D102

    def restore(self, checkpoint: Checkpoint, running: np.ndarray) -> None:
        """Continue from a checkpoint with at least one report; `running`, (...), marks those that have not ended."""

    def advance(self, epochs: int) -> Advanced:
        """Train for some more epochs."""
        ...
        ...

    def stop(self, ended: np.ndarray) -> None:
        """Keep the state of those that ended, (...)."""

    def measure(self, evaluate: Callable[..., dict[str, Array]]) -> dict[str, Array]:
        """Return what `evaluate` measures at the current params, (...) each."""
        ...
        ...

    def explain(self, state: TrainState, index: tuple[int, ...], step: int) -> Divergence:
        """Return what overflowed first in the training at an index, () or (i,), which diverged at this step."""
        ...
        ...


class Outcome(NamedTuple):
    """How a training ended; of n trainings, `steps` and what follows are lists.

    Attributes:
      state: the state that is returned: with early stopping that of the best report.
      history: the reports.
      losses: the objective before each update, (..., steps).
      steps: the number of updates.
      diverged_at: the number of the first step that was not finite, or `None`.
      best_epoch: the number of epochs done at the best report; `None` without one.
      stopped_by: "epochs", "patience", "callback" or "divergence".
      divergence: what overflowed first, or `None`.
    """

    state: TrainState
    history: list[dict[str, Any]]
    losses: np.ndarray
    steps: Any
    diverged_at: Any
    best_epoch: Any
    stopped_by: Any
    divergence: Any


def run(
    training: Training,
    *,
    epochs: int,
    report_every: int,
    evaluate: Callable[..., dict[str, Array]] | None,
    callback: Callable[[dict[str, Any]], bool | None] | None,
    early_stopping: EarlyStopping | None,
    checkpoints: Checkpointer | None,
    progress: bool,
) -> Outcome:
    """Train until every training has ended; the arguments are those of `fit`.

    Args:
      training: what is trained, in its initial state.
      epochs: passes over the data.
      report_every: epochs per report.
      evaluate: adds to each report.
      callback: called with each report; a true value stops all trainings.
      early_stopping: ends each training by its own values, and returns it to its best state.
      checkpoints: restores once, and saves after each report.
      progress: whether to show a progress bar.

    Returns:
      An `Outcome`.

    Raises:
      ValueError: if the checkpoint belongs to another training, the reports lack what is monitored, or `evaluate` does
        not return a dictionary of scalars under new names.
    """
    found = None if checkpoints is None else restored(checkpoints, training.state, epochs, callback)
    resumed, found = found is not None, found or Checkpoint(None, [], None)
    history, losses = list(found.history), [] if found.losses is None else [found.losses]
    stopped_by = _filled(training.shape, found.stopped_by, "", "U10")
    diverged_at = _filled(training.shape, found.diverged_at, -1, int)
    best, best_state = _filled(training.shape, found.best, -1, int), found.best_state
    done = history[-1]["epoch"] if history else 0
    if resumed:
        training.restore(found, stopped_by == "")
    del found  # whose state would stay in memory beside the later ones

    def snapshot() -> Checkpoint:
        index = None if early_stopping is None and (best < 0).all() else _listed(best, best < 0)
        kept = None if index is None else training.state if best_state is None else best_state
        ended, diverged = _listed(stopped_by, stopped_by == ""), _listed(diverged_at, diverged_at < 0)
        return Checkpoint(training.state, list(history), _joined(losses, training.shape), index, kept, ended, diverged)

    if checkpoints is not None and ((stopped_by != "").all() or done == epochs):
        checkpoints.save(snapshot, True)
    with progress_bar(epochs, done, progress) as show:
        while (stopped_by == "").any() and done < epochs:
            n = min(report_every, epochs - done)
            advanced = training.advance(n)
            losses.append(advanced.losses)
            fresh = (stopped_by == "") & (advanced.diverged_at >= 0)
            diverged_at[fresh], stopped_by[fresh] = advanced.diverged_at[fresh], "divergence"
            running = stopped_by == ""
            # A population has a report of every epoch that was begun, in which a member that diverged has NaN.
            if running.any() or training.shape:
                done += n
                report = make_report(done, training, advanced.last_epoch, running, evaluate)
                history.append(report)
                show(report)
                if early_stopping is not None:
                    improved = running & early_stopping.improves(
                        report, _values_at(history, early_stopping.monitor, best)
                    )
                    if improved.any():
                        best_state = select(improved, training.state, best_state)
                        best[improved] = len(history) - 1
                    stopped_by[running & (len(history) - 1 - best >= early_stopping.patience)] = "patience"
                if callback is not None and callback(report):
                    stopped_by[running] = "callback"
                training.stop(stopped_by != "")
            if checkpoints is not None:
                checkpoints.save(snapshot, (stopped_by != "").all() or done == epochs)
    last = training.state
    divergences = _explained(training, last, diverged_at)
    stopped_by[stopped_by == ""] = "epochs"
    epoch_of = np.array([report["epoch"] for report in history] or [0])
    return Outcome(
        select(best >= 0, best_state, last),
        history,
        _joined(losses, training.shape),
        np.asarray(last.step).tolist(),
        _listed(diverged_at, diverged_at < 0),
        _listed(epoch_of[best], best < 0),
        stopped_by.tolist(),
        divergences.tolist(),
    )


def select(mask: np.ndarray, new: TrainState, old: TrainState | None) -> TrainState:
    """Return the states `new` where the mask (...) is true, else `old`; a mixture of both is on the host.

    Keys are those of `new`, and so is a step number without an axis: they are the same in both.
    """
    if mask.all() or old is None:
        return new
    if not mask.any():
        return old

    def chosen(a: Any, b: Any) -> Any:
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) or not np.ndim(a):
            return a
        return np.where(mask.reshape(-1, *[1] * (np.ndim(a) - 1)), a, b)

    return jax.tree.map(chosen, new, old)


def _explained(training: Training, state: TrainState, diverged_at: np.ndarray) -> np.ndarray:
    """Return a `Divergence` for each training that diverged, else `None`, (...); warn of the first one."""
    divergences: Any = np.full(training.shape, None, object)
    diverged = [index for index in np.ndindex(*training.shape) if diverged_at[index] >= 0]
    if not diverged:
        return divergences
    for index in diverged:
        divergences[index] = training.explain(state, index, int(diverged_at[index]))
    first = min(diverged, key=lambda index: diverged_at[index])
    who = "the training"
    if training.shape:
        who = f"{len(diverged)} of {training.shape[0]} members diverged, member {first[0]} first: it"
    warn_of_divergence(divergences[first], state.params, who)
    return divergences


def _filled(shape: tuple[int, ...], value: Any, absent: Any, dtype: Any) -> np.ndarray:
    """Return one entry for each training from what `_listed` made of such an array, or from `None`."""
    values = np.full(shape, None, object)
    values[...] = value
    return np.where(values == np.array(None), absent, values).astype(dtype)


def _listed(values: np.ndarray, absent: np.ndarray) -> Any:
    """Return a Python value, or a list of them for n trainings, with `None` where a value is absent."""
    nothing: Any = None  # which NumPy declares as an argument that is not given
    return np.where(absent, nothing, values).tolist()


def _values_at(history: list[dict[str, Any]], name: str, index: np.ndarray) -> dict[str, np.ndarray]:
    """Return the value of each training at the report of its index, NaN for an index below 0."""
    values = np.stack([np.broadcast_to(report.get(name, np.nan), index.shape) for report in history])
    at_index = np.take_along_axis(values, np.maximum(index, 0)[None], axis=0)[0]
    return {name: np.where(index < 0, np.nan, at_index)}


def _joined(losses: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    return np.concatenate(losses, axis=-1) if losses else np.zeros((*shape, 0), np.float32)
