"""Send metrics to a tracker as they are written: MLflow, Weights and Biases, or a function of one's own.

A tracker is a function of the run's folder and its config.json that returns what is called with each `MetricsLine`, and
closed at the end.
"""

import importlib
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from experiments.readers.packages import install_command
from experiments.runs.metrics_log import MetricsLine, parse_line
from experiments.runs.processes import AgreedError


class Sink(Protocol):
    """Where metrics go."""

    def __call__(self, line: MetricsLine) -> None:
        """Send the values of one line."""

    def close(self) -> None:
        """Send what is buffered; called once, also where a run fails."""


Tracker = Callable[[Path, dict[str, Any]], Sink]


class Tracked:
    """A listener of a run's folder that sends each line of metrics with a step to a tracker.

    A tracker that fails in a run ends the sending, not the training: the run's own files have all metrics.

    Args:
      tracker: makes the sink.
      folder: the run's.
      log: called with a line if the tracker fails later.
      required: whether a tracker that cannot be started is an error; otherwise it is a note. A run that is resumed
        does not require it: its trainings are worth more.

    Raises:
      AgreedError: if it cannot be started.
    """

    def __init__(self, tracker: Tracker, folder: Path, log: Callable[[str], None], *, required: bool = True) -> None:
        self._log = log
        self._sink: Sink | None = None
        try:
            self._sink = tracker(folder, json.loads((folder / "config.json").read_text(encoding="utf-8")))
        except Exception as error:  # of any package
            if required:
                raise AgreedError(f"--track could not be started: {_first_line(error)}") from error
            log(f"note: metrics are not sent to the tracker, which could not be started: {_first_line(error)}")

    def __call__(self, line: dict[str, Any]) -> None:
        parsed = parse_line(line)
        if parsed is not None:
            self._try(lambda sink: sink(parsed))

    def close(self) -> None:
        """Send what is buffered."""
        self._try(lambda sink: sink.close())

    def _try(self, send: Callable[[Sink], None]) -> None:
        if self._sink is None:
            return
        try:
            send(self._sink)
        except Exception as error:  # of any package
            self._sink = None
            self._log(f"note: metrics are no longer sent to the tracker: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}"


def find_tracker(name: str) -> Tracker:
    """Return the tracker of this name, or the function `module:function`, a module of the current folder too.

    Raises:
      ValueError: if there is no such tracker, or its package is missing.
    """
    if name in _TRACKERS:
        package, tracker = _TRACKERS[name]
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ValueError(f"--track {name} needs {package} ({error}): {install_command(package)}") from None
        return tracker
    module, _, function = name.partition(":")
    if not module or not function:
        raise ValueError(f"--track must be one of {', '.join(_TRACKERS)}, or MODULE:FUNCTION, got {name!r}")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # a module may raise anything
        raise ValueError(f"--track {name} must be a function that can be imported: {_first_line(error)}") from None
    if not callable(found):
        raise ValueError(f"--track {name} must be a function tracker(folder, config), got {found!r}")
    return found


def scalars(line: MetricsLine) -> dict[str, float]:
    """Return the finite values of a line, named training/metric."""
    named = {"/".join([*line.training, metric]): value for metric, value in line.values.items()}
    return {name: value for name, value in named.items() if math.isfinite(value)}


class MlflowSink:
    """A run of MLflow, where MLFLOW_TRACKING_URI points; by default MLflow's own store in the current folder."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        import mlflow

        self._mlflow = mlflow
        mlflow.set_experiment(config["experiment"])
        mlflow.start_run(run_name=folder.name)
        mlflow.log_params(_params(config))
        mlflow.set_tag("folder", str(folder.absolute()))

    def __call__(self, line: MetricsLine) -> None:
        if values := scalars(line):
            self._mlflow.log_metrics(values, step=int(line.step))

    def close(self) -> None:
        """End the run."""
        self._mlflow.end_run()


class WandbSink:
    """A run of Weights and Biases, offline unless WANDB_MODE has another value: `wandb sync` sends it later."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        import wandb

        mode = os.environ.get("WANDB_MODE", "offline")
        self._run = wandb.init(
            project=config["experiment"], name=folder.name, config=_params(config), dir=str(folder), mode=mode
        )

    def __call__(self, line: MetricsLine) -> None:
        # Each training of a run counts its steps from 0, and the steps of wandb only grow.
        if values := scalars(line):
            self._run.log({**values, "/".join([*line.training, line.counted]): line.step})

    def close(self) -> None:
        """End the run."""
        self._run.finish()


def _params(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config["options"].items() if value is not None}


_TRACKERS: dict[str, tuple[str, Tracker]] = {"mlflow": ("mlflow", MlflowSink), "wandb": ("wandb", WandbSink)}
