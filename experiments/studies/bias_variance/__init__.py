"""Declare the study `bias_variance` and its options."""

from dataclasses import dataclass

from experiments.runs.options import RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="bias_variance",
    package=__name__,
    title="Bias or variance? Diagnose networks that under- and overfit digits by their errors.",
    question=(
        "Six networks are trained on scikit-learn's digits, five of them with a deliberate fault. Does error analysis "
        "find each fault? Which of two networks would benefit from more data, and which probabilities are calibrated?"
    ),
    command="python -m experiments run bias_variance",
    time="15 s on 2 CPU cores",
    expected=(
        "Each fault is found: bias for 2 hidden units (training error 47 %) and for one epoch (18 %); variance for 256 "
        "units on 60 examples (training 0 %, dev 11 %); data mismatch for training images shifted by two pixels "
        "(training 0.2 %, train-dev 1.7 %, dev 84 %); overfitting to dev, besides bias, for the best of 200 networks "
        "chosen by 30 dev images (dev 3.3 %, test 20 %). The network with 64 units and 898 examples is good (training "
        "0 %, dev 2.8 %), with variance just above its noise. By the learning curves, more data help the 64 units (dev "
        "24 % at 20 examples, 3.8 % at 800) but not the 2 units, whose errors converge to 43 and 46 %. The ECE of the "
        "good network is 1 %. In reliability.png, the network trained on 60 examples is overconfident (8 %), the one "
        "trained on shifted images very overconfident (78 %), and the one trained for one epoch underconfident (51 %)."
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
    """Seed of the data split, the initialization and the shuffles."""
    achievable_error: float = 0.0
    """The error that is considered achievable, from 0 to 1."""
