"""Declare the study `vectorization` and its options."""

from dataclasses import dataclass

from experiments.runs.options import RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="vectorization",
    package=__name__,
    title="Loops or arrays? The gradient of logistic regression, computed in four ways.",
    question=(
        "How long does the gradient of logistic regression take with a loop over examples and features, a loop over "
        "examples, NumPy arrays, and a compiled jaxnn program? Do all four agree?"
    ),
    command="python -m experiments run vectorization",
    time="4 s on 2 CPU cores",
    expected=(
        "They agree to 1e-14. The double loop in Python takes 300 to 400 times as long as the compiled program, the "
        "loop over examples 9 to 12 times. NumPy arrays take 0.4 of its time on an idle machine: in a single pass "
        "there is nothing to fuse, and NumPy's matrix products are faster here."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    examples: int = 1000
    """Number of examples."""
    features: int = 1000
    """Number of features of an example."""
    repeats: int = 5
    """Number of timed calls of each; the median is reported."""
