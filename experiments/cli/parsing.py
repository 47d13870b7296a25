"""Command lines as options."""

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import TypeVar

import tyro

from experiments.readers.suggestions import did_you_mean
from experiments.reports import terminal

T = TypeVar("T")
_UNKNOWN = "Unrecognized options:"
_IN_PLAIN_WORDS = {
    r"Error parsing (\S+): invalid literal for int\(\) with base 10: (.*)": r"\1 must be a whole number, got \2",
    r"Error parsing (\S+): could not convert string to float: (.*)": r"\1 must be a number, got \2",
    r"Missing value for argument '(-\S+)'\. Expected 1 values": r"\1 must have a value after it",
}
"""For messages of Python's and tyro's."""


def parse(options: type[T], argv: Sequence[str], *, prog: str, description: str) -> T | None:
    """The command line as an `options` dataclass, or `None` when it asked for help, which is then printed.

    Raises:
      ValueError: in one line, what is wrong with the command line.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint), contextlib.redirect_stdout(terminal.FittedStdout()):
            default = {"default": options.default(argv)} if hasattr(options, "default") else {}
            return tyro.cli(options, args=list(argv), prog=prog, description=description, **default)
    except SystemExit as exit_:
        if not exit_.code:
            return None
        message = _first_paragraph(complaint.getvalue())
        if message.startswith(_UNKNOWN):
            message += _meant(options, message.removeprefix(_UNKNOWN))
        for pattern, plain in _IN_PLAIN_WORDS.items():
            message = re.sub(pattern, plain, message)
        raise ValueError(f"{message} (see {prog} --help)") from None


def _meant(options: type, message: str) -> str:
    """Which option an unknown one was meant for."""
    flags = ["--help"]
    for field in fields(options):
        name = field.name.replace("_", "-")
        flags += [f"--{name}", *([f"--no-{name}"] if isinstance(field.default, bool) else [])]
    unknown = re.findall(r"(?<=[ ,])-*[a-zA-Z][\w-]*", message)
    return next(filter(None, (did_you_mean(word, flags) for word in unknown)), "")


def _first_paragraph(box: str) -> str:
    """The message of tyro's error box: its lines without the title and the frame, to the first rule, as one line."""
    lines: list[str] = []
    for line in box.splitlines()[1:]:
        text = line.strip("│|╰╯+ ")
        if text.strip("─-"):
            lines.append(text)
        elif lines:
            break
    return " ".join(" ".join(lines or [box]).split()).rstrip(".")
