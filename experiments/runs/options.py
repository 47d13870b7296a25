"""The options that all runs share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

OnNan = Literal["stop", "skip"]
"""The option --on-nan, as `jaxnn.fit` takes it."""


@dataclass(frozen=True, kw_only=True)
class CacheOptions:
    """The option of all commands that compile."""

    compilation_cache: bool = True
    """Cache compiled programs in the user's cache folder, for later starts."""


Address = Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT|auto", help_behavior_hint="(default: one process)")]
Number = Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")]


@dataclass(frozen=True, kw_only=True)
class ProcessOptions(CacheOptions):
    """The options of a run in several processes, which do not affect its results."""

    coordinator: Address = None
    """Run in several processes: a host and a free port of process 0, the same in each; "auto" to take this and the two
    numbers from SLURM, Open MPI, Kubernetes or Cloud TPU."""
    processes: Number = None
    """The number of processes; each executes the same command."""
    process: Number = None
    """Which of them this is, from 0; process 0 writes the run's folder."""
    report_seconds: float = 1800.0
    """Of several processes: seconds without a report after which all end, since one is stuck. A report is made after
    some epochs, which must not take as long."""


PROCESS_OPTIONS = ("coordinator", "processes", "process", "report_seconds")
"""Their names: config.json does not have them."""

Tracker = Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: none)")]


@dataclass(frozen=True, kw_only=True)
class RunOptions(ProcessOptions):
    """The options of all experiments."""

    runs_dir: Path = Path("runs")
    """The folder in which the run's results folder is created."""
    checkpoint_every: float = 60.0
    """Seconds between checkpoints, from which `resume` continues; a shorter run writes none. 0 turns them off."""
    keep: int = 2
    """Number of latest checkpoints that are kept per training; those of a finished run are deleted."""
    tensorboard: bool = False
    """Also write the metrics as an event file for TensorBoard; needs tensorboardX."""
    track: Tracker = None
    """Also send the metrics to "mlflow", to "wandb" (offline), or to a function MODULE:FUNCTION(folder, config)."""


@dataclass(frozen=True, kw_only=True)
class MovedOptions(ProcessOptions):
    """Options of commands that read a run's data again: their current location."""

    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """The folder of the data files, if it was moved."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Your own data file, if it was moved."""


Text = Annotated[str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint="(default: detected)")]
Names = Annotated[str, tyro.conf.arg(metavar="COLUMNS", help_behavior_hint="")]
BatchSize = Annotated[
    int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="(default: 32, or all examples if there are fewer)")
]


def batch_size_of(given: int | None, m: int) -> int:
    """Return the batch size for m training examples: the given one, or else min(32, m).

    Raises:
      ValueError: if the given one is not from 1 to m.
    """
    if given is None:
        return min(32, m)
    if not 1 <= given <= m:
        raise ValueError(f"--batch-size must be from 1 to {m}, the size of the training set, got {given}")
    return given


def check_at_least_one(name: str, value: int) -> None:
    """Raise a ValueError unless the option's value is at least 1, and an int32."""
    if value < 1:
        raise ValueError(f"--{name} must be at least 1, got {value}")
    if value >= 2**31:
        raise ValueError(f"--{name} must be at most {2**31 - 1}, got {value}")


def check_seed(seed: int, n: int = 1) -> None:
    """Raise a ValueError unless --seed and the n - 1 seeds after it are int32s of at least 0."""
    if not 0 <= seed <= 2**31 - n:
        raise ValueError(f"--seed must be from 0 to {2**31 - n}, got {seed}")
