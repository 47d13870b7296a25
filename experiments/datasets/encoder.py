"""Store the encoding of a user's CSV file as encoder.json in a run's folder.

When it is read, it is untrusted: anything that a training does not write is an error.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.datasets.column_kinds import MOST_EMBEDDED, MOST_LEVELS
from experiments.datasets.columns import DEFAULT_MEANING, LARGEST, Category, Column, Embedded, Meaning, Number
from experiments.readers.csv_file import DEFAULT_LAYOUT, Layout
from experiments.readers.errors import InvalidFileError, path_inside
from experiments.readers.json_file import read_json, short_json
from experiments.readers.numerals import MARKS, Notation

FILE = "encoder.json"
MOST_BYTES = 2**26
"""Enough for a table of 100 000 columns, or for 20 embedded columns of the most levels."""
MOST_MISSING = 1000
_KINDS = {"number": Number, "category": Category, "embedded": Embedded}
_MOST = {Category: MOST_LEVELS, Embedded: MOST_EMBEDDED}
_NUMBER_FIELDS = ("name", "median", *Notation._fields)


class Encoder(NamedTuple):
    """The label, the columns of the inputs in order, and the layout and meaning of the file.

    Attributes:
      target: the notation of the label's numbers for regression; None if it has classes.
    """

    label: str
    columns: tuple[Column, ...]
    layout: Layout = DEFAULT_LAYOUT
    meaning: Meaning = DEFAULT_MEANING
    target: Notation | None = None


def as_json(
    label: str,
    columns: Sequence[Column],
    layout: Layout = DEFAULT_LAYOUT,
    meaning: Meaning = DEFAULT_MEANING,
    target: Notation | None = None,
) -> dict[str, Any]:
    """Return, as JSON, what predicting a new row needs: the reading of its file, and each fitted column."""
    missing = None if meaning.missing is None else list(meaning.missing)
    words = sorted(meaning.words & {label, *(column.name for column in columns)})
    reading = {**layout._asdict(), "missing": missing, "words": words}
    content = {"label": label, "reading": reading, "columns": list(map(_as_json, columns))}
    return content if target is None else content | {"target": target._asdict()}


def _as_json(column: Column) -> dict[str, Any]:
    if not isinstance(column, Number):
        kind = next(kind for kind, one in _KINDS.items() if isinstance(column, one))
        return {"kind": kind, **column._asdict()}
    return {"kind": "number", "name": column.name, "median": column.median, **column.notation._asdict()}


def load(run: Path) -> Encoder:
    """Read the encoder in the folder of a run.

    Raises:
      InvalidFileError: if it does not exist, or is invalid.
      OSError: if it cannot be read.
    """
    path = path_inside(run, FILE)
    if not path.is_file():
        raise InvalidFileError(f"{run} has no {FILE}, the encoding of rows: is it a finished run on a CSV file?")
    try:
        return _encoder(read_json(path, MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise InvalidFileError(f"{path}: {error}") from None


def _encoder(content: Any) -> Encoder:
    if not isinstance(content, dict) or content.keys() - {"target"} != {"label", "reading", "columns"}:
        raise ValueError(f"expected an object of label, reading and columns, got {short_json(content)}")
    label, columns = content["label"], content["columns"]
    if not isinstance(label, str) or not isinstance(columns, list) or not columns:
        raise ValueError("expected label to be a string, and columns a list that is not empty")
    layout, meaning = _reading(content["reading"])
    read = tuple(map(_column, columns))
    names = {label, *(column.name for column in read)}
    if len(names) <= len(read):
        raise ValueError("the names of the columns and the label must be different")
    target = content.get("target")
    if target is not None:
        if not isinstance(target, dict) or target.keys() != {*Notation._fields}:
            raise ValueError(f"expected target to be an object of {', '.join(Notation._fields)}")
        target = _notation(label, *(target[name] for name in Notation._fields))
    return Encoder(label, read, layout, meaning, target)


def _reading(content: Any) -> tuple[Layout, Meaning]:
    names = {*Layout._fields, "missing", "words"}
    if not isinstance(content, dict) or content.keys() != names:
        raise ValueError(f"expected reading to be an object of {', '.join(sorted(names))}, got {short_json(content)}")
    delimiter, encoding, header, missing, words = (content[name] for name in (*Layout._fields, "missing", "words"))
    if delimiter is not None and not (isinstance(delimiter, str) and re.fullmatch(r'[^"\r\n\0]', delimiter)):
        raise ValueError(f"delimiter must be a character or null, got {short_json(delimiter)}")
    if encoding is not None and not (isinstance(encoding, str) and re.fullmatch(r"[\w.:-]{1,40}", encoding, re.ASCII)):
        raise ValueError(f"encoding must be a name or null, got {short_json(encoding)}")
    if type(header) is not bool:
        raise ValueError(f"header must be true or false, got {short_json(header)}")
    for name, some in (("missing", missing or []), ("words", words)):
        if not isinstance(some, list) or len(some) > MOST_MISSING or not all(isinstance(word, str) for word in some):
            raise ValueError(f"{name} must be at most {MOST_MISSING} words, got {short_json(some)}")
    return Layout(delimiter, encoding, header), Meaning(
        missing if missing is None else tuple(missing), words=frozenset(words)
    )


def _column(content: Any) -> Column:
    if not isinstance(content, dict) or not isinstance(content.get("kind"), str) or content["kind"] not in _KINDS:
        raise ValueError(f"expected a column of kind {' or '.join(_KINDS)}, got {short_json(content)}")
    kind = _KINDS[content["kind"]]
    fields = _NUMBER_FIELDS if kind is Number else kind._fields
    if content.keys() != {"kind", *fields} or not isinstance(content["name"], str):
        raise ValueError(f"expected a column's kind, {', '.join(fields)}, got {short_json(content)}")
    values = [content[field] for field in fields]
    return _number(*values) if kind is Number else _words(kind, *values)


def _number(name: str, median: Any, *notation: Any) -> Number:
    if type(median) not in (int, float) or not abs(median) <= LARGEST:
        raise ValueError(
            f"the median of column {short_json(name)} must be a number up to {LARGEST:g}, got {short_json(median)}"
        )
    return Number(name, float(median), _notation(name, *notation))


def _notation(name: str, *notation: Any) -> Notation:
    strings = all(isinstance(mark, str) and len(mark) <= 10 for mark in notation)
    if not strings or notation[:2] not in MARKS:
        raise ValueError(
            f"the notation of column {short_json(name)} must be four marks, got {short_json(list(notation))}"
        )
    return Notation(*notation)


def _words(kind: type[Category] | type[Embedded], name: str, levels: Any, most_frequent: Any) -> Category | Embedded:
    most = _MOST[kind]
    if not isinstance(levels, list) or len(levels) > most or not all(isinstance(word, str) for word in levels):
        raise ValueError(
            f"the levels of column {short_json(name)} must be at most {most} words, got {short_json(levels)}"
        )
    if len(set(levels)) < len(levels) or most_frequent not in (levels or [""]):
        raise ValueError(
            f"the levels of column {short_json(name)} must be different words that include the most frequent one, got "
            f"{short_json(levels)} and {short_json(most_frequent)}"
        )
    return kind(name, tuple(levels), most_frequent)
