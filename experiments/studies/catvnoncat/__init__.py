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
    title="Cat or non-cat: reproduce the accuracies that the course published for its own task.",
    question=(
        "On 209 training and 50 test photos of 64 x 64 pixels, do logistic regression, a network with one hidden layer "
        "and one with four layers reach the published accuracies (99.04/70, 100/72 and 98.6/80 % train/test)? How much "
        "do those of the two networks depend on the random initialization?"
    ),
    command="python -m experiments run catvnoncat --data-dir DIR",
    time="one minute on 2 CPU cores; --convolutional 29 minutes more beside much other work",
    expected=(
        "The course's initial weights give its accuracies: 99.04/70, 100/72 and 98.56/80 %, the last up to one or two "
        "of the 50 test photos, depending on the rounding of the JAX version. With other seeds, the two networks fit "
        "the training photos as well, 99 to 100 %, and classify 66 to 74 and 68 to 82 % of the test photos correctly, "
        "median 70 and 74 %: more than half of the ten points between the published networks is chance. With "
        "--convolutional: on ten random splits of all 259 photos into 209 and 50, the four layers classify 63.6 % of "
        "the test photos correctly (54 to 70), a convolutional network 87.2 % (82 to 96): 23.6 points more on the same "
        "split, standard error 3.8. On photos that had no part in the choice of hyperparameters, 67.0 and 75.5 %."
    ),
    notes=(
        "The data are two HDF5 files, train_catvnoncat.h5 and test_catvnoncat.h5, in --data-dir or, if that is not "
        "given, in $JAXNN_DATA or ./data; or in the subfolder catvnoncat of one of these."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The folder with train_catvnoncat.h5 and test_catvnoncat.h5."""
    seeds: int = 16
    """Random initializations of each network, besides the course's; all train in one program."""
    iterations: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Steps of each network; by default the published 2000, 2500 and 2500."""
    learning_rate: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """Step size of each network; by default the published 0.005, 0.0075 and 0.0075."""
    optimizer: str = "sgd"
    """sgd, momentum, nesterov, rmsprop, adagrad, adam, adamw or lbfgs; published: sgd on full batches."""
    on_nan: OnNan = "stop"
    """If a loss or gradient is not finite: stop, or skip the update (at most 10 in a row)."""
    beyond: bool = False
    """Also train a network with augmentation, dropout and early stopping, with 8 seeds: one minute more."""
    convolutional: bool = False
    """Also compare a convolutional network with the course's four layers on ten random splits of all photos."""
