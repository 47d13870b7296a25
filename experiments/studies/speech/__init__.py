"""Declare the study `speech` and its options."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.runs.options import OnNan, RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="speech",
    package=__name__,
    title="Spoken digits: a recurrent and a convolutional network on log-mel features, and strings of digits by CTC.",
    question=(
        "Which digit does a recording contain? A recurrent and a convolutional network (along time) are trained on six "
        "speakers and measured on other recordings of them, and on a speaker who was left out of training, each of the "
        "six in turn. With --strings: which digits follow each other in a recording, without their places in time?"
    ),
    command="python -m experiments run speech --data-dir DIR",
    time=(
        "On one thread, 90 s of processor time for three seeds of both networks (--dev --no-leave-out), and 245 s with "
        "each speaker left out; beside much other work, 6 and 21 minutes. --strings: 310 s, and 18 minutes"
    ),
    expected=(
        "Right on the test set, mean of 3 seeds: recurrent 99.78 %, convolutional 99.56 %. On speakers who were left "
        "out: recurrent 66.4 to 93.8 %, mean 84.0, convolutional 68.0 to 94.4 %, mean 84.7: six speakers are few. "
        "With --strings, digit errors are 0.05 % in noise of 10 to 30 dB, 0.10 clean, 0.20 in such noise without "
        "pauses, 0.40 clean without pauses, and 3.90 in noise of 5 dB, which is louder than in training."
    ),
    notes=(
        "The data are the recordings of the Free Spoken Digit Dataset: the folder recordings of "
        "github.com/Jakobovski/free-spoken-digit-dataset, WAV files DIGIT_SPEAKER_INDEX.wav, in --data-dir or, if that "
        "is not given, in $JAXNN_DATA or ./data; or in the subfolder recordings, fsdd or fsdd/recordings of one of "
        "these. Its own split is used: indices 0 to 4 of each digit and speaker are the test set. Settings were chosen "
        "on indices 5 to 9 (--dev trains on the others alone and never measures the test set); without --dev, these "
        "are training recordings too, and the test set is measured once, after training.\n\n"
        "Training recordings differ in every epoch: in speed and pitch, by up to a tenth, and in added noise. With "
        "--strings, 1 to 7 recordings of a speaker follow each other, with or without pauses, clean or in white noise "
        "of 10 to 30 dB, and a recurrent network is trained by connectionist temporal classification; the digits of "
        "the most probable path are compared with the spoken ones.\n\n"
        "predict RUN FILE.wav writes the digits of your own recording."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The folder of the recordings."""
    strings: bool = False
    """Recognize strings of digits, instead of one digit in each recording."""
    leave_out: bool = True
    """Also train without each speaker in turn, and measure on that speaker; not with --strings."""
    seeds: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """The number of seeds of each network; by default 3, and 1 with --strings."""
    seed: int = 0
    """The first seed; the others follow."""
    dev: bool = False
    """Train without the dev set, and measure on it instead of on the test set."""
    epochs: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Passes over the training recordings, or epochs of 2048 strings; by default each network's."""
    on_nan: OnNan = "stop"
    """If a loss or gradient is not finite: stop, or skip the update (at most 10 in a row)."""
