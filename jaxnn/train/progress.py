"""A progress bar with the latest report, in a terminal or a notebook, by tqdm."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np


@contextmanager
def progress_bar(epochs: int, done: int, shown: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield a function that moves the bar to a report, and shows its values: of n trainings, their means.

    Args:
      epochs: how many there are.
      done: how many were done before.
      shown: whether there is a bar; of several processes, the first one shows it.
    """
    if not shown or jax.process_index() > 0:
        yield lambda report: None
        return
    from tqdm.auto import tqdm  # notebooks and terminals have different ones, of which it finds out

    with tqdm(total=epochs, initial=done, unit="epoch") as bar:

        def show(report: dict[str, Any]) -> None:
            values = {name: _mean(value) for name, value in report.items() if name not in ("epoch", "step")}
            bar.set_postfix({name: f"{value:.4g}" for name, value in values.items()}, refresh=False)
            bar.update(report["epoch"] - bar.n)

        yield show


def _mean(value: Any) -> float:
    """Return the mean of the values that are finite, NaN if none is."""
    finite = np.asarray(value, float)[np.isfinite(value)] if np.ndim(value) else np.asarray([value], float)
    return float(finite.mean()) if finite.size else float("nan")
