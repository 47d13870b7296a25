"""Declare the study `optimizers` and its options."""

from dataclasses import dataclass

from experiments.runs.options import RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="optimizers",
    package=__name__,
    title="Eight optimizers on the same problems: steps to a given cost, with raw and with standardized inputs.",
    question=(
        "The cost of linear regression on 100 points, as a function of weight and bias, is an elongated bowl for raw "
        "inputs and a round one for standardized inputs. How many full-batch steps does each optimizer need to reach a "
        "given cost on these, and on a network 30-16-1 for breast cancer, at the best of 17 learning rates?"
    ),
    command="python -m experiments run optimizers",
    time="20 s on 2 CPU cores",
    expected=(
        "On the elongated bowl, whose condition number is 1867, gradient descent needs 1359 steps, lbfgs 4, adagrad 7, "
        "adam and adamw 95, momentum 103, rmsprop 182 and nesterov 271. On the round bowl gradient descent needs 1, "
        "nesterov and lbfgs 2, adagrad 7; momentum, adam, adamw and rmsprop need 74 to 208 until they stop "
        "oscillating. The network reaches a cost of 0.03 in 12 steps with lbfgs, 65 to 68 with rmsprop, and 16 to 28 "
        "with the others: with standardized inputs and tuned learning rates, they differ little."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    line_steps: int = 5000
    """The maximum number of steps for linear regression."""
    network_steps: int = 500
    """The maximum number of steps for the network."""
