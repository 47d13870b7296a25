"""The options for a user's own data."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import tyro

from experiments.runs.options import Names, Text

OWN_SUFFIXES = (".csv", ".tsv", ".txt", ".npz")
"""Suffixes of files with a user's own data."""


@dataclass(frozen=True, kw_only=True)
class OwnDataOptions:
    """The options of studies that can train on a user's own data; docs/own_data.md has examples of each."""

    data: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """A CSV file with a header, or an npz file with arrays x and y, to train on; split in 70, 15 and 15 %."""
    label: Annotated[str | None, tyro.conf.arg(metavar="COLUMN", help_behavior_hint="")] = None
    """The column of --data that holds the classes; of an npz file the array, y if not given."""
    drop: Names = ""
    """Columns of --data to leave out, separated by commas."""
    words: Names = ""
    """Columns of words, even if they look like numbers; in them only an empty field is missing."""
    numbers: Names = ""
    """Columns of numbers, including one that counts the rows, which would be left out."""
    missing: Annotated[str | None, tyro.conf.arg(metavar="WORDS", help_behavior_hint="(default: NA, ?, - ...)")] = None
    """Fields that stand for no value, separated by commas; with '' only an empty field does."""
    delimiter: Text = None
    """The character between fields: a comma, ; or | and the like, or tab."""
    decimal: Text = None
    """The mark before fractions: . or a comma."""
    thousands: Text = None
    """The mark between groups of digits: . or a comma, ' or a blank."""
    header: bool = True
    """Whether line 1 names the columns; else they are column_1, column_2, ..."""
    encoding: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: detected)")] = None
    """The encoding of the text, as Python names it: utf-8, windows-1252, shift-jis, ..."""


def own_data_flags(options: OwnDataOptions) -> list[str]:
    """Return the options for own data that were given, as they are typed."""
    given = [field.name for field in fields(OwnDataOptions) if getattr(options, field.name) != field.default]
    return [f"--no-{name}" if name == "header" else f"--{name}" for name in given]
