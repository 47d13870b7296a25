"""Declare the study `parity` and its options."""

from dataclasses import dataclass

from experiments.runs.options import RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="parity",
    package=__name__,
    title=("The parity of n bits: the units that deep and shallow networks need, and which of them training finds."),
    question=(
        "How many units does a tree of XORs, a network of depth log n, need for the parity of 8 bits, and how many "
        "does one hidden layer need? Of a deep and a shallow network with equally many params, which one does training "
        "bring to 100 %?"
    ),
    command="python -m experiments run parity",
    time="25 s on 2 CPU cores",
    expected=(
        "The tree has 14 units in three hidden layers. But one hidden layer of 8 ReLU units also computes parity, by "
        "counting; only an OR of ANDs grows exponentially, to 128 units, one per odd pattern. Depth does not help "
        "training: with 121 params neither network classifies all patterns correctly with any of 32 seeds (medians "
        "79 % deep, 88 % shallow); with 961 params, the shallow one does with all seeds, the deep one with 28, though "
        "its median cost is lower, 1e-4 compared with 5e-3."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    bits: int = 8
    """Number of bits: a power of 2."""
    seeds: int = 32
    """Seeds of each network at each learning rate; all train in one program."""
    iterations: int = 2000
    """Full-batch steps of Adam on all 2^bits patterns."""
