"""Declare the study `adding` and its options."""

from dataclasses import dataclass

from experiments.runs.options import OnNan, RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="adding",
    package=__name__,
    title="The adding problem: what a simple recurrent network forgets, and long short-term memory keeps.",
    question=(
        "A sequence has 100 random numbers, two of which are marked; the network reads it to the end and returns their "
        "sum. Which recurrent networks learn that, and where does the gradient of the error vanish on its way back "
        "through time?"
    ),
    command="python -m experiments run adding",
    time="4 minutes on 2 CPU cores beside other work",
    expected=(
        "Long short-term memory solves the problem after 700 updates, and ends at an error of 0.0003; simple networks "
        "stay at 0.157 and, with orthogonal weights, 0.131. Before training, the gradient with respect to the first "
        "state is 1e-5 to 1e-9 of that with respect to the last; after it, that of the cell is nearly the same at all "
        "times, and that of the simple network has vanished, 6e-14."
    ),
    notes=(
        "The numbers are uniform between 0 and 1; one of the first half and one of the second are marked by 1 in a "
        "second input. A network that always returns 1 has a mean squared error of 1/6 = 0.167; the problem counts as "
        "solved below 0.01. Each update sees other sequences, made from --seed. The problem is that of Hochreiter and "
        "Schmidhuber 1997, in the form of Le, Jaitly and Hinton 2015.\n\n"
        "The picture shows the norm of the error's gradient with respect to the state at each time, before and after "
        "training: of the output a of a simple network, of the cell c of long short-term memory."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    n_steps: int = 100
    """The length of a sequence, at least 2."""
    units: int = 64
    """Units of the recurrent layer."""
    epochs: int = 30
    """Epochs of 100 updates, after each of which the error is measured."""
    batch_size: int = 64
    """Sequences of an update."""
    learning_rate: float = 3e-3
    """The peak learning rate of Adam, which falls to 0 as a cosine."""
    seed: int = 0
    """Seed of the initialization and the sequences."""
    on_nan: OnNan = "stop"
    """If a loss or gradient is not finite: stop, or skip the update (at most 10 in a row)."""
