"""Declare the study `regression` and its options."""

from dataclasses import dataclass

from experiments.runs.options import RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="regression",
    package=__name__,
    title=("Regression: diabetes progression with linear and ReLU outputs and L2, compared with ridge regression."),
    question=(
        "Does one linear layer with L2 regularization reach the coefficients of ridge regression, which has a closed "
        "form? Is a ReLU output, for a target that is never negative, or a hidden layer better?"
    ),
    command="python -m experiments run regression",
    time="10 s on 2 CPU cores",
    expected=(
        "Coefficients and intercept of the linear network agree with ridge regression to 13 digits, at all strengths. "
        "Both have a test RMSE of 56.5; predicting the training mean has 70.3. A ReLU output changes nothing, since no "
        "prediction is near 0. 16 hidden tanh units reduce the RMSE by 0.7 to 55.8, which is little for 88 test "
        "patients; without L2 their dev RMSE is 95 to 101 instead of 52.5. Initialized at 0, where its slope is 0, a "
        "ReLU output never learns."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    seed: int = 0
    """Seed of the data split."""
    seeds: int = 4
    """Seeds of the networks with a hidden layer."""
    iterations: int = 15000
    """Steps of gradient descent of the networks without a hidden layer."""
    hidden_iterations: int = 2000
    """Steps of Adam of the networks with a hidden layer."""
