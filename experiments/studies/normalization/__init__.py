"""Declare the study `normalization` and its options."""

from dataclasses import dataclass

from experiments.runs.options import RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="normalization",
    package=__name__,
    title="A deep network with and without normalization: activations, gradients, and learning rates that train it.",
    question=(
        "A ReLU network with 20 hidden layers of 64 units classifies scikit-learn's digits, without normalization, and "
        "with batch and layer normalization. How do the deviation of activations and the norm of gradients change from "
        "layer to layer at the start, and at which learning rates does gradient descent train the network?"
    ),
    command="python -m experiments run normalization",
    time="70 s of processor time; 5 minutes on 2 CPU cores beside much other work",
    expected=(
        "Without normalization, the standard deviation of activations falls from 0.6 in layer 1 to 0.0002 in layer 20, "
        "gradients are 1000 times as small as with He weights, and no learning rate trains the network. He weights "
        "train from 0.0078 to 0.062, a factor of 8, layer norm from 0.0039 to 0.062, 16, and batch norm from 0.016 to "
        "2, 128, with the lowest loss, 0.17. Normalized activations have a deviation of 0.6 in every layer. With batch "
        "norm, gradients grow from layer to layer toward the first, from 0.24 to 4.6. On dev, layer and batch norm are "
        "right for 90 % at their best rate, He weights for 75 %."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    layers: int = 20
    """Hidden layers."""
    width: int = 64
    """Units of each hidden layer."""
    epochs: int = 20
    """Passes over the training set, in batches of 128."""
    seeds: int = 3
    """Seeds of each network and learning rate; all of a network train in one program."""
