"""Kills real trainings at random moments, and damages what they leave: does every resume end as if nothing had been?

A training process is killed by SIGKILL, half of the times at any moment, half of the times while it writes a
checkpoint, and resumed, and killed again, until it comes to its end; then the next one. Each that ends must be bit for
bit what an undisturbed run is, and each resume must go on from the newest checkpoint that was whole.
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
    """One process that was killed: in what, and what was known of its checkpoints then.

    Attributes:
      writing: whether it was in the middle of writing a checkpoint.
      newest: the epoch of the newest whole checkpoint of each training that has one.
    """

    writing: bool
    newest: dict[str, int]


class Faults:
    """One training, undisturbed once, and then disturbed.

    Args:
      name: of `TRAININGS`.
      folder: where its runs go.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.run("undisturbed")  # which fills the compilation cache
        began = time.perf_counter()
        self.whole = self.run("undisturbed")
        self.seconds = time.perf_counter() - began

    def run(self, runs: str, *flags: str) -> Path:
        """A whole run, in a folder of that name."""
        status, _, errors = finished(self.start(runs, *flags))
        if status:
            raise RuntimeError(f"{TRAININGS[self.name]} ends with status {status}: {errors}")
        return newest_run(self.folder / runs)

    def start(self, runs: str, *flags: str) -> subprocess.Popen:
        """A process that trains, with its results in a folder of that name."""
        return process(*TRAININGS[self.name].split(), "--runs-dir", str(self.folder / runs), *flags)

    def differs(self, run: Path) -> list[str]:
        """In what a run's results are other than the undisturbed ones."""
        return [f"{file}: {what}" for file, what in compare(self.whole, run).different.items()]


def process(*argv: str) -> subprocess.Popen:
    """`python -m experiments` with these arguments."""
    command = [sys.executable, "-m", "experiments", *argv]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(running: subprocess.Popen) -> tuple[int, str, str]:
    """Its status, and what it said on stdout and stderr."""
    out, errors = running.communicate()
    return running.returncode, out, errors


def newest_run(runs: Path) -> Path:
    """The run's folder that was made last."""
    return max(runs.iterdir(), key=lambda path: path.stat().st_mtime_ns)


def kill(running: subprocess.Popen, runs: Path, seconds: float, in_writing: bool) -> bool:
    """Kill it after so many seconds, or, after as many, once it writes a checkpoint; false where it ended before."""
    end = time.monotonic() + seconds
    while running.poll() is None:
        if time.monotonic() >= end and (not in_writing or any(runs.glob(f"*/checkpoints/*/{WRITING}"))):
            running.kill()
            return running.wait() == -signal.SIGKILL
        time.sleep(0.0005)
    return False


def newest_checkpoints(run: Path) -> dict[str, int]:
    """Epoch of the newest whole checkpoint of each training."""
    found = {}
    for folder in run.glob("checkpoints/*"):
        numbers = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
        if numbers:
            about = (folder / str(max(numbers)) / "about" / "metadata").read_text()
            found[folder.name] = json.loads(about)["epoch"]
    return found


def kills(faults: Faults, n: int, chance: random.Random, show: Callable[[str], None]) -> tuple[list[Kill], list[str]]:
    """So many kills, over as many runs as that takes; and what was wrong."""
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
                break  # it had just ended
            before, newest = newest, newest_checkpoints(run)
            wrong += picked_up_elsewhere(runs, errors, before, newest)
            done.append(Kill(any(run.glob(f"checkpoints/*/{WRITING}")), newest))
            show(f"{faults.name}: killed {len(done)} of {n} times, {runs_begun} runs")
            running = process("resume", str(run))
        status, _, errors = finished(running)
        if status == 0:
            wrong += picked_up_elsewhere(runs, errors, newest)
        wrong += [f"{runs.name}: {what}" for what in faults.differs(newest_run(runs))]
        if status not in (0, -signal.SIGKILL) or "damaged" in errors:
            wrong.append(f"{runs.name}: status {status}: {errors.strip()}")
    return done, wrong


def picked_up_elsewhere(
    runs: Path, errors: str, newest: dict[str, int], after: dict[str, int] | None = None
) -> list[str]:
    """The trainings that a process did not go on with from the newest whole checkpoint.

    One that came to its end has told of each that had one; of one that was killed, `after` says what it left, and that
    is never less than it found.
    """
    told = re.findall(r"^(\S+): resumed after epoch (\d+)$", errors, re.MULTILINE)
    told = {name: int(epoch) for name, epoch in told}
    wrong = [
        f"{runs.name}: {name} went on after epoch {told.get(name, 'none')}, and had a checkpoint of epoch {epoch}"
        for name, epoch in newest.items()
        if told.get(name, epoch if after else None) != epoch
    ]
    wrong += [f"{runs.name}: {name} was resumed without a checkpoint" for name in told.keys() - newest.keys()]
    if after is not None:
        wrong += [
            f"{runs.name}: {name} had a checkpoint of epoch {epoch}, and then of {after.get(name)}"
            for name, epoch in newest.items()
            if after.get(name, -1) < epoch
        ]
    return wrong


