"""Trackers: what they receive, that they are closed, and that their faults end no training."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from experiments.cli import main
from experiments.runs.trackers import find_tracker
from tests.helpers.sources import ROOT

OWN = """
import json

calls = []

class Sink:
    def __init__(self, folder, config):
        calls.append((folder.name, config["experiment"], config["options"]["keep"]))
        if "broken" in __name__:
            raise OSError("no such host\\nand more")
    def __call__(self, line):
        calls.append((line.training, line.counted, line.step, {k: v for k, v in line.values.items() if v == v}))
        if "failing" in __name__:
            raise OSError("no connection")
    def close(self):
        calls.append("closed")
"""
LINES = [
    (("logistic",), "iteration", 100, {"cost": 0.5}),
    (("logistic",), "iteration", 200, {"cost": 0.25, "seeds_median": 0.125}),
]


@pytest.fixture
def own(tmp_path, request):
    """A module of the current folder, by a name of its test's."""
    name = f"{request.param}_tracker"
    (tmp_path / f"{name}.py").write_text(OWN)
    before = [*sys.path]
    yield name
    sys.path[:] = before
    sys.modules.pop(name, None)


@pytest.mark.parametrize("own", ["plain"], indirect=True)
def test_a_function_of_ones_own_gets_the_configuration_and_each_line(logging_run, own, tmp_path):
    assert logging_run("--track", f"{own}:Sink", "--keep", "3") == 130
    (folder,) = (tmp_path / "runs").iterdir()
    assert sys.modules[own].calls == [(folder.name, "catvnoncat", 3), *LINES, "closed"]


@pytest.mark.parametrize("own", ["failing"], indirect=True)
def test_a_tracker_that_fails_is_a_note_and_ends_no_training(logging_run, own, tmp_path, capsys):
    assert logging_run("--track", f"{own}:Sink") == 130
    (folder,) = (tmp_path / "runs").iterdir()
    assert sys.modules[own].calls == [(folder.name, "catvnoncat", 2), LINES[0]]
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 3
    err = capsys.readouterr().err
    assert err.count("note: metrics are no longer sent to the tracker: OSError: no connection") == 1


@pytest.mark.parametrize("own", ["broken"], indirect=True)
def test_a_tracker_that_cannot_be_started_is_one_line_and_ends_no_resumed_run(logging_run, own, tmp_path, capsys):
    assert logging_run("--track", f"{own}:Sink") == 2
    assert "error: --track could not be started: OSError: no such host\n" in capsys.readouterr().err
    (folder,) = (tmp_path / "runs").iterdir()
    assert main.main(["resume", str(folder)]) == 130  # the interruption of the training
    assert "note: metrics are not sent to the tracker, which could not be started: OSError" in capsys.readouterr().err
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tensorbord", "--track must be one of mlflow, wandb, or MODULE:FUNCTION, got 'tensorbord'"),
        ("no_such_module:f", "--track no_such_module:f must be a function that can be imported"),
        ("json:no_such", "--track json:no_such must be a function that can be imported"),
        ("math:pi", "must be a function tracker(folder, config), got 3.14"),
        (":f", "--track must be one of"),
    ],
)
def test_a_name_that_is_not_a_tracker_is_one_line(logging_run, name, message, tmp_path, capsys):
    assert logging_run("--track", name) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_missing_package_is_one_line_with_the_fix(monkeypatch, logging_run, name, capsys):
    monkeypatch.setitem(sys.modules, name, None)
    assert logging_run("--track", name) == 2
    assert f"pip install {name}" in capsys.readouterr().err


def test_what_mlflow_and_wandb_are_sent(monkeypatch, logging_run, tmp_path):
    calls = []

    def record(name):
        return lambda *args, **kwargs: calls.append((name, args, kwargs))

    names = ("set_experiment", "start_run", "log_params", "set_tag", "log_metrics", "end_run")
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(**{name: record(name) for name in names}))
    assert logging_run("--track", "mlflow") == 130
    assert [name for name, *_ in calls] == [*names[:4], "log_metrics", "log_metrics", "end_run"]
    assert calls[4][1:] == (({"logistic/cost": 0.5},), {"step": 100})
    assert calls[2][1][0]["keep"] == 2

    calls.clear()
    wandb_run = SimpleNamespace(log=record("log"), finish=record("finish"))
    monkeypatch.setitem(
        sys.modules, "wandb", SimpleNamespace(init=lambda **options: calls.append(options) or wandb_run)
    )
    assert logging_run("--track", "wandb") == 130
    assert (calls[0]["project"], calls[0]["mode"]) == ("catvnoncat", "offline")
    assert calls[1] == ("log", ({"logistic/cost": 0.5, "logistic/iteration": 100},), {})
    assert calls[-1][0] == "finish"


@pytest.mark.full
def test_the_file_store_of_mlflow(tmp_path):
    """Where it is installed, a run of the command line in its file store, read as files."""
    pytest.importorskip("mlflow")
    store = tmp_path / "store"
    env = {**os.environ, "MLFLOW_TRACKING_URI": store.as_uri(), "MLFLOW_ALLOW_FILE_STORE": "true"}
    argv = [sys.executable, "-m", "experiments", *"run adding --n-steps 20 --units 8 --epochs 2".split()]
    argv += ["--track", "mlflow", "--runs-dir", str(tmp_path)]
    subprocess.run(argv, cwd=ROOT, env=env, check=True, capture_output=True, timeout=500)
    losses = [path.read_text().split() for path in store.glob("*/*/metrics/**/loss")]
    assert losses and all(len(numbers) == 3 * 2 and numbers[2::3] == ["1", "2"] for numbers in losses)
    assert [path.read_text() for path in store.glob("*/*/params/epochs")] == ["2"]


def test_the_trackers_are_functions_of_folder_and_configuration():
    with pytest.raises(ValueError, match="mlflow, wandb"):
        find_tracker("")
