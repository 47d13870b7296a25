"""Schedule the checkpoints of a run, and stop the run at one if a signal arrives. `orbax_store` stores them."""

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.runs import processes
from experiments.runs.deadline import Deadline
from experiments.runs.folder import CHECKPOINTS
from experiments.runs.interrupts import Stopped, raise_on_signal

if TYPE_CHECKING:
    import jaxnn


STOPPING = "stopping at the next report, from which resume continues; Ctrl-C again stops immediately"


class RunCheckpoints:
    """The checkpoints of all trainings of a run, each in a folder below `<run>/checkpoints`.

    Trainings that ended since the last checkpoint are saved with the current one, so that a resumed run does not train
    them again.

    Args:
      every: the seconds between checkpoints, and before the first; 0 for no checkpoints.
      keep: the number of latest checkpoints that are kept per training.
      log: called with a line about each problem with a checkpoint.
      deadline: of the next report; none by default.
    """

    def __init__(self, every: float, keep: int, log: Callable[[str], None], deadline: Deadline | None = None) -> None:
        self._every, self._keep, self._log = every, keep, log
        self._deadline = deadline or Deadline(math.inf)
        self._folder: Path | None = None
        self._written = time.monotonic()
        self._ended: dict[str, jaxnn.train.Checkpoint] = {}
        self._stores: dict[str, Any] = {}
        self._training = False
        self._signum: int | None = None
        self._logged: set[str] = set()

    def begin(self, run: Path) -> None:
        """Save the checkpoints to the folder of this run."""
        self._folder = run / CHECKPOINTS

    def of(self, training: str) -> "jaxnn.Checkpointer | None":
        """Return the `checkpoints` argument of `fit`; names are unique in a run, and the same if it is resumed."""
        several = processes.count() > 1
        if not self._every and not several:
            return None
        if training in self._stores:
            raise ValueError(f"names of checkpoints must be unique in a run, got {training!r} twice")

        resumed = None

        def load(start):
            nonlocal resumed
            self._training = True
            # Orbax is slow to import: only at the first checkpoint.
            self._stores[training] = None
            start = whole(start)
            self._deadline.extend()
            self._stop_if(*processes.largest(self._signum or 0))
            # One process decides which checkpoint is valid, and all resume from it.
            resumed = self._found(training, start) if not several else self._found_by_first(training, start)
            if resumed is not None and resumed.history:
                self._log(f"{training}: resumed after epoch {resumed.history[-1]['epoch']}")
            return resumed

        def save(make, ended):
            if ended and not _same_report(checkpoint := taken(make), resumed):
                self._ended[training] = checkpoint
            due = bool(self._every) and time.monotonic() - self._written >= self._every
            signum, due, some_ended, some_continue = processes.largest(self._signum or 0, due, ended, not ended)
            if some_ended and some_continue:
                raise processes.AgreedError(
                    f"{training} ended in one process and continues in another, which compute other numbers: all must "
                    "have equal processors"
                )
            if signum or due:
                self._write(self._ended if ended else self._ended | {training: taken(make)})
            # Last, since a signal is delayed until here, also one that came while this was written.
            self._training = not ended
            self._deadline.extend()
            if due and not signum:
                (signum,) = processes.largest(self._signum or 0)
            self._stop_if(signum)

        import jaxnn

        def whole(tree):
            return jaxnn.parallel.gathered(tree) if several else tree

        def taken(make):
            made = make()  # a tree's dictionaries, such as reports, would come back in another order
            return made._replace(state=whole(made.state), best_state=whole(made.best_state))

        return jaxnn.Checkpointer(load, save)

    def _found(self, training: str, start: Any) -> "jaxnn.train.Checkpoint | None":
        return self._store(training).load(start) if (self._folder / training).is_dir() else None

    def _found_by_first(self, training: str, start: Any) -> "jaxnn.train.Checkpoint | None":
        def find():
            found = self._found(training, start)
            if found is None:
                return None
            from experiments.runs.orbax_store import encoded

            return encoded(found)

        sent = processes.from_first(find)
        if sent is None:
            return None
        from experiments.runs.orbax_store import decoded

        return decoded(*sent, start)

    def _stop_if(self, signum: int) -> None:
        """Stop at a report if one of the processes has received a signal."""
        if signum:
            self.write_ended()
            self._deadline.cancel()
            raise Stopped(signum, agreed=True)

    def report(self) -> None:
        """Agree on stopping, with the other processes, unless a training that can be saved does so at its reports."""
        if not self._training:
            self._deadline.extend()
            self._stop_if(*processes.largest(self._signum or 0))

    def write_ended(self) -> None:
        """Save the trainings that ended since the last checkpoint, and wait for it."""
        self._write(self._ended)
        self.wait()

    def wait(self) -> None:
        """Wait until everything is on disk."""
        for training, store in self._stores.items():
            if store is not None:
                self._trying(training, store.wait)

    def stopping_at_one(self) -> AbstractContextManager[None]:
        """Let Ctrl-C and SIGTERM wait for the next report during a training; a second signal does not wait.

        Before the run has a folder, signals are handled as before, unless other processes need the signal too.
        """
        return raise_on_signal(self._interrupted, unless=lambda: self._folder is None and processes.count() == 1)

    def _interrupted(self, signum: int) -> Stopped | None:
        # Of several processes none stops before the others have the signal, at the next report.
        if (self._training or processes.count() > 1) and self._signum is None:
            self._signum = signum
            if sys.stderr.isatty():
                # Over the progress bar's line, and without print, which the signal may have interrupted.
                with contextlib.suppress(OSError):
                    os.write(2, f"\r\x1b[2K{STOPPING}\n".encode())
            return None
        return Stopped(signum, at_once=self._signum is not None)

    def _write(self, checkpoints: "dict[str, jaxnn.train.Checkpoint]") -> None:
        for training, checkpoint in checkpoints.items() if processes.is_first() and self._every else ():
            self._trying(training, lambda t=training, c=checkpoint: self._store(t).save(c))
        self._ended = {}
        self._written = time.monotonic()

    def _trying(self, training: str, work: Callable[[], None]) -> None:
        """Do the work; log a failure, since a checkpoint that cannot be written must not end the run."""
        try:
            work()
        except Exception as error:  # orbax and tensorstore raise many types, from RuntimeError to XlaRuntimeError
            line = f"note: a checkpoint of {training} could not be written, the run continues: {error}"
            if line not in self._logged:  # the next ones are likely to fail in the same way
                self._logged.add(line)
                self._log(line)

    def _store(self, training: str) -> Any:
        if self._stores.get(training) is None:
            from experiments.runs.orbax_store import CheckpointStore

            self._stores[training] = CheckpointStore(self._folder / training, self._keep, self._log)
        return self._stores[training]


def _same_report(checkpoint: "jaxnn.train.Checkpoint", resumed: "jaxnn.train.Checkpoint | None") -> bool:
    """Return whether an ended training has made no progress since it was resumed."""
    return (
        resumed is not None
        and len(checkpoint.history) == len(resumed.history)
        and checkpoint.stopped_by == resumed.stopped_by
    )
