"""The manners of the command line: options from a file, results as JSON, completion in shells."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from experiments.cli import main
from experiments.cli.completion import words_after
from experiments.runs.config import read_config
from experiments.runs.folder import RunError
from experiments.studies import registry
from experiments.studies.registry import find
from scripts.benchmarks.processes import free_port
from tests.helpers.sources import ROOT


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """A run of parity without a training, made with --json: its folder, and what it printed."""

    def execute(run, log):
        folder = run()
        folder.write_json("results.json", {"accuracy": 0.5, "nothing": float("nan")})
        print("a table")
        raise RunError("a network diverged")

    monkeypatch.setattr("experiments.cli.new_runs.execute", execute)
    argv = ["run", "parity", "--bits", "2", "--json", "--runs-dir", str(tmp_path / "some runs")]
    assert main.main(argv) == 1
    (made,) = (tmp_path / "some runs").iterdir()
    return made, *capsys.readouterr()


def test_results_are_json_on_stdout_and_tables_on_stderr(run):
    folder, out, err = run
    results = {"accuracy": 0.5, "nothing": None}
    assert json.loads(out) == {"experiment": "parity", "status": 1, "run": str(folder), "results": results}
    assert err.splitlines() == ["a table", "error: a network diverged"]


@pytest.mark.full
def test_results_of_a_whole_run_are_json(tmp_path):
    argv = [str(ROOT / "scripts" / "run"), *"run parity --bits 2 --seeds 1 --iterations 3 --json".split()]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    (made,) = (tmp_path / "runs").glob("parity-*")
    assert json.loads(done.stdout)["results"] == json.loads((made / "results.json").read_text())
    assert "summarized in report.html" in done.stderr


@pytest.fixture
def planned(monkeypatch):
    """`planned(*argv)`: the options of the run that a command line begins, which is then interrupted."""
    runs = []

    def execute(run, log):
        runs.append(run.options)
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.cli.new_runs.execute", execute)

    def plan(*argv):
        assert main.main([*argv]) == 130
        return runs.pop()

    return plan


def test_a_runs_options_are_a_file_that_repeats_it(run, planned, tmp_path, capsys):
    assert main.main(["options", str(run[0])]) == 0
    file = tmp_path / "run.toml"
    file.write_text(capsys.readouterr().out)
    assert 'experiment = "parity"' in file.read_text() and "runs_dir" not in file.read_text()
    before, after = read_config(run[0], find).options, planned("run", "parity", "--config", str(file))
    assert after == replace(before, runs_dir=after.runs_dir)


def test_the_command_line_takes_precedence_over_the_file(planned, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("bits = 2\nseeds = 1\niterations = 3\ncheckpoint-every = 7\n")
    options = planned("run", "parity", f"--config={file}", "--iterations", "2")
    assert (options.bits, options.seeds, options.iterations, options.checkpoint_every) == (2, 1, 2, 7.0)
    file.write_text('tensorboard = true\nepochs = 3\nlearning-rate = "1e-3..1e-1"')
    options = planned("sweep", "digits", "--config", str(file), "--no-tensorboard")
    assert (options.tensorboard, options.epochs, options.learning_rate) == (False, 3, "1e-3..1e-1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bits = ", "run.toml: "),
        ("bitz = 3", 'the option "bitz" must be one of'),
        ("bits = 'two'", "the option 'bits' must be an integer, got \"two\""),
        ("experiment = 'mnist'", "experiment must be 'parity', that of the command, got 'mnist'"),
        ("[table]\na = 1", 'the option "table" must be one of'),
        ("seeds = 2020-01-01", "the option 'seeds' must be an integer"),
        ("checkpoint-every = 1\ncheckpoint_every = 2", "options must be there once, got 'checkpoint_every' twice"),
        (None, "run.toml"),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(text, message, tmp_path, capsys):
    if text is not None:
        (tmp_path / "run.toml").write_text(text)
    assert main.main(["run", "parity", "--config", str(tmp_path / "run.toml")]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


@pytest.mark.parametrize("words", [["--config"], ["--config="], ["--config", "a", "--config", "b"]])
def test_config_needs_one_file(words, capsys):
    assert main.main(["run", "parity", *words]) == 2
    assert "--config must be followed by one file" in capsys.readouterr().err


def test_a_config_may_begin_as_notepad_writes_it_and_is_not_for_an_import(planned, tmp_path, capsys):
    file = tmp_path / "run.toml"
    file.write_bytes(b"\xef\xbb\xbfbits = 4\n")
    assert planned("run", "parity", "--config", str(file)).bits == 4
    assert main.main(["import", "a.npz", "--from", "npz", "--config", str(file)]) == 2
    assert "--config must be given to an experiment" in capsys.readouterr().err


@pytest.mark.full
def test_the_json_of_several_processes_is_on_stdout_too(tmp_path):
    where = f"--coordinator localhost:{free_port()} --processes 1 --process 0 --runs-dir {tmp_path}"
    argv = f"-m experiments run regression --seeds 1 --iterations 3 --hidden-iterations 3 --json {where}".split()
    done = subprocess.run([sys.executable, *argv], capture_output=True, text=True, timeout=300, check=True, cwd=ROOT)
    assert json.loads(done.stdout)["experiment"] == "regression"
    assert "results in" in done.stderr


WORDS = words_after()


@pytest.mark.representatives("export", "import", "compare", "parity")
@pytest.mark.parametrize("name", WORDS)
def test_completed_words_are_those_of_the_help(name, capsys):
    argv = ["run", name] if name in registry.NAMES else ["sweep", "digits"] if name == "sweep" else [name]
    assert main.main([*argv, "--help"]) == 0
    shown = capsys.readouterr().out
    shown = shown[shown.index("-h, --help") :]  # below the description
    lines = re.findall(r"^\W{0,2}(?:-h, )?(--\w[\w-]*(?:, --[\w-]+)*)", shown, re.M)
    flags = {flag for line in lines for flag in line.split(", ")}
    declared = {*WORDS[name]} - {"--config", "--json"}
    assert flags >= declared and declared >= {flag for flag in flags if not flag.startswith("--no-")}


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash is installed")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["re"], {"resume", "repeat", "regression", "regularization"}),
        (["run", "par"], {"parity"}),
        (["run", "parity", "--bi"], {"--bits"}),
        (["parity", "--co"], {"--compilation-cache", "--coordinator", "--config"}),
        (["sweep", "dig"], {"digits"}),
        (["compare", "runs/a", "--p"], {"--page"}),
    ],
)
def test_bash_completes(words, completed, capsys):
    assert main.main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    typed = " ".join(["run", *words])
    script += f"\nCOMP_WORDS=({typed}); COMP_CWORD={len(words)}; _jaxnn; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert {*done.stdout.split()} == completed


def test_other_shells_and_names_that_are_not_shells(capsys):
    assert main.main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("autoload -U +X bashcompinit")
    assert main.main(["completion", "fish"]) == 0
    assert "-n '__fish_seen_subcommand_from parity' -l bits" in capsys.readouterr().out
    assert main.main(["completion", "tcsh"]) == 2
