"""What an experiment says of numbers that were not finite."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence

import jaxnn
from experiments.runs.folder import RunError
from experiments.runs.options import OnNan


def first_of(divergences: Sequence[jaxnn.train.Divergence | None]) -> jaxnn.train.Divergence | None:
    """The earliest divergence, if any member of a population diverged."""
    diverged = [divergence for divergence in divergences if divergence is not None]
    return min(diverged, key=lambda divergence: divergence.step) if diverged else None


def skipped_lines(on_nan: OnNan, skipped: Mapping[str, int]) -> list[str]:
    """With --on-nan skip, a line on how many updates were, by the name of what was trained."""
    if on_nan == "stop":
        return []
    named = ", ".join(f"{name}: {n}" for name, n in skipped.items() if n)
    return [f"updates skipped since their loss or gradient was not finite: {named or 'none'}"]


@contextlib.contextmanager
def noted(say: Callable[[str], None]) -> Iterator[None]:
    """Say at the end, a line each, what of the work inside diverged, unless that is the error it ends with."""
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
                say(line)


@contextlib.contextmanager
def divergence_expected() -> Iterator[None]:
    """Note nothing of what diverges inside: a search over rates, whose report has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jaxnn.train.DivergenceWarning)
        yield
