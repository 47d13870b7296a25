"""Early stopping: when to stop, and which report was the best. A rule on reports alone, without state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from jaxnn.constraints import Count, Instance, OneOf, checked

Mode = Literal["min", "max"]
MODE = OneOf(get_args(Mode))
"""The constraint of the direction in which a monitored value improves."""


@checked(
    monitor=Instance(str, "a name in the reports", "'dev_loss'"),
    patience=Count(fix="it counts reports"),
    mode=MODE,
)
@dataclass(frozen=True)
class EarlyStopping:
    """Stop when a monitored value has not improved for some reports, and return to the params of the best one.

    Attributes:
      monitor: a name in the reports: what `evaluate` measures on the dev set, such as "dev_loss".
      patience: how many reports in a row without improvement end the training, at least 1.
      mode: "min" if a smaller value is better, "max" if a larger one is, as for accuracy.

    Raises:
      ValueError: if the monitor is not a string, the patience is below 1, or the mode is another word.

    Example:
      >>> rule = EarlyStopping("dev_loss", patience=5)
      >>> rule.improves({"dev_loss": 0.3}, {"dev_loss": 0.4}), rule.improves({"dev_loss": float("nan")}, None)
      (True, False)

    Source: Prechelt, "Early stopping - but when?", 1998.
    """

    monitor: str
    patience: int = 10
    mode: Mode = "min"

    def improves(self, report: Mapping[str, Any], best: Mapping[str, Any] | None) -> Any:
        """Return whether a report is better than the best so far, or than none; NaN and infinity never are.

        Args:
          report: the monitored value under its name: a number, or an array (n,) for the members of a population.
          best: the same for the best report so far; `None`, or NaN for a member, without one.

        Returns:
          A bool, or an array of them, (n,).

        Raises:
          ValueError: if the report lacks the monitored value.
        """
        OneOf(report, "evaluate can measure more", of="the names in the reports, ").check("monitor", self.monitor)
        sign = -1 if self.mode == "max" else 1
        value, record = sign * np.asarray(report[self.monitor], np.float64), np.nan
        if best is not None:
            record = sign * np.asarray(best[self.monitor], np.float64)
        improved = np.isfinite(value) & ~(value >= record)
        return improved if np.ndim(improved) else bool(improved)
