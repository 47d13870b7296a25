"""Go on with a run that was interrupted, by Ctrl-C, a crash or a full disk, to the same end, bit for bit.

Trainings go on from their last checkpoints; what has none yet is done again. The folder stays the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.options import CacheOptions
from experiments.recorded import recorded
from experiments.run_folder import UNFINISHED, RunFolder
from experiments.run_page import FILE as PAGE
from experiments.running import Start, surroundings


@dataclass(frozen=True)
class Options(CacheOptions):
    """What to go on with."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The results folder of an interrupted run."""


class Resumed(Start):
    """Goes on in the folder of a run that was interrupted.

    Raises:
      ValueError, OSError: it is no run, it has ended, or its config.json is damaged.
    """

    def __init__(self, run: Path, say: Callable[[str], None]) -> None:
        asked = recorded(run)
        if not (run / UNFINISHED).exists():
            raise ValueError(f"{run} is finished, there is nothing to go on with: {PAGE} in it shows what came of it")
        super().__init__(asked.experiment, asked.options, str(asked.config.get("command", "")))
        self._run, self._config_then, self._say = run, asked.config, say

    def open_folder(self) -> RunFolder:
        """The run's own; says so where something is not as it was."""
        # Not before: an experiment may choose JAX's devices first.
        now = surroundings()
        others = [
            f"{name} {was!r}, now {now[part].get(name)!r}"
            for part in ("versions", "device")
            if isinstance(then := self._config_then.get(part), dict)
            for name, was in then.items()
            if now[part].get(name) != was
        ]
        if others:
            self._say(f"note: the run began with {', '.join(others)}: its result may differ in the last digits")
        return RunFolder.reopened(self._run)
