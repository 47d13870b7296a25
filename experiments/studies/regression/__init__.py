"""Declare the study `regression` and its options."""

from dataclasses import dataclass

from experiments.runs.options import RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="regression",
    package=__name__,
    title=(
        "Regression: diabetes progression by a linear and by a non-negative output, with L2, against ridge regression."
    ),
    question=(
        "Does one linear layer with L2 regularization reach the coefficients of ridge regression, which has a closed "
        "form? Does a ReLU at the output, for a target that is never negative, or a hidden layer, do better?"
    ),
    command="python -m experiments run regression",
    time="10 s on 2 CPU cores",
    expected=(
        "Coefficients and intercept of the linear network are those of ridge regression to 13 digits, at all "
        "strengths. The test RMSE is 56.5 by both, where the mean of the training set has 70.3. A ReLU at the output "
        "changes nothing here, since no prediction comes near 0. 16 hidden tanh units bring 0.7 (55.8), which on 88 "
        "test patients is little; without L2 their dev RMSE is 95 to 101 instead of 52.5. From 0, where its slope is "
        "0, a ReLU output never learns."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    seed: int = 0
    """Seed of the split of the data."""
    starts: int = 4
    """Random starts of the networks with a hidden layer."""
    iterations: int = 15000
    """Steps of gradient descent of the networks without a hidden layer."""
    hidden_iterations: int = 2000
    """Steps of Adam of those with a hidden layer."""
