"""The folder of a run: it is never reused, and every file in it is complete or absent."""

import json
import math
import os
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.runs.interrupts import delay_signals

if TYPE_CHECKING:
    import jaxnn

METRICS = "metrics.jsonl"
EVENTS = "events.out.tfevents.*"
UNFINISHED = ".unfinished"
LOCK = ".lock"
CHECKPOINTS = "checkpoints"
TIMINGS = "timings.txt"
"""The only result file that differs if a run is repeated, besides config.json and report.html."""


class RunError(Exception):
    """A failed run: it diverged, or its gradients are wrong. Its folder is kept."""


class RunFolder:
    """The folder of one run, locked by this process until `finish`, or the end of the process.

    An unfinished run has a file `.unfinished` in its folder. The process that executes it holds a lock on `.lock`; the
    operating system releases it when the process ends, so that a killed process leaves no lock behind.

    Attributes:
      path: the folder.
      pictures: the caption of each picture in it, by file name.
      drawings: the SVG of each picture that has one, for the page, by file name.
      curves: the file names of the pictures that show the curves of metrics.jsonl and nothing else.
      listeners: called with each line of metrics.
      writes: whether this process writes the folder.
      checkpoints: `checkpoints(training)` returns the checkpointer of the training of that name; `None` if the
        run keeps no checkpoints.
    """

    writes = True

    def __init__(self, path: Path) -> None:
        from filelock import FileLock, Timeout  # slow to import, so not for --help

        self.path = path
        self._lock = FileLock(path / LOCK, timeout=0)
        try:
            self._lock.acquire()
        except Timeout:
            raise ValueError(f"{path} is in use by another process: wait for it, or stop it first") from None
        self.pictures: dict[str, str] = {}
        self.drawings: dict[str, bytes] = {}
        self.curves: set[str] = set()
        self.listeners: list[Callable[[dict[str, Any]], None]] = []
        self._stale: list[Path] = []
        self.checkpoints: Callable[[str], jaxnn.Checkpointer | None] = lambda training: None

    @classmethod
    def new(cls, runs_dir: Path, name: str, now: datetime) -> "RunFolder":
        """Create a new folder `<runs_dir>/<name>-<date>-<time>`."""
        runs_dir.mkdir(parents=True, exist_ok=True)
        folder = cls(_new_folder(runs_dir / f"{name}-{now:%Y%m%d-%H%M%S}"))
        (folder.path / UNFINISHED).touch()
        return folder

    @classmethod
    def reopened(cls, path: Path) -> "RunFolder":
        """Reopen the folder of an interrupted run.

        Its metrics start again at the first line, since resumed trainings repeat all their reports.

        Raises:
          ValueError: if another process is executing the run, or has just finished it.
        """
        folder = cls(path)
        if not (path / UNFINISHED).exists():
            folder.release()
            raise ValueError(f"{path} is finished, so there is nothing to resume")
        folder._stale = [path / METRICS, *path.glob(EVENTS)]
        return folder

    @property
    def is_unfinished(self) -> bool:
        """Return whether the run can be resumed: it has not ended, and its folder was not deleted."""
        return (self.path / UNFINISHED).exists()

    def finish(self) -> None:
        """Mark the run as finished, delete its checkpoints, and unlock the folder."""
        with delay_signals():
            # Until the results are on disk, a run may need its checkpoints, after a power failure for example.
            for path in (*filter(Path.is_file, self.path.iterdir()), self.path):
                _flush(path)
            (self.path / UNFINISHED).unlink(missing_ok=True)
            shutil.rmtree(self.path / CHECKPOINTS, ignore_errors=True)
            self.release()

    def release(self) -> None:
        """Unlock the folder for other processes."""
        with delay_signals():
            self._lock.release()
            (self.path / LOCK).unlink(missing_ok=True)

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file atomically, under a temporary name first."""
        temporary = self.path / f".{name}.part"
        with delay_signals():
            temporary.write_bytes(data)
            os.replace(temporary, self.path / name)

    def write_text(self, name: str, text: str) -> None:
        """Write a text file, in UTF-8."""
        self.write_bytes(name, text.encode())

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file; numbers that are not finite, which JSON lacks, become null."""
        self.write_text(name, json.dumps(_finite(value), indent=2, allow_nan=False) + "\n")

    def add_timings(self, text: str) -> None:
        """Add measured times to timings.txt: the other files must be the same if the run is repeated."""
        with delay_signals(), (self.path / TIMINGS).open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def add_picture(self, name: str, png: bytes, caption: str, *, shows_metrics: bool = False) -> None:
        """Write a picture with a caption; `pictures` keeps the captions in order, and `drawings` its SVG.

        A picture that shows the curves of metrics.jsonl and nothing else is on the page only if JavaScript is off.
        """
        self.write_bytes(name, png)
        self.pictures[name] = caption
        if shows_metrics:
            self.curves.add(name)
        svg = getattr(png, "svg", None)
        if svg is not None:
            self.drawings[name] = svg

    def log(self, **metrics: Any) -> None:
        """Append a line to metrics.jsonl; it is kept even if the process is killed afterwards."""
        while self._stale:
            self._stale.pop().unlink(missing_ok=True)
        line = _finite(metrics)
        with delay_signals(), (self.path / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
        for listen in self.listeners:
            listen(line)


StartRun = Callable[..., RunFolder]
"""A study calls it once, after its options and data are checked: if they are invalid, no folder is created.

The argument is the files of the data, if any, whose digests config.json records.
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
    """Wait until a file, or a folder's list of names, is on disk and not only in memory."""
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
