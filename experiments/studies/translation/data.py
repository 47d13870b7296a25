"""Find and read sentences and their translations, one on each line of two files."""

import zlib
from pathlib import Path
from typing import NamedTuple

from experiments.datasets.paths import places
from experiments.readers.errors import InvalidFileError, check_file

PARTS = ("train", "val", "test_2016_flickr")
SOURCE, TARGET = "en", "de"
_SUFFIXES = ("", ".gz")
_MOST_BYTES = 2**28
LEAST = 20
"""Pairs of sentences, at least, to train on."""


class Pairs(NamedTuple):
    """Sentences and their translations, in the same order."""

    source: tuple[str, ...]
    target: tuple[str, ...]


def find_files(data_dir: Path | None) -> dict[str, tuple[Path, Path]]:
    """Return the files of each part, (English, German), of `data_dir`, or else of $JAXNN_DATA or ./data.

    Raises:
      ValueError: if no folder has all of them.
    """
    searched = places(data_dir, "multi30k")
    for place in searched:
        found = {part: tuple(_file(place, f"{part}.{language}") for language in (SOURCE, TARGET)) for part in PARTS}
        if all(path is not None for pair in found.values() for path in pair):
            return found  # pyright: ignore[reportReturnType]
    lacking = [f"{part}.{language}" for part in PARTS for language in (SOURCE, TARGET)]
    raise ValueError(
        f"there is no folder with {', '.join(lacking)}, each as it is or with .gz; searched "
        f"{', '.join(map(str, searched))}; they are in data/task1/raw of github.com/multi30k/dataset"
    )


def _file(place: Path, name: str) -> Path | None:
    return next((path for path in (place / f"{name}{suffix}" for suffix in _SUFFIXES) if path.is_file()), None)


def read_pairs(source: Path, target: Path) -> Pairs:
    """Read two files, one sentence on each line.

    Raises:
      InvalidFileError: if a file is damaged, not UTF-8 or has an empty line, or they have different numbers of lines.
      OSError: if one cannot be opened.
    """
    pairs = Pairs(_lines(source), _lines(target))
    if len(pairs.source) != len(pairs.target):
        raise InvalidFileError(
            f"{source} and {target} must have a translation for each sentence, got {len(pairs.source)} and "
            f"{len(pairs.target)} lines"
        )
    return pairs


def _lines(path: Path) -> tuple[str, ...]:
    check_file(path, _MOST_BYTES)
    try:
        data = path.read_bytes()
        text = (_unzipped(path, data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidFileError(
            f"{path} must be a text in UTF-8, got the byte 0x{error.object[error.start]:02x} at {error.start}: save it "
            "as UTF-8"
        ) from None
    lines = [line.strip() for line in text.replace("\r\n", "\n").removesuffix("\n").split("\n")]
    for number, line in enumerate(lines, 1):
        if not line:
            raise InvalidFileError(
                f"{path} must have a sentence on each line, got an empty line {number}: remove it, and its translation"
            )
    return tuple(lines)


def _unzipped(path: Path, data: bytes) -> bytes:
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        text = unzip.decompress(data, _MOST_BYTES)
    except zlib.error as error:
        raise InvalidFileError(f"{path} must be a file of gzip, got {error}") from None
    if unzip.unconsumed_tail:
        raise InvalidFileError(f"{path} must have at most {_MOST_BYTES} bytes of text, got more")
    if not unzip.eof:
        raise InvalidFileError(f"{path} must be a whole file of gzip, got one that is cut off")
    return text
