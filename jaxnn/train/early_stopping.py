"""Early stopping: when to leave off, and which report was the best. A rule on reports alone, without a state."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jaxnn.validation import check_flag, described, is_count


@dataclass(frozen=True)
class EarlyStopping:
    """Stop where a measure has not improved for some reports, and go back to the params of the best one.

    Attributes:
      measure: a name in the reports: what `evaluate` measures on the dev set, such as "dev_loss".
      patience: how many reports in a row may bring nothing better before training stops, at least 1.
      highest: whether more is better, as for accuracy; by default less is.

    Raises:
      ValueError: a measure that is no name, a patience below 1, or another word than True or False.

    Example:
      >>> rule = EarlyStopping("dev_loss", patience=5)
      >>> rule.improves({"dev_loss": 0.3}, {"dev_loss": 0.4}), rule.improves({"dev_loss": float("nan")}, None)
      (True, False)

    Source: Prechelt, "Early stopping - but when?", 1998.
    """

    measure: str
    patience: int = 10
    highest: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.measure, str):
            raise ValueError(f"measure is {described(self.measure)}, expected a name in the reports: 'dev_loss'")
        if not is_count(self.patience):
            raise ValueError(
                f"patience is a number of reports, a whole number of at least 1, got {described(self.patience)}"
            )
        check_flag("highest", self.highest)

    def improves(self, report: Mapping[str, float], best: Mapping[str, float] | None) -> bool:
        """Whether a report is better than the best so far, or than none; NaN and infinity never are.

        Raises:
          ValueError: the report lacks the measure.
        """
        if self.measure not in report:
            raise ValueError(
                f"early stopping watches {self.measure!r}, the reports hold {sorted(report)}: let evaluate measure it"
            )
        sign = -1 if self.highest else 1
        return sign * report[self.measure] < (np.inf if best is None else sign * best[self.measure])
