"""Declare the study `hidden_units` and its options."""

from dataclasses import dataclass

from experiments.runs.options import RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="hidden_units",
    package=__name__,
    title=("How many hidden units does the flower data set need? From logistic regression to 50 tanh units."),
    question=(
        "On 400 points on a flower of eight petals of two classes, what accuracy do logistic regression and networks "
        "with a hidden layer of 1, 2, 3, 4, 5, 20 and 50 tanh units reach? Do more units help on new points?"
    ),
    command="python -m experiments run hidden_units",
    time="15 s on 2 CPU cores",
    expected=(
        "Median accuracies over seeds, which hardly matter: logistic regression 47 %, one and two units 67 %, three "
        "and more units 91 %. On new points, 3 to 5 units reach the same, while 20 and 50 units fall to 90 and 89 %: "
        "they have fitted the noise."
    ),
    notes=(
        "The training points are those of the course: NumPy's legacy generator, seed 1. The new points have seed 2."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    seeds: int = 8
    """Random initializations of each width; all widths and seeds train in one program."""
    iterations: int = 5000
    """Steps of gradient descent on all points."""
    learning_rate: float = 1.2
    """Step size."""
