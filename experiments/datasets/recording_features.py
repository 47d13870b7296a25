"""Log-mel features of speech: how loud it is in each band of pitch, every hundredth of a second.

Bands are equally wide in mel, a scale on which listeners place tones: equal in hertz below 1 kHz, in ratio above.

Source: Stevens, Volkmann and Newman, "A scale for the measurement of the psychological magnitude pitch", 1937; Davis
and Mermelstein, "Comparison of parametric representations for monosyllabic word recognition", 1980.
"""

from collections.abc import Sequence

import numpy as np

from jaxnn.nn import Sequences

RATE = 8000
"""Samples per second."""
WINDOW, HOP, POINTS = 200, 80, 256
"""Samples of a frame, 25 ms, between the starts of two, 10 ms, and of its Fourier transform, which pads by zeros."""
BANDS = 32
RANGE = 60.0
"""Decibels below the loudest band of a recording at which energies are cut off."""
_SILENCE = 1e-12
_MARGIN = 2
"""Frames before and after the first and the last that are not silent."""
_QUIETER = 30.0
"""Decibels below the loudest frame that are silence at the ends of a recording."""


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Return the features of a recording, (frames, BANDS) float32.

    A frame's energy in a band is the sum of |X_k|² over the frequencies k of its Fourier transform X, weighted by the
    band's triangle. Energies are in decibels, limited to `RANGE` below the loudest; each recording has a mean of 0 and
    a deviation of 1 over all times and bands. So they do not depend on its loudness.

    Args:
      samples: (times,), at `RATE`; shorter ones than a window are padded by zeros.
    """
    samples = np.asarray(samples, np.float64)
    samples = np.pad(samples, (0, max(0, WINDOW - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), POINTS)) ** 2
    energies = power @ _TRIANGLES.T
    levels = 10 * np.log10(np.maximum(energies, max(_SILENCE, energies.max() * 10 ** (-RANGE / 10))))
    return ((levels - levels.mean()) / max(levels.std(), 1e-3)).astype(np.float32)


def mel(frequency: np.ndarray) -> np.ndarray:
    """Return frequencies in hertz on the scale of mel."""
    return 2595 * np.log10(1 + frequency / 700)


def triangles() -> np.ndarray:
    """Return the weights of bands, (BANDS, POINTS / 2 + 1): 1 at a band's center, 0 from the centers of its neighbors.

    They are linear in mel in between, and the first and the last reach to 0 and to half of the rate.
    """
    centers = np.linspace(0, mel(np.array(RATE / 2)), BANDS + 2)
    frequencies = mel(np.fft.rfftfreq(POINTS, 1 / RATE))[None]
    width = centers[1]
    return np.maximum(0, 1 - np.abs(frequencies - centers[1:-1, None]) / width)


_TRIANGLES = triangles()


def trimmed(samples: np.ndarray) -> np.ndarray:
    """Return samples without silence at their ends: frames 30 dB quieter than the loudest, but for a margin."""
    energies = np.add.reduceat(samples.astype(np.float64) ** 2, np.arange(0, len(samples), HOP))
    loud = np.flatnonzero(energies >= energies.max() * 10 ** (-_QUIETER / 10))
    return samples[max(0, loud[0] - _MARGIN) * HOP : (loud[-1] + 1 + _MARGIN) * HOP]


def padded(features: Sequence[np.ndarray], frames: int) -> Sequences:
    """Return features (frames_i, n) as `Sequences` of one size, padded by zeros or cut off."""
    x = np.zeros((len(features), frames, features[0].shape[1]), np.float32)
    for row, one in zip(x, features, strict=True):
        row[: len(one)] = one[:frames]
    return Sequences(x, np.array([min(frames, len(one)) for one in features], np.int32))
