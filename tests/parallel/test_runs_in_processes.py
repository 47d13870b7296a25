"""Experiments in two processes: the results and the files of one, and one line for what goes wrong."""

import contextlib
import json
import os
import signal
import socket
import sys
import time

import numpy as np
import pytest

from experiments.cli.main import main
from scripts.benchmarks.processes import free_port
from tests.helpers import commands

SHORT = ("run", "adding", "--n-steps", "6", "--units", "4", "--epochs", "1")
EPOCHS = 12
LONG = ("run", "adding", "--n-steps", "20", "--units", "8", "--epochs", str(EPOCHS), "--checkpoint-every", "0.1")
POPULATION = ("sweep", "breast-cancer", "--epochs", "3", "--dropout", "0..0.5:2")
ENDED_WITHIN = 30


def start(folder, *argv, process=None, processes=2, address=None, code=None):
    """Start a command in a new process, as one of several unless `process` is left out."""
    several = ()
    if process is not None:
        several = ("--coordinator", address, "--processes", str(processes), "--process", str(process))
    command = ["-m", "experiments"] if code is None else ["-c", code]
    return commands.start([sys.executable, *command, *argv, *several], folder)


def ended(started, seconds=200):
    """Return the status, the output and the lines on stderr of each process; none is left running."""
    found = []
    try:
        for one in started:
            out, errors = one.communicate(timeout=seconds)
            found.append((one.returncode, out, errors.splitlines()))
    finally:
        for one in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
    return found


def both(folder, *argv, **options):
    address = f"localhost:{free_port()}"
    return ended([start(folder, *argv, process=i, address=address, **options) for i in range(2)])


def run_of(folder):
    (run,) = (folder / "runs").iterdir()
    return run


def lines_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def wait_for(condition):
    """Return what the condition returns, once that is true."""
    for _ in range(2000):
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it does not become true")


def wait_for_reports(folder, n=2):
    """Wait until a run has written some reports; return its folder."""

    def reported():
        found = list((folder / "runs").glob("*/metrics.jsonl"))
        return found and len(found[0].read_text().splitlines()) >= n and found[0].parent

    return wait_for(reported)


