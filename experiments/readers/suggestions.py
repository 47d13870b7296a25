"""Suggest the closest existing name for a name that does not exist."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from experiments.readers.errors import printable

_CONFIG = "config.json"
EXPECTED_RUN = ": expected the results folder of a run, such as runs/ladder-20260131-120000"


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ": did you mean ...?" with the closest known name; empty if none is close.

    Example:
      >>> suggest("Cat-v-non-cat", ["ladder", "catvnoncat"])
      ': did you mean catvnoncat?'
      >>> suggest("frobnicate", ["ladder", "catvnoncat"])
      ''
    """
    names = {each.lower(): each for each in known}
    begun = [each for each in names if len(name) > 2 and each.startswith(name.lower())]
    close = begun or get_close_matches(name.lower(), names, 1, cutoff=0.7)
    return f": did you mean {names[close[0]]}?" if close else ""


def suggest_run(run: Path) -> str:
    """Return ": did you mean ...?" with the run's folder of the closest name, next to `run` or in ./runs."""
    folders = [path.parent for folder in (run.parent, Path("runs")) for path in sorted(folder.glob(f"*/{_CONFIG}"))]
    by_name = {path.name: path for path in reversed(folders)}
    close = get_close_matches(run.name, by_name, 1)
    return printable(f": did you mean {by_name[close[0]]}?") if close else ""
