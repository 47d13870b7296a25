"""The name of the program, as the user types it, and lines on stderr."""

import os
import sys
from pathlib import Path

from experiments.runs.execution import describe_error
from experiments.runs.processes import name

PROG = os.environ.get("JAXNN_PROG", "python -m experiments")
"""The program as the user types it: scripts/run sets its own name, which takes an experiment's name directly."""
RUN = PROG if Path(PROG).name == "run" else f"{PROG} run"
"""The command that runs an experiment, as the user types it."""
_DECLARED = "python -m experiments run"


def as_typed(text: str) -> str:
    """Return the text with the commands declared by studies replaced by those that the user types."""
    return text.replace(_DECLARED, RUN)


def log(line: str) -> None:
    """Print one line on stderr."""
    print(name() + " ".join(line.splitlines()), file=sys.stderr)


def error(reason: object, status: int = 2) -> int:
    """Print an error on stderr; return the exit status."""
    log(f"error: {describe_error(reason)}")
    return status
