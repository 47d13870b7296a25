"""The inputs that files become: pixels of photos, or features of recordings; stored as encoder.json in a run's folder.

When it is read, it is untrusted: anything that a training does not write is an error.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from experiments.datasets.encoder import FILE
from experiments.datasets.recording_features import BANDS, HOP, RATE, log_mel, padded, trimmed
from experiments.readers.audio import read_mono
from experiments.readers.errors import InvalidFileError, path_inside
from experiments.readers.json_file import read_json, short_json
from experiments.readers.photo import read_picture

SIZES = 8, 512
"""The smallest and the largest height and width of photos as inputs."""
MOST_SECONDS = 30.0
"""The longest recording as an input."""
FRAMES_PER_SECOND = RATE // HOP
_MOST_BYTES = 10_000


class Photos(NamedTuple):
    """Photos as pixels (size, size, channels), float32 from 0 to 1: resized, not cropped; 3 channels, or 1 for gray."""

    size: int
    channels: int

    suffixes = (".png", ".jpg", ".jpeg")
    kind = "photos"
    one = "a photo"

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one example."""
        return self.size, self.size, self.channels

    def read(self, path: Path) -> np.ndarray:
        """Return the pixels of a PNG or JPEG file.

        Raises:
          InvalidFileError: if it is damaged, too large, or not a picture.
          OSError: if it cannot be opened.
        """
        picture = read_picture(path).convert("L" if self.channels == 1 else "RGB")
        small = picture.resize((self.size, self.size), Image.Resampling.BICUBIC)
        return (np.asarray(small, np.float32) / 255).reshape(self.shape)


class Recordings(NamedTuple):
    """Recordings as log-mel features (frames, bands), without silence at the ends, padded by zeros or cut off."""

    frames: int

    suffixes = (".wav",)
    kind = "recordings"
    one = "a recording"

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one example."""
        return self.frames, BANDS

    def read(self, path: Path) -> np.ndarray:
        """Return the features of a WAV file.

        Raises:
          InvalidFileError: if it is damaged, of another encoding, or silent.
          OSError: if it cannot be opened.
        """
        samples = read_mono(path, RATE)
        if np.ptp(samples) == 0:
            raise InvalidFileError(f"{path} must not be silent: all of its samples are equal")
        samples = trimmed(samples - samples.mean())
        return padded([log_mel(samples / np.abs(samples).max())], self.frames).x[0]


Inputs = Photos | Recordings


def as_json(inputs: Inputs) -> dict[str, Any]:
    """Return the inputs as JSON."""
    return {"kind": inputs.kind, **inputs._asdict()}


def load_inputs(run: Path) -> Inputs | None:
    """Read the inputs of a run on a folder; `None` if its encoder.json is that of a table, or does not exist.

    Raises:
      InvalidFileError: if it is invalid.
      OSError: if it cannot be read.
    """
    path = path_inside(run, FILE)
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return None
    try:
        content = read_json(path, _MOST_BYTES)
    except (ValueError, RecursionError) as error:
        raise InvalidFileError(f"{path}: {error}") from None
    if not isinstance(content, dict) or "kind" not in content:
        return None
    most = round(MOST_SECONDS * FRAMES_PER_SECOND)
    match content:
        case {"kind": "photos", "size": int(size), "channels": 1 | 3 as channels} if (
            len(content) == 3 and SIZES[0] <= size <= SIZES[1]
        ):
            return Photos(size, channels)
        case {"kind": "recordings", "frames": int(frames)} if len(content) == 2 and 1 <= frames <= most:
            return Recordings(frames)
    raise InvalidFileError(f"{path}: expected the inputs of photos or of recordings, got {short_json(content)}")
