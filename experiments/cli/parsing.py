"""Parse command lines into dataclasses of options."""

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import TypeVar

import tyro

from experiments.readers.suggestions import suggest
from experiments.reports import terminal

T = TypeVar("T")
_UNKNOWN = "Unrecognized options:"
_IN_PLAIN_WORDS = {
    r"Error parsing (\S+): invalid literal for int\(\) with base 10: (.*)": r"\1 must be an integer, got \2",
    r"Error parsing (\S+): could not convert string to float: (.*)": r"\1 must be a number, got \2",
    r"Missing value for argument '(-\S+)'\. Expected 1 values": r"\1 must be followed by a value",
}
"""Messages of Python and tyro, and their short forms."""


def parse(options: type[T], argv: Sequence[str], *, prog: str, description: str, defaults: T | None = None) -> T | None:
    """Parse the command line as an `options` dataclass; if it contains --help, print the help and return `None`.

    `defaults` has the values of options that the command line lacks.

    Raises:
      ValueError: if the command line is invalid; the message is one line.
    """
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(terminal.WrappedStdout()):
            defaults = defaults or defaults_of(options, argv)
            default = {} if defaults is None else {"default": defaults}
            return tyro.cli(options, args=list(argv), prog=prog, description=description, **default)
    except SystemExit as exit_:
        if not exit_.code:
            return None
        message = _first_paragraph(errors.getvalue())
        if message.startswith(_UNKNOWN):
            message += _meant(options, message.removeprefix(_UNKNOWN))
        for pattern, plain in _IN_PLAIN_WORDS.items():
            message = re.sub(pattern, plain, message)
        raise ValueError(f"{message} (see {prog} --help)") from None


def defaults_of(options: type[T], argv: Sequence[str]) -> T | None:
    """Return the defaults of options that depend on the command line; `None` for others."""
    return options.default(argv) if hasattr(options, "default") else None


def _meant(options: type, message: str) -> str:
    """Return the suggestion for an unknown option."""
    flags = ["--help"]
    for field in fields(options):
        name = field.name.replace("_", "-")
        flags += [f"--{name}", *([f"--no-{name}"] if isinstance(field.default, bool) else [])]
    unknown = re.findall(r"(?<=[ ,])-*[a-zA-Z][\w-]*", message)
    return next(filter(None, (suggest(word, flags) for word in unknown)), "")


def _first_paragraph(box: str) -> str:
    """Return the message in tyro's error box as one line: without title and frame, up to the first horizontal rule."""
    lines: list[str] = []
    for line in box.splitlines()[1:]:
        text = line.strip("│|╰╯+ ")
        if text.strip("─-"):
            lines.append(text)
        elif lines:
            break
    return " ".join(" ".join(lines or [box]).split()).rstrip(".")
