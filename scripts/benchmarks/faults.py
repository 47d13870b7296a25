"""Kill real trainings at random moments, and damage their checkpoints: are the results of resumed runs the same?

A training process is killed by SIGKILL, half of the times at any moment and half of the times while it writes a
checkpoint; then it is resumed and killed again, until it ends, and the next training starts. Its results must equal
those of an undisturbed run, bit for bit, and each resume must continue from the newest complete checkpoint.
"""

import argparse
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from experiments.cli.repeat import compare
from experiments.runs.folder import UNFINISHED

ROOT = Path(__file__).resolve().parents[2]
TRAININGS = {
    # Two populations, one after the other.
    "sweep": "sweep digits --learning-rate 1e-3..1e-2:3 --activation relu,tanh --seed 0,1 --epochs 60",
    # One training after the other, with early stopping.
    "ladder": "run ladder --epochs 40 --patience 5 --no-time-steps",
}
EVERY = "0.05"
"""Seconds between checkpoints."""
WRITING = "*.orbax-checkpoint-tmp"


class Kill(NamedTuple):
    """A killed process, and the checkpoints that it left.

    Attributes:
      writing: whether it was writing a checkpoint.
      newest: the epoch of the newest complete checkpoint of each training that has one.
    """

    writing: bool
    newest: dict[str, int]


class Faults:
    """A training with an undisturbed run, with which disturbed ones are compared.

    Args:
      name: a name of `TRAININGS`.
      folder: the folder of its runs.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.run("undisturbed")  # fills the compilation cache
        began = time.perf_counter()
        self.whole = self.run("undisturbed")
        self.seconds = time.perf_counter() - began

    def run(self, runs: str, *flags: str) -> Path:
        """Execute an uninterrupted run below the folder `runs`."""
        status, _, errors = finished(self.start(runs, *flags))
        if status:
            raise RuntimeError(f"{TRAININGS[self.name]} ended with status {status}: {errors}")
        return newest_run(self.folder / runs)

    def start(self, runs: str, *flags: str) -> subprocess.Popen:
        """Start a training process with its results below the folder `runs`."""
        return process(*TRAININGS[self.name].split(), "--runs-dir", str(self.folder / runs), *flags)

    def differs(self, run: Path) -> list[str]:
        """Return the differences of a run's results from the undisturbed ones."""
        return [f"{file}: {what}" for file, what in compare(self.whole, run).different.items()]


def process(*argv: str) -> subprocess.Popen:
    """Start `python -m experiments` with these arguments."""
    command = [sys.executable, "-m", "experiments", *argv]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(running: subprocess.Popen) -> tuple[int, str, str]:
    """Wait for the process; return its status, stdout and stderr."""
    out, errors = running.communicate()
    return running.returncode, out, errors


def newest_run(runs: Path) -> Path:
    """Return the newest run's folder."""
    return max(runs.iterdir(), key=lambda path: path.stat().st_mtime_ns)


def kill(running: subprocess.Popen, runs: Path, seconds: float, in_writing: bool) -> bool:
    """Kill a process after these seconds, or at the next checkpoint after them; return False if it ended before."""
    if not reached([running], runs, seconds, in_writing):
        return False
    running.kill()
    return running.wait() == -signal.SIGKILL


def reached(running: list[subprocess.Popen], runs: Path, seconds: float, in_writing: bool) -> bool:
    """Wait these seconds, or for the next checkpoint after them; return False if a process ended before."""
    end = time.monotonic() + seconds
    while all(one.poll() is None for one in running):
        if time.monotonic() >= end and (not in_writing or any(runs.glob(f"*/checkpoints/*/{WRITING}"))):
            return True
        time.sleep(0.0005)
    return False


def newest_checkpoints(run: Path) -> dict[str, int]:
    """Return the epoch of the newest complete checkpoint of each training."""
    epochs = {}
    for folder in run.glob("checkpoints/*"):
        numbers = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
        if numbers:
            about = (folder / str(max(numbers)) / "about" / "metadata").read_text()
            epochs[folder.name] = json.loads(about)["epoch"]
    return epochs


