"""Runs that are stopped, killed, or run out of disk space, and how `resume` continues them."""

import importlib
import json
import os
import random
import shutil
import signal
import sys
import threading
import time

import numpy as np
import pytest

from experiments.cli import main
from experiments.cli.repeat import compare
from experiments.cli.resume import Options, ResumedRun
from experiments.runs.checkpoints import STOPPING, RunCheckpoints, Stopped
from experiments.runs.folder import RunFolder
from experiments.runs.interrupts import delay_signals
from experiments.runs.orbax_store import CheckpointStore
from scripts.benchmarks import faults
from tests.helpers.caches import own_cache

# Two trainings, with ten reports each.
pytestmark = pytest.mark.usefixtures("interruptible")
SWEEP = [
    *("sweep", "breast-cancer", "--activation", "relu,tanh", "--learning-rate", "0.01,1e30", "--optimizer", "sgd"),
    *("--seed", "0", "--epochs", "10", "--width", "4"),
]
ALWAYS = ["--checkpoint-every", "1e-9"]


def sweep(runs, *argv, status=0):
    """Run a sweep; return its folder."""
    assert main.main([*SWEEP, "--runs-dir", str(runs), *argv]) == status
    (folder,) = runs.iterdir()
    return folder


def resume(run, *argv, status=0):
    assert main.main(["resume", str(run), *argv]) == status


@pytest.fixture(scope="module", autouse=True)
def cached(tmp_path_factory):
    """Cache programs, since all runs have the same ones."""
    with own_cache(tmp_path_factory.mktemp("caches")):
        yield


