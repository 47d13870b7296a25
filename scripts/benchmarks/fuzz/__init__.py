"""scripts/bench fuzz: damaged files through every reader; each must be read correctly, or rejected with one error.

Each file is a valid one with damage to its bytes, or to the content under compression and checksums; there are also
decompression bombs, small files that declare much data. Readers run in separate processes, whose memory may grow by
1 GB. A file is wrong if it ends the process, takes 2 s of processor time (or 20 s of waiting) or 1 GB, raises another
error, or if numbers differ although the payload is undamaged. Wrong files are kept, and the exit status is 1. Needs
Linux.
"""

import argparse
import multiprocessing
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from scripts.benchmarks.fuzz.formats import FORMATS
from scripts.benchmarks.fuzz.worker import MOST_MEMORY, Outcome, Task, work

SECONDS = 2.0
_SECONDS_ASLEEP = 20.0
_WORKERS = 2
WRONG = ("wrong values", "wrong exception", "hang", "crash", "memory")


class Tally(NamedTuple):
    """The results of a format: counts by outcome, the wrong files with messages, the slowest in seconds, the peak."""

    counts: Counter
    wrong: list[tuple[Task, Outcome]]
    slowest: float
    memory: int


class Watched:
    """A worker process, which is restarted if it ends."""

    def __init__(self, names: Sequence[str], folder: Path, target: Callable[..., None] = work) -> None:
        self.names, self.folder, self.target = names, folder, target
        folder.mkdir()
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        self.connection, end = context.Pipe()
        self.process = context.Process(target=self.target, args=(end, self.names, self.folder), daemon=True)
        self.process.start()
        end.close()
        if self.connection.recv() != "ready":
            raise RuntimeError("the worker did not start")

    def read(self, task: Task) -> tuple[Outcome, float]:
        """Return the outcome of a file, and the seconds it took."""
        self.connection.send(task)
        try:
            self.connection.recv()
            began, cpu = time.perf_counter(), _cpu_seconds(self.process.pid)
            while not self.connection.poll(0.2):
                waited = time.perf_counter() - began
                if _cpu_seconds(self.process.pid) - cpu > SECONDS or waited > _SECONDS_ASLEEP:
                    self._restart()
                    return Outcome("hang", f"after {waited:.1f} s", 0), waited
            outcome, used = self.connection.recv(), _cpu_seconds(self.process.pid) - cpu
        except EOFError:
            self.process.join()
            status = self.process.exitcode
            self._restart()
            return Outcome("crash", f"exit status {status}", 0), 0.0
        if used > SECONDS:
            outcome = Outcome("hang", f"{used:.1f} s of processor time", outcome.memory)
        elif outcome.memory > MOST_MEMORY:
            outcome = Outcome("memory", f"{outcome.memory / 2**20:.0f} MB", outcome.memory)
        return outcome, used

    def _restart(self) -> None:
        self.close()
        self._start()

    def close(self) -> None:
        """End the worker."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def _cpu_seconds(pid: int) -> float:
    """Return the processor time of the process and of those it has waited for, which other load does not affect."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def fuzz(names: Sequence[str], files: int, seed: int, keep: Path, *, bombs: bool = True) -> dict[str, Tally]:
    """Read this number of damaged files, distributed over the formats, and the bombs; copy wrong ones to `keep`."""
    shares = {name: FORMATS[name].share for name in names}
    last = {name: round(files * shares[name] / sum(shares.values())) for name in names}
    first = {name: -len(FORMATS[name].bombs) if bombs else 0 for name in names}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(_WORKERS) as pool:
        watched = list(pool.map(lambda i: Watched(names, Path(folder) / f"worker {i} é"), range(_WORKERS)))
        try:
            return {
                name: _fuzz_format(name, range(first[name], last[name]), seed, keep, watched, pool) for name in names
            }
        finally:
            for each in watched:
                each.close()


def _fuzz_format(
    name: str, numbers: range, seed: int, keep: Path, watched: Sequence[Watched], pool: ThreadPoolExecutor
) -> Tally:
    def read(i: int) -> Tally:
        path = watched[i].folder / FORMATS[name].file
        counts, wrong, slowest, memory = Counter(), [], 0.0, 0
        for number in numbers[i :: len(watched)]:
            task = Task(name, seed, number, str(path))
            outcome, seconds = watched[i].read(task)
            counts[outcome.kind] += 1
            slowest, memory = max(slowest, seconds), max(memory, outcome.memory)
            if outcome.kind in WRONG:
                wrong.append((task, outcome))
                keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, keep / f"{name} {seed} {number} {path.name}")
        return Tally(counts, wrong, slowest, memory)

    parts = list(pool.map(read, range(len(watched))))
    counts = sum((part.counts for part in parts), Counter())
    wrong = [each for part in parts for each in part.wrong]
    return Tally(counts, wrong, max(part.slowest for part in parts), max(part.memory for part in parts))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=21_000, help="number over all formats (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the damage (default: %(default)s)")
    parser.add_argument("--format", action="append", choices=FORMATS, help="only this one; may be repeated")
    parser.add_argument("--keep", type=Path, default=Path("runs/fuzz"), metavar="DIR", help="folder for wrong files")
    options = parser.parse_args(argv)
    began = time.perf_counter()
    tallies = fuzz(options.format or list(FORMATS), options.files, options.seed, options.keep)
    columns = ("format", "files", "read", "rejected", *WRONG, "slowest", "peak memory")
    print(_line(columns, columns))
    total = Counter()
    for name, tally in tallies.items():
        total += tally.counts
        cells = (name, tally.counts.total(), *(tally.counts[kind] for kind in columns[2:-2]))
        print(_line((*cells, f"{tally.slowest:.2f} s", f"{tally.memory / 2**20:.0f} MB"), columns))
    for name, tally in tallies.items():
        for task, outcome in tally.wrong[:20]:
            print(f"{name} {task.number}: {outcome.kind}: {outcome.message}")
    wrong = sum(total[kind] for kind in WRONG)
    kept = f"; kept in {options.keep}" if wrong else ""
    print(
        f"{total.total()} files in {time.perf_counter() - began:.0f} s: {total['read']} read correctly, "
        f"{total['rejected']} rejected, {wrong} wrong{kept}"
    )
    return int(wrong > 0)


def _line(cells: Sequence[object], columns: Sequence[str]) -> str:
    first, *rest = (f"{cell!s:>{len(column) + 2}}" for cell, column in zip(cells, columns, strict=True))
    return f"{first.strip():12}" + "".join(rest)
