"""What an experiment says of numbers that were not finite."""

from collections.abc import Mapping, Sequence

import jaxnn
from experiments.options import OnNan


def first_of(divergences: Sequence[jaxnn.Divergence | None]) -> jaxnn.Divergence | None:
    """The earliest divergence, if any member of a population diverged."""
    diverged = [divergence for divergence in divergences if divergence is not None]
    return min(diverged, key=lambda divergence: divergence.step) if diverged else None


def skipped_lines(on_nan: OnNan, skipped: Mapping[str, int]) -> list[str]:
    """With --on-nan skip, a line on how many updates were, by the name of what was trained."""
    if on_nan == "stop":
        return []
    named = ", ".join(f"{name}: {n}" for name, n in skipped.items() if n)
    return [f"updates skipped since their loss or gradient was not finite: {named or 'none'}"]
