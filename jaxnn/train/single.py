"""What one training is to the loop, whether its data lie on the device or come from the host."""

from collections.abc import Callable

import numpy as np

from jaxnn.optim.nonfinite import skipped_updates
from jaxnn.train.arguments import takes_statistics
from jaxnn.train.checkpoints import Checkpoint
from jaxnn.train.placement import placed_like
from jaxnn.train.statistics import averages_value
from jaxnn.train.steps import TrainState
from jaxnn.typing import Array


class SingleTraining:
    """The part of a `loop.Training` that `fit` and `fit_stream` share; `advance` and `explain` are their own.

    Attributes:
      shape: (), of one training.
      state: the current state, which is never donated: until the next one is known to be finite, it must live.
    """

    shape = ()

    def __init__(self, state: TrainState) -> None:
        self.state = state

    @property
    def steps(self) -> int:
        """The number of updates so far."""
        return int(self.state.step)

    @property
    def skipped(self) -> np.ndarray | None:
        """The number of updates that were skipped, or `None` if none ever is."""
        skipped = skipped_updates(self.state.opt_state)
        return None if skipped is None else np.asarray(skipped)

    def restore(self, checkpoint: Checkpoint, running: np.ndarray) -> None:
        """Continue from a checkpoint."""
        self.state = placed_like(checkpoint.state, self.state)

    def stop(self, ended: np.ndarray) -> None:
        """Do nothing: when a single training ends, the loop does."""

    def measure(self, evaluate: Callable[..., dict[str, Array]]) -> dict[str, Array]:
        """Return what `evaluate` measures at the current params and, if it takes them, statistics."""
        stats = (averages_value(self.state.stats),) if takes_statistics(evaluate) else ()
        return evaluate(self.state.params, *stats)
