"""Read a column of times: numbers, or dates and times of day, in one form."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from experiments.datasets.columns import Meaning, check_present, check_size, numbers_of
from experiments.readers import numerals
from experiments.readers.csv_file import Table
from experiments.readers.errors import InvalidFileError
from experiments.readers.numerals import PLAIN

FORMS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d")
"""Forms of dates besides those of ISO 8601; each may be followed by a time of day."""
_OF_DAY = ("", " %H:%M", " %H:%M:%S")


def read_times(path: Path, name: str, table: Table, meaning: Meaning) -> np.ndarray:
    """Return the times of all rows as numbers, (m,) float64, of which later ones are larger.

    Raises:
      InvalidFileError: if a time is missing, too large, or not of the form of the others; if two forms are possible.
    """
    fields = table.columns[name]
    distinct = set(fields)
    missing = meaning.missing_values(distinct, of_numbers=True)
    check_present(path, name, fields, table.lines, missing, "time")
    notations = numerals.notations(distinct, meaning.decimal, meaning.thousands)
    if notations:
        notation = notations[0]
        if notation != PLAIN and not numerals.agree(distinct, notations):
            raise InvalidFileError(f"{path}: column {name!r} holds numbers that may be read in two ways: use --decimal")
        times = numbers_of(fields, notation, distinct, ())
        check_size(path, name, fields, table.lines, times)
        return times
    readings = [each for form in (_iso, *map(_of_form, FORMS)) if (each := _all(form, distinct)) is not None]
    if not readings:
        first = _first_unread(distinct, fields)
        raise InvalidFileError(
            f"{path}: column {name!r} holds {fields[first]!r} in line {table.lines[first]}, expected numbers, or dates "
            "such as 2024-12-31 or 2024-12-31 08:30, all written alike"
        )
    if len(readings) > 1 and any(reading != readings[0] for reading in readings[1:]):
        raise InvalidFileError(
            f"{path}: column {name!r} holds {fields[0]!r} in line {table.lines[0]}, whose day and month may be either: "
            "write dates as 2024-12-31"
        )
    return np.array([readings[0][field] for field in fields])


def _all(form: Callable[[str], datetime], fields: Collection[str]) -> dict[str, float] | None:
    """Return the seconds of each field, or None if one is not of the form."""
    try:
        times = {field: form(field) for field in fields}
    except ValueError:
        return None
    if len({time.tzinfo is None for time in times.values()}) > 1:
        return None
    return {field: _seconds(time) for field, time in times.items()}


def _seconds(time: datetime) -> float:
    """Return seconds since 1970, of a time without a zone as if it were UTC."""
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _iso(field: str) -> datetime:
    return datetime.fromisoformat(field)


def _of_form(form: str) -> Callable[[str], datetime]:
    def read(field: str) -> datetime:
        for of_day in _OF_DAY:
            try:
                return datetime.strptime(field, form + of_day)
            except ValueError:
                continue
        raise ValueError(field)

    return read


def _first_unread(distinct: Collection[str], fields: list[str]) -> int:
    """Return the first row that is not of the form that most fields have."""
    forms = (_iso, *map(_of_form, FORMS))
    read = [{field for field in distinct if _all(form, [field]) is not None} for form in forms]
    best = max(read, key=len)
    return next((i for i, field in enumerate(fields) if field not in best), 0)
