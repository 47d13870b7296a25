"""A table in Parquet or Excel, or compressed, is read as the CSV file of the same rows is."""

import datetime
import gzip
import sys

import numpy as np
import pandas as pd
import pytest

from experiments.datasets.own_data import read_own_data
from experiments.datasets.splits import Division
from experiments.readers.csv_file import DEFAULT_LAYOUT, Layout, read_table
from experiments.readers.errors import InvalidFileError
from experiments.readers.typed_tables import read_typed_table, table_of

FRACTIONS = 0.7, 0.15, 0.15
M = 60


def frame():
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age in years, é": random.integers(1, 90, M),
            "fare": np.where(np.arange(M) % 9 == 0, np.nan, random.uniform(1, 900, M).round(3)),
            "thousandths": [1.234 + i for i in range(M)],
            "town": random.choice(["Ulm", "Köln", "  Kiel"], M),
            "member": random.choice([True, False], M),
            "day": pd.date_range("2024-01-01", periods=M),
            "left": np.where(np.arange(M) % 3, "yes", "no"),
        }
    )


def read(path):
    return read_own_data(path, "left", "", FRACTIONS, 0, division=Division(time="day"))


def written(kind, tmp_path):
    path = tmp_path / f"my table é{kind}"
    if kind == ".csv.gz":
        path.write_bytes(gzip.compress(frame().to_csv(index=False).encode()))
    elif kind == ".parquet":
        pytest.importorskip("pyarrow")
        frame().to_parquet(path)
    elif kind == ".xlsx":
        pytest.importorskip("openpyxl")
        frame().to_excel(path, index=False)
    else:
        frame().to_csv(path, index=False)
    return path


@pytest.mark.parametrize("kind", [".csv.gz", ".parquet", ".xlsx"])
def test_columns_are_of_the_kinds_that_a_csv_file_has(kind, tmp_path):
    expected, got = (read(written(each, tmp_path)) for each in (".csv", kind))
    for a, b in zip((expected.train, expected.dev, expected.test), (got.train, got.dev, got.test), strict=True):
        np.testing.assert_allclose(a.x, b.x, rtol=1e-6)
        np.testing.assert_array_equal(a.y, b.y)
    assert got.encoder == expected.encoder and got.classes == ("no", "yes")
    assert got.notes[2:] == expected.notes[2:] and "numbers: age in years, é, thousandths" in got.notes


def test_cells_of_any_type_become_fields():
    cells = {
        "a": [1, True, None, np.float32(0.5), pd.NA, pd.NaT, float("nan")],
        "b": [1e300, -0.0, 5.0, 1.234, float("inf"), 2**60, 1e-7],
        "c": [datetime.datetime(2024, 1, 31), datetime.datetime(2024, 1, 31, 8, 30), datetime.date(2024, 1, 31)]
        + [datetime.time(8, 30), "two\nlines", b"by\xc3\xa9", "\x1b[31m"],
    }
    table = table_of("a.xlsx", cells, cells.values(), "note", 2)
    assert {name: table.columns[name] for name in cells} == {
        "a": ["1", "True", "", "0.5", "", "", ""],
        "b": ["1e+300", "0", "5", "1.2340", "inf", str(2**60), "1e-07"],
        "c": ["2024-01-31", "2024-01-31 08:30:00", "2024-01-31", "08:30:00", "two lines", "byé", "[31m"],
    }
    assert table.lines == [*range(2, 9)]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"a": [1, [2, 3]], "b": [1, 2]}, "column 'a' holds a list in line 3, expected words, numbers or dates"),
        ({"a": [], "b": []}, "has a header and no rows"),
        ({"a": [None, ""], "b": [None, ""]}, "has a header and no rows"),
        ({"1": [1], "2": [2]}, "starts with numbers"),
    ],
)
def test_tables_that_cannot_be_read(cells, message):
    with pytest.raises(InvalidFileError, match=message):
        table_of("a.xlsx", cells, cells.values(), "note", 2)


