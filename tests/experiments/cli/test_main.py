"""The command line: help, and messages for invalid arguments."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import jaxnn
from experiments.cli import commands, main
from experiments.runs.study import FIELDS
from experiments.studies import registry

HEAVY = {"jax", "jaxnn", "optax", "matplotlib", "sklearn", "h5py", "PIL", "safetensors"}


def error_of(capsys, *argv, status=2):
    """Run a command; check the exit status, and return the one line on stderr."""
    assert main.main(argv) == status
    out, err = capsys.readouterr()
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"], ["run", "--help"]])
def test_help_names_the_commands_and_the_experiments(capsys, argv):
    assert main.main(argv) == 0
    out = capsys.readouterr().out
    for word in (
        "list",
        "run NAME",
        "sweep DATA",
        "repeat RUN",
        "compare RUN RUN",
        "predict RUN IMAGE",
        "predict RUN FILE",
        "export RUN",
        "import FILE",
        "graph WHAT",
        *registry.NAMES,
    ):
        assert word in out


@pytest.mark.representatives("argv0", "argv1", "argv8")
@pytest.mark.parametrize(
    "argv",
    [
        ["--help"],
        ["list"],
        ["list", "--long"],
        ["--version"],
        ["run", "ladder", "--help"],
        ["predict", "--help"],
        ["export", "--help"],
        ["import", "--help"],
        ["compare", "--help"],
        ["repeat", "--help"],
        ["sweep", "--help"],
        ["graph", "--help"],
        ["run", "nothing"],
    ],
)
def test_help_imports_nothing_heavy(argv):
    code = f"import sys; from experiments.cli.main import main; main({argv}); print('\\n', *sys.modules, sep=' ')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    imported = set(done.stdout.splitlines()[-1].split())
    assert "experiments.cli.main" in imported
    assert not imported & HEAVY


def test_list_shows_all_fields_of_the_declarations(capsys):
    assert main.main(["list", "--long"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for study in registry.studies():
        for field in FIELDS:
            assert f"{field}: {study.field(field)}" in out


@pytest.mark.parametrize("columns", ["40", "80", ""])
def test_list_has_one_line_per_experiment(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    assert main.main(["list"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines()[:-2])) <= int(columns or 100)
    text = " ".join(out.split())
    for study in registry.studies():
        assert f"{study.name} {' '.join(study.title.split())}" in text
    assert "Question" not in out
    assert f"{main.PROG} list --long" in out


@pytest.mark.parametrize("argv", [["--version"], ["-V"], ["version"]])
def test_version_is_of_jaxnn_jax_and_python(capsys, argv):
    assert main.main(argv) == 0
    versions = dict(each.split() for each in capsys.readouterr().out.strip().split(", "))
    assert versions == {
        "jaxnn": jaxnn.__version__,
        "JAX": importlib.metadata.version("jax"),
        "Python": platform.python_version(),
    }


@pytest.mark.parametrize("words", [["run"], ["run", "run"], []])
def test_run_may_be_omitted_or_repeated(capsys, words):
    assert main.main([*words, "ladder", "--epochs", "0"]) == 2
    assert "--epochs must be at least 1" in capsys.readouterr().err
    assert main.main([*words, "ladder", "--help"]) == 0
    assert "run ladder [-h] [OPTIONS]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("prog", "command"),
    [
        ("scripts/run", "scripts/run ladder"),
        ("/a/checkout/scripts/run", "/a/checkout/scripts/run ladder"),
        (None, "python -m experiments run ladder"),
    ],
)
@pytest.mark.parametrize("argv", [["list", "--long"], ["run", "ladder", "--help"]], ids=lambda argv: argv[0])
def test_shown_command_works_in_the_users_folder(prog, command, argv):
    environment = {name: value for name, value in os.environ.items() if name != "JAXNN_PROG"}
    environment |= {"JAXNN_PROG": prog} if prog else {}
    done = subprocess.run(
        [sys.executable, "-m", "experiments", *argv], capture_output=True, text=True, check=True, env=environment
    )
    shown = [line.partition(":")[2].strip() for line in done.stdout.splitlines() if line.strip().startswith("Command:")]
    assert command in shown
    if prog:
        assert "python -m experiments" not in done.stdout
        assert "run run" not in done.stdout


def test_there_are_experiments_and_each_header_is_complete():
    folders = {path.parent.name for path in Path(registry.__file__).parent.glob("*/__init__.py")}
    assert {*registry.NAMES} == folders - {"sweep"}
    assert list(registry.NAMES) == sorted(registry.NAMES)
    for name in registry.NAMES:
        study = registry.find(name)
        assert study.name == name
        assert all(study.field(field) for field in FIELDS)
        assert study.field("Command").startswith(f"python -m experiments run {study.name}")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["run", "ladder"], ["--epochs", "--batch-size", "--learning-rate", "--optimizer", "--seed", "--runs-dir"]),
        (["run", "catvnoncat"], ["--data-dir DIR", "--seeds", "--iterations", "--no-compilation-cache"]),
        (["compare"], ["RUN RUN ...", "--page FILE", "learning curves"]),
        (["resume"], ["RUN", "--data-dir DIR", "--data FILE", "bit for bit", "--no-compilation-cache"]),
        (["repeat"], ["RUN", "--runs-dir", "--data-dir DIR", "--data FILE", "bit for bit"]),
        (["export"], ["RUN", "--to FORMAT", "--network NAME", "--out FILE", "keras.Sequential", "stablehlo"]),
        (
            ["import"],
            [
                "FILE",
                "--from FORMAT",
                "--like RUN",
                "--layers LAYERS",
                "--order",
                "--activation",
                "--output",
                "--runs-dir",
            ],
        ),
        (["predict"], ["RUN IMAGE:", "RUN FILE:", "--network", "--out FILE", "resized", "--no-compilation-cache"]),
    ],
)
def test_each_command_explains_its_options(capsys, command, words):
    assert main.main([*command, "--help"]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in words)
    if command[0] == "run":
        assert all(f"\n{field}:" in out for field in FIELDS)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("frobnicate", f"no command is called 'frobnicate': there are {commands.names()}"),
        ("run", "run needs the name of an experiment: there are "),
        ("run nothing", "no experiment is called 'nothing': there are "),
        ("list more", "the only argument of list is --long"),
        ("run ladder --bogus", "--bogus"),
        ("run ladder --epochs many", "--epochs"),
        ("run ladder --epochs", "--epochs"),
        ("run ladder --epochs 0", "--epochs must be at least 1, got 0"),
        ("run ladder --epochs 2147483648", "--epochs must be at most 2147483647, got 2147483648"),
        ("run ladder --epochs=x", "--epochs must be an integer, got 'x' (see"),
        ("run ladder --seed 1.5", "--seed must be an integer, got '1.5' (see"),
        ("run ladder --learning-rate abc", "--learning-rate must be a number, got 'abc' (see"),
        ("run ladder --learning-rate=", "--learning-rate must be a number, got '' (see"),
        ("run ladder --epochs", "--epochs must be followed by a value (see"),
        ("run ladder --learning-rate -1", "learning_rate must be positive and finite, got -1.0"),
        ("run ladder --learning-rate nan", "learning_rate must be positive and finite, got nan"),
        ("run ladder --batch-size 100000", "--batch-size must be from 1 to 398"),
        ("run ladder --batch-size 0", "--batch-size must be from 1 to 398"),
        ("run ladder --optimizer foo", "name must be one of the optimizers"),
        ("run ladder --seed -1", "--seed must be"),
        ("run ladder --seed 5000000000", "--seed must be"),
        ("run catvnoncat --seeds 0", "--seeds must be at least 1, got 0"),
        ("run catvnoncat --iterations 0", "--iterations must be at least 1, got 0"),
        ("run catvnoncat --iterations 1.5", "--iterations"),
        ("run catvnoncat --learning-rate 0", "learning_rate must be positive and finite, got 0.0"),
        ("run catvnoncat --optimizer foo", "name must be one of the optimizers"),
        ("predict", "RUN"),
        ("export", "RUN"),
        ("import", "FILE"),
    ],
)
def test_bad_arguments_are_one_line_and_leave_nothing(capsys, tmp_path, monkeypatch, command, message):
    monkeypatch.chdir(tmp_path)
    assert message in error_of(capsys, *command.split())
    assert list(tmp_path.iterdir()) == []


def test_runs_dir_that_cannot_be_created_is_a_one_line_error(capsys, tmp_path, write_photos):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    data = str(write_photos(tmp_path / "data"))
    assert "taken" in error_of(capsys, "run", "catvnoncat", "--data-dir", data, "--runs-dir", str(taken))


@pytest.fixture
def fails_in_training(monkeypatch, tmp_path, write_photos):
    """`run(error)`: catvnoncat, with that error raised once its folder is there; the exit status."""

    def run(error):
        def train(*args):
            raise error

        monkeypatch.setattr("experiments.studies.catvnoncat.run._train", train)
        data = str(write_photos(tmp_path / "data"))
        return main.main(["run", "catvnoncat", "--data-dir", data, "--runs-dir", str(tmp_path / "runs")])

    return run


def resume(folder):
    return f"to continue: {main.PROG} resume {folder}\n"


def test_ctrl_c_is_one_line_and_keeps_the_folder(capsys, tmp_path, fails_in_training):
    assert fails_in_training(KeyboardInterrupt()) == 130
    (folder,) = (tmp_path / "runs").iterdir()
    assert capsys.readouterr().err == f"error: interrupted; {resume(folder)}"
    assert json.loads((folder / "config.json").read_text())["experiment"] == "catvnoncat"


@pytest.mark.parametrize("error", [RuntimeError("ours"), ValueError("ours"), TypeError("ours")])
def test_internal_error_keeps_its_traceback(fails_in_training, error):
    with pytest.raises(type(error), match="ours"):
        fails_in_training(error)


def test_a_full_disk_is_one_line(capsys, tmp_path, fails_in_training):
    assert fails_in_training(OSError(28, "No space left on device", "runs/x")) == 2
    (folder,) = (tmp_path / "runs").iterdir()
    assert capsys.readouterr().err == f"error: runs/x: No space left on device; {resume(folder)}"


def test_closed_stdout_is_not_an_error():
    """`head`, for example, closes the pipe."""
    listing = subprocess.Popen(
        [sys.executable, "-m", "experiments", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    listing.stdout.close()
    with listing.stderr as errors:
        assert errors.read() == ""
    assert listing.wait() == 141
