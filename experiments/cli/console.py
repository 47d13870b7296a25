"""What every command shares: the name of the program, and lines on stderr."""

import os
import sys
from pathlib import Path

from experiments.runs.execution import describe_error

PROG = os.environ.get("JAXNN_PROG", "python -m experiments")
"""What the user types: scripts/run sets its own name, which takes an experiment's name directly."""
RUN = PROG if Path(PROG).name == "run" else f"{PROG} run"
"""What the user types before the name of an experiment."""
_DECLARED = "python -m experiments run"


def as_typed(text: str) -> str:
    """Return the text with the commands that studies declare as the user types them."""
    return text.replace(_DECLARED, RUN)


def log(line: str) -> None:
    """Print one line on stderr."""
    print(" ".join(line.splitlines()), file=sys.stderr)


def error(reason: object, status: int = 2) -> int:
    """Print an error on stderr; return the exit status."""
    log(f"error: {describe_error(reason)}")
    return status
