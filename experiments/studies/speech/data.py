"""Find, read and split the recordings."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.datasets.paths import places
from experiments.datasets.recording_features import RATE, log_mel, padded, trimmed
from experiments.readers.audio import read_mono
from experiments.readers.errors import InvalidFileError
from jaxnn.nn import Sequences

CLASSES = tuple("0123456789")
FRAMES = 80
"""Frames of a recording in training, 0.8 s: longer ones, 5 of FSDD's 3 000, are cut off."""
TEST, DEV = 5, 5
"""Of each digit and speaker, the first are the test set, and the next the dev set."""
_FILE = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_]+)_(?P<index>\d{1,6})\.wav", re.IGNORECASE)
_BELOW = (".", "recordings", "free-spoken-digit-dataset/recordings")
_SHORTEST = 0.06
"""Seconds: the shortest recording of FSDD has 0.14."""


class Recordings(NamedTuple):
    """Recordings of one digit each, without silence at their ends.

    Attributes:
      samples: of each recording, (times,) float32.
      digits: (m,) int32.
      speakers: the name of each one's speaker, (m,).
      indices: the number of each among those of its digit and speaker, (m,).
    """

    samples: tuple[np.ndarray, ...]
    digits: np.ndarray
    speakers: np.ndarray
    indices: np.ndarray

    def where(self, mask: np.ndarray) -> "Recordings":
        """Return the recordings where a mask (m,) is true."""
        samples = tuple(one for one, here in zip(self.samples, mask, strict=True) if here)
        return Recordings(samples, *(each[mask] for each in self[1:]))


def find_recordings(data_dir: Path | None) -> Path:
    """Return the folder of recordings: `data_dir`, or else $JAXNN_DATA or ./data, or recordings or fsdd in it.

    Raises:
      ValueError: if no folder has recordings.
    """
    searched = [folder / below for folder in places(data_dir, "fsdd") for below in _BELOW]
    for folder in searched:
        if folder.is_dir() and any(_FILE.fullmatch(path.name) for path in folder.iterdir()):
            return folder
    raise ValueError(
        f"no folder has recordings such as 7_jackson_32.wav; searched {', '.join(map(str, searched))}; put the folder "
        "recordings of github.com/Jakobovski/free-spoken-digit-dataset into ./data/fsdd, or give it as --data-dir"
    )


def read_recordings(folder: Path) -> Recordings:
    """Read all recordings of a folder, in the order of their names.

    Raises:
      InvalidFileError: if one is damaged, silent or too short, or a digit has no recording in a part.
      OSError: if one cannot be opened.
    """
    found = [(path, match) for path in sorted(folder.iterdir()) if (match := _FILE.fullmatch(path.name))]
    recordings = Recordings(
        tuple(trimmed(_read(path)) for path, _ in found),
        np.array([int(match["digit"]) for _, match in found], np.int32),
        np.array([match["speaker"].lower() for _, match in found]),
        np.array([int(match["index"]) for _, match in found]),
    )
    for name, part in zip(("training", "dev", "test"), split(recordings), strict=True):
        missing = {*range(len(CLASSES))} - {*part.digits.tolist()}
        if missing:
            raise InvalidFileError(
                f"{folder} must have recordings of all digits for {name}, got none of {min(missing)}: names are "
                f"DIGIT_SPEAKER_INDEX.wav, indices up to {TEST - 1} are for the test, and the next {DEV} for dev"
            )
    return recordings


def _read(path: Path) -> np.ndarray:
    samples = read_mono(path, RATE)
    check_speech(path, samples)
    return samples


def check_speech(path: Path, samples: np.ndarray) -> None:
    """Raise an InvalidFileError if samples are silent, or too short for a digit."""
    if len(samples) < _SHORTEST * RATE:
        raise InvalidFileError(f"{path} must last at least {_SHORTEST} s for a digit, got {len(samples) / RATE:.3f} s")
    if np.ptp(samples) == 0:
        raise InvalidFileError(f"{path} must contain speech, got silence")


def split(recordings: Recordings) -> tuple[Recordings, Recordings, Recordings]:
    """Return the parts train, dev and test, by FSDD's rule for the test: the indices 0 to 4."""
    indices = recordings.indices
    test, dev = indices < TEST, (indices >= TEST) & (indices < TEST + DEV)
    return recordings.where(~test & ~dev), recordings.where(dev), recordings.where(test)


def features_of(samples: Sequence[np.ndarray], frames: int = FRAMES) -> Sequences:
    """Return the features of recordings, x (m, frames, BANDS), padded or cut off, and their lengths."""
    return padded([log_mel(one) for one in samples], frames)
