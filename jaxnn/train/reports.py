"""Reports: the entries of a training's history."""

from collections.abc import Callable

import jax
import numpy as np

from jaxnn.optim.nonfinite import skipped_updates
from jaxnn.train.arguments import check_not_traced
from jaxnn.train.steps import TrainState
from jaxnn.typing import Array, Params
from jaxnn.validation import is_real


def make_report(
    epoch: int, state: TrainState, losses: np.ndarray, evaluate: Callable[[Params], dict[str, Array]] | None
) -> dict[str, float]:
    """Build the history entry of an epoch from the state after it and the losses (steps,) of its steps."""
    report = {"epoch": epoch, "step": int(state.step), "loss": float(losses.mean())}
    skipped = skipped_updates(state.opt_state)
    if skipped is not None:
        report |= {"loss": mean_of_finite(losses).item(), "skipped": int(skipped)}
    if evaluate is None:
        return report
    measured = evaluate(state.params)
    check_not_traced("fit", measured)
    if not isinstance(measured, dict) or any(np.ndim(value) for value in measured.values()):
        shapes = {name: np.shape(a) for name, a in measured.items()} if isinstance(measured, dict) else repr(measured)
        raise ValueError(f"evaluate must return a dictionary of scalars, got {shapes}")
    measured = {name: np.asarray(value) for name, value in jax.device_get(measured).items()}
    wrong = [name for name, value in measured.items() if not is_real(value.dtype) and value.dtype != bool]
    if wrong:
        raise ValueError(f"evaluate must return numbers, got {measured[wrong[0]]!s} for {wrong[0]!r}")
    taken = sorted(measured.keys() & report.keys())
    if taken:
        raise ValueError(f"evaluate must not return {taken}, which fit itself reports: choose other names")
    return report | {name: value.item() for name, value in measured.items()}


def mean_of_finite(losses: np.ndarray) -> np.ndarray:
    """Return the mean of the finite losses over the last axis of (..., steps); NaN without any."""
    finite = np.isfinite(losses)
    none = ~finite.any(axis=-1, keepdims=True)
    return np.where(none, np.nan, losses).mean(axis=-1, where=finite | none)
