"""A run's folder: never reused, every file complete, valid JSON."""

import json
import os
import shutil
from datetime import datetime

import pytest

from experiments.runs.folder import RunFolder

NOW = datetime(2025, 1, 2, 3, 4, 5)


def test_names_carry_the_time_and_are_never_reused(tmp_path):
    names = [RunFolder.new(tmp_path / "new" / "runs", "ladder", NOW).path.name for _ in range(3)]
    assert names == ["ladder-20250102-030405", "ladder-20250102-030405-2", "ladder-20250102-030405-3"]


def test_json_has_null_for_what_is_not_finite(tmp_path):
    folder = RunFolder.new(tmp_path, "x", NOW)
    folder.write_json("a.json", {"a": [1.5, float("nan")], "b": (float("inf"), {"c": -float("inf")}), "d": "NaN"})
    read = json.loads((folder.path / "a.json").read_text(), parse_constant=pytest.fail)
    assert read == {"a": [1.5, None], "b": [None, {"c": None}], "d": "NaN"}


def test_each_line_of_metrics_is_on_disk_at_once(tmp_path):
    folder = RunFolder.new(tmp_path, "x", NOW)
    for step in range(3):
        folder.log(step=step, loss=float("nan"))
        lines = (folder.path / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == [{"step": i, "loss": None} for i in range(step + 1)]


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    folder = RunFolder.new(tmp_path, "x", NOW)
    folder.write_text("a.txt", "old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        folder.write_text("a.txt", "new")
    with pytest.raises(OSError, match="No space"):
        folder.write_text("b.txt", "new")
    assert (folder.path / "a.txt").read_text() == "old"
    assert not (folder.path / "b.txt").exists()


def test_results_are_on_disk_before_checkpoints_are_deleted(tmp_path, monkeypatch):
    folder = RunFolder.new(tmp_path, "x", NOW)
    (folder.path / "checkpoints").mkdir()
    folder.write_text("report.txt", "done")
    folder.log(loss=1.0)
    there, on_disk, before = os.fsync, set(), []

    def fsync(opened):
        there(opened)
        on_disk.add(os.fstat(opened).st_ino)

    def inode(name):
        return (folder.path / name).stat().st_ino

    needed = {inode(name) for name in (".", "report.txt", "metrics.jsonl", ".unfinished")}
    remove, unlink = shutil.rmtree, type(folder.path).unlink
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(shutil, "rmtree", lambda *args, **kw: (before.append(set(on_disk)), remove(*args, **kw)))
    monkeypatch.setattr("pathlib.Path.unlink", lambda *args, **kw: (before.append(set(on_disk)), unlink(*args, **kw)))
    folder.finish()
    assert len(before) >= 2
    assert all(needed <= seen for seen in before)
    assert not (folder.path / "checkpoints").exists()
