"""Declare the study `bias_variance` and its options."""

from dataclasses import dataclass

from experiments.runs.options import RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="bias_variance",
    package=__name__,
    title="Bias or variance? Networks that under- and overfit the digits, and what the errors say of each.",
    question=(
        "Six trainings on scikit-learn's digits go wrong each in its own way, or well. Does the diagnosis by their "
        "errors name what was done to them? Which of two networks would more data help, and whose probabilities can be "
        "trusted?"
    ),
    command="python -m experiments run bias_variance",
    time="15 s on 2 CPU cores",
    expected=(
        "What was done is found: bias for 2 hidden units (47 % wrong in training) and one epoch (18 %), variance for "
        "256 units on 60 examples (0 and 11 % on dev), mismatch for training on images moved by two pixels (0.2, "
        "train-dev 1.7, dev 84 %), overfitting to dev, beside bias, for the best of 200 networks by 30 dev images (3.3 "
        "and test 20 %). 64 units on 898 examples are good (0 and 2.8 %); what is left is variance, just above its "
        "noise. More data help these, by the learning curve (dev 24 % at 20 examples, 3.8 at 800), and not 2 units, "
        "whose errors meet at 43 and 46 %. The good network's ECE is 1 %. In reliability.png, that on 60 examples is "
        "too sure (8 %), that on moved images far too sure (78 %), and after one epoch it is not sure enough (51 %)."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    epochs: int = 60
    """Passes over the training data, except for the network that is stopped after one."""
    curve_epochs: int = 300
    """Steps of each training of the learning curves, on full batches."""
    seed: int = 0
    """Seed of the split of the data, the random starts and the shuffles."""
    achievable_error: float = 0.0
    """The error that is considered possible, from 0 to 1."""
