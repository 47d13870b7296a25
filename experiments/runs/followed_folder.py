"""The folder of a run in the other processes of several: the first one writes it."""

from pathlib import Path
from typing import Any

from experiments.runs.folder import RunFolder


class FollowedFolder(RunFolder):
    """A run's folder that another process has created, locked and writes."""

    writes = False

    def __init__(self, path: Path) -> None:
        self.path, self.pictures, self.drawings, self.curves, self.listeners = path, {}, {}, set(), []
        self.checkpoints = lambda training: None
        self._finished = False

    @property
    def is_unfinished(self) -> bool:
        """Return whether the run has not ended."""
        return not self._finished

    def finish(self) -> None:
        """Remember the end."""
        self._finished = True

    def release(self) -> None:
        """Do nothing: the first process has the lock."""

    def write_bytes(self, name: str, data: bytes) -> None:
        """Do nothing: the first process writes."""

    def add_timings(self, text: str) -> None:
        """Do nothing: the first process writes."""

    def log(self, **metrics: Any) -> None:
        """Do nothing: the first process writes."""
