"""Read Parquet and Excel files as columns of words, as they would be in a CSV file: by pandas, an optional package.

Numbers become their shortest text, whole ones without a point; dates become ISO 8601; an empty cell becomes an empty
field. So a column is of the same kind as in a CSV file.
"""

import datetime
import decimal
import math
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from experiments.readers.csv_file import (
    MOST_COLUMNS,
    MOST_FIELDS,
    MOST_ROWS,
    Columns,
    Layout,
    Table,
    join_fields,
    names_of,
)
from experiments.readers.errors import InvalidFileError, check_file
from experiments.readers.packages import install_command

PARQUET, EXCEL = ".parquet", ".xlsx"
MOST_BYTES = 2**28
MOST_UNPACKED = 2**30
"""The maximum of an Excel file, which is a zip archive, after unpacking."""
_GROUPS = re.compile(r"-?[1-9]\d{0,2}\.\d{3}")
"""Numbers that may be read as thousands: 1.234 is written 1.2340."""


def read_typed_table(path: Path, layout: Layout) -> Table:
    """Read a Parquet file, or the first sheet of an Excel file.

    Args:
      path: the file, ending in .parquet or .xlsx.
      layout: of a CSV file, of which only `header` is used, for Excel.

    Raises:
      InvalidFileError: if a package is missing, the file is damaged or too large, or a cell holds a list and the like.
      OSError: if the file cannot be opened.
    """
    check_file(path, MOST_BYTES)
    read = _read_parquet if path.suffix.lower() == PARQUET else _read_excel
    try:
        return read(path, layout)
    except InvalidFileError:
        raise
    except ImportError as error:
        beside = "pyarrow" if read is _read_parquet else "openpyxl"
        fix = f"{install_command('pandas', beside)}, or save the table as CSV"
        raise InvalidFileError(f"{path} needs pandas with {beside} ({error}): {fix}") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(path, error) from None
    except Exception as error:  # of damaged bytes a decoder may raise anything
        raise _damaged(path, error) from None


def table_of(path: Path, names: Iterable[object], columns: Iterable[Iterable[object]], note: str, first: int) -> Table:
    """Return cells as the fields of a table.

    Args:
      path: the file, for messages.
      names: of the columns.
      columns: the cells of each, of any types that pandas returns.
      note: on the file.
      first: the number of the first row, as messages count them.

    Raises:
      InvalidFileError: if names are the same, a cell is of another kind than words, numbers, truths and times, or there
        are no rows.
    """
    listed = names_of(path, [_text(name) or "" for name in names], line=first - 1)
    texts: dict[str, str] = {}
    filled = np.zeros(0, bool)
    for name, cells in zip(listed, columns, strict=True):
        fields = [*_fields(path, name, cells, first)]
        here = np.fromiter(map(bool, fields), bool, len(fields))
        filled = filled | here if texts else here
        texts[name] = join_fields(fields)
    kept = np.flatnonzero(filled) if len(texts) > 1 else np.arange(len(filled))
    if not len(kept):
        raise InvalidFileError(f"{path} has a header and no rows")
    table, notes, n = Columns(texts), [note], len(filled) - len(kept)
    if n:
        notes.append(f"left out: {n} rows of empty fields, the first in line {first + int(filled.argmin())}")
        table = Columns({name: join_fields(_selected(table[name], kept)) for name in texts})
    return Table(table, (first + kept).tolist(), tuple(notes))


def _selected(fields: list[str], rows: np.ndarray) -> list[str]:
    return [fields[i] for i in rows]


def _read_parquet(path: Path, layout: Layout) -> Table:
    import pyarrow.parquet

    if not layout.header:
        raise InvalidFileError(f"{path}: --no-header must be used with CSV or Excel: a Parquet file has names")
    with path.open("rb") as file:
        head = pyarrow.parquet.read_metadata(file)
    _check_counts(path, head.num_rows, head.num_columns)
    import pandas

    frame = pandas.read_parquet(path, engine="pyarrow")
    if any(name is not None for name in frame.index.names):  # several if rows have names on several levels
        frame = frame.reset_index(allow_duplicates=True)
    return table_of(
        path,
        frame.columns,
        (frame.iloc[:, i].tolist() for i in range(frame.shape[1])),
        "Parquet, lines are its rows",
        1,
    )


