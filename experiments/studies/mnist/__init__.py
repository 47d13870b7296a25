"""Declare the study `mnist` and its options."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from experiments.runs.options import OnNan, RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="mnist",
    package=__name__,
    title="MNIST with fully connected and convolutional networks: published test errors, from 12 % to 0.27 %.",
    question=(
        "Networks published between 1998 and 2016 differ in layers, loss, dropout, and distortion of the "
        "training images. Does each reach its published test error?"
    ),
    command="python -m experiments run mnist --data-dir DIR --preset PRESET",
    time=(
        "4 seeds on 2 CPU cores, in the order of the table: 5 s, 20 s, 40 s, 1 minute, and 35 minutes beside other "
        "work; one seed of srivastava-dropout: 28 minutes beside other work; ciresan-deformations is for a GPU, and "
        "has not been run in full. 3 seeds of lenet5: 26 minutes beside much other work; lenet5-distorted takes 3 "
        "times as long, and has not been run in full; simard-conv and rows-lstm: 25 and 10 minutes on one core beside "
        "other work; committee: 1 hour beside other work"
    ),
    expected=(
        "Test error in percent, as median of 4 seeds (range) / ensemble / published: lecun-linear 7.69 (7.62-7.78) / "
        "7.65 / 12.0; lecun-300 2.67 (2.63-2.77) / 2.60 / 4.7; lecun-500-150 1.97 (1.95-2.02) / 1.92 / 2.95; simard "
        "1.26 (1.23-1.31) / 1.21 / 1.6; simard-elastic 0.55 (0.51-0.64) / 0.47 / 0.70. One seed of srivastava-dropout "
        "(--seeds 1): 1.17, published 1.06. 3 seeds (--seeds 3) of lenet5: 0.92 (0.90-0.97) / 0.66 / 0.95; of "
        "simard-conv: 0.63 (0.52-0.67) / 0.47 / 0.40; of rows-lstm: 0.95 (0.92-1.00) / 0.75 / 1.5, usual in tutorials. "
        "2 seeds of lenet5-distorted with --epochs 15: 0.56 (0.46-0.67) / 0.48 / 0.80. committee: 0.42 (0.38-0.51) / "
        "0.32 / 0.27 by seven networks."
    ),
    notes=(
        "The hyperparameters of each preset were chosen on a dev split, 10 000 of the training images (--dev trains on "
        "the other 50 000 and never opens the test files). Without --dev, training uses all 60 000 images, and the "
        "test set is measured once, after training. Several seeds train in one program, each with its own shuffles and "
        "distortions.\n\n"
        "The data are four idx files, train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
        "t10k-labels-idx1-ubyte, with or without .gz, in --data-dir or, if that is not given, in $JAXNN_DATA or "
        "./data; or in the subfolder mnist of one of these. Names with a dot (train-images.idx3-ubyte), torchvision's "
        "MNIST/raw and Keras' mnist.npz are found too. Other data sets in this format (Fashion-MNIST, EMNIST) are read "
        "with as many classes as they have. If a folder has several, --data-dir names one: DIR/emnist-letters is "
        "emnist-letters-train-images-idx3-ubyte and so on in DIR."
    ),
)

PresetName = Literal[
    "lecun-linear",
    "lecun-300",
    "lecun-500-150",
    "simard",
    "simard-elastic",
    "srivastava-dropout",
    "ciresan-deformations",
    "lenet5",
    "lenet5-distorted",
    "simard-conv",
    "rows-lstm",
    "pixels-lstm",
    "permuted-lstm",
    "committee",
]


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The folder with the four files; if it has several data sets, followed by / and the name of one."""
    preset: PresetName = "simard"
    """The network and its training."""
    seeds: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """The number of seeds, all trained in one program; by default 4, and 5 of committee."""
    seed: int = 0
    """The first seed; the others follow. Also that of the dev split."""
    dev: bool = False
    """Train on 50 000 images, and measure on the dev split of 10 000 at every report, instead of on the test set."""
    ensemble: bool = False
    """Also report the error of the ensemble, the mean probabilities of all seeds; committee always does."""
    epochs: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Passes over the training images; by default the preset's."""
    learning_rate: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """The peak learning rate of the schedule; by default the preset's."""
    batch_size: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Images of a mini-batch; by default the preset's."""
    on_nan: OnNan = "stop"
    """If a loss or gradient is not finite: stop, or skip the update (at most 10 in a row)."""
