"""What a training reports of an epoch."""

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
    """Of the state after so many epochs, and the losses of the last one."""
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
        raise ValueError(f"evaluate measures {taken}, which are fit's own names in a report: give them others")
    return report | {name: value.item() for name, value in measured.items()}


def mean_of_finite(losses: np.ndarray) -> np.ndarray:
    """The mean over the last axis of (..., steps), of the finite ones alone; NaN where there is none."""
    finite = np.isfinite(losses)
    none = ~finite.any(axis=-1, keepdims=True)
    return np.where(none, np.nan, losses).mean(axis=-1, where=finite | none)
