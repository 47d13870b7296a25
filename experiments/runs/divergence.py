"""Report losses and gradients that were not finite."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence

import jaxnn
from experiments.runs.folder import RunError
from experiments.runs.options import OnNan


def first_divergence(divergences: Sequence[jaxnn.train.Divergence | None]) -> jaxnn.train.Divergence | None:
    """Return the earliest divergence, or `None` if no member of a population diverged."""
    diverged = [divergence for divergence in divergences if divergence is not None]
    return min(diverged, key=lambda divergence: divergence.step) if diverged else None


def skipped_lines(on_nan: OnNan, skipped: Mapping[str, int]) -> list[str]:
    """Return, for --on-nan skip, a line with the number of skipped updates of each training."""
    if on_nan == "stop":
        return []
    named = ", ".join(f"{name}: {n}" for name, n in skipped.items() if n)
    return [f"updates skipped because their loss or gradient was not finite: {named or 'none'}"]


@contextlib.contextmanager
def log_divergences(log: Callable[[str], None]) -> Iterator[None]:
    """Log the block's divergence warnings at its end, one line each, unless it ends with a RunError."""
    lines = {}

    def show(message, category, *rest, **options):
        if issubclass(category, jaxnn.train.DivergenceWarning):
            lines[f"note: {message}"] = None
        else:
            shown(message, category, *rest, **options)

    with warnings.catch_warnings():
        warnings.simplefilter("always", jaxnn.train.DivergenceWarning)
        shown, warnings.showwarning = warnings.showwarning, show
        try:
            yield
        except RunError:
            lines.clear()
            raise
        finally:
            for line in lines:
                log(line)


@contextlib.contextmanager
def ignore_divergence_warnings() -> Iterator[None]:
    """Ignore divergence warnings in the block: in a search over learning rates they are expected and reported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jaxnn.train.DivergenceWarning)
        yield
