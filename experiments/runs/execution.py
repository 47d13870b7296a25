"""Execute a run, from its options to the page in its folder, for every command that starts one."""

import contextlib
import importlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from experiments.reports import terminal
from experiments.runs import compilation_cache, processes
from experiments.runs.checkpoints import RunCheckpoints
from experiments.runs.config import FORMAT_VERSION
from experiments.runs.deadline import Deadline
from experiments.runs.folder import RunError, RunFolder
from experiments.runs.followed_folder import FollowedFolder
from experiments.runs.interrupts import Stopped, delay_signals
from experiments.runs.live_page import LivePage
from experiments.runs.options import PROCESS_OPTIONS, RunOptions
from experiments.runs.page import write_run_page
from experiments.runs.study import Study
from experiments.runs.tensorboard import EventFile, check_installed
from experiments.runs.trackers import Tracked, find_tracker

_OF_A_PROCESS = ("COORDINATOR", "PROCESS", "DEVICE_IDS")
"""In the names of variables of JAX that differ between processes."""


class PlannedRun:
    """A run before it has a folder. The study calls it to create the folder, once options and data are checked.

    Args:
      study: the study to run.
      options: all of its options.
      command: the command line.

    Attributes:
      folder: the run's, once it is created.
      log: called with a line about what is not as it should be.
      resume_command: called without arguments for the command that resumes the run; empty if it cannot be resumed.
      moved: further arguments that `resume` needs, if the data were moved.
      requires_tracker: whether a tracker that cannot be started is an error.
    """

    moved: Sequence[str] = ()
    requires_tracker = True

    def __init__(self, study: Study, options: RunOptions, command: str) -> None:
        if not 0 <= options.checkpoint_every < math.inf or options.keep < 1:
            raise ValueError(
                "--checkpoint-every must be at least 0 seconds and --keep at least 1, got "
                f"{options.checkpoint_every:g} and {options.keep}"
            )
        if options.tensorboard:
            check_installed()
        self._tracker = None if options.track is None else find_tracker(options.track)
        self.study, self.options, self.command = study, options, command
        self.folder: RunFolder | None = None
        self.log: Callable[[str], None] = lambda line: None
        self.resume_command: Callable[[], str] = lambda: ""
        self.checkpoints: RunCheckpoints | None = None
        self._listeners: list[EventFile | Tracked | LivePage] = []

    def __call__(self, files: Iterable[Path] = ()) -> RunFolder:
        environment = importlib.import_module("experiments.runs.environment").describe_environment(files)
        self._check_equal(environment)
        path = processes.from_first(lambda: self._begin(lambda: self.open_folder(environment)))
        if self.folder is None:
            self._begin(lambda: FollowedFolder(Path(path)))
        processes.report()  # a signal that came while data were read
        return self.folder

    def _begin(self, make: Callable[[], RunFolder]) -> str:
        """Make the folder, and return its path for the other processes."""
        with delay_signals():
            self.folder = make()
            if self.folder.writes:
                self._listen(self.folder)
            if self.checkpoints:
                self.checkpoints.begin(self.folder.path)
                self.folder.checkpoints = self.checkpoints.of
            return str(self.folder.path.absolute())

    def _listen(self, folder: RunFolder) -> None:
        """Send the metrics where the options state, and to the page."""
        if self.options.tensorboard:
            self._listeners.append(EventFile(folder.path))
        if self._tracker is not None:
            tracked = Tracked(self._tracker, folder.path, self.log, required=self.requires_tracker)
            self._listeners.append(tracked)
        self._listeners.append(LivePage(folder, self.study, self.resume_command()))
        folder.listeners += self._listeners

    def _check_equal(self, environment: dict[str, Any]) -> None:
        """Raise ValueError unless all processes have the same experiment, code, options, environment and data."""
        digests = {
            "experiment": self.study.name,
            "code": environment["versions"],
            "options": self._recorded(),
            "variables": {
                name: value
                for name, value in environment["environment"].items()
                if name.startswith(("JAX_", "XLA_")) and not any(word in name for word in _OF_A_PROCESS)
            },
            "data": environment["data"],
        }
        processes.check_equal({what: json.dumps(one, sort_keys=True) for what, one in digests.items()})
        machine, kind = environment["machine"], environment["device"]["kind"]
        others = processes.with_another(f"{kind}, {machine['cpu']}, {machine['cores']} cores")
        if others and processes.is_first():
            self.log(
                f"note: {others}: another processor, or number of cores, than in process 0: what each process computes "
                "alone may differ in its last digits"
            )

    def _recorded(self) -> dict[str, Any]:
        """Return the options as config.json has them: without those that no result depends on."""
        return {
            key: str(value.absolute()) if isinstance(value, Path) else value
            for key, value in asdict(self.options).items()
            if key not in PROCESS_OPTIONS
        }

    def open_folder(self, environment: dict[str, Any]) -> RunFolder:
        """Create the folder with its config.json: the options, and the environment with the data files."""
        now = datetime.now().astimezone()
        config = {
            "format_version": FORMAT_VERSION,
            "experiment": self.study.name,
            "command": self.command,
            "started": now.isoformat(timespec="seconds"),
            "options": self._recorded(),
            **environment,
            "compilation_cache": compilation_cache.in_use(),
        }
        folder = RunFolder.new(self.options.runs_dir, self.study.name, now)
        folder.write_json("config.json", config)
        return folder

    def close(self) -> None:
        """Flush the listeners."""
        for listener in self._listeners:
            listener.close()


