"""Go on with a run that was interrupted, by Ctrl-C, a crash or a full disk, to the same end, bit for bit.

Trainings go on from their last checkpoints; what has none yet is done again. The folder stays the same.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from experiments.runs.config import recorded, with_data
from experiments.runs.environment import changes, surroundings
from experiments.runs.execution import Start
from experiments.runs.folder import UNFINISHED, RunFolder
from experiments.runs.options import MovedOptions
from experiments.runs.page import FILE as PAGE
from experiments.studies.registry import find


@dataclass(frozen=True)
class Options(MovedOptions):
    """What to go on with."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The results folder of an interrupted run."""


class Resumed(Start):
    """Goes on in the folder of a run that was interrupted.

    Raises:
      ValueError, OSError: it is no run, it has ended, its config.json is damaged, or its data are not there.
    """

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        run, asked = options.run, recorded(options.run, find)
        if not (run / UNFINISHED).exists():
            if (run / PAGE).exists():
                raise ValueError(
                    f"{run} is finished, there is nothing to go on with: {PAGE} in it shows what came of it"
                )
            raise ValueError(f"{run} is of a version that kept no checkpoints: repeat does it again")
        there = with_data(asked, options).options
        there = replace(there, compilation_cache=there.compilation_cache and options.compilation_cache)
        super().__init__(asked.study, there, str(asked.config.get("command", "")))
        places = {"--data-dir": options.data_dir, "--data": options.data}
        self.moved = [word for flag, place in places.items() if place for word in (flag, str(place))]
        self._run, self._then, self._say = run, asked.config, say

    def open_folder(self, files: Iterable[Path]) -> RunFolder:
        """The run's own, once it is known that the data are the same; says what else is not."""
        # Not before: an experiment may choose JAX's devices first.
        now = self._then | surroundings(files)
        others = changes(self._then, now, ["data"])
        if others:
            raise ValueError(
                f"{self._run} began with other data ({'; '.join(others)}): put those back, or start a new run"
            )
        others = changes(self._then, now)
        if others:
            self._say(f"note: {'; '.join(others)}: the result may differ in its last digits")
        return RunFolder.reopened(self._run)
