"""Reports: the entries of a training's history."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxnn.train.arguments import check_not_traced
from jaxnn.typing import Array
from jaxnn.validation import is_real


def make_report(
    epoch: int,
    training: Any,
    losses: np.ndarray,
    running: np.ndarray,
    evaluate: Callable[..., dict[str, Array]] | None,
) -> dict[str, Any]:
    """Build the history entry of an epoch.

    Args:
      epoch: the number of epochs done.
      training: a `loop.Training`, after that epoch.
      losses: the objective before each update of that epoch, (..., steps).
      running: which trainings have not ended, (...); the loss of the others is NaN.
      evaluate: what else to measure.

    Returns:
      "epoch", "step", "loss", "skipped" if updates may be skipped, and what `evaluate` returned: Python numbers for one
      training, arrays (n,) for n.
    """
    skipped = training.skipped
    loss = losses.mean(axis=-1) if skipped is None else mean_of_finite(losses)
    values = {"loss": np.where(running, loss, np.nan).astype(loss.dtype)}
    values |= {} if skipped is None else {"skipped": skipped}
    report = {"epoch": epoch, "step": training.steps} | {name: _plain(value) for name, value in values.items()}
    if evaluate is None:
        return report
    measured = _checked(_measured(training, evaluate), training.shape)
    taken = sorted(measured.keys() & report.keys())
    if taken:
        raise ValueError(f"evaluate must not return {taken}, which each report has already: choose other names")
    return report | {name: _plain(value) for name, value in measured.items()}


def _measured(training: Any, evaluate: Callable[..., dict[str, Array]]) -> Any:
    try:
        return training.measure(evaluate)
    except ValueError as error:
        if "incompatible devices" not in str(error):  # JAX's words
            raise
        raise ValueError(
            "evaluate must use arrays that lie where params do, got others: jaxnn.parallel.place_whole(data, mesh), or "
            f"data as NumPy arrays ({str(error).splitlines()[0]})"
        ) from error


def mean_of_finite(losses: np.ndarray) -> np.ndarray:
    """Return the mean of the finite losses over the last axis of (..., steps); NaN without any."""
    finite = np.isfinite(losses)
    none = ~finite.any(axis=-1, keepdims=True)
    return np.where(none, np.nan, losses).mean(axis=-1, where=finite | none)


def _checked(measured: Any, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return what was measured as arrays of this shape; raise a ValueError unless they are numbers by name."""
    check_not_traced("fit", measured)
    if not isinstance(measured, dict) or any(np.shape(value) != shape for value in measured.values()):
        is_dict, each = isinstance(measured, dict), " for each member" * bool(shape)
        got = {name: np.shape(a)[len(shape) :] for name, a in measured.items()} if is_dict else repr(measured)
        raise ValueError(f"evaluate must return a dictionary of scalars{each}, got {got}")
    measured = {name: np.asarray(value) for name, value in jax.device_get(measured).items()}
    wrong = [name for name, value in measured.items() if not is_real(value.dtype) and value.dtype != bool]
    if wrong:
        raise ValueError(f"evaluate must return numbers, got {measured[wrong[0]]!s} for {wrong[0]!r}")
    return measured


def _plain(value: np.ndarray) -> Any:
    return value if value.ndim else value.item()
