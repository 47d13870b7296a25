"""Sentences as numbers of subwords, which are fitted on the training sentences of both languages together."""

import io
from collections.abc import Iterable, Sequence

import numpy as np
import sentencepiece

from jaxnn.nn import Sequences

UNKNOWN, START, END = 0, 1, 2
"""What stands for a character that the training sentences lack, and before and behind a sentence."""
_FEWEST_CHARACTERS = 8

Subwords = sentencepiece.SentencePieceProcessor


def fit_subwords(sentences: Sequence[str], vocabulary: int) -> bytes:
    """Return the model of the subwords, as sentencepiece writes it: the same for the same sentences.

    The pairs of neighbors that are the most frequent are merged, one after another: byte-pair encoding.

    Raises:
      ValueError: if there are more different characters than subwords.

    Source: Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword units", 2016.
    """
    characters = len({character for sentence in sentences for character in sentence})
    if vocabulary < characters + _FEWEST_CHARACTERS:
        raise ValueError(
            f"--vocabulary must be at least {characters + _FEWEST_CHARACTERS}, since the sentences have {characters} "
            f"different characters, got {vocabulary}"
        )
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=written,
        vocab_size=vocabulary,
        hard_vocab_limit=False,  # few sentences have fewer subwords
        model_type="bpe",
        character_coverage=1.0,
        unk_id=UNKNOWN,
        bos_id=START,
        eos_id=END,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    return written.getvalue()


def read_subwords(model: bytes) -> Subwords:
    """Return what encodes and decodes sentences.

    Raises:
      ValueError: if it is not such a model.
    """
    try:
        if not model:
            raise RuntimeError("an empty one")  # of which sentencepiece makes a processor that fails later
        return Subwords(model_proto=model)
    except RuntimeError as error:
        raise ValueError(f"it must be a model of sentencepiece, got {str(error).splitlines()[0][:200]}") from None


def encoded(subwords: Subwords, sentences: Iterable[str]) -> list[list[int]]:
    """Return the numbers of the subwords of each sentence."""
    return subwords.encode(list(sentences))


def decoded(subwords: Subwords, tokens: np.ndarray, lengths: np.ndarray) -> list[str]:
    """Return the sentences of numbers of subwords (m, T), each up to its length, without what marks its ends."""
    marks = {UNKNOWN, START, END}
    rows = [[i for i in row[:n].tolist() if i not in marks] for row, n in zip(tokens, lengths, strict=True)]
    return subwords.decode(rows)


def padded(rows: Sequence[Sequence[int]], length: int | None = None) -> Sequences:
    """Return rows of different lengths as `Sequences` of a length, by default that of the longest."""
    lengths = np.array([len(row) for row in rows], np.int32)
    x = np.zeros((len(rows), length or max(lengths)), np.int32)
    for row, numbers in zip(x, rows, strict=True):
        row[: len(numbers)] = numbers
    return Sequences(x, lengths)
