"""L2 and dropout on a few noisy points: does the training accuracy fall, and the test accuracy rise?

Question: A network 2-32-16-1 learns 100 points of two moons, a tenth of whose labels are wrong, by heart. What do L2 and
          dropout of several strengths change on the training set and on 2000 other points, and how sure is that?
Command:  python -m experiments run regularization
Time:     TODO
Expected: TODO
"""

from dataclasses import dataclass

from experiments.options import RunOptions


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """What can be changed."""

    steps: int = 2000
    """Of Adam, each on all examples."""
    learning_rate: float = 0.01
    """Its step size."""
    seeds: int = 16
    """Trainings of each kind, each from its own start and on its own points; all in one program."""
