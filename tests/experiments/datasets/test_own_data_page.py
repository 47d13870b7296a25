"""docs/own_data.md: each row of its tables is tested with a file, whose notes must have the code of the row."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.datasets.options import OwnDataOptions
from experiments.datasets.own_data import read_own_data
from experiments.datasets.reading import Reading
from experiments.datasets.tasks import DEFAULT_TASK, Task
from experiments.readers.csv_file import Layout, read_table
from experiments.readers.errors import InvalidFileError

PAGE = Path(__file__).parents[3] / "docs" / "own_data.md"
M = 40
B = np.round(np.random.default_rng(0).normal(size=M), 2)
Y = np.arange(M) % 2


def tables():
    """Return header -> rows, each a list of cells."""
    found = {}
    for block in re.findall(r"(?:^\|.*\n)+", PAGE.read_text(), re.MULTILINE):
        first, _, *rows = (re.split(r"(?<!\\) *\| *", line.strip("| \n")) for line in block.splitlines())
        found[first[0]] = found.get(first[0], []) + rows
    return found


def code(cell):
    return re.findall(r"`([^`]+)`", cell)


def text(a, b=B, y=Y, header="a,b,y", sep=",", end="\n"):
    """Return a file with three columns."""
    rows = zip(a, b, y, strict=True)
    return "".join(sep.join(map(str, row)) + end for row in [header.split(","), *rows])


AB = text(np.arange(M) % 7)
SEMICOLONS = text(np.arange(M) % 7, sep=";")


def quoted(fields):
    return [f'"{field}"' for field in fields]


def at_9(field, others=None):
    """Return a column whose field in line 9 has another notation."""
    others = np.arange(M) % 7 + 10 if others is None else others
    return quoted(field if i == 7 else other for i, other in enumerate(others))


FILES = {
    "commas, semicolons, tabs or bars between fields": SEMICOLONS,
    "another character between fields": text(np.arange(M) % 7, sep=":"),
    "blanks between fields, with `--delimiter ' '`": re.sub(",", " \t  ", AB).replace("\n", "  \n  "),
    "`sep=;` in line 1, as Excel writes it": "sep=;\n" + SEMICOLONS,
    "delimiters or line ends in quoted fields and names": SEMICOLONS.replace("a;b", '"height\n(cm)";"b, in cm; round"'),
    "UTF-8, with or without a byte order mark": AB.encode("utf-8-sig"),
    'UTF-16 with a byte order mark, as Excel\'s "Unicode text"': text(np.arange(M) % 7, sep="\t").encode("utf-16"),
    "bytes that are not UTF-8": AB.replace("b", "é", 1).encode("latin-1"),
    "control characters": AB.replace("\n1,", "\n\x1b,", 1),
    "lines that start with `#`, before the header or with another number of fields": (
        '# by a logger, 2024\n# no quote"\n' + AB + "# end\n"
    ),
    "a title above the header": "Report\n" + AB,
    "no header, and numbers in line 1": AB.split("\n", 1)[1],
    "the header again, as in joined files": AB + AB,
    "a delimiter at the end of every row": AB.replace("\n", ",\n").replace("a,b,y,", "a,b,y"),
    "a delimiter at the end of some rows": AB.replace("0\n", "0,\n", 5),
    "a longer row": AB.replace("\n1,", "\nSmith, John,", 1),
    "a shorter row": AB.replace("\n1,", "\n", 1),
    "rows with one field more than the header, as R writes row names": AB.replace("a,b", "b"),
    "unquoted decimal commas, and commas between fields": text(np.arange(M) / 2, Y).replace(".", ","),
    "rows of empty fields": AB + ",,\n,,\n",
    "two columns with the same name": AB.replace("a,b", "a,a"),
    "a quote that is not closed": AB.replace("\n1,", '\n"1,', 1),
}
WHOLE_COLUMN = {
    "with decimal commas, `0,5`": (["0,5", "1,25"], B),
    "with decimal commas and thousands points, `1.234,5`": (["1.234,5", "0,5"], B),
    "`1.234`, if other columns have decimal commas": (["1.234", "5.678"], [f"{i % 3},5" for i in range(M)]),
    "`1,234`, and no other number decides what the comma is": (["1,234", "5,678"], Y),
    "`0.5` and `0,5` mixed": (["0.5", "0,5"], B),
    "row numbers, 0, 1, 2, ... or 1, 2, 3, ...": (range(1, M + 1), B),
    "one value in every row": (["7"], B),
    "no value in any row": (["", "NA"], B),
}
WORDS = {
    "at most 50 different words, dates, or yes and no": ["yes", "no"],
    "a different word in each row": [f"name {i}" for i in range(M)],
    "NA among words": ["NA", "EU"],
    "words that differ only in case": ["yes", "Yes"],
    "numbers and few words, such as 0, 1, 2 and 3+": ["0", "1", "2", "3+"],
}
LABELS = {
    "words or integers": Y,
    "`0`, `1` and `1.0`": ["1.0" if i == 3 else str(i % 2) for i in range(M)],
    "numbers, and a word in one row": ["-" if i == 7 else str(i % 2) for i in range(M)],
    "measurements: many different numbers, each in few rows, in any notation": [f"{value:.3f}" for value in B],
    "a different word in each row": [f"name {i}" for i in range(M)],
    "more than 20 different whole numbers, or more than 10 in fewer than five rows each": np.arange(M) % 13,
    "numbers, and NA in one of many rows": ["NA" if i == 7 else f"{value:.3f}" for i, value in enumerate(B)],
    "missing in a row": ["" if i == 7 else str(i % 2) for i in range(M)],
    "NA in some rows": [["NA", "EU"][i % 2] for i in range(M)],
}


@pytest.fixture
def notes_of(tmp_path):
    """Return the notes on a file, or the error message."""

    def call(content, label="y", task=DEFAULT_TASK, **reading):
        path = tmp_path / "a.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        try:
            data = read_own_data(path, label, "", (0.7, 0.15, 0.15), 0, Reading(**reading), task)
        except InvalidFileError as error:
            return str(error).removeprefix(str(path))
        parts = jax.tree.leaves([part.x for part in (data.train, data.dev, data.test)])
        assert all(np.isfinite(array).all() for array in parts)
        return "\n".join(data.notes)

    return call


def cycle(fields):
    return [[*fields][i % len(fields)] for i in range(M)]


def check(cell, said):
    assert code(cell)
    for fragment in code(cell):
        assert fragment in said


def test_every_table_is_tried():
    assert set(tables()) == {
        *("The file has", "A field among numbers", "All numbers of a column", "The column has", "The labels are"),
        "Option",
    }


def test_files(notes_of, tmp_path):
    rows = dict(tables()["The file has"])
    assert set(rows) == set(FILES)
    for name, done in rows.items():
        layout = Layout(" " if name.startswith("blanks") else None)
        check(done, notes_of(FILES[name], layout=layout).replace("\n(", "\\n("))
    assert "columns as 2 inputs" in notes_of(FILES["another character between fields"], layout=Layout(":"))
    for sep, kind in [(",", "commas"), ("\t", "tabs"), ("|", "bars")]:
        assert f"fields separated by {kind}" in notes_of(text(np.arange(M) % 7, sep=sep))
    (tmp_path / "b.csv").write_text(FILES["delimiters or line ends in quoted fields and names"])
    assert list(read_table(tmp_path / "b.csv").columns) == ["height\n(cm)", "b, in cm; round", "y"]
    assert "columns as 2 inputs" in notes_of(AB.split("\n", 1)[1], "column_3", layout=Layout(header=False))


def test_one_field_among_numbers(notes_of):
    for cell, done in tables()["A field among numbers"]:
        beside = Y if "1,234,567" in cell else B  # where nothing else shows what a mark is
        for field in [*code(cell), *([""] if "empty" in cell else [])]:
            said = notes_of(text(at_9(field), beside))
            check(done, said)
            assert "one-hot" not in said
            if "taken as the median" in done:
                assert f"({field} in line 9)" in said or field == ""


def test_whole_columns_of_numbers(notes_of):
    rows = dict(tables()["All numbers of a column"])
    units = "with one unit or currency, `5%`, `$5`, `5 kg`"
    index = "other integers, all different, without a name, or with the name `Unnamed: 0` or of an id"
    runs_on = "consecutive integers from another start, `1000`, `1001`, ..."
    assert set(rows) == {*WHOLE_COLUMN, units, index, runs_on}
    check(rows[runs_on], notes_of(text(range(1000, 1000 + M))))
    assert "counts the rows" not in notes_of(text([1000, 1002, *range(1003, 1001 + M)]))
    for name, (fields, b) in WHOLE_COLUMN.items():
        check(rows[name], notes_of(text(quoted(cycle(fields)), quoted(b))))
    for field in code(units):
        said = notes_of(text(cycle([field, field.replace("5", "7")])))
        check(rows[units], said)
        assert f"{field} in line 2 is 5" in said
    for name in ("", "Unnamed: 0", "id", "PassengerId"):
        check(rows[index], notes_of(text(range(0, 2 * M, 2), header=f"{name},b,y")))


def test_columns_of_words(notes_of):
    rows = dict(tables()["The column has"])
    many, kept = (
        "more than 100 different words in fewer rows, or dates",
        "NA among words, with `--words a` or `--missing ''`",
    )
    embedded, some = (
        "more than 50 different words, with two rows of each on average",
        "51 to 100 different words in fewer rows",
    )
    assert set(rows) == {*WORDS, many, kept, embedded, some}
    check(rows[embedded], notes_of("a,y\n" + "".join(f"name {i % 60},{i % 7 % 2}\n" for i in range(600))))
    check(rows[some], notes_of("a,y\n" + "".join(f"name {i % 60},{i % 7 % 2}\n" for i in range(100))))
    dates = "a,y\n" + "".join(f"2024-{1 + i // 28 % 9}-{1 + i % 28},{i % 7 % 2}\n" for i in range(2000))
    check(rows[many], notes_of(dates))
    assert "words, embedded, 252 levels" in notes_of(dates, words="a")
    for name, fields in WORDS.items():
        check(rows[name], notes_of(text(cycle(fields))))
    check(rows[many], notes_of("a,y\n" + "".join(f"name {i},{i % 2}\n" for i in range(300))))
    for written in (lambda v: f"${v:.2f}", lambda v: f'"{v:.1f}"'.replace(".", ","), lambda v: f"{v:.1f}%"):
        check("`the target of regression`", notes_of(text(np.arange(M) % 7, y=[written(abs(value)) for value in B])))
    for reading in ({"words": "a"}, {"missing": ""}, {"missing": "NA", "words": "a"}):
        check(rows[kept], notes_of(text(cycle(["NA", "EU"])), **reading))
    assert "one-hot, 4 levels" in notes_of(text(cycle(["0", "1", "2", "3+"])), words="a")


def test_labels(notes_of):
    rows = dict(tables()["The labels are"])
    constant, negative = (
        "one number in every row, with `--task regression`",
        "negative in a row, with `--nonnegative`",
    )
    assert set(rows) == {*LABELS, constant, negative}
    check(rows[constant], notes_of(text(np.arange(M) % 7, y=[5] * M), task=Task("regression")))
    check(rows[negative], notes_of(text(np.arange(M) % 7, y=B), task=Task(nonnegative=True)))
    for name, labels in LABELS.items():
        check(rows[name], notes_of(text(np.arange(M) % 7, y=labels)))
    assert "2 classes and their rows: EU (20), NA (20)" in notes_of(text(B, y=LABELS["NA in some rows"]), missing="")
    assert "2 classes and their rows: EU (20), NA (20)" in notes_of(text(B, y=LABELS["NA in some rows"]), words="y")


def test_options_are_those_of_the_command_line():
    named = {flag.split()[0] for option, _ in tables()["Option"] for flag in code(option)}
    there = {
        f"--{name.replace('_', '-')}" for name in OwnDataOptions.__dataclass_fields__ if name not in ("data", "header")
    }
    assert named == there | {"--no-header"}
