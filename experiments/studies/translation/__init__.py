"""Declare the study `translation` and its options."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from experiments.runs.options import OnNan, RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="translation",
    package=__name__,
    title="English to German: an encoder, and a decoder that reads what the encoder makes of a sentence.",
    question=(
        "How well do networks translate that are trained in half an hour? A recurrent encoder and decoder with "
        "additive attention, or a small Transformer, are trained on 29 000 descriptions of photographs, on subwords "
        "that are fitted to these alone, and their translations of 1 000 other ones are compared with a person's."
    ),
    command="python -m experiments run translation --data-dir DIR",
    next_step=("to translate a sentence", 'predict RUN "A man in a red shirt."'),
    time=(
        "18 minutes of processor time, the Transformer 27; on 2 CPU cores beside much other work, 37 and 55 minutes by "
        "the clock"
    ),
    expected=(
        "BLEU on the test set with a beam of 5: 34.7, and with --network transformer 37.0; the most probable subword "
        "each time, 32.3 and 35.5. The length penalty 1.2 is the best on val for both. Translations have 1.01 and 0.99 "
        "of the words of the references; in 1.0 and 1.3 % of them words come twice in a row."
    ),
    notes=(
        "The data are those of Multi30k, task 1: train, val and test_2016_flickr, each .en and .de, as they are or "
        "with .gz, of data/task1/raw of github.com/multi30k/dataset, in --data-dir or, if that is not given, in "
        "$JAXNN_DATA or ./data, or in the folder multi30k of one of these. The length penalty of the beam search is "
        "chosen on val; the test set is translated once. BLEU is sacrebleu's, of cased text that is not tokenized "
        "before; its signature is in the report. Settings were chosen by the loss on val.\n\n"
        'predict RUN "..." translates a sentence of your own.'
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The folder of the sentences."""
    network: Literal["recurrent", "transformer"] = "recurrent"
    """Gated recurrent units with additive attention, or Transformer blocks, three in each part."""
    vocabulary: int = 4000
    """The number of subwords, of both languages together."""
    units: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Numbers of a subword's vector, and units; by default 256, and 128 of a Transformer. A multiple of 4."""
    dropout: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """The dropout rate: of vectors and outputs, by default 0.3; or in each block of a Transformer, 0.2."""
    learning_rate: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """The peak learning rate of Adam, by default 0.002, and 0.003 of a Transformer. It rises during the first 400
    updates and falls to 0 as a cosine."""
    epochs: int = 15
    """Passes over the sentences."""
    smoothing: float = 0.1
    """The label smoothing of the cross-entropy in training."""
    batch_size: int = 64
    """Sentences of an update."""
    buckets: int = 8
    """Lengths to which sentences are padded; a program is compiled for each."""
    beams: int = 5
    """Translations that the beam search continues."""
    seed: int = 0
    """Seed of the initialization, of dropout and of the order of the sentences."""
    on_nan: OnNan = "stop"
    """If a loss or gradient is not finite: stop, or skip the update (at most 10 in a row)."""
