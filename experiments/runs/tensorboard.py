"""Metrics as an event file in the run's folder, for TensorBoard: `tensorboard --logdir runs`, at any time of a run."""

import math
from pathlib import Path
from typing import Any

from experiments.runs.metrics_log import measured

_SECONDS_TO_DISK = 5


def check_installed() -> None:
    """Raise a ValueError that says what to install, unless it is there."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f'--tensorboard needs tensorboardX ({error}): pip install tensorboardX, or jaxnn with ".[tensorboard]"'
        ) from None


class EventFile:
    """Writes each line of metrics that it is called with: a scalar for each number, named training/metric."""

    def __init__(self, folder: Path) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder), flush_secs=_SECONDS_TO_DISK)

    def __call__(self, line: dict[str, Any]) -> None:
        found = measured(line)
        if found is None:
            return
        for metric, value in found.values.items():
            if not math.isnan(value):
                self._writer.add_scalar("/".join([*found.training, metric]), value, found.step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
