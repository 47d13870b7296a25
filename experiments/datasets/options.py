"""What can be told of a file of one's own."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import tyro

from experiments.runs.options import Names, Text

OWN_SUFFIXES = (".csv", ".tsv", ".txt", ".npz")
"""Of a user's own data."""


@dataclass(frozen=True, kw_only=True)
class OwnDataOptions:
    """The options of what can train on a user's own data; docs/own_data.md has examples of each."""

    data: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """A CSV file with a header, or an npz file with arrays x and y, to train on; split in 70, 15 and 15 %."""
    label: Annotated[str | None, tyro.conf.arg(metavar="COLUMN", help_behavior_hint="")] = None
    """The column of --data that holds the classes; of an npz file the array, y if not given."""
    drop: Names = ""
    """Columns of --data to leave out, with commas between them."""
    words: Names = ""
    """Columns of words, even if they look like numbers; in them only an empty field is missing."""
    numbers: Names = ""
    """Columns of numbers, also one that counts the rows, which is else left out."""
    missing: Annotated[str | None, tyro.conf.arg(metavar="WORDS", help_behavior_hint="(default: NA, ?, - ...)")] = None
    """Fields that stand for no value, with commas between them; with '' only an empty field does."""
    delimiter: Text = None
    """The character between fields: a comma, ; or | and the like, or tab."""
    decimal: Text = None
    """The mark before fractions: . or a comma."""
    thousands: Text = None
    """The mark between groups of digits: . or a comma, ' or a blank."""
    header: bool = True
    """Whether line 1 names the columns; else they are column_1, column_2, ..."""
    encoding: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: found out)")] = None
    """Of the characters, as Python names it: utf-8, windows-1252, shift-jis, ..."""


def own_data_flags(options: OwnDataOptions) -> list[str]:
    """Return the options of own data that were given, as they are typed."""
    given = [field.name for field in fields(OwnDataOptions) if getattr(options, field.name) != field.default]
    return [f"--no-{name}" if name == "header" else f"--{name}" for name in given]
