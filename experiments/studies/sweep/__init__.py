"""Train a network for every combination of hyperparameters, in parallel in compiled programs, and rank them on dev.

A RANGE is one value (0.01), a list (0.1,0.03,0.01), or 8 values between two ends, both included (1e-4..1e-1:8); for
integers also every value between two ends (0..7). Learning rate, L2, init scale and width are spaced logarithmically if
both ends are positive, others linearly; lin:1..9:5 and log:1..9:5 select the spacing. With --random N, N points are
sampled from the ranges (with or without :n) and the lists, instead of every combination.

Each combination is trained with every seed. They are ranked by mean dev accuracy, or by dev loss if the accuracies are
equal within noise: they differ by less than one dev example, or by at most one standard error of the mean over seeds.
Combinations with a diverged training come last. The test set is read once, for the best combination. Combinations that
differ in numbers share one program; each depth and each activation needs its own.

With your own data (sweep FILE --label COLUMN), many different numbers as labels are regression, ranked by R². Missing
values become the median or the most frequent word of the training rows; columns of words are one-hot encoded, or
embedded if they have many words. encoder.json stores the encoding, with which predict RUN FILE predicts new rows.

The run's folder holds sweep.csv (every training), report.txt, a plot of what was swept, and best.safetensors.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.datasets.options import OwnDataOptions
from experiments.runs.options import BatchSize, OnNan, RunOptions
from experiments.runs.study import Study

DATA = {
    "breast-cancer": "569 patients, 30 measurements, 2 classes; comes with scikit-learn",
    "catvnoncat": "209 photos of 64 x 64 pixels, a fifth of them dev, and 50 to test; from --data-dir",
    "digits": "1797 images of 8 x 8, 10 classes; comes with scikit-learn",
    "mnist": "70 000 images of 28 x 28, 10 classes, 10 000 of them dev and 10 000 to test; from --data-dir",
    "own": "a table or npz file: `sweep own --data FILE --label COLUMN`, or in short `sweep FILE --label COLUMN`",
}
"""The data sets for sweeps. `experiments.studies.sweep.data` loads each."""


def study(data: str) -> Study:
    """Declare the sweep on a data set of `DATA`; for any other name, with help on all of them."""
    known = {data: DATA[data]} if data in DATA else DATA
    return Study(
        name=f"sweep-{data}",
        package=__name__,
        title=f"A sweep on {data}, ranked on dev.",
        question="Which values of the swept hyperparameters have the best mean dev accuracy over seeds?",
        expected="no particular result. The test set is read once, for the best values.",
        description="\n\n".join([__doc__.strip(), *(f"{name}: {what}." for name, what in known.items())]),
        arguments=(data,),
    )


Range = Annotated[str, tyro.conf.arg(metavar="RANGE")]


def _range_or(default: str) -> object:
    return tyro.conf.arg(metavar="RANGE", help_behavior_hint=f"(default: {default})")


@dataclass(frozen=True, kw_only=True)
class Options(OwnDataOptions, RunOptions):
    """The options of a sweep."""

    learning_rate: Range = "1e-4..1e-1:7"
    """Step size of the optimizer."""
    momentum: Annotated[str | None, _range_or("0.9")] = None
    """Momentum, with --optimizer momentum."""
    l2: Range = "0"
    """Strength of the L2 regularizer."""
    dropout: Range = "0"
    """Dropout rate of the hidden layers."""
    init_scale: Range = "1"
    """Factor on He's initial weights."""
    label_smoothing: Range = "0"
    """Label smoothing: the share of each label that is spread evenly over all classes."""
    width: Annotated[str | None, _range_or("32")] = None
    """Units of every hidden layer."""
    depth: Annotated[str | None, _range_or("1")] = None
    """Hidden layers; 0 is logistic regression."""
    activation: Annotated[str, tyro.conf.arg(metavar="NAMES")] = "relu"
    """Activation of the hidden layers; several as a list, such as relu,tanh."""
    seed: Range = "0..3"
    """Seeds of initialization, shuffles and dropout; each point is trained with all of them."""
    hidden: Annotated[str | None, tyro.conf.arg(metavar="SIZES", help_behavior_hint="")] = None
    """Units of each hidden layer, such as 64,32, instead of --width and --depth."""
    random: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Sample this many points from the ranges, instead of every combination."""
    random_seed: int = 0
    """Seed of the sampled points."""
    optimizer: str = "adam"
    """sgd, momentum, rmsprop, adagrad or adam."""
    epochs: int = 30
    """Passes over the training data."""
    batch_size: BatchSize = None
    """Examples of a mini-batch."""
    on_nan: OnNan = "stop"
    """If a loss or gradient is not finite: stop, or skip the update (at most 10 in a row)."""
    split_seed: int = 0
    """Seed of the split into train, dev and test."""
    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """The folder with the files of catvnoncat or mnist; if not given, $JAXNN_DATA or ./data."""
