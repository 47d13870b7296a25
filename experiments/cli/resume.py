"""Resume a run that was interrupted by Ctrl-C, a crash or a full disk; its results are the same, bit for bit.

Trainings continue from their last checkpoints, in the same folder; a training without a checkpoint starts again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments.runs.config import locate_data, read_config
from experiments.runs.environment import changes
from experiments.runs.execution import PlannedRun
from experiments.runs.folder import UNFINISHED, RunFolder
from experiments.runs.options import PROCESS_OPTIONS, MovedOptions
from experiments.runs.page import FILE as PAGE
from experiments.studies.registry import find


@dataclass(frozen=True)
class Options(MovedOptions):
    """The options of `resume`."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The results folder of an interrupted run."""


class ResumedRun(PlannedRun):
    """A run that continues in the folder of an interrupted one.

    Raises:
      ValueError: if the folder is not a run's, the run is finished, its config.json is damaged, or data are missing.
      OSError: if a file cannot be read.
    """

    requires_tracker = False

    def __init__(self, options: Options, log: Callable[[str], None]) -> None:
        run, config = options.run, read_config(options.run, find)
        if not (run / UNFINISHED).exists():
            if (run / PAGE).exists():
                raise ValueError(f"{run} is finished, so there is nothing to resume: its results are in {PAGE}")
            raise ValueError(f"{run} was written by a version without checkpoints: use repeat to run it again")
        located = locate_data(config, options).options
        located = replace(
            located,
            compilation_cache=located.compilation_cache and options.compilation_cache,
            **{name: getattr(options, name) for name in PROCESS_OPTIONS},
        )
        super().__init__(config.study, located, str(config.json.get("command", "")))
        places = {"--data-dir": options.data_dir, "--data": options.data}
        self.moved = [word for flag, place in places.items() if place for word in (flag, str(place))]
        self._run, self._then, self._log = run, config.json, log

    def open_folder(self, environment: dict[str, Any]) -> RunFolder:
        """Reopen the run's folder if its data are the same; log other differences of the environment."""
        now = self._then | environment
        differing = changes(self._then, now, ["data"])
        if differing:
            raise ValueError(
                f"{self._run} was started with other data ({'; '.join(differing)}): restore them, or start a new run"
            )
        differing = changes(self._then, now)
        if differing:
            self._log(f"note: {'; '.join(differing)}: the result may differ in its last digits")
        return RunFolder.reopened(self._run)
