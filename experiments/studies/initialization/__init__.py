"""Declare the study `initialization` and its options."""

from dataclasses import dataclass

from experiments.runs.options import RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="initialization",
    package=__name__,
    title=(
        "Five starts of one network: what comes of weights that begin at zero, too small, too large, by He and by "
        "Glorot?"
    ),
    question=(
        "Of a ReLU network 2-10-5-1 on two rings of noisy points, trained from each start and otherwise alike: which "
        "separate the rings, and how much depends on the random numbers drawn? The course's figures, 50, 83 and 99 % "
        "of the training set from zeros, N(0, 10²) and He, are of one drawing each."
    ),
    command="python -m experiments run initialization",
    time="25 s on 2 CPU cores",
    expected=(
        "From zeros nothing is learned, 50 % and a cost of log 2 = 0.693, and from a deviation of 0.01 nothing either: "
        "the gradient of each layer has the small weights of the others as factors. From a deviation of 10 it is luck, "
        "56 to 100 % of the training set, with a median of 81 or 82 % by the version of JAX. He's start reaches 97 to "
        "100 %, median 98.7, and 94 to 96 % of the test set. Glorot's has the same median, but its deviations are "
        "smaller, and the slowest of 16 is still at 63 % when training ends."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    steps: int = 15_000
    """Steps of gradient descent on all examples."""
    learning_rate: float = 0.01
    """Step size."""
    seeds: int = 16
    """Random draws of each start; all train in one program."""
