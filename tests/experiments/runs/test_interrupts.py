"""Ctrl-C and SIGTERM at any moment of a command, in real processes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers import commands
from tests.helpers.caches import own_cache

pytestmark = pytest.mark.usefixtures("interruptible")
ROOT = Path(__file__).parents[3]
PYTHON = (sys.executable, "-m", "experiments")
RUN = ("run", "ladder", "--epochs", "2", "--no-time-steps")
# From its start to its end it takes a third of the seconds of the other.
SHORT = ("sweep", "breast-cancer", "--learning-rate", "0.01", "--seed", "0", "--hidden", "3", "--epochs", "2")
# From where Python has begun the first line of the program, which no program can hasten, to the middle of a run.
MOMENTS = (0.4, 0.7, 1.0, 1.5, 3.0)


@pytest.fixture(scope="module", autouse=True)
def cached(tmp_path_factory):
    with own_cache(tmp_path_factory.mktemp("caches")):
        yield


def interrupted(folder, moment, *argv, signum=signal.SIGINT, times=1, command=PYTHON):
    """Start a command, signal its process group after `moment` seconds; return its status and lines on stderr."""
    running = commands.start([*command, *argv], folder, subprocess.DEVNULL)
    time.sleep(moment)
    for _ in range(times):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signum)
    _, errors = running.communicate(timeout=120)
    return running.returncode, errors.splitlines()


def check(folder, status, lines, expected):
    """Check for one line, the status, and no folder or one that can be resumed; or for a normal end."""
    runs = list((folder / "runs").glob("*"))
    if status == 0:
        assert lines == []
        return
    assert status == expected
    (line,) = lines
    if runs and (runs[0] / ".unfinished").exists():
        assert line.startswith("error: interrupted; to continue: ")
        assert line.endswith(f" resume runs/{runs[0].name}")
        assert {"config.json", "report.html"} <= {path.name for path in runs[0].iterdir()}
    else:
        assert line == "error: interrupted"
    assert not [path for run in runs for path in run.rglob("*") if path.name.endswith((".part", ".lock"))]


@pytest.mark.representatives("0.4")
@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_is_one_line_at_any_moment(tmp_path, moment):
    check(tmp_path, *interrupted(tmp_path, moment, *RUN), 130)


@pytest.mark.full
@pytest.mark.parametrize("moment", [n / 20 for n in range(4, 61)])
def test_each_twentieth_of_a_second(tmp_path, moment):
    """Of a whole command."""
    signum = signal.SIGINT if round(20 * moment) % 2 else signal.SIGTERM
    check(tmp_path, *interrupted(tmp_path, moment, *SHORT, signum=signum), 128 + signum)


@pytest.mark.representatives("list")
@pytest.mark.parametrize(
    "argv",
    [
        ("list", "--long"),
        ("sweep", "digits", "--epochs", "2"),
        ("graph", "sigmoid(w*x)", "w=1", "x=2", "--html", "page.html"),
    ],
    ids=lambda argv: argv[0],
)
def test_sigterm_ends_every_command_with_one_line(tmp_path, argv):
    check(tmp_path, *interrupted(tmp_path, 0.5, *argv, signum=signal.SIGTERM), 143)
    assert not list(tmp_path.glob("*.html")) or (tmp_path / "page.html").read_text().endswith("</html>\n")


@pytest.mark.representatives("0.05", "0.15")
@pytest.mark.parametrize("moment", [0.05, 0.15, 0.3, 0.6])
def test_scripts_run_from_its_first_line_on(tmp_path, moment):
    """While the shell looks for Python, while Python starts, and later."""
    script = [str(ROOT / "scripts" / "run")]
    status, lines = interrupted(tmp_path, moment, *RUN, command=script)
    # Before the shell's first line, and between its last and env's first, no program can answer: the signal itself ends
    # the process, which every shell reports as 130 too. Nothing was begun then.
    if status == -signal.SIGINT:
        assert (lines, list(tmp_path.iterdir())) == ([], [])
    else:
        check(tmp_path, status, lines, 130)


def test_two_signals_are_handled_like_one(tmp_path):
    check(tmp_path, *interrupted(tmp_path, 1.2, *RUN, times=2), 130)


def test_ignored_signals_stay_ignored(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _IGNORED],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "ladder" in done.stdout


_IGNORED = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
running = subprocess.Popen([sys.executable, "-m", "experiments", "list"])
time.sleep(0.05)
running.send_signal(signal.SIGINT)
sys.exit(running.wait())
"""
