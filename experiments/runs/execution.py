"""A run, from its options to the last page in its folder, whichever command asked for it."""

import contextlib
import importlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from experiments.reports import terminal
from experiments.runs import compilation_cache
from experiments.runs.checkpoints import RunCheckpoints
from experiments.runs.config import FORMAT_VERSION
from experiments.runs.folder import RunError, RunFolder
from experiments.runs.interrupts import Stopped, held
from experiments.runs.options import RunOptions
from experiments.runs.page import write_run_page
from experiments.runs.study import Study
from experiments.runs.tensorboard import EventFile, check_installed


class Start:
    """Makes the run's folder, with its config.json, when the experiment says that its data are in order.

    Args:
      study: what is run.
      options: all of them.
      command: what was typed.

    Attributes:
      folder: the run's, once it is made.
      moved: what `resume` must be told beside the folder: where data are that were elsewhere.
    """

    moved: Sequence[str] = ()

    def __init__(self, study: Study, options: RunOptions, command: str) -> None:
        if not 0 <= options.checkpoint_every < math.inf or options.keep < 1:
            raise ValueError(
                f"--checkpoint-every is a number of seconds and --keep at least 1, got {options.checkpoint_every:g} "
                f"and {options.keep}"
            )
        if options.tensorboard:
            check_installed()
        self.study, self.options, self.command = study, options, command
        self.folder: RunFolder | None = None
        self.checkpoints: RunCheckpoints | None = None
        self._events: EventFile | None = None

    def __call__(self, files: Iterable[Path] = ()) -> RunFolder:
        with held():
            self.folder = self.open_folder(files)
            if self.options.tensorboard:
                self._events = EventFile(self.folder.path)
                self.folder.listeners.append(self._events)
            if self.checkpoints:
                self.checkpoints.begin(self.folder.path)
                self.folder.checkpoints = self.checkpoints.of
        return self.folder

    def open_folder(self, files: Iterable[Path]) -> RunFolder:
        """A new one, and in it what the run was asked for, and in what surroundings; it reads these files."""
        now = datetime.now().astimezone()
        config = {
            "format_version": FORMAT_VERSION,
            "experiment": self.study.name,
            "command": self.command,
            "started": now.isoformat(timespec="seconds"),
            "options": {
                key: str(value.absolute()) if isinstance(value, Path) else value
                for key, value in asdict(self.options).items()
            },
            **importlib.import_module("experiments.runs.environment").surroundings(files),
            "compilation_cache": compilation_cache.in_use(),
        }
        folder = RunFolder.new(self.options.runs_dir, self.study.name, now)
        folder.write_json("config.json", config)
        return folder

    def close(self) -> None:
        """Write what is still to be written of the run."""
        if self._events:
            self._events.close()


def carry_out(start: Start, say: Callable[[str], None]) -> None:
    """The run, and last its page, whatever came of it.

    A run that has ended by itself, well or not, is finished. One that was interrupted, by a signal, a full disk or a
    mistake in the program, stays to be gone on with.
    """
    stopwatch = importlib.import_module("experiments.runs.timing").Stopwatch()
    start.checkpoints = RunCheckpoints(start.options.checkpoint_every, start.options.keep, say)
    noted = importlib.import_module("experiments.runs.divergence").noted(say)
    with start.checkpoints.stopping_at_one(), noted:
        try:
            start.study.run(start.options, start)
            start.checkpoints.wait()
            times = str(stopwatch)  # once: the file has what was printed
            print(terminal.fitted(f"\n{times}"))
            start.folder.add_timings(times)
            write_run_page(start.folder, start.study)
        except BaseException as error:
            if start.folder and start.folder.is_unfinished:
                _leave(start, error)
            raise
        finally:
            start.close()
        with contextlib.suppress(Stopped):  # which came when all was there
            start.folder.finish()


def _leave(start: Start, error: BaseException) -> None:
    reason = "interrupted" if isinstance(error, KeyboardInterrupt) else reason_of(error)
    with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C, which is to stop at once
        # On a full disk, say, no page: what ended the run is what is shown.
        with held(), contextlib.suppress(OSError):
            write_run_page(start.folder, start.study, str(reason) or type(error).__name__)
        if not isinstance(error, RunError) and not getattr(error, "at_once", False):
            start.checkpoints.write_ended()
    if isinstance(error, RunError):
        start.folder.finish()
    else:
        start.folder.leave()


def reason_of(error: object) -> object:
    """What to say of an error: of the system's, which file, and what was wrong with it."""
    named = isinstance(error, OSError) and error.filename is not None and error.strerror
    return f"{error.filename}: {error.strerror}" if named else error
