"""A run's results on disk: one folder, never reused, in which every file is complete or absent."""

import json
import math
import os
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.runs.interrupts import held

if TYPE_CHECKING:
    import jaxnn

METRICS = "metrics.jsonl"
EVENTS = "events.out.tfevents.*"
UNFINISHED = ".unfinished"
LOCK = ".lock"
CHECKPOINTS = "checkpoints"
TIMINGS = "timings.txt"
"""Beside config.json and report.html the only file of a run that differs when it is repeated."""


class RunError(Exception):
    """A run that went wrong by itself: it diverged, or its gradients were not right. Its folder is kept."""


class RunFolder:
    """The folder of one run, which is this process's alone until `finish`, or the process's end.

    While the run is not finished, there is a file `.unfinished` in it. Whoever is at work on it locks `.lock`; the lock
    is the system's and dies with its process, so that one that was killed leaves none behind.

    Attributes:
      path: where it is.
      pictures: the caption of each picture in it, by file name.
      listeners: who else is told each line of metrics.
      checkpoints: `checkpoints(training)` are those of the training of that name, for `fit` and its kind; `None` where
        the run keeps none.
    """

    def __init__(self, path: Path) -> None:
        from filelock import FileLock, Timeout  # slow to import, so not for --help

        self.path = path
        self._lock = FileLock(path / LOCK, timeout=0)
        try:
            self._lock.acquire()
        except Timeout:
            raise ValueError(f"{path} is being written by another process: wait for it, or stop it first") from None
        self.pictures: dict[str, str] = {}
        self.listeners: list[Callable[[dict[str, Any]], None]] = []
        self._stale: list[Path] = []
        self.checkpoints: Callable[[str], jaxnn.Checkpointer | None] = lambda training: None

    @classmethod
    def new(cls, runs_dir: Path, name: str, now: datetime) -> "RunFolder":
        """Make `<runs_dir>/<name>-<date>-<time>`, never one that was there."""
        runs_dir.mkdir(parents=True, exist_ok=True)
        folder = cls(_new_folder(runs_dir / f"{name}-{now:%Y%m%d-%H%M%S}"))
        (folder.path / UNFINISHED).touch()
        return folder

    @classmethod
    def reopened(cls, path: Path) -> "RunFolder":
        """That of a run which was interrupted, to go on in.

        Its metrics start anew with the first line, since trainings that are picked up tell all their reports again.

        Raises:
          ValueError: another process is at it, or has just finished it.
        """
        folder = cls(path)
        if not (path / UNFINISHED).exists():
            folder.leave()
            raise ValueError(f"{path} is finished: there is nothing to go on with")
        folder._stale = [path / METRICS, *path.glob(EVENTS)]
        return folder

    @property
    def is_unfinished(self) -> bool:
        """Whether the run can be resumed: it has not ended, and its folder was not deleted."""
        return (self.path / UNFINISHED).exists()

    def finish(self) -> None:
        """The run has ended by itself: it needs no checkpoints any more, and is nobody's."""
        with held():
            # Until its results have reached the disk itself, a power cut may still send it back to its checkpoints.
            for path in (*filter(Path.is_file, self.path.iterdir()), self.path):
                _flush(path)
            (self.path / UNFINISHED).unlink(missing_ok=True)
            shutil.rmtree(self.path / CHECKPOINTS, ignore_errors=True)
            self.leave()

    def leave(self) -> None:
        """Let others at it."""
        with held():
            self._lock.release()
            (self.path / LOCK).unlink(missing_ok=True)

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file under a temporary name first, so that nobody ever sees half of it."""
        temporary = self.path / f".{name}.part"
        with held():
            temporary.write_bytes(data)
            os.replace(temporary, self.path / name)

    def write_text(self, name: str, text: str) -> None:
        """Write a text file, in UTF-8."""
        self.write_bytes(name, text.encode())

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file; numbers that are not finite, which JSON lacks, become null."""
        self.write_text(name, json.dumps(_finite(value), indent=2, allow_nan=False) + "\n")

    def add_timings(self, text: str) -> None:
        """Add to timings.txt what was measured by the clock: all else that a run writes is the same another time."""
        with held(), (self.path / TIMINGS).open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def add_picture(self, name: str, png: bytes, caption: str) -> None:
        """Write a picture, and say in a sentence what it shows; `pictures` keeps the captions in order."""
        self.write_bytes(name, png)
        self.pictures[name] = caption

    def log(self, **metrics: Any) -> None:
        """Add a line to metrics.jsonl. The system has it when this returns, whatever becomes of the run."""
        while self._stale:
            self._stale.pop().unlink(missing_ok=True)
        line = _finite(metrics)
        with held(), (self.path / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
        for listen in self.listeners:
            listen(line)


StartRun = Callable[..., RunFolder]
"""An experiment calls it once, when its options and data are read and checked: refused, they leave no folder.

It is told the files that the data were read from, where they came from any: config.json identifies them.
"""


def _new_folder(path: Path) -> Path:
    candidate, n = path, 1
    while True:
        try:
            candidate.mkdir()
        except FileExistsError:
            n += 1
            candidate = path.with_name(f"{path.name}-{n}")
        else:
            return candidate


def _flush(path: Path) -> None:
    """Until a file, or a folder's list of names, is on the disk, and not only in the system's memory."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