def kills(faults: Faults, n: int, chance: random.Random, show: Callable[[str], None]) -> tuple[list[Kill], list[str]]:
    """Kill n times, over as many runs as necessary; return the kills and the failures."""
    done: list[Kill] = []
    wrong: list[str] = []
    runs_begun = 0
    while len(done) < n:
        runs_begun += 1
        runs, newest = faults.folder / f"killed-{runs_begun}", {}
        running = faults.start(runs.name, "--checkpoint-every", EVERY)
        while len(done) < n:
            killed = kill(running, runs, chance.uniform(0, faults.seconds), chance.random() < 0.5)
            if not killed:
                break
            errors = finished(running)[2]
            if not any(runs.glob("*/config.json")):
                done.append(Kill(False, {}))
                running = faults.start(runs.name, "--checkpoint-every", EVERY)
                continue
            run = newest_run(runs)
            if not (run / UNFINISHED).exists():
                break  # the run had just ended
            before, newest = newest, newest_checkpoints(run)
            wrong += resumed_elsewhere(runs, errors, before, newest)
            done.append(Kill(any(run.glob(f"checkpoints/*/{WRITING}")), newest))
            show(f"{faults.name}: killed {len(done)} of {n} times, {runs_begun} runs")
            running = process("resume", str(run))
        status, _, errors = finished(running)
        if status == 0:
            wrong += resumed_elsewhere(runs, errors, newest)
        wrong += [f"{runs.name}: {what}" for what in faults.differs(newest_run(runs))]
        if status not in (0, -signal.SIGKILL) or "damaged" in errors:
            wrong.append(f"{runs.name}: status {status}: {errors.strip()}")
    return done, wrong


def resumed_elsewhere(
    runs: Path, errors: str, newest: dict[str, int], after: dict[str, int] | None = None
) -> list[str]:
    """Return the trainings that a process did not resume from the newest complete checkpoint.

    A process that ended has logged each resumed training. For a killed process, `after` has the checkpoints that it
    left, which must not be older than those that it found.
    """
    logged = re.findall(r"^(\S+): resumed after epoch (\d+)$", errors, re.MULTILINE)
    logged = {name: int(epoch) for name, epoch in logged}
    wrong = [
        f"{runs.name}: {name} resumed after epoch {logged.get(name, 'none')}, but had a checkpoint of epoch {epoch}"
        for name, epoch in newest.items()
        if logged.get(name, epoch if after else None) != epoch
    ]
    wrong += [f"{runs.name}: {name} was resumed without a checkpoint" for name in logged.keys() - newest.keys()]
    if after is not None:
        wrong += [
            f"{runs.name}: {name} had a checkpoint of epoch {epoch}, and later of {after.get(name)}"
            for name, epoch in newest.items()
            if after.get(name, -1) < epoch
        ]
    return wrong


def interrupted(faults: Faults, runs: str) -> Path:
    """Start a run, stop it by Ctrl-C after some checkpoints, and return its folder."""
    running = faults.start(runs, "--checkpoint-every", EVERY)
    while running.poll() is None and not any((faults.folder / runs).glob("*/checkpoints/*/[2-9]")):
        time.sleep(0.001)
    running.send_signal(signal.SIGINT)
    status, _, errors = finished(running)
    if status != 130:
        raise RuntimeError(f"Ctrl-C ended {faults.name} with status {status}: {errors}")
    return newest_run(faults.folder / runs)


def flip(file: Path, chance: random.Random) -> None:
    """Flip one bit of the file."""
    data = bytearray(file.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)


def truncate(file: Path, chance: random.Random) -> None:
    """Truncate the file at a random position."""
    file.write_bytes(file.read_bytes()[: chance.randrange(file.stat().st_size)])


DAMAGE = {"flipped": flip, "truncated": truncate, "deleted": lambda file, chance: file.unlink()}


def damages(faults: Faults, chance: random.Random) -> list[str]:
    """Flip a bit of the newest checkpoint's largest file, truncate it, delete it; return the failures of resuming."""
    wrong = []
    whole = interrupted(faults, "to-damage")
    for how, damage in DAMAGE.items():
        run = faults.folder / f"damaged-{how}" / whole.name
        shutil.copytree(whole, run)
        (newest,) = sorted(run.glob("checkpoints/*/*"), key=lambda path: (path.stat().st_mtime_ns, path.name))[-1:]
        files = [path for path in newest.rglob("*") if path.is_file()]
        damage(max(files, key=lambda path: path.stat().st_size), chance)
        status, _, errors = finished(process("resume", str(run)))
        # A flipped bit may be harmless.
        noticed = "is damaged, and was set aside" in errors or how == "flipped"
        wrong += [f"{how}: {what}" for what in faults.differs(run)] if status == 0 and noticed else [f"{how}: {errors}"]
    return wrong


