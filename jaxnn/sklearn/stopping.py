"""When a training has converged: scikit-learn's rules, as callbacks of `fit` and of `fit_population`."""

from typing import Any

import numpy as np

from jaxnn.train.early_stopping import EarlyStopping


class Tolerance:
    """Whether a value has failed to fall by `tol` in more than `n_iter_no_change` epochs in a row.

    Epochs are compared with the least value so far, so that a slow descent ends too. It holds for one value, and
    element by element for those of the members of a population.

    Args:
      tol: by how much a value must be lower than the least one, a number or (n,).
      n_iter_no_change: how many epochs may be without, a number or (n,).
    """

    def __init__(self, tol: Any, n_iter_no_change: Any):
        self._tol, self._most = np.asarray(tol), np.asarray(n_iter_no_change)
        self.least = np.full(np.broadcast(self._tol, self._most).shape, np.inf)
        self._without = np.zeros(self.least.shape)

    def ended(self, value: Any) -> Any:
        """Return whether to stop after an epoch of this value."""
        self._without = np.where(value > self.least - self._tol, self._without + 1, 0)
        self.least = np.fmin(self.least, value)
        return self._without > self._most


class EachAtItsEnd(EarlyStopping):
    """Stop each member of a population when its loss has converged, and return it as it was then.

    An epoch counts as the best one until the rule ends the member, which is noticed one epoch later: the state that is
    returned is that of the end, and `best_epoch` the number of epochs until then.
    """

    rule: Tolerance
    running: np.ndarray

    def __init__(self, rule: Tolerance):
        super().__init__("loss", patience=1)
        # The rule on reports is frozen; this one counts.
        self.__dict__.update(rule=rule, running=np.ones(rule.least.shape, bool))

    def improves(self, report: Any, best: Any) -> Any:
        """Return which members had not ended before this report."""
        before = self.running
        self.__dict__["running"] = before & ~self.rule.ended(np.asarray(report["loss"], np.float64))
        return before