def _read_excel(path: Path, layout: Layout) -> Table:
    import pandas

    _check_archive(path)
    with pandas.ExcelFile(path, engine="openpyxl") as book:
        sheets = book.sheet_names
        frame = pandas.read_excel(book, header=None, dtype=object, keep_default_na=False, na_filter=False)
    _check_counts(path, *frame.shape)
    others = f" of {len(sheets)}" if len(sheets) > 1 else ""
    note = f"Excel, the first sheet{others}, {str(sheets[0])[:50]!r}"
    if frame.shape[1] == 0:
        raise InvalidFileError(f"{path} is empty: expected a header with the names of the columns")
    if not layout.header:
        names: list[object] = [f"column_{i}" for i in range(1, frame.shape[1] + 1)]
        return table_of(path, names, (frame[i].tolist() for i in frame.columns), note, 1)
    rows = (i for i in range(len(frame)) if any(map(_text, frame.iloc[i])))
    at = next(rows, 0)  # that of the names, below empty rows
    columns = (frame[i].iloc[at + 1 :].tolist() for i in frame.columns)
    return table_of(path, frame.iloc[at], columns, note, at + 2)


def _check_archive(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        raise InvalidFileError(f"{path} is damaged, or not an Excel file (.xlsx): save it again, or as CSV")
    with zipfile.ZipFile(path) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > MOST_UNPACKED:
        raise InvalidFileError(f"{path} unpacks to {size:,} bytes, expected at most {MOST_UNPACKED:,}: save it as CSV")


def _check_counts(path: Path, rows: int, columns: int) -> None:
    if columns > MOST_COLUMNS or rows > MOST_ROWS or rows * columns > MOST_FIELDS:
        limits = f"{MOST_ROWS:,} rows, {MOST_COLUMNS:,} columns and {MOST_FIELDS:,} fields"
        raise InvalidFileError(f"{path} has {rows:,} rows of {columns:,} columns, expected at most {limits}")


def _fields(path: Path, name: str, cells: Iterable[object], first: int) -> Iterator[str]:
    for i, cell in enumerate(cells):
        text = _text(cell)
        if text is None:
            kind = type(cell).__name__
            raise InvalidFileError(
                f"{path}: column {name!r} holds a {kind} in line {first + i}, expected words, numbers or dates: leave "
                "the column out of the file, or split it"
            )
        yield text


def _text(cell: Any) -> str | None:
    """Return a cell as the field of a CSV file; None for a list and the like."""
    if isinstance(cell, str):
        printable = cell if cell.isprintable() else "".join(c if c.isprintable() else " " for c in cell)
        return printable.strip()
    if isinstance(cell, float):
        return "" if math.isnan(cell) else _number(cell)
    if isinstance(cell, int):
        return str(cell)
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return ""
    if hasattr(cell, "item") and getattr(cell, "shape", None) == ():  # a NumPy scalar
        return _text(cell.item())
    if isinstance(cell, decimal.Decimal):
        return "" if cell.is_nan() else f"{cell:f}"
    if isinstance(cell, datetime.datetime):
        midnight = cell.time() == datetime.time() and cell.tzinfo is None
        return cell.date().isoformat() if midnight else cell.isoformat(" ")
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    if isinstance(cell, bytes):
        return _text(cell.decode("utf-8", "replace"))
    return None


def _number(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    text = str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return f"{text}0" if _GROUPS.fullmatch(text) else text


def _damaged(path: Path, error: Exception) -> InvalidFileError:
    first = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return InvalidFileError(f"{path} is damaged, or not of the kind that its name ends in: {first}")
