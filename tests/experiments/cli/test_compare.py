"""`compare`: differing settings, the page, and invalid arguments."""

import json

import numpy as np
import pytest

from experiments.cli import main
from experiments.cli.compared_metrics import numbers_of
from experiments.reports import plots
from experiments.runs.curves import read_curves
from tests.helpers.pages import read


@pytest.fixture
def make_run(tmp_path):
    """`make(name, rate, **files)`: a run's folder, without the files that are `None`."""

    def make(name, rate=0.1, **files):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        options = {"rate": rate, "epochs": 2, "note": "<b>&"}
        lines = [
            {"data": "x", "epoch": epoch, "step": 7 * epoch, "loss": rate / epoch, "dev_accuracy": 1 - rate}
            for epoch in (1, 2)
        ]
        contents = {
            "config.json": json.dumps({"experiment": "ladder", "command": name, "started": name, "options": options}),
            "report.txt": f"results of {name} <i>\n",
            "timings.txt": f"seconds of {name}\n",
            "metrics.jsonl": "".join(json.dumps(line) + "\n" for line in lines),
        } | files
        for file, text in contents.items():
            if text is not None:
                (folder / file).write_text(text)
        return str(folder)

    return make


@pytest.fixture
def drawn(monkeypatch):
    """The panels that were drawn: (title, x, y, log, best) -> curves."""
    panels = {}

    def draw(axes, curves, *, title, x, y, log=False, best=""):
        panels[title, x, y, log, best] = curves
        draw_curves(axes, curves, title=title, x=x, y=y, log=log, best=best)

    draw_curves = plots.draw_curves
    monkeypatch.setattr(plots, "draw_curves", draw)
    return panels


def compare(tmp_path, *runs):
    page = tmp_path / "page.html"
    assert main.main(["compare", *runs, "--page", str(page)]) == 0
    return read(page.read_text())


def test_only_differing_settings_are_shown(capsys, tmp_path, make_run, drawn):
    found = compare(tmp_path, make_run("first", 0.25), make_run("second", 0.5))
    out = capsys.readouterr().out
    for text in (found.text, out):
        assert all(word in text for word in ("options.rate", "0.25", "0.5", "first", "results of second <i>"))
        assert "options.epochs" not in text and "started" not in text
        assert text.count("seconds of first") == text.count("seconds of second") == 1
    assert "page.html" in out
    assert drawn == {
        ("x", "epoch", "loss", True, "min"): {"rate 0.25": ([1, 2], [0.25, 0.125]), "rate 0.5": ([1, 2], [0.5, 0.25])},
        ("x", "epoch", "dev accuracy", False, "max"): {
            "rate 0.25": ([1, 2], [0.75, 0.75]),
            "rate 0.5": ([1, 2], [0.5, 0.5]),
        },
    }
    (picture,) = found.all("img")  # for readers without scripts
    assert picture["alt"] == "x: loss, dev accuracy by run."


def test_metrics_have_one_table_with_the_differences_from_the_first_run(capsys, tmp_path, make_run):
    scores = [{"params": 3, "scores": [{"network": "a", "accuracy": x}], "seeds": [x, 1.0, 0.0]} for x in (0.5, 0.75)]
    runs = [make_run(f"run-{i}", 0.5 - i / 4, **{"results.json": json.dumps(one)}) for i, one in enumerate(scores)]
    found = compare(tmp_path, *runs)
    out = " ".join(capsys.readouterr().out.split())
    for row in (
        ("metric", "rate 0.5", "rate 0.25"),
        ("scores.a.accuracy", "0.5", "0.75 (+0.25)"),
        ("seeds (median of 3)", "0.5", "0.75 (+0.25)"),
        ("x: loss, best epoch", "0.25", "0.125 (-0.12)"),
        ("x: dev accuracy, best epoch", "0.5", "0.75 (+0.25)"),
    ):
        assert "".join(row) in found.text and " ".join(row) in out
    assert "params" not in out


def test_curves_of_runs_share_a_panel_and_each_run_has_its_color(tmp_path, make_run):
    lines = "".join(json.dumps({"epoch": i, "loss": 1 / i, "dev_loss": 2 / i, "accuracy": 0.5}) + "\n" for i in (1, 2))
    runs = [make_run(name, rate, **{"metrics.jsonl": lines}) for name, rate in (("a", 0.5), ("b", 0.25))]
    loss, accuracy = compare(tmp_path, *runs).panels
    assert [(line["name"], line["color"], line["dash"], line["width"]) for line in loss["lines"]] == [
        ("rate 0.5: loss", 0, 0, 5),
        ("rate 0.5: dev loss", 0, 1, 5),
        ("rate 0.25: loss (same as rate 0.5: loss)", 1, 0, 2),
        ("rate 0.25: dev loss (same as rate 0.5: dev loss)", 1, 1, 2),
    ]
    assert (loss["best"], accuracy["best"], accuracy["y"]) == ("min", "max", "accuracy")
    assert accuracy["lines"][1]["ys"] == [0.5, 0.5]


def test_steps_and_values_that_are_not_finite_are_left_out(tmp_path, make_run):
    pairs = (
        '"epoch": 1, "loss": 1.0',
        '"epoch": Infinity, "loss": 2',
        '"epoch": 2, "loss": 1e400',
        '"epoch": NaN, "gap": 1',
    )
    lines = "".join(f"{{{pair}}}\n" for pair in pairs)
    (loss,) = compare(tmp_path, *(make_run(name, **{"metrics.jsonl": lines}) for name in "ab")).panels
    assert [(line["xs"], line["ys"]) for line in loss["lines"]] == [([1, 2], [1.0, None])] * 2


