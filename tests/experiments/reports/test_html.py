"""A run's page: valid, self-contained, and free of injected markup."""

import base64
from datetime import datetime

import pytest

from experiments.cli import main
from experiments.reports import html, plots
from experiments.runs.folder import RunError, RunFolder
from experiments.runs.page import write_run_page
from experiments.studies.registry import find
from tests.helpers.pages import Reader, read

HOSTILE = "</pre></td><script>alert('&amp;')</script><img src=http://x.example/a.png onerror=\"x()\"> 'quoted' ünï 猫"


def some_png(columns=1):
    return plots.png(plots.grid(1, columns)[0])


@pytest.fixture
def folder(tmp_path):
    made = RunFolder.new(tmp_path, "ladder", datetime(2025, 1, 2, 3, 4, 5))
    config = {"experiment": "ladder", "command": HOSTILE, "options": {"a": HOSTILE, "n": 3, "no": None, "l": [1, 2]}}
    made.write_json("config.json", config)
    made.write_text("report.txt", f"a table\n{HOSTILE}\n")
    made.add_picture("b.png", some_png(), HOSTILE)
    made.add_picture("a.png", some_png(2), "The second.")
    return made


def written(folder, failure=""):
    write_run_page(folder, find("ladder"), failure)
    return (folder.path / "report.html").read_text()


def test_page_has_all_texts_of_the_run(folder):
    found = read(written(folder))
    study = find("ladder")
    for text in (study.title, study.question, study.expected, "a table", "options.n"):
        assert text in found.text
    assert found.text.count(HOSTILE) == 4  # the command, the option, the report and the caption
    assert "[1, 2]" in found.text and "null" in found.text
    assert "failed" not in found.text and "Times" not in found.text


def test_times_have_a_separate_heading(folder):
    folder.add_timings(f"3 s {HOSTILE}")
    found = read(written(folder))
    assert found.text.index("Results") < found.text.index("Times, on this machine") < found.text.index("3 s </pre>")


def test_pictures_are_inside_in_their_order_with_their_sizes(folder):
    images = read(written(folder)).all("img")
    assert [image["alt"] for image in images] == [HOSTILE, "The second."]
    for image, name in zip(images, ("b.png", "a.png"), strict=True):
        assert base64.b64decode(image["src"].split(",")[1]) == folder.drawings[name]
    assert [(image["width"], image["height"]) for image in images] == [("660", "432"), ("1320", "432")]


def test_page_of_a_failed_run_has_the_reason_and_no_results(folder):
    (folder.path / "report.txt").unlink()
    folder.pictures.clear()
    found = read(written(folder, f"it diverged {HOSTILE}"))
    assert f"This run failed: it diverged {HOSTILE}" in found.text
    assert "Results" not in found.text


def test_name_that_is_not_unicode_is_escaped(folder):
    config = {"command": "run \udcff", "options": {}}
    folder.write_json("config.json", config)
    assert "run ?" in read(written(folder)).text


def test_tables_name_their_rows_and_columns():
    found = Reader(html.table([["a<", "1&", "2"]], ["", 'x"', "y"]))
    assert [attrs["scope"] for attrs in found.all("th")] == ["col", "col", "col", "row"]
    assert [text for text in found.text.split("\n") if text] == ['x"y', "a<1&2"]


def test_page_reader_rejects_invalid_pages():
    good = html.document("t", html.picture(some_png(), "c"))
    read(good)
    for bad in ("<p>", "</p>", "<script></script>", '<img src="http://x.example" alt="a">', '<p onclick="x">a</p>'):
        with pytest.raises((AssertionError, IndexError)):
            read(good.replace("</body>", f"{bad}</body>"))
    with pytest.raises(AssertionError):
        read(good.replace('alt="c"', 'alt=""'))


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (RunError("logistic diverged at step 3 <b>"), 1, "logistic diverged at step 3 <b>"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device", "runs/x"), 2, "runs/x: No space left on device"),
    ],
)
def test_failed_run_has_a_page(capsys, monkeypatch, tmp_path, write_photos, error, status, reason):
    def train(*args):
        raise error

    monkeypatch.setattr("experiments.studies.catvnoncat.run._train", train)
    data = str(write_photos(tmp_path / "data"))
    assert main.main(["run", "catvnoncat", "--data-dir", data, "--runs-dir", str(tmp_path / "runs")]) == status
    (made,) = (tmp_path / "runs").iterdir()
    assert f"This run failed: {reason}" in read((made / "report.html").read_text()).text
    assert capsys.readouterr().err.count("\n") == 1


def test_error_of_writing_the_page_does_not_hide_the_failure(capsys, monkeypatch, tmp_path, write_photos):
    def full(*args):
        raise OSError(28, "No space left on device")

    def train(*args):
        monkeypatch.setattr(RunFolder, "write_bytes", full)
        raise RunError("it diverged")

    monkeypatch.setattr("experiments.studies.catvnoncat.run._train", train)
    data = str(write_photos(tmp_path / "data"))
    assert main.main(["run", "catvnoncat", "--data-dir", data, "--runs-dir", str(tmp_path / "runs")]) == 1
    assert capsys.readouterr().err == "error: it diverged\n"
