"""Suggestions for names that do not exist."""

import pytest

from experiments.cli import console, main
from experiments.readers.suggestions import suggest, suggest_run


@pytest.mark.parametrize(
    ("argv", "meant"),
    [
        (["runn"], "run"),
        (["lits"], "list"),
        (["Ladder"], "ladder"),
        (["ladde"], "ladder"),
        (["--hlep"], "--help"),
        (["--versoin"], "--version"),
        (["list", "--lon"], "--long"),
        (["run", "mnsit"], "mnist"),
        (["run", "Ladder"], "ladder"),
        (["run", "cat-v-non-cat"], "catvnoncat"),
        (["sweep", "digit"], "digits"),
        (["run", "ladder", "--epoch", "3"], "--epochs"),
        (["run", "ladder", "--epoch=3"], "--epochs"),
        (["run", "ladder", "--ep", "3"], "--epochs"),
        (["run", "ladder", "--learnig-rate", "3"], "--learning-rate"),
        (["run", "ladder", "--hlep"], "--help"),
        (["run", "ladder", "--learn", "0.1"], "--learning-rate"),
        (["run", "ladder", "--early"], ""),
        (["run", "ladder", "epochs", "3"], "--epochs"),
        (["run", "list", "--long"], f"{main.PROG} list --long"),
        (["run", "--list"], f"{main.PROG} list"),
        (["run", "run", "--version"], f"{main.PROG} --version"),
        (["run", "Sweep", "digits"], f"{main.PROG} sweep digits"),
        (["list", "ladder"], f"{console.RUN} ladder --help"),
        (["run", "ladder", "--no-time-step"], "--no-time-steps"),
        (["ladder", "--no-compilation-cach"], "--no-compilation-cache"),
        (["sweep", "digits", "--widht", "3"], "--width"),
        (["compare", "a", "b", "--pgae", "x"], "--page"),
        (["graph", "a", "a=1", "--hmtl", "x"], "--html"),
        (["export", "runs", "--to", "torch", "--netwrk", "x"], "--network"),
    ],
    ids=" ".join,
)
def test_near_misses_are_offered(capsys, argv, meant):
    assert main.main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert (f": did you mean {meant}?" in err) if meant else ("did you mean" not in err)


def test_distant_name_is_not_suggested():
    assert suggest("frobnicate", ["ladder", "list"]) == ""
    assert suggest("iris", ["breast-cancer", "digits"]) == ""
    assert suggest("", ["ladder"]) == ""


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("ladder-20260131-120000", "sweep-digits-20260131-120000"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "config.json").write_text("{}")
    (tmp_path / "runs" / "ladder-20260131-12000").mkdir()  # of no run


@pytest.mark.parametrize("typed", ["runs/ladder-20260131-12000O", "ladder-20260131-120000", "runs/lader-20260131-1200"])
@pytest.mark.parametrize(
    "command",
    ["resume {}", "repeat {}", "predict {} x.csv", "export {} --to torch", "compare {} runs"],
    ids=lambda command: command.split()[0],
)
def test_closest_run_is_suggested(capsys, runs, command, typed):
    assert main.main(command.format(typed).split()) == 2
    err = capsys.readouterr().err
    assert err == f"error: {typed} is not a folder: did you mean runs/ladder-20260131-120000?\n"


def test_error_without_runs_has_an_example(capsys, tmp_path, monkeypatch):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    assert suggest_run(Path("runs/x")) == ""
    assert main.main(["resume", "runs/x"]) == 2
    assert "expected the results folder of a run, such as runs/ladder-" in capsys.readouterr().err