def test_a_curve_that_is_the_beginning_of_another_is_narrower(tmp_path, make_run):
    lines = [json.dumps({"epoch": i, "loss": 1 / i}) + "\n" for i in (1, 2, 3)]
    files = ["".join(lines), "".join(lines[:2]), "".join(lines[:2]).replace("0.5", "0.75")]
    runs = [make_run(name, float(name), **{"metrics.jsonl": text}) for name, text in zip("123", files, strict=True)]
    (loss,) = compare(tmp_path, *runs).panels
    assert [(line["name"], line["width"]) for line in loss["lines"]] == [
        ("rate 1.0", 5),
        ("rate 2.0 (same as rate 1.0 up to 2)", 2),
        ("rate 3.0", 2),
    ]


@pytest.mark.parametrize(
    ("results", "numbers"),
    [
        ({"a": {"b": 1, "c": True, "d": None, "e": "text"}}, {"a.text.b": 1}),
        ([{"data": "x", "network": "n", "test": 2.5}], {"x, n.test": 2.5}),
        ({"one": [4], "three": [3, 1, 2], "curve": [0.5] * 21}, {"one": 4, "three (median of 3)": 2}),
        ({"matrix": [[1, 2], [3, 4]]}, {}),
        ("text", {}),
        ({"nan": float("nan")}, {}),
    ],
)
def test_numbers_of_results(results, numbers):
    assert numbers_of(results) == numbers


def test_identical_runs_are_reported_as_the_same(capsys, tmp_path, make_run):
    found = compare(tmp_path, make_run("first"), make_run("second"), make_run("third"))
    for text in (found.text, capsys.readouterr().out):
        assert "The runs have the same settings." in text


def test_only_metrics_of_several_runs_are_drawn(tmp_path, make_run, drawn):
    other = json.dumps({"data": "x", "epoch": 1, "loss": None, "own": 3.0}) + "\n"
    runs = [make_run("first"), make_run("second", **{"metrics.jsonl": other}), make_run("third")]
    compare(tmp_path, *runs)
    assert [key[2] for key in drawn] == ["loss", "dev accuracy"]
    assert set(drawn["x", "epoch", "dev accuracy", False, "max"]) == {"first", "third"}


def test_failed_runs_are_compared_up_to_their_failure(tmp_path, make_run):
    failed = {"report.txt": None, "metrics.jsonl": None}
    found = compare(tmp_path, make_run("first", 0.25), make_run("second", 0.5, **failed))
    assert "no report.txt: this run failed" in found.text
    assert not found.all("img")
    assert "Learning curves" not in found.text


def test_runs_with_the_same_name_are_shown_with_their_folders(tmp_path, make_run):
    deep = "/".join(["a" * 50] * 3)
    found = compare(tmp_path, make_run("b/run", 0.25), make_run(f"{deep}/run", 0.5))
    assert [text for text in ("b/run", f"{deep}/run") if f"\n{text}\n" in found.text] == ["b/run", f"{deep}/run"]


def test_lines_are_split_by_their_words_and_counted_by_the_first_number_that_counts():
    lines = [
        {"network": "a", "iteration": 100, "cost": 0.5, "converged": True},
        {"network": "b", "iteration": 100, "cost": None},
        {"network": "a", "iteration": 200, "cost": 0.25, "rates": [1, 2]},
        {"network": "a", "diverged_at": 201, "cost": 9.0},
    ]
    found = read_curves(lines)
    assert found.keys() == {(("a",), "iteration", "cost"), (("b",), "iteration", "cost")}
    assert found[("a",), "iteration", "cost"] == ([100, 200], [0.5, 0.25])
    assert np.isnan(found[("b",), "iteration", "cost"][1]).all()


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([], "compare needs at least two runs, got 0"),
        (["good"], "compare needs at least two runs, got 1"),
        (["good", "good"], "the runs must be different"),
        (["good", "missing"], "missing is not a folder"),
        (["good", "good/config.json"], "config.json is not a folder"),
        (["good", "bare"], "bare has no config.json"),
        (["good", "other"], "got good of ladder, other of catvnoncat"),
        (["good", "broken"], "config.json is damaged"),
        (["good", "listed"], "expected JSON objects"),
        (["good", "nameless"], "must name an experiment"),
        (["good", "cut"], "metrics.jsonl is damaged"),
        (["good", "half"], "results.json is damaged"),
        (["good", "--bogus"], "--bogus"),
    ],
)
def test_bad_runs_are_one_line_and_leave_nothing(capsys, tmp_path, monkeypatch, make_run, runs, message):
    for name, files in {
        "good": {},
        "bare": {"config.json": None},
        "other": {"config.json": '{"experiment": "catvnoncat"}'},
        "broken": {"config.json": '{"experiment": '},
        "listed": {"config.json": "[1]"},
        "nameless": {"config.json": "{}"},
        "cut": {"metrics.jsonl": '{"epoch": 1}\n{"epo'},
        "half": {"results.json": '{"a":'},
    }.items():
        make_run(name, **files)
    monkeypatch.chdir(tmp_path / "runs")
    before = sorted(tmp_path.rglob("*"))
    assert main.main(["compare", *runs]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert err.count("\n") == 1 and err.startswith("error: ")
    assert out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_a_page_that_cannot_be_written_is_one_line(capsys, tmp_path, make_run):
    argv = ["compare", make_run("first"), make_run("second"), "--page", str(tmp_path / "no" / "where.html")]
    assert main.main(argv) == 2
    assert "No such file" in capsys.readouterr().err