def full_disk(faults: Faults, disk: Path) -> list[str]:
    """Fill the disk during a run, free space, and resume; return the failures."""
    filler, runs = disk / "filler", disk / "runs"
    running = process(
        *TRAININGS[faults.name].split(), "--runs-dir", str(runs), "--checkpoint-every", EVERY, "--no-compilation-cache"
    )
    while running.poll() is None and not any(runs.glob("*/checkpoints/*/2")):
        time.sleep(0.001)
    fill(filler)
    status, _, errors = finished(running)
    if status != 2 or "No space left on device" not in errors or "to continue" not in errors:
        return [f"full disk: status {status}: {errors.strip()}"]
    filler.unlink()
    return resumed(faults, newest_run(runs), "full disk")


def fill(filler: Path) -> None:
    """Write until the disk is full."""
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def read_only(faults: Faults, disk: Path) -> list[str]:
    """Resume a run on a read-only disk, and again when it is writable; return the failures."""
    run = disk / "read-only"
    shutil.copytree(interrupted(faults, "to-protect"), run)
    before = contents(run)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    status, _, errors = finished(process("resume", str(run)))
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    if status != 2 or "Read-only file system" not in errors or contents(run) != before:
        return [f"read-only: status {status}, files changed: {contents(run) != before}: {errors.strip()}"]
    return resumed(faults, run, "read-only")


def contents(run: Path) -> dict[str, bytes]:
    """Return the contents of every file of a run."""
    return {str(path): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


def resumed(faults: Faults, run: Path, what: str) -> list[str]:
    """Resume a run; return the failures."""
    status, _, errors = finished(process("resume", str(run)))
    return [f"{what}: {failure}" for failure in (faults.differs(run) if status == 0 else [errors.strip()])]


DISKS = {
    "a full disk: a clear message, and resumed once there is space": full_disk,
    "a read-only disk: a clear message, no file changed, and resumed once it is writable": read_only,
}


@contextmanager
def small_disk() -> Iterator[Path | None]:
    """Yield a disk in memory with space for one run, or `None` if this user cannot mount one."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
            yield None
            return
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="kills of each training (default: 100)")
    parser.add_argument("--training", choices=TRAININGS, action="append", help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments and bits (default: 0)")
    options = parser.parse_args(argv)
    if options.kills < 1:
        parser.error(f"--kills must be at least 1, got {options.kills}")
    wrong: list[str] = []
    for name in options.training or TRAININGS:
        chance = random.Random(options.seed)
        with tempfile.TemporaryDirectory() as folder:
            faults = Faults(name, Path(folder))
            done, failures = kills(faults, options.kills, chance, show)
            show("")
            writing, without = sum(kill.writing for kill in done), sum(not kill.newest for kill in done)
            print(
                f"{name}: killed {len(done)} times, {writing} of them while writing a checkpoint, {without} before the "
                "first one"
            )
            report("every resume continued from the newest complete checkpoint, to the same results", failures)
            failures += report(
                "a flipped bit, a truncated or deleted file: the previous checkpoint is used", damages(faults, chance)
            )
            for promise, broken_by in DISKS.items():
                with small_disk() as disk:
                    if disk is None:
                        print(f"  not tried, since this user cannot mount a disk: {promise}")
                    else:
                        failures += report(promise, broken_by(faults, disk))
            wrong += failures
    print(f"{'all promises kept' if not wrong else f'{len(wrong)} failures'}")
    return 1 if wrong else 0


def show(line: str) -> None:
    """Show progress in one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r{line:70}", end="" if line else "\r", file=sys.stderr, flush=True)


def report(promise: str, wrong: list[str]) -> list[str]:
    """Print whether a promise is kept; return the failures."""
    print(f"  {'kept' if not wrong else 'BROKEN'}: {promise}", *(f"    {what}" for what in wrong), sep="\n", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