def test_rows_of_empty_cells_are_left_out():
    cells = {"a": [None, 1, None, 2, None], "b": ["", "x", None, "", float("nan")]}
    table = table_of("a.xlsx", cells, cells.values(), "note", 2)
    assert (table.columns["a"], table.columns["b"], table.lines) == (["1", "2"], ["x", ""], [3, 5])
    assert table.notes[1] == "left out: 3 rows of empty fields, the first in line 2"


@pytest.mark.parametrize(("name", "package"), [("a.parquet", "pyarrow"), ("a.xlsx", "openpyxl")])
def test_a_missing_package_is_named_with_the_extra(tmp_path, monkeypatch, name, package):
    import zipfile

    with zipfile.ZipFile(tmp_path / name, "w"):
        pass
    for module in ("pyarrow", "pyarrow.parquet", "openpyxl", "pandas"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InvalidFileError, match=rf"needs pandas with {package} .* -m pip install pandas {package}, or"):
        read_typed_table(tmp_path / name, DEFAULT_LAYOUT)


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"PK\x03\x04damaged", b"PAR1" + b"\0" * 50])
@pytest.mark.parametrize("name", ["a.parquet", "a.xlsx"])
def test_damaged_files_are_one_line(tmp_path, name, content):
    pytest.importorskip("pyarrow" if name == "a.parquet" else "openpyxl")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidFileError, match="is damaged") as refused:
        read_typed_table(tmp_path / name, DEFAULT_LAYOUT)
    assert "\n" not in str(refused.value)


def test_excel_of_several_sheets_without_a_header(tmp_path):
    pytest.importorskip("openpyxl")
    path = tmp_path / "a.xlsx"
    with pd.ExcelWriter(path) as writer:
        pd.DataFrame([[1.5, "x"], [2.5, "y"]]).to_excel(writer, sheet_name="one", index=False, header=False)
        pd.DataFrame([[3]]).to_excel(writer, sheet_name="two")
    table = read_typed_table(path, Layout(header=False))
    assert table.columns["column_1"] == ["1.5", "2.5"] and table.lines == [1, 2]
    assert table.notes == ("Excel, the first sheet of 2, 'one'",)


def test_excel_with_empty_rows_above_the_header(tmp_path):
    pytest.importorskip("openpyxl")
    with pd.ExcelWriter(tmp_path / "a.xlsx") as writer:
        pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}).to_excel(writer, index=False, startrow=3)
    table = read_typed_table(tmp_path / "a.xlsx", DEFAULT_LAYOUT)
    assert dict(table.columns) == {"a": ["1", "2"], "b": ["x", "y"]} and table.lines == [5, 6]


def test_names_of_rows_on_several_levels_are_columns(tmp_path):
    pytest.importorskip("pyarrow")
    frame().assign(visit=range(M)).set_index(["day", "visit"]).to_parquet(tmp_path / "a.parquet")
    table = read_typed_table(tmp_path / "a.parquet", DEFAULT_LAYOUT)
    assert [*table.columns][:2] == ["day", "visit"] and table.columns["visit"] == [*map(str, range(M))]
    frame().set_index("day", drop=False).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InvalidFileError, match="columns 1 and .* are both called 'day': rename one"):
        read_typed_table(tmp_path / "a.parquet", DEFAULT_LAYOUT)


def test_gzip_that_is_damaged_or_unpacks_to_too_much(tmp_path, monkeypatch):
    from experiments.readers import csv_file

    path = tmp_path / "a.csv.gz"
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    for damaged in (packed[:-20], packed[:20] + b"\xff" * 20 + packed[40:]):
        path.write_bytes(damaged)
        with pytest.raises(InvalidFileError, match="is damaged"):
            read_table(path)
    path.write_bytes(packed)
    assert len(read_table(path).lines) == 1000
    monkeypatch.setattr(csv_file, "MOST_BYTES", 3999)
    with pytest.raises(InvalidFileError, match="at most 3,999 bytes decompressed"):
        read_table(path)