def execute(run: PlannedRun, log: Callable[[str], None]) -> None:
    """Execute the run and write its page, on success and on failure.

    A run that succeeds or ends with a `RunError` is finished. A run that is interrupted, by a signal, a full disk or a
    bug, can be resumed.
    """
    stopwatch = importlib.import_module("experiments.runs.timing").Stopwatch()
    deadline, run.log = Deadline(run.options.report_seconds), log
    run.checkpoints = RunCheckpoints(run.options.checkpoint_every, run.options.keep, log, deadline)
    divergences = importlib.import_module("experiments.runs.divergence").log_divergences(log)
    deadline.extend()
    agreeing = processes.at_each_report(run.checkpoints.report)
    with run.checkpoints.stopping_at_one(), divergences, agreeing:
        try:
            run.study.run(run.options, run)
            processes.report()  # a signal that came after the last one
            run.checkpoints.wait()
            times = str(stopwatch)  # once, so that the file has the printed times
            print(terminal.wrap(f"\n{times}"))
            run.folder.add_timings(times)
            write_run_page(run.folder, run.study)
        except BaseException as error:
            if run.folder and run.folder.is_unfinished:
                _write_failure(run, error)
            raise
        finally:
            deadline.cancel()
            run.close()
        with contextlib.suppress(Stopped):  # everything is written already
            run.folder.finish()


def _write_failure(run: PlannedRun, error: BaseException) -> None:
    """Write the page and the last checkpoints of a run that ended with an error, and release its folder."""
    reason = "interrupted" if isinstance(error, KeyboardInterrupt) else describe_error(error)
    with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C stops immediately
        # If the page cannot be written, on a full disk for example, the first error is still the one to show.
        with delay_signals(), contextlib.suppress(OSError):
            resume = "" if isinstance(error, RunError) else run.resume_command()
            write_run_page(run.folder, run.study, str(reason) or type(error).__name__, resume=resume)
        if not isinstance(error, RunError) and not getattr(error, "at_once", False):
            run.checkpoints.write_ended()
    if isinstance(error, RunError):
        run.folder.finish()
    else:
        run.folder.release()


def describe_error(error: object) -> object:
    """Return the message for an error; for one of the operating system, the file and the reason."""
    named = isinstance(error, OSError) and error.filename is not None and error.strerror
    return f"{error.filename}: {error.strerror}" if named else error
