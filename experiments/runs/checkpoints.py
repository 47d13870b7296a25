"""The checkpoints of a run on disk: when one is written, and what makes a run stop at one.

What is written, and how it is read again, is `checkpoint_store`'s.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.runs.folder import CHECKPOINTS
from experiments.runs.interrupts import Stopped, raising

if TYPE_CHECKING:
    import jaxnn


STOPPING = "stopping at the next report, where resume begins; Ctrl-C again stops at once"


class RunCheckpoints:
    """Those of all trainings of a run, each in a folder of its own below `<run>/checkpoints`.

    A training that has ended since the last writing is written along with the one that is under way, so that a run that
    is picked up trains none again that was there.

    Args:
      every: seconds from one writing to the next, and before the first; 0 for no checkpoints at all.
      keep: how many of a training are kept, the latest.
      say: told what went wrong with a checkpoint, in a line.
    """

    def __init__(self, every: float, keep: int, say: Callable[[str], None]) -> None:
        self._every, self._keep, self._say = every, keep, say
        self._folder: Path | None = None
        self._written = time.monotonic()
        self._ended: dict[str, jaxnn.train.Checkpoint] = {}
        self._stores: dict[str, Any] = {}
        self._training = False
        self._asked: int | None = None
        self._said: set[str] = set()

    def begin(self, run: Path) -> None:
        """In the folder of that run."""
        self._folder = run / CHECKPOINTS

    def of(self, training: str) -> "jaxnn.Checkpointer | None":
        """What `fit` and its kind take as `checkpoints`. Names differ within a run, and are those of its next start."""
        if not self._every:
            return None
        if training in self._stores:
            raise ValueError(f"two trainings of a run are called {training!r}: checkpoints need names of their own")

        found = None

        def load(start):
            nonlocal found
            self._training = True
            # Orbax takes a while to import, so it waits for the first checkpoint.
            self._stores[training] = None
            if not (self._folder / training).is_dir():
                return None
            found = self._store(training).load(start)
            if found is not None and found.history:
                self._say(f"{training}: picked up after epoch {found.history[-1]['epoch']}")
            return found

        def save(make, ended):
            if ended and not _same_report(checkpoint := make(), found):
                self._ended[training] = checkpoint
            if self._asked is not None or time.monotonic() - self._written >= self._every:
                self._write(self._ended if ended else self._ended | {training: make()})
            # Last: until here, a signal waits.
            self._training = not ended
            if self._asked is not None:
                self.write_ended()
                raise Stopped(self._asked)

        import jaxnn  # slow to import, so not for --help

        return jaxnn.Checkpointer(load, save)

    def write_ended(self) -> None:
        """Write what ended since the last writing, and wait for it."""
        self._write(self._ended)
        self.wait()

    def wait(self) -> None:
        """Until all is on the disk."""
        for training, store in self._stores.items():
            if store is not None:
                self._trying(training, store.wait)

    def stopping_at_one(self) -> AbstractContextManager[None]:
        """While a training is under way, Ctrl-C and SIGTERM wait for its next report; the second does not.

        Before the run has a folder, they do what they did before.
        """
        return raising(self._interrupted, unless=lambda: self._folder is None)

    def _interrupted(self, signum: int) -> Stopped | None:
        if self._training and self._asked is None:
            self._asked = signum
            if sys.stderr.isatty():
                # Over the line of the bar, and not by print: the signal may have come in the middle of one.
                with contextlib.suppress(OSError):
                    os.write(2, f"\r\x1b[2K{STOPPING}\n".encode())
            return None
        return Stopped(signum, at_once=self._asked is not None)

    def _write(self, checkpoints: "dict[str, jaxnn.train.Checkpoint]") -> None:
        for training, checkpoint in checkpoints.items():
            self._trying(training, lambda t=training, c=checkpoint: self._store(t).save(c))
        self._ended = {}
        self._written = time.monotonic()

    def _trying(self, training: str, work: Callable[[], None]) -> None:
        """Checkpointer are for the run's sake: one that cannot be written must not end it."""
        try:
            work()
        except Exception as error:  # orbax and tensorstore raise what they like, RuntimeError to XlaRuntimeError
            line = f"note: no checkpoint of {training} was written, the run goes on: {error}"
            if line not in self._said:  # and so it will be with the next, and the one after it
                self._said.add(line)
                self._say(line)

    def _store(self, training: str) -> Any:
        if self._stores.get(training) is None:
            from experiments.runs.orbax_store import CheckpointStore

            self._stores[training] = CheckpointStore(self._folder / training, self._keep, self._say)
        return self._stores[training]


def _same_report(checkpoint: "jaxnn.train.Checkpoint", found: "jaxnn.train.Checkpoint | None") -> bool:
    """Whether a training that ended has done nothing since it was picked up."""
    return (
        found is not None
        and len(checkpoint.history) == len(found.history)
        and checkpoint.stopped_by == found.stopped_by
    )
