"""scripts/bench lost-processes: kill one of two processes of a run at random moments; do all end, and does it resume?

One of two processes, either of them, is killed by SIGKILL: half of the times at any moment, half of the times while the
first writes a checkpoint. The other must end within 30 seconds with a status other than 0. The run is resumed in two
processes and killed again, until it ends: its results must equal those of an undisturbed run in two processes, bit for
bit. At the end a run that was killed is resumed in one process: its reports must be the same to a relative 1e-3.

Exits with 1 if one of these does not hold.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.cli.repeat import compare
from experiments.runs.folder import METRICS, UNFINISHED
from scripts.benchmarks.faults import ROOT, WRITING, newest_run, reached, show
from scripts.benchmarks.processes import free_port

TRAINING = "run adding --n-steps 20 --units 8 --epochs 20"
EVERY = "0.05"
LIMIT, CLOSE = 30.0, 1e-3


class Lost(NamedTuple):
    """What followed a kill: the seconds until the other process had ended, its status, its last line on stderr."""

    seconds: float
    status: int
    last: str


def start(*argv: str) -> list[subprocess.Popen]:
    """Start `python -m experiments` with these arguments in two processes."""
    where = ["--coordinator", f"localhost:{free_port()}", "--processes", "2", "--process"]
    command = [sys.executable, "-m", "experiments", *argv, *where]
    return [
        subprocess.Popen([*command, str(i)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for i in range(2)
    ]


def ended(started: list[subprocess.Popen]) -> list[tuple[int, str]]:
    """Wait for all; return the status and stderr of each. What has not ended after ten minutes is killed."""
    found = []
    for one in started:
        try:
            _, errors = one.communicate(timeout=600)
        except subprocess.TimeoutExpired:
            one.kill()
            _, errors = one.communicate()
        found.append((one.returncode, errors))
    return found


def kill_one(started: list[subprocess.Popen], runs: Path, seconds: float, in_writing: bool, which: int) -> Lost | None:
    """Kill a process after these seconds, or at the next checkpoint after them; `None` if the run ended before."""
    if not reached(started, runs, seconds, in_writing):
        return None
    started[which].kill()
    began = time.monotonic()
    other = started[1 - which]
    try:
        _, errors = other.communicate(timeout=2 * LIMIT)
    except subprocess.TimeoutExpired:
        other.kill()
        _, errors = other.communicate()
    started[which].communicate()
    lines = errors.strip().splitlines()
    return Lost(time.monotonic() - began, other.returncode, lines[-1] if lines else "")


def reports(run: Path) -> np.ndarray:
    """Return the numbers of all reports of a run."""
    lines = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    return np.array([[value for value in line.values() if isinstance(value, int | float)] for line in lines])


class Trial:
    """The training, an undisturbed run of it, and what was lost.

    Args:
      folder: the folder of its runs.
      chance: draws the moments and the processes.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._folder, self._chance = folder, chance
        self.lost: list[Lost] = []
        self.writing, self.compared = 0, 0
        ended(self.begin("warm"))  # fills the compilation cache
        began = time.monotonic()
        self.wrong = self.failures("undisturbed", self.begin("whole"))
        self.seconds = time.monotonic() - began
        self.whole = newest_run(folder / "whole")

    def begin(self, name: str) -> list[subprocess.Popen]:
        """Start a run below the folder of this name."""
        return start(*TRAINING.split(), "--runs-dir", str(self._folder / name), "--checkpoint-every", EVERY)

    def failures(self, name: str, started: list[subprocess.Popen]) -> list[str]:
        """Wait for processes, and return a line for each that failed."""
        return [
            f"{name}: status {status}: {errors[-500:]}"
            for status, errors in ended(started)
            if status or "could not be written" in errors
        ]

    def disturb(self, n: int) -> None:
        """Kill processes of a run until it ends, or n have been killed in all; compare its results."""
        name = f"killed-{self.compared}"
        runs, started = self._folder / name, self.begin(name)
        while len(self.lost) < n:
            moment, which = self._chance.uniform(0, self.seconds), self._chance.randrange(2)
            found = kill_one(started, runs, moment, self._chance.random() < 0.5, which)
            if found is None:
                break
            self.lost.append(found)
            show(f"killed {len(self.lost)} of {n} times")
            made = [path.parent for path in runs.glob("*/config.json")]
            if made and not (made[0] / UNFINISHED).exists():
                started = []
                break  # the first process had just ended
            self.writing += any(runs.glob(f"*/checkpoints/*/{WRITING}"))
            started = start("resume", str(made[0])) if made else self.begin(name)
        self.wrong += self.failures(name, started)
        differing = compare(self.whole, newest_run(runs)).different
        self.wrong += [f"{name}: {file}: {what}" for file, what in differing.items()]
        self.compared += 1

    def resume_alone(self) -> None:
        """Kill a process in the middle of a run, and resume it in one process."""
        runs = self._folder / "alone"
        started = self.begin("alone")
        if kill_one(started, runs, self.seconds / 2, False, 1) is None:
            ended(started)
            self.wrong.append("no run was left to be resumed in one process")
            return
        run = newest_run(runs)
        command = [sys.executable, "-m", "experiments", "resume", str(run)]
        alone = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if alone.returncode:
            self.wrong.append(f"resumed in one process: status {alone.returncode}: {alone.stderr[-500:]}")
        elif not np.allclose(reports(run), reports(self.whole), rtol=CLOSE, atol=1e-6):
            self.wrong.append(f"resumed in one process: reports differ by more than {CLOSE:g}")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench lost-processes", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="default: 50")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default: 0)")
    options = parser.parse_args(argv)
    if options.kills < 1:
        parser.error(f"--kills must be at least 1, got {options.kills}")
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder), random.Random(options.seed))
        while len(trial.lost) < options.kills and not trial.wrong:
            trial.disturb(options.kills)
        show("")
        if not trial.wrong:
            trial.resume_alone()
    print(
        f"killed {len(trial.lost)} times, {trial.writing} of them while writing a checkpoint, {trial.compared} runs "
        f"compared; the other process ended after at most {max([one.seconds for one in trial.lost], default=0):.1f} s"
    )
    for one in trial.lost[-1:]:
        print(f"  the last line of one: {one.last[:200]}")
    late = [one for one in trial.lost if one.seconds > LIMIT or one.status == 0]
    wrong = trial.wrong + [f"the other ended after {one.seconds:.1f} s with status {one.status}" for one in late]
    print("all promises kept" if not wrong else "\n".join(wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
