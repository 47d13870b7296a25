"""Write metrics as an event file in the run's folder, for TensorBoard: `tensorboard --logdir runs`."""

import math
from pathlib import Path
from typing import Any

from experiments.readers.packages import install_command
from experiments.runs.metrics_log import parse_line

_SECONDS_TO_DISK = 5


def check_installed() -> None:
    """Raise a ValueError that names the packages to install if tensorboardX is missing."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise ValueError(f"--tensorboard needs tensorboardX ({error}): {install_command('tensorboardX')}") from None


class EventFile:
    """Write each line of metrics that it is called with: one scalar per number, named training/metric."""

    def __init__(self, folder: Path) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder), flush_secs=_SECONDS_TO_DISK)

    def __call__(self, line: dict[str, Any]) -> None:
        parsed = parse_line(line)
        if parsed is None:
            return
        for metric, value in parsed.values.items():
            if not math.isnan(value):
                self._writer.add_scalar("/".join([*parsed.training, metric]), value, parsed.step)

    def close(self) -> None:
        """Write buffered events."""
        self._writer.close()
