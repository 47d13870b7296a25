"""Declare the study `catvnoncat` and its options."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.runs.options import OnNan, RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="catvnoncat",
    package=__name__,
    title="Cat or no cat: the course's own task, and whether its published accuracies come out again.",
    question=(
        "On 209 training and 50 test photos of 64 x 64 pixels, do logistic regression, one hidden layer and four "
        "layers reach what the course published (99.04/70, 100/72 and 98.6/80 % train/test), and how much of the "
        "latter two, which depend on the random start, is luck?"
    ),
    command="python -m experiments run catvnoncat --data-dir DIR",
    time="one minute on 2 CPU cores",
    expected=(
        "The course's own starts give its accuracies: 99.04/70, 100/72, 98.56/80, the last give or take one or two of "
        "the 50 test photos by the rounding of JAX's version. Other starts of the latter two fit the training photos "
        "as well, 99 to 100 %, and reach 66 to 74 and 68 to 82 % of the 50 test photos, median 70 and 74: of the ten "
        "points between the published networks, more than half is luck."
    ),
    notes=(
        "The data are two HDF5 files, train_catvnoncat.h5 and test_catvnoncat.h5, looked for in --data-dir, or, where "
        "that is not given, in $JAXNN_DATA and in ./data; each time there, and in a folder catvnoncat in it."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The folder with train_catvnoncat.h5 and test_catvnoncat.h5."""
    seeds: int = 16
    """Random starts, beside the course's, of each network that has one; all train in one program."""
    iterations: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Steps of each network; by default the published 2000, 2500 and 2500."""
    learning_rate: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """Step size of each network; by default the published 0.005, 0.0075 and 0.0075."""
    optimizer: str = "sgd"
    """sgd, momentum, nesterov, rmsprop, adagrad, adam, adamw or lbfgs; the published one is sgd, on all examples."""
    on_nan: OnNan = "stop"
    """If a loss or gradient is not finite: stop, or skip the update (at most 10 in a row)."""
    beyond: bool = False
    """Also train a network with augmentation, dropout and early stopping, from 8 starts: a minute more."""
