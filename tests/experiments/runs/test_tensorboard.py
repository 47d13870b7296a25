"""Event files for TensorBoard: the scalars of metrics.jsonl, read with the real package if it is installed."""

import json
import struct
import sys
from types import SimpleNamespace

import pytest

from experiments.runs.metrics_log import parse_line
from experiments.runs.tensorboard import EventFile

SCALARS = [("logistic/cost", 0.5, 100), ("logistic/cost", 0.25, 200), ("logistic/seeds_median", 0.125, 200)]


def test_each_number_is_a_scalar_and_the_file_is_always_closed(monkeypatch, tmp_path, logging_run):
    calls = []

    def writer(folder, **kwargs):
        calls.append(folder)
        return SimpleNamespace(add_scalar=lambda *each: calls.append(each), close=lambda: calls.append("closed"))

    monkeypatch.setitem(sys.modules, "tensorboardX", SimpleNamespace(SummaryWriter=writer))
    assert logging_run("--tensorboard") == 130
    (folder,) = (tmp_path / "runs").iterdir()
    assert calls == [str(folder), *SCALARS, "closed"]
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 3
    assert json.loads((folder / "config.json").read_text())["options"]["tensorboard"] is True


def test_nothing_is_written_by_default(monkeypatch, tmp_path, logging_run):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert logging_run() == 130
    (folder,) = (tmp_path / "runs").iterdir()
    assert not list(folder.glob("*tfevents*"))


def test_missing_package_is_a_one_line_error_with_the_fix(monkeypatch, capsys, tmp_path, logging_run):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert logging_run("--tensorboard") == 2
    err = capsys.readouterr().err
    assert "pip install tensorboardX" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_the_real_file_holds_the_scalars(tmp_path):
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2", reason="needs the extra tensorboard")
    file = EventFile(tmp_path)
    file({"data": "breast cancer", "network": "deep", "epoch": 3, "step": 9, "loss": 0.5, "accuracy": None})
    file({"epoch": 4, "loss": 0.25})
    file.close()
    (path,) = tmp_path.iterdir()
    data, found = path.read_bytes(), []
    while data:  # a TFRecord: the length, its checksum, the event, its checksum
        (length,) = struct.unpack("<Q", data[:8])
        event = event_pb2.Event.FromString(data[12 : 12 + length])
        found += [(value.tag, value.simple_value, event.step) for value in event.summary.value]
        data = data[16 + length :]
    assert found == [("breast_cancer/deep/loss", 0.5, 3), ("loss", 0.25, 4)]


def test_a_line_is_sorted_into_words_a_count_and_numbers():
    line = {"data": "x", "network": "y", "iteration": 100, "step": 7, "cost": 0.5, "converged": True, "rates": [1]}
    assert parse_line(line) == (("x", "y"), "iteration", 100, {"cost": 0.5})
    assert parse_line({"diverged_at": 3, "cost": 1.0}) is None
