"""Read a recording, a WAV file, as samples from -1 to 1.

A WAV file is RIFF: the word RIFF, a size, the word WAVE, and chunks of a name, a size and data, of which "fmt " states
the encoding and "data" has the samples, channel by channel at each time.

Source: Microsoft and IBM, "Multimedia programming interface and data specifications 1.0", 1991; Microsoft, "Multiple
channel audio data and WAVE files", 2007, for the extensible format.
"""

import struct
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.readers.errors import InvalidFileError, check_file

MOST_BYTES = 2**28
MOST_SAMPLES = 2**25
"""The maximum number of samples over all channels: 12 minutes at 44.1 kHz."""
MOST_CHANNELS = 32
RATES = (1000, 768_000)
"""The lowest and the highest number of samples per second that are read."""
_MOST_STEPS = 2000
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_OTHERS = {2: "ADPCM", 6: "A-law", 7: "mu-law", 17: "IMA ADPCM", 49: "GSM 6.10", 80: "MPEG", 85: "MP3", 255: "AAC"}
_KINDS = (
    (b"ID3", "an MP3 file"),
    (b"\xff\xfb", "an MP3 file"),
    (b"OggS", "an Ogg file"),
    (b"fLaC", "a FLAC file"),
    (b"FORM", "an AIFF file"),
    (b"caff", "a CAF file"),
    (b"RIFX", "a big-endian RIFF file"),
    (b"RF64", "an RF64 file"),
)
"""What other files begin with."""
_CONVERT = "convert it to a WAV file of 16-bit PCM"


class Recording(NamedTuple):
    """Samples from -1 to 1, (times, channels) float32, and their number per second."""

    samples: np.ndarray
    rate: int


def read_wav(path: Path) -> Recording:
    """Read a WAV file of PCM with 8, 16, 24 or 32 bits, or of floats with 32 or 64, of any rate and channels.

    Floats beyond -1 and 1 are kept. A data chunk without a size, as programs write that stream, is read to the end.

    Raises:
      InvalidFileError: if the file is damaged, has another encoding, or no samples.
      OSError: if it cannot be opened.
    """
    check_file(path, MOST_BYTES)
    data = path.read_bytes()
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        kind = next((kind for start, kind in _KINDS if data.startswith(start)), "MPEG-4" * (data[4:8] == b"ftyp"))
        raise InvalidFileError(f"{path} must be a WAV file, got {kind or 'other content'}: {_CONVERT}")
    chunks = _chunks(path, data)
    layout = _layout(path, chunks.get(b"fmt ", b""))
    values = chunks.get(b"data")
    if values is None:
        raise InvalidFileError(f"{path} is damaged: it has no chunk of data")
    if len(values) // layout.size > MOST_SAMPLES:
        raise InvalidFileError(
            f"{path} must have at most {MOST_SAMPLES:,} samples, got {len(values) // layout.size:,}: cut it"
        )
    of_one_time = layout.channels * layout.size
    samples = _samples(values[: len(values) // of_one_time * of_one_time], layout).reshape(-1, layout.channels)
    if len(samples) == 0:
        raise InvalidFileError(f"{path} must have samples, got a recording of no length")
    if not np.isfinite(samples).all():
        raise InvalidFileError(f"{path} is damaged: it has samples that are not finite")
    return Recording(samples, layout.rate)


def read_mono(path: Path, rate: int) -> np.ndarray:
    """Read a WAV file as one channel, the mean of all, with `rate` samples per second, (times,) float32.

    Resampling filters out frequencies above half of the lower rate.

    Raises:
      InvalidFileError: as `read_wav`.
      OSError: if the file cannot be opened.
    """
    samples, given = read_wav(path)
    return resampled(samples.mean(axis=1, dtype=np.float64), given, rate).astype(np.float32)


def resampled(samples: np.ndarray, given: int, rate: int) -> np.ndarray:
    """Return samples (times,) at another rate, (ceil(times rate / given),).

    The ratio of unusual rates is replaced by the nearest one whose denominator is at most 2000, which differs by less
    than a thousandth: else the filter would have millions of taps.
    """
    if given == rate:
        return samples
    from scipy import signal  # slow to import

    ratio = Fraction(rate, given).limit_denominator(_MOST_STEPS)
    return signal.resample_poly(samples, ratio.numerator, ratio.denominator)


class _Layout(NamedTuple):
    """The encoding of samples: PCM or floats, bytes of one, channels, and times per second."""

    is_float: bool
    size: int
    channels: int
    rate: int


def _chunks(path: Path, data: bytes) -> dict[bytes, bytes]:
    """Return the first chunk of each name up to that of the data."""
    chunks, at = {}, 12
    while at + 8 <= len(data) and b"data" not in chunks:
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        unknown = name == b"data" and size in (0, 0xFFFFFFFF, 0x7FFFFFFF)
        if unknown:
            size = len(data) - at
        if at + size > len(data):
            raise InvalidFileError(
                f"{path} is damaged: a chunk must have {size:,} bytes, got {len(data) - at:,}: was it copied whole?"
            )
        chunks.setdefault(name, data[at : at + size])
        at += size + size % 2
    return chunks


def _layout(path: Path, chunk: bytes) -> _Layout:
    if len(chunk) < 16:
        raise InvalidFileError(f"{path} is damaged: its header must have 16 bytes, got {len(chunk)}")
    encoding, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", chunk)
    if encoding == _EXTENSIBLE and len(chunk) >= 26:
        (encoding,) = struct.unpack_from("<H", chunk, 24)
    if (encoding, bits) not in {*((_PCM, n) for n in (8, 16, 24, 32)), *((_FLOAT, n) for n in (32, 64))}:
        named = {_PCM: "PCM", _FLOAT: "floats"}.get(encoding) or _OTHERS.get(encoding, f"encoding {encoding}")
        raise InvalidFileError(f"{path} must be PCM of 8 to 32 bits, or floats, got {named} of {bits} bits: {_CONVERT}")
    if not 1 <= channels <= MOST_CHANNELS or not RATES[0] <= rate <= RATES[1] or block != channels * bits // 8:
        raise InvalidFileError(
            f"{path} is damaged: its header states {channels} channels in {block} bytes, and {rate:,} samples a second"
        )
    return _Layout(encoding == _FLOAT, bits // 8, channels, rate)


def _samples(values: bytes, layout: _Layout) -> np.ndarray:
    if layout.is_float:
        with np.errstate(over="ignore"):  # too large for a float32: then it is not finite
            return np.frombuffer(values, f"<f{layout.size}").astype(np.float32)
    if layout.size == 1:  # the only unsigned one
        return (np.frombuffer(values, np.uint8).astype(np.float32) - 128) / 128
    if layout.size == 3:
        parts = np.frombuffer(values, np.uint8).reshape(-1, 3)
        # The highest byte of four, so that the sign is right.
        whole = np.zeros((len(parts), 4), np.uint8)
        whole[:, 1:] = parts
        return whole.view("<i4")[:, 0].astype(np.float32) / 2**31
    return np.frombuffer(values, f"<i{layout.size}").astype(np.float32) / 2 ** (8 * layout.size - 1)
