"""Declare the study `text` and its options."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from experiments.runs.options import OnNan, RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="text",
    package=__name__,
    title="Text character by character: networks that read Shakespeare and write what could follow.",
    question=(
        "Which character comes next? A network of long short-term memory reads a text in pieces, each with the state "
        "in which the one before ended; a Transformer reads windows of it. It is measured on the last tenth, which it "
        "never saw. How many nats does a character cost, and what does the network write?"
    ),
    command="python -m experiments run text --data-dir DIR",
    next_step=("to write more", 'sample RUN --prompt "..."'),
    time="11 minutes on 2 CPU cores beside much other work, the Transformer 22",
    expected=(
        "On the last tenth of tinyshakespeare.txt a character costs 1.528 nats (2.20 bits); by the frequencies of "
        "characters alone 3.347. With --dev, the ninth tenth costs 1.476. A Transformer of 128 numbers a character "
        "(--network transformer --units 128 --n-steps 128 --dropout 0.1 --learning-rate 2e-3 --epochs 12) costs 1.550."
    ),
    notes=(
        "The text is tinyshakespeare.txt of github.com/karpathy/char-rnn (data/tinyshakespeare/input.txt there), in "
        "--data-dir or, if that is not given, in $JAXNN_DATA or ./data, or in the folder text of one of these. "
        "Settings were chosen by --dev, which trains on the first eight tenths and measures the ninth.\n\n"
        "--data FILE takes a text of your own, in UTF-8: a book, or a list of words or names, one on each line. "
        "sample RUN writes what could follow a --prompt."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    data: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A text of your own, in UTF-8."""
    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The folder of tinyshakespeare.txt."""
    network: Literal["lstm", "transformer"] = "lstm"
    """A recurrent layer of long short-term memory, or four Transformer blocks, which see the last --n-steps alone."""
    units: int = 256
    """Units of the recurrent layer, or numbers for each character in a Transformer, a multiple of 4."""
    dropout: float = 0.3
    """The dropout rate: after the embedding and the recurrent layer, or in each block."""
    epochs: int = 16
    """Passes over the text."""
    n_steps: int = 100
    """Characters of a piece, through which gradients go back."""
    batch_size: int = 32
    """Parts of the text that are read side by side; fewer if the text is short."""
    learning_rate: float = 5e-3
    """The peak learning rate of Adam, which falls to 0 as a cosine."""
    seed: int = 0
    """Seed of the initialization, of dropout and of the sample in the report."""
    dev: bool = False
    """Train on eight tenths and measure on the ninth, instead of on the last."""
    on_nan: OnNan = "stop"
    """If a loss or gradient is not finite: stop, or skip the update (at most 10 in a row)."""
