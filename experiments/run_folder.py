"""A run's results on disk: one folder, never reused, in which every file is complete or absent."""

import json
import math
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

TIMINGS = "timings.txt"
"""Beside config.json and report.html the only file of a run that differs when it is repeated."""


class RunError(Exception):
    """A run that went wrong by itself: it diverged, or its gradients were not right. Its folder is kept."""


class RunFolder:
    """The folder `<runs_dir>/<name>-<date>-<time>` of one run.

    Attributes:
      path: where it is.
      pictures: the caption of each picture in it, by file name.
      listeners: who else is told each line of metrics.
    """

    def __init__(self, runs_dir: Path, name: str, now: datetime) -> None:
        runs_dir.mkdir(parents=True, exist_ok=True)
        self.path = _new_folder(runs_dir / f"{name}-{now:%Y%m%d-%H%M%S}")
        self.pictures: dict[str, str] = {}
        self.listeners: list[Callable[[dict[str, Any]], None]] = []

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file under a temporary name first, so that nobody ever sees half of it."""
        temporary = self.path / f".{name}.part"
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
        with (self.path / TIMINGS).open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def add_picture(self, name: str, png: bytes, caption: str) -> None:
        """Write a picture, and say in a sentence what it shows; `pictures` keeps the captions in order."""
        self.write_bytes(name, png)
        self.pictures[name] = caption

    def log(self, **metrics: Any) -> None:
        """Add a line to metrics.jsonl. It is on disk when this returns, whatever becomes of the run."""
        line = _finite(metrics)
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
        for listen in self.listeners:
            listen(line)


StartRun = Callable[[], RunFolder]
"""An experiment calls it once, when its options and data are read and checked: refused, they leave no folder."""


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


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
