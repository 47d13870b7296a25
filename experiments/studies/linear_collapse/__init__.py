"""Declare the study `linear_collapse` and its options."""

from dataclasses import dataclass

from experiments.runs.options import RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="linear_collapse",
    package=__name__,
    title="Depth without non-linearity: networks of identities are logistic regression, however many layers they have.",
    question=(
        "Where all activations are the identity, do networks of 2, 3 and 5 layers end at the very decision function of "
        "logistic regression? Does one non-linear layer change that?"
    ),
    command="python -m experiments run linear_collapse",
    time="15 s on 2 CPU cores",
    expected=(
        "All networks of identities end at the cost of logistic regression, 0.128409858, and at its logits up to "
        "1e-12, so they give the same answers to all 569 patients, 94.9 % of them right. With a tanh in the third of "
        "five layers the cost goes to 0, all answers are right, and the logits are far from any affine function."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    iterations: int = 400
    """Steps of L-BFGS on all examples."""
    seed: int = 0
    """Seed of the random starts."""
