"""`repeat`: runs match in another process and environment; the report of differences."""

import importlib.util
import json
import re
import shutil
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest
from safetensors.numpy import load, save

from experiments.cli import main, repeat
from experiments.runs.config import read_config
from experiments.studies import registry
from tests.experiments.studies import test_mnist, test_speech, test_text, test_translation
from tests.helpers import commands

pytestmark = pytest.mark.usefixtures("quick_compilation")
SWEEP = ["sweep", "breast-cancer", "--learning-rate", "0.01", "--seed", "0..1", "--hidden", "3", "--epochs", "2"]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A run of two small trainings."""
    runs = tmp_path_factory.mktemp("runs")
    assert main.main([*SWEEP, "--runs-dir", str(runs)]) == 0
    return next(runs.iterdir())


@pytest.fixture
def run(original, tmp_path):
    """A copy of the run, to be changed."""
    return shutil.copytree(original, tmp_path / "run")


@pytest.fixture
def verdict(run, original):
    """`verdict()`: judge the original as the repetition of the copy; return the lines."""

    def lines(*, matched):
        found = repeat.judge(run, original)
        assert found.matched == matched
        return found.lines

    return lines


def test_repeat_matches_bit_for_bit_and_does_not_change_the_run(original, tmp_path, capsys):
    run, before = original, {path.name: path.read_bytes() for path in original.iterdir()}
    assert main.main(["repeat", str(run), "--runs-dir", str(tmp_path / "again")]) == 0
    assert capsys.readouterr().out.endswith("\nmatched: all 5 files are identical\n")
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    (again,) = (tmp_path / "again").iterdir()
    for name in ("metrics.jsonl", "report.txt", "sweep.csv", "best.safetensors"):
        assert (again / name).read_bytes() == before[name]
    assert f"repeat {run}" in json.loads((again / "config.json").read_text())["command"]
    # A repetition is a run like any other, and can be repeated.
    first, second = (read_config(each, registry.find).options for each in (run, again))
    assert second == replace(first, runs_dir=tmp_path / "again")


def change_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_largest_difference_of_each_file_and_changed_environment_are_reported(run, verdict):
    arrays = {name: a.copy() for name, a in load((run / "best.safetensors").read_bytes()).items()}
    arrays["params/0/b"] += np.abs(arrays["params/0/b"]).max()
    (run / "best.safetensors").write_bytes(save(arrays))
    (run / "report.txt").write_text((run / "report.txt").read_text().replace("best:", "worst:"))
    (run / "metrics.jsonl").unlink()
    (run / "more.txt").write_text("")

    def another(config):
        config["versions"]["jax"] = "0.0\x1b[31m"
        config["machine"]["cores"] = 1000
        config["data"] = ["no", "object"]

    change_json(run / "config.json", another)
    lines = verdict(matched=False)
    assert lines[0] == "did not match: 2 of 6 files are identical"
    assert lines[1].startswith("  best.safetensors: 1 of 6 arrays, relative to their largest number: params/0/b by ")
    assert lines[2:4] == ["  metrics.jsonl: only in the repetition", f"  more.txt: only in {run}"]
    assert "worst:" in lines[4] and "best:" in lines[4]
    assert lines[5] == "likely causes:"
    assert lines[6] == f'  versions.jax was "0.0\\u001b[31m", and is "{jax.__version__}"'
    assert lines[7].startswith('  machine.cores was "1000", and is ')
    assert len(lines) == 8


def test_difference_without_a_recorded_cause_is_reported(run, verdict):
    (run / "sweep.csv").write_text("x")
    assert verdict(matched=False)[-1] == "the recorded environments are the same"


def test_match_in_another_environment_reports_the_changes(run, verdict):
    change_json(run / "config.json", lambda config: config["versions"].update(numpy="1.0"))
    said = verdict(matched=True)
    assert said[0].startswith("matched") and said[1].startswith('  although versions.numpy was "1.0", and is ')


def test_killed_run_is_compared_up_to_its_last_line(run, verdict):
    for name in ("report.html", "report.txt", "timings.txt", "best.safetensors", "results.json"):
        (run / name).unlink()
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text(lines[0] + lines[1][:10])
    said = verdict(matched=True)
    assert said == [
        f"{run} is not finished: only what it has written is compared",
        "matched: all 2 files are identical",
    ]
    (run / "metrics.jsonl").write_text(lines[1])
    assert '  metrics.jsonl: [1]: "(nothing)" then, ' in "\n".join(verdict(matched=False))


def test_a_run_without_results_matches_nothing(run, verdict):
    for path in run.iterdir():
        if path.name != "config.json":
            path.unlink()
    assert verdict(matched=False)[1] == f"did not match: there are no results in {run}"


@pytest.mark.full
def test_different_repetition_exits_with_status_1(run, tmp_path, capsys):
    (run / "sweep.csv").write_text("x")
    assert main.main(["repeat", str(run), "--runs-dir", str(tmp_path / "again"), "--no-compilation-cache"]) == 1
    assert "\ndid not match: 4 of 5 files" in capsys.readouterr().out


@pytest.mark.full
def test_failed_run_is_repeated_with_the_same_failure(tmp_path, capsys):
    argv = ["sweep", "breast-cancer", "--learning-rate", "1e30", "--seed", "0", "--hidden", "3", "--epochs", "2"]
    argv += ["--optimizer", "sgd"]
    assert main.main([*argv, "--runs-dir", str(tmp_path / "runs")]) == 1
    (run,) = (tmp_path / "runs").iterdir()
    capsys.readouterr()
    assert main.main(["repeat", str(run), "--runs-dir", str(tmp_path / "again")]) == 0
    out, err = capsys.readouterr()
    assert "every training diverged" in err and out.endswith("matched: all 2 files are identical\n")


def test_names_of_files_cannot_steer_a_terminal(run, verdict):
    (run / "a\x1b[2Jb").write_text("")
    assert "a\ufffd[2Jb: only in" in "\n".join(verdict(matched=False))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "RUN"),
        (["missing"], "missing is not a folder"),
        (["bare"], "bare has no config.json"),
        (["run", "--data-dir", "x"], "--data-dir"),
        (["run", "--data", "x.csv"], "--data has no effect: this run of linear_collapse reads no such data files"),
        (["run", "--bogus"], "--bogus"),
    ],
)
def test_invalid_repeat_is_a_one_line_error_and_leaves_nothing(argv, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bare").mkdir()
    options = {"runs_dir": "r", "compilation_cache": True, "tensorboard": False, "iterations": 1, "seed": 0}
    config = {"format_version": 1, "experiment": "linear_collapse", "options": options}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    before = sorted(tmp_path.rglob("*"))
    assert main.main(["repeat", *argv]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


SHORT = {
    "ad_clicks": "--rows 2000 --epochs 1 --batch-size 500",
    "adding": "--n-steps 6 --units 4 --epochs 1",
    "bias_variance": "--epochs 2 --curve-epochs 10",
    "catvnoncat": "--iterations 20 --seeds 2",
    "hidden_units": "--iterations 200",
    "initialization": "--steps 300",
    "ladder": "--epochs 3 --no-time-steps",
    "linear_collapse": "--iterations 20",
    "mnist": "--epochs 1 --preset simard-elastic --seeds 1",
    "normalization": "--layers 2 --width 8 --epochs 2 --seeds 1",
    "optimizers": "--line-steps 300 --network-steps 100",
    "parity": "--iterations 100",
    "regression": "--iterations 300 --hidden-iterations 100",
    "regularization": "--steps 100",
    "speech": "--epochs 1 --seeds 1",
    "sweep-breast-cancer": "--epochs 3 --dropout 0..0.5:2",
    "sweep-catvnoncat": "--epochs 3 --learning-rate 0.01 --batch-size 4",
    "sweep-digits": "--epochs 3 --random 5 --width 4..8 --activation relu,tanh",
    "sweep-own": "--epochs 3 --learning-rate 0.01",
    "sweep-mnist": "--epochs 1 --learning-rate 0.01",
    "text": "--epochs 1 --units 4 --n-steps 10 --batch-size 4",
    "translation": "--vocabulary 90 --units 8 --epochs 1 --batch-size 16 --buckets 1",
    "vectorization": "--examples 40 --features 30 --repeats 1",
}
"""Of each experiment, a run of a few seconds."""
data_dir = test_mnist.data_dir
recordings_dir = test_speech.data_dir


def test_every_experiment_has_a_short_run():
    assert SHORT.keys() == {*registry.NAMES, *registry.sweep_names()}


@pytest.mark.full
@pytest.mark.parametrize("name", SHORT)
def test_another_process_repeats_it_bit_for_bit(
    name, full, tmp_path, write_photos, data_dir, recordings_dir, monkeypatch, capsys
):
    """This process has a progress bar and an event file, and no cache; the other one the opposite."""
    argv = [*(name.split("-", 1) if name.startswith("sweep-") else ("run", name)), *SHORT[name].split()]
    if "catvnoncat" in name:
        argv += ["--data-dir", str(write_photos(tmp_path / "photos"))]
    if name == "sweep-own":
        (tmp_path / "own.csv").write_text(
            "a,kind\n" + "".join(f"{i},{'even' if i % 2 else 'odd'}\n" for i in range(60))
        )
        argv += ["--data", str(tmp_path / "own.csv"), "--label", "kind"]
    if name == "text":
        (tmp_path / "own.txt").write_text(test_text.LINES)
        argv += ["--data", str(tmp_path / "own.txt")]
    if "mnist" in name:
        argv += ["--data-dir", str(data_dir), "--batch-size", "50"]
    if name == "translation":
        argv += ["--data-dir", str(test_translation.write_sentences(tmp_path / "sentences"))]
    if name == "speech":
        argv += ["--data-dir", str(recordings_dir)]
    if importlib.util.find_spec("tensorboardX"):
        argv.append("--tensorboard")
    with monkeypatch.context() as terminal:
        terminal.setattr(sys.stderr, "isatty", lambda: True)
        assert main.main([*argv, "--runs-dir", str(tmp_path / "runs")]) == 0
    assert "\x1b[" in capsys.readouterr().err
    (run,) = (tmp_path / "runs").iterdir()
    for start in range(1 + full):  # the second finds all programs in the cache
        output = tmp_path / f"output-{start}.txt"
        argv = ["repeat", str(run), "--runs-dir", str(tmp_path / "again")]
        status, printed = commands.run_forked(argv, output, XDG_CACHE_HOME=str(tmp_path / "caches")), output.read_text()
        assert status == 0, printed
        assert "\nmatched: all " in printed
        assert start == 0 or re.search(r"; (\d+) of \1 programs came from the compilation cache", printed)
