"""The options that all runs share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

OnNan = Literal["stop", "skip"]
"""The option --on-nan, as `jaxnn.fit` takes it."""


@dataclass(frozen=True, kw_only=True)
class CacheOptions:
    """The option of every command that compiles."""

    compilation_cache: bool = True
    """Keep compiled programs in the user's cache folder, where the next start finds them."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(CacheOptions):
    """The options that all experiments share."""

    runs_dir: Path = Path("runs")
    """Where the run's results folder is made."""
    checkpoint_every: float = 60.0
    """Seconds between checkpoints, from which `resume` continues; a shorter run writes none. 0 for never."""
    keep: int = 2
    """How many checkpoints of each training are kept, the latest; those of a finished run are removed."""
    tensorboard: bool = False
    """Write the metrics as an event file for TensorBoard too; needs tensorboardX."""


@dataclass(frozen=True, kw_only=True)
class MovedOptions(CacheOptions):
    """Options of commands that read a run's data again: where they are now."""

    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """The folder with the data files, if it is not where the run had it."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Your own file that the run learned from, if it is not where the run had it."""


Text = Annotated[str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint="(default: detected)")]
Names = Annotated[str, tyro.conf.arg(metavar="COLUMNS", help_behavior_hint="")]
BatchSize = Annotated[
    int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="(default: 32, or all where there are fewer)")
]


def batch_size_of(given: int | None, m: int) -> int:
    """Return the batch size for m training examples: the given one, else 32 or, of fewer examples, all of them.

    Raises:
      ValueError: if one is given that is not from 1 to m.
    """
    if given is None:
        return min(32, m)
    if not 1 <= given <= m:
        raise ValueError(f"--batch-size must be 1 to {m}, the training set, got {given}")
    return given


def check_at_least_one(name: str, value: int) -> None:
    """Raise a ValueError unless the option's value is at least 1, and an int32."""
    if value < 1:
        raise ValueError(f"--{name} must be at least 1, got {value}")
    if value >= 2**31:
        raise ValueError(f"--{name} must be at most {2**31 - 1}, got {value}")
