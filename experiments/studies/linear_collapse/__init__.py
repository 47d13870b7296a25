"""Declare the study `linear_collapse` and its options."""

from dataclasses import dataclass

from experiments.runs.options import RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="linear_collapse",
    package=__name__,
    title="Depth without non-linearity: deep linear networks are logistic regression.",
    question=(
        "If all activations are the identity, do networks of 2, 3 and 5 layers learn the same decision function as "
        "logistic regression? Does one non-linear layer change that?"
    ),
    command="python -m experiments run linear_collapse",
    time="15 s on 2 CPU cores",
    expected=(
        "All linear networks reach the cost of logistic regression, 0.128409858, and its logits up to 1e-12, so their "
        "predictions for all 569 patients are the same, 94.9 % of them correct. With a tanh in the third of five "
        "layers the cost goes to 0, all predictions are correct, and the logits are far from any affine function."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    iterations: int = 400
    """Full-batch steps of L-BFGS."""
    seed: int = 0
    """Seed of the initialization."""
