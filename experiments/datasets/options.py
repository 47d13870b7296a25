"""Options for a user's own data."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro

from experiments.runs.options import Names, Text

OWN_SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".parquet", ".xlsx", ".npz")
"""Suffixes of data files."""


TaskName = Literal["classification", "regression"]


@dataclass(frozen=True, kw_only=True)
class OwnDataOptions:
    """Options of studies that can train on a user's own data; docs/own_data.md has examples."""

    data: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Train on this table (CSV, .csv.gz, Parquet or Excel), npz file with arrays x and y, or folder with a folder of
    photos or recordings for each class; 70, 15 and 15 % are train, dev and test."""
    label: Annotated[str | None, tyro.conf.arg(metavar="COLUMN", help_behavior_hint="")] = None
    """The column of --data with the classes, or the numbers to predict; for an npz file the array, by default y."""
    task: Annotated[TaskName | None, tyro.conf.arg(help_behavior_hint="(default: by the labels)")] = None
    """Predict classes, or numbers; if it is not given, many different numbers are regression."""
    nonnegative: bool = False
    """The numbers to predict are at least 0, such as prices, and so are all predictions."""
    class_weight: Annotated[str | None, tyro.conf.arg(metavar="WEIGHTS", help_behavior_hint="(default: all 1)")] = None
    """Weights of classes in training: balanced, for equal sums of all classes, or CLASS=WEIGHT, separated by commas."""
    group: Annotated[str | None, tyro.conf.arg(metavar="COLUMN", help_behavior_hint="")] = None
    """A column of groups, such as patients: no group is in two of train, dev and test. It is not an input."""
    time: Annotated[str | None, tyro.conf.arg(metavar="COLUMN", help_behavior_hint="")] = None
    """A column of numbers or dates: train comes before dev, and dev before test. It is not an input."""
    drop: Names = ""
    """Columns of --data to leave out, separated by commas."""
    words: Names = ""
    """Columns of words, even if they look like numbers; in them only an empty field is missing."""
    numbers: Names = ""
    """Columns of numbers; one that counts the rows is then not left out."""
    missing: Annotated[str | None, tyro.conf.arg(metavar="WORDS", help_behavior_hint="(default: NA, ?, - ...)")] = None
    """Fields that are missing values, separated by commas; with '' only an empty field is."""
    delimiter: Text = None
    """The character between fields, such as a comma, ; or |, or the word tab."""
    decimal: Text = None
    """The decimal mark: . or a comma."""
    thousands: Text = None
    """The mark between groups of digits: . or a comma, ' or a blank."""
    header: bool = True
    """Whether line 1 has the names of the columns; else they are column_1, column_2, ..."""
    size: int = 64
    """Height and width to which the photos of a folder are resized, in pixels."""
    gray: bool = False
    """Photos in gray instead of color."""
    seconds: float = 3.0
    """Length of the recordings of a folder: shorter ones are padded, longer ones cut off."""
    encoding: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: detected)")] = None
    """The encoding of the text, by its name in Python: utf-8, windows-1252, shift-jis, ..."""


def own_data_flags(options: OwnDataOptions) -> list[str]:
    """Return the flags of the options for own data that were given."""
    given = [field.name for field in fields(OwnDataOptions) if getattr(options, field.name) != field.default]
    return [f"--no-{name}" if name == "header" else f"--{name.replace('_', '-')}" for name in given]


def suffix_of(path: Path) -> str:
    """Return the suffix of a data file in lower case, such as .csv, or .csv.gz for a compressed one."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:]) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])
