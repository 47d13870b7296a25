"""What makes inputs of the rows of a user's CSV file, as encoder.json in a run's folder keeps it.

It is JSON and nothing else, and may come from anybody: whatever no training writes is refused.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.columns import LARGEST, MOST_LEVELS, Category, Column, Number
from experiments.differences import shown
from experiments.json_file import read_json
from experiments.refusal import Refused, inside

FILE = "encoder.json"
MOST_BYTES = 2**24
"""That of a table of 100 000 columns."""
_KINDS = {"number": Number, "category": Category}


class Encoder(NamedTuple):
    """The column that holds the classes, and those that are learnt from, in the order of the inputs."""

    label: str
    columns: tuple[Column, ...]


def as_json(label: str, columns: Sequence[Column]) -> dict[str, Any]:
    """What classifying a new row needs: each column's kind, and its fields by their names."""
    kinds = {column: kind for kind, column in _KINDS.items()}
    return {"label": label, "columns": [{"kind": kinds[type(column)], **column._asdict()} for column in columns]}


def load(run: Path) -> Encoder:
    """Read the encoder in the folder of a run.

    Raises:
      Refused: there is none, or it is not as a training writes it.
      OSError: it cannot be read.
    """
    path = inside(run, FILE)
    if not path.is_file():
        raise Refused(
            f"{run} has no {FILE}, which says how a row becomes inputs: is it a run on a CSV file, to its end?"
        )
    try:
        return _encoder(read_json(path, MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise Refused(f"{path}: {error}") from None


def _encoder(found: Any) -> Encoder:
    if not isinstance(found, dict) or found.keys() != {"label", "columns"}:
        raise ValueError(f"expected an object of label and columns, got {shown(found)}")
    label, columns = found["label"], found["columns"]
    if not isinstance(label, str) or not isinstance(columns, list) or not columns:
        raise ValueError("expected label to be a string, and columns a list of some")
    read = tuple(map(_column, columns))
    names = {label, *(column.name for column in read)}
    if len(names) <= len(read):
        raise ValueError("two of its columns, or one and the label, have the same name")
    return Encoder(label, read)


def _column(found: Any) -> Column:
    if not isinstance(found, dict) or not isinstance(found.get("kind"), str) or found["kind"] not in _KINDS:
        raise ValueError(f"expected a column of kind {' or '.join(_KINDS)}, got {shown(found)}")
    kind = _KINDS[found["kind"]]
    if found.keys() != {"kind", *kind._fields} or not isinstance(found["name"], str):
        raise ValueError(f"expected a column's kind, {', '.join(kind._fields)}, got {shown(found)}")
    read = _number if kind is Number else _category
    return read(*(found[field] for field in kind._fields))


def _number(name: str, median: Any) -> Number:
    if type(median) not in (int, float) or not abs(median) <= LARGEST:
        raise ValueError(f"the median of column {shown(name)} must be a number up to {LARGEST:g}, got {shown(median)}")
    return Number(name, float(median))


def _category(name: str, levels: Any, most_frequent: Any) -> Category:
    if not isinstance(levels, list) or len(levels) > MOST_LEVELS or not all(isinstance(word, str) for word in levels):
        raise ValueError(f"the levels of column {shown(name)} must be at most {MOST_LEVELS} words, got {shown(levels)}")
    if len(set(levels)) < len(levels) or most_frequent not in (levels or [""]):
        raise ValueError(
            f"the levels of column {shown(name)} must be different words, the most frequent one of them, got "
            f"{shown(levels)} and {shown(most_frequent)}"
        )
    return Category(name, tuple(levels), most_frequent)
