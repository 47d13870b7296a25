"""Declare the study `initialization` and its options."""

from dataclasses import dataclass

from experiments.runs.options import RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="initialization",
    package=__name__,
    title=("Five initializations of one network: zeros, too small, too large, He and Glorot."),
    question=(
        "A ReLU network 2-10-5-1 is trained on two rings of noisy points from each initialization, all else equal. "
        "Which ones separate the rings, and how much depends on the seed? The course's training accuracies, 50, 83 and "
        "99 % from zeros, N(0, 10²) and He, are of one seed each."
    ),
    command="python -m experiments run initialization",
    time="25 s on 2 CPU cores",
    expected=(
        "From zeros nothing is learned: accuracy 50 %, cost log 2 = 0.693. The same with a deviation of 0.01, since "
        "the gradient of each layer has the small weights of the others as factors. With a deviation of 10 the seed "
        "decides: training accuracies are 56 to 100 %, median 81 or 82 % depending on the version of JAX. He reaches "
        "97 to 100 %, median 98.7, and 94 to 96 % on the test set. Glorot has the same median, but smaller deviations, "
        "and the slowest of 16 seeds is still at 63 % when training ends."
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
    """Seeds of each initialization; all train in one program."""