def numbers(value):
    """Return all numbers of a JSON value in order, and what else it has."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        parts = [numbers(one) for one in value]
        return [n for part, _ in parts for n in part], [other for _, others in parts for other in others]
    return ([value], []) if isinstance(value, int | float) else ([], [value])


@pytest.mark.full
@pytest.mark.parametrize("argv", [SHORT, POPULATION], ids=["adding", "sweep"])
def test_a_run_in_two_processes_is_that_of_one(argv, tmp_path):
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    (alone,) = ended([start(folders[0], *argv)])
    first, second = both(folders[1], *argv)
    assert (alone[0], first[0], second[0]) == (0, 0, 0), (alone, first, second)
    assert (
        second[1:] == ("", [])
        and first[1]
        and all(": " in line and "error" not in line.split(":")[0] for line in first[2])
    )
    one, two = map(run_of, folders)
    assert {path.name for path in one.iterdir()} == {path.name for path in two.iterdir()}
    for a, b in zip(lines_of(one), lines_of(two), strict=True):
        (found, words), (expected, same_words) = numbers(b), numbers(a)
        assert words == same_words
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-5)


@pytest.mark.full
def test_ctrl_c_in_one_stops_both_at_the_same_report_and_both_resume(tmp_path):
    folders = [tmp_path / name for name in ("whole", "stopped")]
    for folder in folders:
        folder.mkdir()
    assert [status for status, *_ in both(folders[0], *LONG)] == [0, 0]
    address = f"localhost:{free_port()}"
    started = [start(folders[1], *LONG, process=i, address=address) for i in range(2)]
    run = wait_for_reports(folders[1])
    started[1].send_signal(signal.SIGINT)
    found = ended(started)
    assert [status for status, *_ in found] == [130, 130]
    for i, (_, _, lines) in enumerate(found):
        command, _, how = lines[-1].partition(", with ")
        assert command.startswith("process 1: " * i + "error: interrupted; to continue: ")
        assert command.endswith(f"/{run.name}") and how == "the same --coordinator, --processes and --process"
    stopped = len(lines_of(run))
    assert [status for status, *_ in both(folders[1], "resume", str(run))] == [0, 0]
    whole = run_of(folders[0])
    assert (run / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert stopped < len(lines_of(run))


@pytest.mark.full
@pytest.mark.parametrize(
    ("argv", "signum", "which"),
    [
        (("linear_collapse",), signal.SIGINT, 1),  # of single trainings
        (("parity", "--bits", "4", "--iterations", "3000"), signal.SIGTERM, 0),  # of populations
    ],
    ids=["linear_collapse", "parity"],
)
def test_a_signal_in_one_stops_trainings_without_checkpoints_at_the_same_report(argv, signum, which, tmp_path):
    code = (
        "import atexit, sys; from experiments.runs import processes; report, reports = processes.report, []\n"
        "processes.report = lambda: (reports.append(0), report())\n"
        "atexit.register(lambda: print(len(reports), 'reports', file=sys.stderr))\n"
        "from experiments.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    address = f"localhost:{free_port()}"
    started = [start(tmp_path, "run", *argv, process=i, address=address, code=code) for i in range(2)]
    wait_for(lambda: list(tmp_path.glob("runs/*/config.json")))
    time.sleep(1)
    started[which].send_signal(signum)
    found = ended(started)
    assert [status for status, *_ in found] == [128 + signum] * 2, found
    run = run_of(tmp_path)
    for i, (_, _, lines) in enumerate(found):
        assert lines[-2].startswith("process 1: " * i + "error: interrupted; to continue: ") and run.name in lines[-2]
        assert lines[-1] == found[0][2][-1] and lines[-1].endswith(" reports")
    # The page is written, the folder is unlocked, and there is no result.
    assert {path.name for path in run.iterdir()} == {".unfinished", "config.json", "report.html"}


@pytest.mark.full
def test_a_signal_while_another_process_reads_data_stops_both(tmp_path):
    code = (
        "import pathlib, sys, time; from experiments.runs import processes\n"
        "from experiments.studies.linear_collapse import run; load = run.load\n"
        "def slow():\n"
        "    pathlib.Path(f'reading-{processes.name()}').touch()\n"
        "    if not processes.is_first(): time.sleep(8)\n"
        "    return load()\n"
        "run.load = slow\n"
        "from experiments.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    address = f"localhost:{free_port()}"
    started = [start(tmp_path, "run", "linear_collapse", process=i, address=address, code=code) for i in range(2)]
    wait_for(lambda: len(list(tmp_path.glob("reading-*"))) == 2)
    started[0].send_signal(signal.SIGINT)
    found = ended(started)
    assert [status for status, *_ in found] == [130, 130], found
    assert all("error: interrupted; to continue: " in lines[-1] for *_, lines in found)


@pytest.mark.full
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_process_ends_the_other_and_the_run_resumes_in_one(lost, signum, tmp_path):
    address = f"localhost:{free_port()}"
    started = [start(tmp_path, *LONG, process=i, address=address) for i in range(2)]
    run = wait_for_reports(tmp_path)
    began = time.monotonic()
    os.kill(started[lost].pid, signum)
    try:
        _, errors = started[1 - lost].communicate(timeout=ENDED_WITHIN)
    finally:
        started[lost].kill()
        ended(started)
    assert started[1 - lost].returncode != 0 and time.monotonic() - began < ENDED_WITHIN
    # Its connection is closed, and it is named then, unless JAX, which names it by its number in a line, is faster.
    named = errors.endswith(f"error: process {lost} was lost\n")
    named |= f"unhealthy (stopped sending heartbeats):\n{lost}\n" in errors
    # Of process 0 JAX says that it no longer reaches the coordination service, which is there.
    assert named or (lost == 0 and "CoordinationService" in errors)
    (alone,) = ended([start(tmp_path, "resume", str(run))])
    assert alone[0] == 0 and len(lines_of(run)) == 3 * EPOCHS


@pytest.mark.full
def test_a_damaged_checkpoint_is_set_aside_once_and_the_run_resumes(tmp_path):
    address = f"localhost:{free_port()}"
    started = [start(tmp_path, *LONG, process=i, address=address) for i in range(2)]
    run = wait_for_reports(tmp_path, 3)
    started[0].send_signal(signal.SIGINT)
    assert [status for status, *_ in ended(started)] == [130, 130]
    newest = max((run / "checkpoints").glob("*/*/about"), key=lambda path: path.stat().st_mtime_ns)
    (newest / "metadata").write_text("{}")
    found = both(tmp_path, "resume", str(run))
    assert [status for status, *_ in found] == [0, 0], found
    assert sum("is damaged, and was set aside" in line for _, _, lines in found for line in lines) == 1
    assert len(lines_of(run)) == 3 * EPOCHS


@pytest.mark.full
def test_another_experiment_is_one_line_in_both(tmp_path):
    address = f"localhost:{free_port()}"
    sweeps = [("sweep", name, "--epochs", "1") for name in ("breast-cancer", "digits")]
    found = ended([start(tmp_path, *argv, process=i, address=address) for i, argv in enumerate(sweeps)])
    for status, out, lines in found:
        assert (status, out) == (2, "") and "must have the same experiment, got another from process 1" in lines[-1]


@pytest.mark.full
def test_another_option_is_one_line_in_both(tmp_path):
    address = f"localhost:{free_port()}"
    started = [start(tmp_path, *SHORT, "--seed", str(i), process=i, address=address) for i in range(2)]
    for i, (status, out, lines) in enumerate(ended(started)):
        assert (status, out, len(lines)) == (2, "", 1)
        line = "error: all processes must have the same options, got another from process 1"
        assert lines[0] == "process 1: " * i + line
    assert not (tmp_path / "runs").exists()


@pytest.mark.full
def test_another_processor_is_a_note(tmp_path):
    code = (
        "import sys; from experiments.runs import environment, processes\n"
        "environment._cpu = lambda: f'the processor of {processes.name()}'\n"
        "from experiments.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    first, second = both(tmp_path, *SHORT, code=code)
    assert (first[0], second[0]) == (0, 0), (first, second)
    line = "note: process 1: another processor, or number of cores, than in process 0: what each process computes alone"
    assert sum(line in one for one in first[2]) == 1 and second[2] == []


@pytest.mark.full
@pytest.mark.parametrize("devices", ["1", "2"])
def test_a_process_may_read_data_for_longer_than_gloo_waits_for_a_connection(devices, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", devices)
    code = (
        "import sys, time; from experiments.runs import processes; fit, waits = processes.fit_stream, [35]\n"
        "def late(objective, optimizer, params, batches, **plan):\n"
        "    def slow(epoch):\n"
        "        for i, batch in enumerate(batches(epoch)):\n"
        "            if i == 1 and waits and not processes.is_first(): time.sleep(waits.pop())\n"
        "            yield batch\n"
        "    return fit(objective, optimizer, params, slow, **plan)\n"
        "processes.fit_stream = late\n"
        "from experiments.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    assert [status for status, *_ in both(tmp_path, *SHORT, code=code)] == [0, 0]


@pytest.mark.full
def test_a_training_that_ends_earlier_in_one_process_is_one_line_in_both(tmp_path):
    code = (
        "import sys; from experiments.runs import processes; fit = processes.fit_stream\n"
        "def shorter(*given, epochs, **plan):\n"
        "    return fit(*given, epochs=epochs if processes.is_first() else 1, **plan)\n"
        "processes.fit_stream = shorter\n"
        "from experiments.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    found = both(tmp_path, *SHORT[:-1], "2", code=code)
    for status, _, lines in found:
        assert status == 2 and "ended in one process and continues in another" in lines[-1], found


@pytest.mark.full
def test_a_process_too_few_is_one_line(tmp_path):
    code = (
        "import sys; from experiments.runs import connection; connection.CONNECT_SECONDS = 3; "
        "from experiments.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    for process in (0, 1):
        address = f"localhost:{free_port()}"
        ((status, out, lines),) = ended([start(tmp_path, *SHORT, process=process, address=address, code=code)])
        assert (status, out, len(lines)) == (2, "", 1)
        line = "error: the processes could not be connected: not all 2 were there within 3 s"
        assert lines[0].startswith("process 1: " * process + line)


@pytest.mark.full
def test_a_port_in_use_is_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        address = f"localhost:{taken.getsockname()[1]}"
        ((status, out, lines),) = ended([start(tmp_path, *SHORT, process=0, address=address)])
    assert (status, out, len(lines)) == (2, "", 1) and "in use" in lines[0]


@pytest.mark.full
def test_a_process_that_is_stuck_ends_both(tmp_path):
    """It sleeps where it should train, and is alive to JAX."""
    code = (
        "import sys, time; from experiments.runs import processes; fit = processes.fit_stream\n"
        "def slow(*given, **plan):\n"
        "    if not processes.is_first(): time.sleep(120)\n"
        "    return fit(*given, **plan)\n"
        "processes.fit_stream = slow\n"
        "from experiments.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    address, began = f"localhost:{free_port()}", time.monotonic()
    argv = (*SHORT, "--report-seconds", "15")
    found = ended([start(tmp_path, *argv, process=i, address=address, code=code) for i in range(2)])
    assert all(status not in (0, 130) for status, *_ in found) and time.monotonic() - began < 90
    assert any("error: no report for 15 s: another process is stuck" in line for *_, lines in found for line in lines)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--processes 2", "--processes and --process need --coordinator HOST:PORT"),
        ("--coordinator host", "--coordinator must be HOST:PORT, or auto, got 'host'"),
        ("--coordinator host:0 --processes 2 --process 0", "--coordinator must be HOST:PORT, or auto, got 'host:0'"),
        ("--coordinator host:1", "--coordinator HOST:PORT needs --processes N and --process I"),
        ("--coordinator host:1 --report-seconds 0", "--report-seconds must be above 0, got 0"),
        ("--coordinator host:1 --processes 2 --process 2", "--process must be from 0 to --processes 2 less 1, got 2"),
    ],
)
def test_contradicting_options_are_one_line(words, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*SHORT, *words.split()]) == 2
    assert capsys.readouterr().err.startswith(f"error: {line}")
    assert not (tmp_path / "runs").exists()
