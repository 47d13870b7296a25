"""Tables fitted to the width of a terminal: no number is broken, cut off or lost."""

import re

import pytest

from experiments.reports import tables, terminal
from experiments.studies.catvnoncat import report as catvnoncat
from experiments.studies.ladder import report as ladder

ROWS = [
    ["breast cancer", "four-layers", "30-64-32-16-1", "4,609", "95.98", "95.35", "94.12", "2.2e-16", "3.8e-16"],
    ["breast cancer", "logistic", "30-1", "31", "93.22", "90.70", "92.94", "0.0e+00", "1.5e-16"],
    ["digits", "logistic", "64-10", "650", "91.49", "92.57", "91.48", "7.0e-15", "1.25e-16"],
]
TABLES = {
    "ladder": tables.table(
        "Trained with hand-derived gradients", (*ladder.COLUMNS, *ladder.OF_CLASSES, *ladder.GRADIENTS), ROWS, 3
    ),
    "catvnoncat": tables.table(
        "Cat or non-cat",
        catvnoncat.COLUMNS,
        [[f"{name}-{i}.{i}" for i in range(len(catvnoncat.COLUMNS))] for name in ("logistic", "deep")],
        2,
    ),
    "compare": tables.table(
        "Runs: what differs",
        ["setting", "one", "another"],
        [["options.epochs", "20", "[red]"], ["machine.cpu", "AMD EPYC 7B13 64-Core Processor", ":smile: 1e-07"]],
        3,
    ),
    "numbers": tables.table(
        "Ranked", ["rank", "rate", "dev loss"], [["1", "0.1", "0.25"], ["2", "1e-04", "123.25"]], 0
    ),
}


def words(table):
    """Return the words of the table's cells."""
    return {word for column in table.columns for cell in column.cells for word in str(cell).split()}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("columns", [20, 40, 60, 80, 100, 200])
def test_no_width_breaks_a_cell_s_words(capsys, monkeypatch, name, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    tables.show(TABLES[name])
    out = capsys.readouterr().out
    shown = set(out.replace(",\n", "\n").replace(", ", " ").split())
    assert words(TABLES[name]) - {"breast"} <= shown
    longest = max(map(len, words(TABLES[name])))
    assert max(len(line.rstrip()) for line in out.splitlines()) <= max(columns, 4 + longest)
    assert not re.search(r"\d$\n\s*\.\d", out)


def test_blocks_repeat_what_names_the_rows(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    tables.show(TABLES["ladder"])
    blocks = capsys.readouterr().out.rstrip().split("\n\n")
    assert [line.split() for line in blocks[1].splitlines()[2:]] == [
        cells.split() for cells in (" ".join(row[:7]) for row in ROWS)
    ]
    head, names, _, *rows = blocks[2].splitlines()
    assert head.strip() == "gradient diff."
    assert names.split() == ["data", "network", "initial", "trained"]
    assert [row.split()[-2:] for row in rows] == [row[-2:] for row in ROWS]
    assert [re.split("   +", row)[:2] for row in rows] == [row[:2] for row in ROWS]


def test_a_name_above_two_columns_stands_above_the_second_if_that_comes_first(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    tables.show(TABLES["ladder"])
    last = capsys.readouterr().out.rstrip().split("\n\n")[-1].splitlines()
    assert last[0].strip() == "gradient diff."
    assert last[1].split() == ["data", "network", "trained"]


def test_a_file_or_a_pipe_has_no_width(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert terminal.width() is None
    tables.show(TABLES["ladder"])
    assert capsys.readouterr().out.splitlines()[5].rstrip().endswith("2.2e-16    3.8e-16")
    assert terminal.wrap("x " * 300) == "x " * 300


@pytest.mark.parametrize("name", ["ladder", "catvnoncat", "numbers"])
@pytest.mark.parametrize("columns", [40, 80])
def test_a_stored_table_is_narrowed_as_one_that_is_shown(capsys, monkeypatch, name, columns):
    """A table with a note below it, as `compare` reads from report.txt."""
    monkeypatch.setenv("COLUMNS", str(columns))
    tables.show(TABLES[name])
    shown = capsys.readouterr().out.split()
    text = tables.as_text(TABLES[name])
    assert tables.fitted(text, columns).split() == shown
    assert tables.fitted(f"{text}\nnote: {'1.5 ' * 30}", columns).split() == [*shown, "note:", *["1.5"] * 30]


def test_stored_table_does_not_depend_on_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    lines = tables.as_text(TABLES["ladder"]).splitlines()
    assert max(map(len, lines)) > 100