def interrupted(faults: Faults, runs: str) -> Path:
    """The folder of a run that was stopped by Ctrl-C once it had written some checkpoints."""
    running = faults.start(runs, "--checkpoint-every", EVERY)
    while running.poll() is None and not any((faults.folder / runs).glob("*/checkpoints/*/[2-9]")):
        time.sleep(0.001)
    running.send_signal(signal.SIGINT)
    status, _, errors = finished(running)
    if status != 130:
        raise RuntimeError(f"Ctrl-C ended {faults.name} with status {status}: {errors}")
    return newest_run(faults.folder / runs)


def flip(file: Path, chance: random.Random) -> None:
    """One bit of it."""
    data = bytearray(file.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)


def truncate(file: Path, chance: random.Random) -> None:
    """To a part of it."""
    file.write_bytes(file.read_bytes()[: chance.randrange(file.stat().st_size)])


DAMAGE = {"flipped": flip, "truncated": truncate, "deleted": lambda file, chance: file.unlink()}


def damages(faults: Faults, chance: random.Random) -> list[str]:
    """The largest file of the newest checkpoint flipped, truncated, deleted: what was wrong afterwards."""
    wrong = []
    whole = interrupted(faults, "to-damage")
    for how, damage in DAMAGE.items():
        run = faults.folder / f"damaged-{how}" / whole.name
        shutil.copytree(whole, run)
        (newest,) = sorted(run.glob("checkpoints/*/*"), key=lambda path: (path.stat().st_mtime_ns, path.name))[-1:]
        files = [path for path in newest.rglob("*") if path.is_file()]
        damage(max(files, key=lambda path: path.stat().st_size), chance)
        status, _, errors = finished(process("resume", str(run)))
        # A bit may be flipped where it does no harm.
        said = "is damaged, and was set aside" in errors or how == "flipped"
        wrong += [f"{how}: {what}" for what in faults.differs(run)] if status == 0 and said else [f"{how}: {errors}"]
    return wrong


def full_disk(faults: Faults, disk: Path) -> list[str]:
    """A disk that fills up in the middle of a run, and is given room again."""
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
    """Write until nothing more goes."""
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def read_only(faults: Faults, disk: Path) -> list[str]:
    """A disk that cannot be written, and then can."""
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
    """Every file of it."""
    return {str(path): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


def resumed(faults: Faults, run: Path, what: str) -> list[str]:
    """What is wrong with the end of a run that is resumed."""
    status, _, errors = finished(process("resume", str(run)))
    return [f"{what}: {told}" for told in (faults.differs(run) if status == 0 else [errors.strip()])]


DISKS = {
    "a full disk: a clear message, and on once there is room": full_disk,
    "a read-only disk: a clear message, nothing changed, and on once it can be written": read_only,
}


@contextmanager
def small_disk() -> Iterator[Path | None]:
    """A disk in memory, with room for one run, or `None` where this user cannot mount one."""
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
    parser.add_argument("--kills", type=int, default=100, help="how many of each training (default: 100)")
    parser.add_argument("--training", choices=TRAININGS, action="append", help="only this one; may be given again")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and bits (default: 0)")
    options = parser.parse_args(argv)
    if options.kills < 1:
        parser.error(f"--kills must be at least 1, got {options.kills}")
    wrong: list[str] = []
    for name in options.training or TRAININGS:
        chance = random.Random(options.seed)
        with tempfile.TemporaryDirectory() as folder:
            faults = Faults(name, Path(folder))
            done, found = kills(faults, options.kills, chance, show)
            show("")
            writing, without = sum(kill.writing for kill in done), sum(not kill.newest for kill in done)
            print(
                f"{name}: killed {len(done)} times, {writing} of them while writing a checkpoint, {without} before any"
            )
            report("every resume went on from the newest whole checkpoint, and ended bit for bit", found)
            found += report(
                "a flipped, a truncated, a deleted file: the checkpoint before is taken", damages(faults, chance)
            )
            for promise, broken_by in DISKS.items():
                with small_disk() as disk:
                    if disk is None:
                        print(f"  not tried, since this user may not mount a disk: {promise}")
                    else:
                        found += report(promise, broken_by(faults, disk))
            wrong += found
    print(f"{'all as promised' if not wrong else f'{len(wrong)} promises broken'}")
    return 1 if wrong else 0


def show(line: str) -> None:
    """Progress, in one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r{line:70}", end="" if line else "\r", file=sys.stderr, flush=True)


def report(promise: str, wrong: list[str]) -> list[str]:
    """Print whether a promise was kept; what was wrong."""
    print(f"  {'kept' if not wrong else 'BROKEN'}: {promise}", *(f"    {what}" for what in wrong), sep="\n", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
