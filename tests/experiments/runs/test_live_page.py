"""The page of a run in progress: it exists from the start, and is written again from time to time."""

import json
from datetime import datetime

import pytest

from experiments.runs import live_page
from experiments.runs.folder import RunFolder
from experiments.runs.live_page import SECONDS_BETWEEN_PAGES, LivePage
from experiments.runs.page import write_run_page
from experiments.studies.registry import find
from tests.helpers.pages import read


@pytest.fixture
def folder(tmp_path):
    made = RunFolder.new(tmp_path, "ladder", datetime(2025, 1, 2, 3, 4, 5))
    made.write_json("config.json", {"experiment": "ladder", "command": "run ladder", "options": {}})
    return made


@pytest.fixture
def clock(monkeypatch):
    """The seconds that `time.monotonic` returns, which a test may change."""
    seconds = [100.0]
    monkeypatch.setattr(live_page.time, "monotonic", lambda: seconds[0])
    return seconds


def page(folder):
    return read((folder.path / "report.html").read_text())


def test_page_exists_from_the_start_and_follows_the_metrics(folder, clock):
    live = LivePage(folder, find("ladder"), "run resume <here>")
    folder.listeners.append(live)
    assert "This run is in progress. The first results are not there yet." in page(folder).text
    assert "run resume <here>" in page(folder).text
    folder.log(network="a", epoch=1, loss=0.5)
    assert "Latest" not in page(folder).text  # too soon
    clock[0] += SECONDS_BETWEEN_PAGES
    folder.log(network="a", epoch=2, loss=0.25, dev_accuracy=None)
    found = page(folder)
    assert "Latest: a, epoch 2: loss 0.25, dev accuracy nan." in found.text
    assert [(panel["y"], panel["lines"][0]["xs"], panel["lines"][0]["ys"]) for panel in found.panels] == [
        *(("loss", [1, 2], [0.5, 0.25]), ("accuracy", [2], [None])),
    ]
    folder.log(diverged_at=3)  # without a step
    write_run_page(folder, find("ladder"), "it diverged")
    assert "in progress" not in page(folder).text and "This run failed: it diverged" in page(folder).text


def test_writing_takes_a_small_share_of_the_time(folder, clock, monkeypatch):
    written = []

    def write(*args, **kwargs):
        written.append(clock[0])
        clock[0] += 1.0  # a large page

    monkeypatch.setattr(live_page, "write_run_page", write)
    live = LivePage(folder, find("ladder"), "")
    for _ in range(200):
        clock[0] += 1.0
        live({"epoch": 1, "loss": 1.0})
    assert len(written) == 1 + 200 // 50


def test_a_page_that_cannot_be_written_does_not_end_the_run(folder, clock, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunFolder, "write_bytes", full)
    live = LivePage(folder, find("ladder"), "")
    clock[0] += 1000
    live(json.loads('{"epoch": 1, "loss": 1.0}'))
