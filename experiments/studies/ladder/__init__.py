"""Declare the study `ladder` and its options."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.datasets.options import OwnDataOptions
from experiments.runs.options import BatchSize, OnNan, RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="ladder",
    package=__name__,
    title="From logistic regression to four layers on real data: what does depth add, and are the gradients correct?",
    question=(
        "Do one or three hidden layers help on breast cancer (569 patients, 30 measurements, 2 classes) and on digits "
        "(1797 images of 8 x 8, 10 classes)? Are the hand-derived gradients correct, and how fast are they? --data "
        "FILE --label COLUMN uses your own table or npz file instead, --data FOLDER your photos or recordings."
    ),
    command="python -m experiments run ladder",
    time="40 s on 2 CPU cores, less than half of it compilation, which is cached for later runs",
    expected=(
        "The two gradients differ only by rounding, below 1e-12, and are equally fast within noise. Hidden layers "
        "raise training accuracy from 99-100 to 100 %, and test accuracy hardly at all: every network reaches 96 to "
        "98 % on breast cancer and 98 to 99 % on digits, where one example is 1.2 and 0.4 points."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(OwnDataOptions, RunOptions):
    """The options of the study."""

    epochs: int = 60
    """Passes over the training data."""
    batch_size: BatchSize = None
    """Examples of a mini-batch."""
    learning_rate: float = 0.003
    """Step size of the optimizer."""
    optimizer: str = "adam"
    """sgd, momentum, nesterov, rmsprop, adagrad, adam, adamw or lbfgs."""
    schedule: str = "constant"
    """Schedule of the learning rate: constant, step, cosine or inverse (1/t)."""
    warmup: int = 0
    """Steps in which the learning rate rises linearly to its full value."""
    clip_norm: float | None = None
    """The largest norm of the gradient: a larger one is scaled down."""
    max_norm: float | None = None
    """The largest norm of a unit's incoming weights."""
    patience: int | None = None
    """Stop after this many reports (of 20) without a better dev accuracy (or R²), and restore the best params."""
    on_nan: OnNan = "stop"
    """If a loss or gradient is not finite: stop, or skip the update (at most 10 in a row)."""
    time_steps: bool = True
    """Time steps with hand-derived and automatic gradients, which takes most of the run; off by default with --data."""
    seed: int = 0
    """Seed of the data split, the initialization and the shuffles."""

    @classmethod
    def default(cls, argv: Sequence[str]) -> "Options":
        """Return the defaults, which depend on the command line."""
        return cls(time_steps=not any(word.partition("=")[0] == "--data" for word in argv))
