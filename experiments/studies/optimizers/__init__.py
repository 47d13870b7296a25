"""Declare the study `optimizers` and its options."""

from dataclasses import dataclass

from experiments.runs.options import RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="optimizers",
    package=__name__,
    title="Eight optimizers on the same bowls: how many steps does each need, and what do standardized inputs change?",
    question=(
        "A straight line through 100 points has a cost over weight and bias that is an elongated bowl for the inputs "
        "as they are, and a round one for standardized inputs. How many full-batch steps does each optimizer need to "
        "reach a stated cost there, and with a network 30-16-1 on breast cancer, at the best of 17 learning rates?"
    ),
    command="python -m experiments run optimizers",
    time="20 s on 2 CPU cores",
    expected=(
        "On the bowl that is 1867 times as steep one way as the other, gradient descent needs 1359 steps, and lbfgs 4, "
        "adagrad 7, adam and adamw 95, momentum 103, rmsprop 182, nesterov 271. On the round one gradient descent "
        "needs 1, nesterov and lbfgs 2, adagrad 7; momentum, adam, adamw and rmsprop need 74 to 208 to come to rest "
        "there. The network is fitted to a cost of 0.03 in 12 steps by lbfgs, in 16 to 28 by all others but rmsprop, "
        "65 to 68: with standardized inputs, and a rate chosen for each, they differ little."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    line_steps: int = 5000
    """The most steps for the straight line."""
    network_steps: int = 500
    """The most steps for the network."""
