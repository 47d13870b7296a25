"""Find, read and split a text."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.datasets.paths import places
from experiments.readers.errors import InvalidFileError, check_file

FILE = "tinyshakespeare.txt"
LEAST = 1000
"""Characters of a text, at least."""
_MOST_BYTES = 2**28
_MOST_CHARACTERS = 5000
"""Of an alphabet: the network has an output for each."""


class Text(NamedTuple):
    """A text as numbers of characters.

    Attributes:
      characters: the different ones, in the order of their code points.
      train: those to train on, (n,) int32.
      held_out: those to measure on, (k,), which follow.
    """

    characters: tuple[str, ...]
    train: np.ndarray
    held_out: np.ndarray


def find_text(data: Path | None, data_dir: Path | None) -> Path:
    """Return the user's own file, or tinyshakespeare.txt in `data_dir`, or else in $JAXNN_DATA or ./data.

    Raises:
      ValueError: if both are given, or there is no such file.
    """
    if data is not None and data_dir is not None:
        raise ValueError("--data-dir is for tinyshakespeare.txt, got --data too: omit one of them")
    if data is not None:
        return data
    searched = [place / FILE for place in places(data_dir, "text")]
    for path in searched:
        if path.is_file():
            return path
    raise ValueError(
        f"there is no {FILE}; searched {', '.join(map(str, searched))}; put input.txt of data/tinyshakespeare in "
        f"github.com/karpathy/char-rnn there as {FILE}, or give a text of your own as --data FILE"
    )


def read_text(path: Path, dev: bool) -> Text:
    """Read a text and split it: the last tenth is held out; for dev, the tenth before it, and the last is not used.

    Raises:
      InvalidFileError: if it is not UTF-8, too short, or of one character alone or too many different ones.
      OSError: if it cannot be opened.
    """
    check_file(path, _MOST_BYTES)
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InvalidFileError(
            f"{path} must be a text in UTF-8, got the byte 0x{error.object[error.start]:02x} at {error.start}: save it "
            "as UTF-8"
        ) from None
    if len(text) < LEAST:
        raise InvalidFileError(f"{path} must have at least {LEAST} characters to learn from, got {len(text)}")
    if dev:
        text = text[: len(text) * 9 // 10]
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    different, numbers = np.unique(points, return_inverse=True)
    if len(different) < 2:
        raise InvalidFileError(f"{path} must have at least 2 different characters, got {chr(different[0])!r} alone")
    if len(different) > _MOST_CHARACTERS:
        raise InvalidFileError(
            f"{path} must have at most {_MOST_CHARACTERS} different characters, got {len(different)}: is it a text?"
        )
    numbers = numbers.astype(np.int32)
    # Of a whole text the last tenth; without it, the last ninth.
    held_out = len(numbers) // (9 if dev else 10)
    characters = tuple(map(chr, different.tolist()))
    return Text(characters, numbers[:-held_out], numbers[-held_out:])


def names_of(characters: tuple[str, ...]) -> tuple[str, ...]:
    """Return names that can be printed, as those of classes must be: in the notation of JSON."""
    return tuple(json.dumps(one, ensure_ascii=not one.isprintable())[1:-1] for one in characters)


def characters_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the characters of such names."""
    return tuple(json.loads(f'"{name}"') for name in names)


def numbers_of(text: str, characters: tuple[str, ...]) -> np.ndarray:
    """Return the numbers of the characters of a text, (n,) int32.

    Raises:
      ValueError: if a character is not among those of the training text.
    """
    index = {character: i for i, character in enumerate(characters)}
    unknown = sorted({*text} - {*index})
    if unknown:
        raise ValueError(
            f"the prompt must consist of the {len(characters)} characters of the training text, got "
            f"{', '.join(map(repr, unknown[:5]))}"
        )
    return np.array([index[character] for character in text], np.int32)
