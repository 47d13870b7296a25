"""Declare the study `parity` and its options."""

from dataclasses import dataclass

from experiments.runs.options import RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="parity",
    package=__name__,
    title=(
        "The parity of n bits: what a deep network needs for it, what a shallow one, and which of them training finds."
    ),
    question=(
        "Is the XOR of 8 bits computed by a tree of XORs, a network of depth log n? What does one hidden layer need "
        "for it? Of a deep and a shallow network with as many params, which one does training bring to 100 %?"
    ),
    command="python -m experiments run parity",
    time="25 s on 2 CPU cores",
    expected=(
        "The tree takes 14 units in three hidden layers. But one hidden layer of 8 ReLU units does it too, counting: "
        "what grows exponentially in a shallow network is an OR of ANDs, with 128 units, one for each odd pattern. "
        "Depth does not help training to get there: with 121 params neither network gets all patterns right from any "
        "of 32 starts (medians 79 % deep, 88 % shallow); with 961 params, the shallow one does from all of them, the "
        "deep one from 28, though its median cost is the lower, 1e-4 against 5e-3."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    bits: int = 8
    """Number of bits: a power of 2."""
    seeds: int = 32
    """Random starts of each network at each learning rate, all in one program."""
    iterations: int = 2000
    """Steps of Adam on all 2^bits patterns."""