@pytest.fixture(autouse=True)
def no_progress(monkeypatch):
    """Turn off lines of progress, which only appear on a slow machine."""
    monkeypatch.setattr("experiments.runs.progress._SECONDS_BETWEEN_LINES", float("inf"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return sweep(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture
def at_report(monkeypatch):
    """`at_report(n, do)`: `do()` is called once, before the n-th line of metrics of this process."""

    def arrange(n, do):
        log, lines = RunFolder.log, iter(range(1, 1000))

        def doing(self, **metrics):
            if next(lines) == n:
                do()
            log(self, **metrics)

        monkeypatch.setattr(RunFolder, "log", doing)

    return arrange


def send(signum):
    return lambda: os.kill(os.getpid(), signum)


def assert_same(run, undisturbed):
    assert compare(undisturbed, run).different == {}
    assert sorted(path.name for path in run.iterdir()) == sorted(path.name for path in undisturbed.iterdir())


@pytest.mark.representatives("15-143-14-flags1")
@pytest.mark.parametrize(
    ("signum", "status", "n", "flags"),
    [
        (signal.SIGINT, 130, 3, []),  # a run so short that it has no checkpoint yet
        (signal.SIGTERM, 143, 14, []),
        (signal.SIGINT, 130, 10, ALWAYS),  # the last report of the first training
    ],
)
def test_a_signal_ends_the_epoch_and_resume_the_run(capfd, tmp_path, at_report, undisturbed, signum, status, n, flags):
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    at_report(n, send(signum))
    run = sweep(tmp_path, *flags, status=status)
    assert capfd.readouterr().err == f"error: interrupted; to continue: {main.PROG} resume {run}\n"
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == n  # the report's epoch was ended, and logged
    page = (run / "report.html").read_text()
    assert "This run failed: interrupted" in page and f"{main.PROG} resume {run}</pre>" in page

    resume(run)
    expected = [f"{name}: resumed after epoch {epoch}" for name, epoch in (("relu-1", min(n, 10)), ("tanh-1", n - 10))]
    assert capfd.readouterr().err.splitlines() == expected[: 1 + (n > 10)]
    assert_same(run, undisturbed)


def test_the_second_ctrl_c_stops_at_once(capsys, tmp_path, at_report):
    def twice():
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    at_report(13, twice)
    run = sweep(tmp_path, status=130)
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 12
    assert not (run / "checkpoints").exists()  # though a training had ended, which the first one alone would have kept
    assert "resume" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.full
def test_full_disk_stops_the_run_and_resume_continues(capsys, tmp_path, at_report, undisturbed):
    def fill():
        raise OSError(28, "No space left on device", "metrics.jsonl")

    at_report(15, fill)
    run = sweep(tmp_path, status=2)
    assert capsys.readouterr().err == (
        f"error: metrics.jsonl: No space left on device; to continue: {main.PROG} resume {run}\n"
    )
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["relu-1"]  # what had ended was kept
    resume(run)
    assert capsys.readouterr().err == "relu-1: resumed after epoch 10\n"
    assert_same(run, undisturbed)


@pytest.mark.full
def test_run_that_cannot_write_checkpoints_continues(capsys, tmp_path, monkeypatch, undisturbed):
    def save(self, checkpoint):
        raise RuntimeError("RESOURCE_EXHAUSTED: No space left on device")

    monkeypatch.setattr(CheckpointStore, "save", save)
    run = sweep(tmp_path, *ALWAYS)
    line = capsys.readouterr().err.splitlines()[0]
    assert line.startswith("note: a checkpoint of relu-1 could not be written, the run continues: RESOURCE_EXHAUSTED")
    assert_same(run, undisturbed)


@pytest.mark.full
def test_a_training_whose_checkpoints_are_all_damaged_starts_again(capsys, tmp_path, at_report, undisturbed):
    at_report(8, send(signal.SIGINT))
    run = sweep(tmp_path, *ALWAYS, "--keep", "3", status=130)
    kept = sorted(path.name for path in (run / "checkpoints" / "relu-1").iterdir())
    assert kept == ["5", "6", "7"]
    for file in run.rglob("manifest.ocdbt"):
        file.write_bytes(b"")
    capsys.readouterr()
    resume(run)
    printed = capsys.readouterr().err.splitlines()
    assert [line.split(" was set aside")[0].rsplit("/", 1)[1] for line in printed] == [
        f"{n} is damaged, and" for n in "765"
    ]
    assert_same(run, undisturbed)


@pytest.fixture
def interrupted(tmp_path, at_report, capsys):
    at_report(2, send(signal.SIGINT))
    run = sweep(tmp_path / "a run's folder, été", status=130)
    capsys.readouterr()
    return run


def refusal(capsys, run, *argv):
    capsys.readouterr()
    resume(run, *argv, status=2)
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.full
def test_two_processes_cannot_write_the_same_run(capsys, interrupted):
    other = RunFolder(interrupted)
    before = {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()}
    assert "is in use by another process" in refusal(capsys, interrupted)
    assert {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()} == before
    other.release()
    resume(interrupted)  # the lock file itself, left behind, holds nobody up


@pytest.mark.full
def test_run_finished_by_another_process_is_not_resumed(interrupted):
    late = ResumedRun(Options(run=interrupted), print)
    resume(interrupted)
    before = {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="is finished"):
        late([])
    assert {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()} == before


@pytest.mark.full
def test_a_signal_in_the_report_of_a_resumed_run_stops_it(capfd, tmp_path, at_report, monkeypatch, undisturbed):
    at_report(20, send(signal.SIGINT))
    run = sweep(tmp_path, status=130)

    def stop(*args):
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("experiments.studies.sweep.run.rank", stop)
        resume(run, status=130)  # both trainings had ended
    resume(run)
    assert_same(run, undisturbed)


def test_a_signal_that_is_ignored_stays_so(tmp_path):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run = checkpoints_of(tmp_path)
    with run.stopping_at_one():
        run.of("a").restore(None)
        for signum in (signal.SIGINT, signal.SIGTERM):  # the second one is heard, and waits for a report
            os.kill(os.getpid(), signum)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        with pytest.raises(Stopped) as stop:  # and the third does not
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.value.at_once
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_on_a_terminal_the_stopping_note_has_a_separate_line(tmp_path):
    """The note replaces the line of the bar, which the terminal ends with ^C."""
    main, side = os.openpty()
    kept, stderr = os.dup(2), sys.stderr
    os.dup2(side, 2)
    sys.stderr = os.fdopen(os.dup(side), "w")
    try:
        found = checkpoints_of(tmp_path)
        with found.stopping_at_one():
            found.of("a").restore(None)
            sys.stderr.write("a bar  0%^C")
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGINT)
        shown = ""
        while "\n" not in shown:
            shown += os.read(main, 1000).decode()
    finally:
        os.dup2(kept, 2)
        sys.stderr.close()
        sys.stderr = stderr
        for file in (kept, main, side):
            os.close(file)
    assert shown == f"a bar  0%^C\r\x1b[2K{STOPPING}\r\n"


def wait_long(lost):
    """Collect the object, and run Python code for up to 20 s: a signal that a thread raises ends no sleep."""
    del lost
    for _ in range(2000):
        time.sleep(0.01)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_lost_interrupt_is_raised_again(tmp_path):
    class Losing:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Stopped), checkpoints_of(tmp_path).stopping_at_one():
        wait_long(Losing())


@pytest.mark.full
def test_an_import_is_not_interrupted(tmp_path, monkeypatch):
    """An extension module that is interrupted in its first lines may abort the process."""
    (tmp_path / "slow_module.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(0.2)\ndone = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Stopped), checkpoints_of(tmp_path).stopping_at_one():
        wait_long(importlib.import_module("slow_module"))
    assert sys.modules["slow_module"].done


def test_signals_do_not_interrupt_a_write(tmp_path):
    def write():
        with delay_signals():
            os.kill(os.getpid(), signal.SIGINT)
            (tmp_path / "file").write_text("whole")

    with pytest.raises(Stopped), checkpoints_of(tmp_path).stopping_at_one():
        write()
    assert (tmp_path / "file").read_text() == "whole"


def test_second_interrupt_skips_the_last_checkpoints(capsys, tmp_path, at_report, monkeypatch):
    at_report(3, send(signal.SIGINT))
    monkeypatch.setattr(RunCheckpoints, "write_ended", lambda self: os.kill(os.getpid(), signal.SIGINT))
    run = sweep(tmp_path, status=130)
    assert (run / "report.html").exists()
    assert capsys.readouterr().err == f"error: interrupted; to continue: {main.PROG} resume {run}\n"
    assert not (run / ".lock").exists()


def test_deleted_run_is_not_suggested_for_resume(capsys, tmp_path, at_report):
    def delete():
        shutil.rmtree(next(tmp_path.iterdir()))
        os.kill(os.getpid(), signal.SIGINT)

    at_report(3, delete)
    assert main.main([*SWEEP, "--runs-dir", str(tmp_path)]) in (2, 130)
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith("error: ")
    assert "resume" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.full
def test_rejected_resume_deletes_nothing(tmp_path, at_report, monkeypatch):
    at_report(8, send(signal.SIGINT))
    run = sweep(tmp_path, *ALWAYS, status=130)
    before = (run / "metrics.jsonl").read_bytes()
    monkeypatch.setattr("experiments.studies.sweep.training.sizes", lambda point: (5,))  # another network
    with pytest.raises(ValueError, match=r"checkpoint must be of this training, .* got that of another"):
        main.main(["resume", str(run)])
    assert (run / "metrics.jsonl").read_bytes() == before


def test_run_that_cannot_be_resumed_is_a_one_line_error(capsys, tmp_path, undisturbed, interrupted):
    assert "is finished, so there is nothing to resume" in refusal(capsys, undisturbed)
    assert "is not a folder" in refusal(capsys, tmp_path / "nowhere")
    (interrupted / "config.json").write_text("{")
    assert "config.json: damaged" in refusal(capsys, interrupted)


@pytest.mark.full
def test_another_environment_is_noted_and_other_data_are_rejected(capsys, tmp_path, interrupted):
    config = json.loads((interrupted / "config.json").read_text())
    config["versions"]["jax"] = "0.1"
    (interrupted / "config.json").write_text(json.dumps(config | {"data": {"x.csv": "0"}}))
    line = refusal(capsys, interrupted)
    assert 'was started with other data (data.x.csv was "0", and is "not there"): restore them' in line
    (interrupted / "config.json").write_text(json.dumps(config))
    resume(interrupted)
    note = capsys.readouterr().err.splitlines()[0]
    assert note.startswith('note: versions.jax was "0.1", and is ')
    assert note.endswith("the result may differ in its last digits")


@pytest.mark.full
def test_moved_data_folder_must_hold_the_same_data(capsys, tmp_path, at_report, write_photos):
    data, moved, other = tmp_path / "data", tmp_path / "data, moved", tmp_path / "other"
    argv = ["sweep", "catvnoncat", "--depth", "0", "--learning-rate", "0.01", "--seed", "0", "--epochs", "3"]
    argv += ["--batch-size", "4", "--data-dir"]
    write_photos(data)
    write_photos(other, train_set_y=np.arange(12) % 3 // 2)
    assert main.main([*argv, str(data), "--runs-dir", str(tmp_path / "whole")]) == 0
    at_report(1, send(signal.SIGINT))
    assert main.main([*argv, str(data), "--runs-dir", str(tmp_path / "runs")]) == 130
    (run,) = (tmp_path / "runs").iterdir()
    data.rename(moved)
    assert "give their folder as --data-dir" in refusal(capsys, run)
    assert "--data has no effect: this run of sweep-catvnoncat reads no such" in refusal(capsys, run, "--data", "a.csv")
    printed = refusal(capsys, run, "--data-dir", str(other))
    assert "was started with other data (data.train_catvnoncat.h5 was " in printed and "data.test" not in printed
    at_report(1, send(signal.SIGINT))
    resume(run, "--data-dir", str(moved), status=130)  # once more, and the next time needs the option again
    assert capsys.readouterr().err.endswith(f"resume {run} --data-dir '{moved}'\n")
    resume(run, "--data-dir", str(moved))
    assert_same(run, next((tmp_path / "whole").iterdir()))


@pytest.mark.full
def test_moved_own_data_file(capsys, tmp_path, at_report):
    rows = "".join(f"{i},{'even' if i % 2 else 'odd'}\n" for i in range(60))
    (tmp_path / "own.csv").write_text("a,kind\n" + rows)
    argv = ["sweep", str(tmp_path / "own.csv"), "--label", "kind", "--learning-rate", "0.01", "--seed", "0"]
    at_report(1, send(signal.SIGINT))
    assert main.main([*argv, "--epochs", "2", "--runs-dir", str(tmp_path / "runs")]) == 130
    (run,) = (tmp_path / "runs").iterdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "own.csv").rename(tmp_path / "new" / "own.csv")
    assert "own.csv does not exist: locate it with --data" in refusal(capsys, run)
    printed = refusal(capsys, run, "--data-dir", str(tmp_path / "new"))
    assert "--data-dir has no effect: this run of sweep-own reads your own file: use --data" in printed
    assert "absent.csv does not exist" in refusal(capsys, run, "--data", str(tmp_path / "absent.csv"))
    (tmp_path / "own.csv").write_text("a,kind\n1,odd\n" + rows)
    assert "was started with other data (data.own.csv was " in refusal(capsys, run, "--data", str(tmp_path / "own.csv"))
    resume(run, "--data", str(tmp_path / "new" / "own.csv"))
    assert (
        main.main(["repeat", str(run), "--data", str(tmp_path / "new" / "own.csv"), "--runs-dir", str(tmp_path)]) == 0
    )
    assert "matched: all " in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags",
    [["--checkpoint-every", "-1"], ["--keep", "0"], ["--checkpoint-every", "nan"], ["--checkpoint-every", "inf"]],
)
def test_bad_options_are_one_line_and_leave_nothing(capsys, tmp_path, flags):
    assert main.main([*SWEEP, *flags, "--runs-dir", str(tmp_path)]) == 2
    assert "--checkpoint-every must be at least 0 seconds and --keep at least 1" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def checkpoints_of(run, every=60.0):
    found = RunCheckpoints(every, 2, print)
    found.begin(run)
    return found


def test_no_checkpoints_if_turned_off(tmp_path):
    assert checkpoints_of(tmp_path, every=0).of("a") is None


def test_trainings_with_the_same_name_raise(tmp_path):
    found = checkpoints_of(tmp_path)
    found.of("a").restore(None)
    with pytest.raises(ValueError, match="names of checkpoints must be unique in a run, got 'a' twice"):
        found.of("a")


def test_signal_outside_of_training_stops_immediately(tmp_path):
    with pytest.raises(Stopped) as stop, checkpoints_of(tmp_path).stopping_at_one():
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.value.signum == signal.SIGTERM


def test_in_another_thread_signals_are_left_alone(tmp_path):
    seen = []

    def work():
        with checkpoints_of(tmp_path).stopping_at_one():
            seen.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [True]


@pytest.mark.full
def test_run_killed_repeatedly_ends_the_same(tmp_path, monkeypatch):
    """With real processes; `scripts/bench faults` does this a hundred times."""
    monkeypatch.setitem(faults.TRAININGS, "sweep", " ".join(SWEEP))
    training = faults.Faults("sweep", tmp_path)
    done, wrong = faults.kills(training, 1, random.Random(1), lambda line: None)
    assert wrong == []
    assert len(done) == 1


def test_benchmark_finds_failures(tmp_path, undisturbed):
    """The benchmark must be able to fail."""
    shutil.copytree(undisturbed, (other := tmp_path / "other"))
    (other / "sweep.csv").write_text((other / "sweep.csv").read_text() + "\n")
    training = faults.Faults.__new__(faults.Faults)
    training.whole = undisturbed
    assert training.differs(undisturbed) == []
    (wrong,) = training.differs(other)
    assert wrong.startswith("sweep.csv: ")
    printed = "relu-1: resumed after epoch 3\ntanh-1: resumed after epoch 5\n"
    (wrong,) = faults.resumed_elsewhere(tmp_path, printed, {"relu-1": 4, "tanh-1": 5})
    assert "relu-1 resumed after epoch 3, but had a checkpoint of epoch 4" in wrong
    (wrong,) = faults.resumed_elsewhere(tmp_path, "", {"relu-1": 4})  # it started again, and logged nothing
    assert "relu-1 resumed after epoch none" in wrong
    assert faults.resumed_elsewhere(tmp_path, "", {"relu-1": 4}, {"relu-1": 4}) == []  # killed before
    (wrong,) = faults.resumed_elsewhere(tmp_path, "", {"relu-1": 4}, {"relu-1": 2})
    assert "had a checkpoint of epoch 4, and later of 2" in wrong
