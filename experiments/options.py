"""What every experiment can be told, and how command lines become options."""

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import tyro

from experiments import terminal
from experiments.near import did_you_mean

T = TypeVar("T")
OnNan = Literal["stop", "skip"]
"""The option --on-nan, as `jaxnn.fit` takes it."""


@dataclass(frozen=True, kw_only=True)
class CacheOptions:
    """The option of every command that compiles."""

    compilation_cache: bool = True
    """Keep compiled programs in the user's cache folder, where the next start finds them."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(CacheOptions):
    """The options that all experiments share."""

    runs_dir: Path = Path("runs")
    """Where the run's results folder is made."""
    checkpoint_every: float = 60.0
    """Seconds between checkpoints, from which `resume` goes on; a shorter run writes none. 0 for never."""
    keep: int = 2
    """Checkpoints kept of each training, the latest; those of a finished run are removed."""
    tensorboard: bool = False
    """Write the metrics as an event file for TensorBoard too; needs tensorboardX."""


@dataclass(frozen=True, kw_only=True)
class MovedOptions(CacheOptions):
    """Where the data of a run are now, for what reads them again."""

    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """The folder with the data files, where the run had them elsewhere."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Your own file that the run learnt from, where it was elsewhere."""


OWN_SUFFIXES = (".csv", ".tsv", ".txt", ".npz")
"""Of a user's own data."""


_Text = Annotated[str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint="(default: found out)")]
_Names = Annotated[str, tyro.conf.arg(metavar="COLUMNS", help_behavior_hint="")]


@dataclass(frozen=True, kw_only=True)
class OwnDataOptions:
    """The options of what can train on a user's own data; docs/own_data.md has examples of each."""

    data: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """A CSV file with a header, or an npz file with arrays x and y, to train on; split in 70, 15 and 15 %."""
    label: Annotated[str | None, tyro.conf.arg(metavar="COLUMN", help_behavior_hint="")] = None
    """The column of --data that holds the classes; of an npz file the array, y if not given."""
    drop: _Names = ""
    """Columns of --data to leave out, with commas between them."""
    words: _Names = ""
    """Columns of words, even if they look like numbers; in them only an empty field is missing."""
    numbers: _Names = ""
    """Columns of numbers, also one that counts the rows, which is else left out."""
    missing: Annotated[str | None, tyro.conf.arg(metavar="WORDS", help_behavior_hint="(default: NA, ?, - ...)")] = None
    """Fields that stand for no value, with commas between them; with '' only an empty field does."""
    delimiter: _Text = None
    """The character between fields: a comma, ; or | and the like, or tab."""
    decimal: _Text = None
    """The mark before fractions: . or a comma."""
    thousands: _Text = None
    """The mark between groups of digits: . or a comma, ' or a blank."""
    header: bool = True
    """Whether line 1 names the columns; else they are column_1, column_2, ..."""
    encoding: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: found out)")] = None
    """Of the characters, as Python names it: utf-8, windows-1252, shift-jis, ..."""


def own_data_flags(options: OwnDataOptions) -> list[str]:
    """Return the options of own data that were given, as they are typed."""
    given = [field.name for field in fields(OwnDataOptions) if getattr(options, field.name) != field.default]
    return [f"--no-{name}" if name == "header" else f"--{name}" for name in given]


BatchSize = Annotated[
    int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="(default: 32, or all where there are fewer)")
]


def batch_size_of(given: int | None, m: int) -> int:
    """Return the batch size for m training examples: as given, else 32 or, of fewer examples, all of them.

    Raises:
      ValueError: if one was given that is not from 1 to m.
    """
    if given is None:
        return min(32, m)
    if not 1 <= given <= m:
        raise ValueError(f"--batch-size must be 1 to {m}, the training set, got {given}")
    return given


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


def check_at_least_one(name: str, value: int) -> None:
    """Raise a ValueError unless the option's value is 1 or more, and an int32."""
    if value < 1:
        raise ValueError(f"--{name} must be at least 1, got {value}")
    if value >= 2**31:
        raise ValueError(f"--{name} must be at most {2**31 - 1}, got {value}")


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
