"""Change recordings at random: their speed, with their pitch, and noise."""

import numpy as np

SPEED = 0.1
"""The largest change of speed, as a share."""
_NOISE = (5.0, 40.0)
"""The lowest and the highest ratio of speech to noise, in decibels."""


def at_speed(samples: np.ndarray, speed: float) -> np.ndarray:
    """Return samples played at another speed, which also changes their pitch, by linear interpolation."""
    at = np.arange(int((len(samples) - 1) / speed) + 1) * speed
    return np.interp(at, np.arange(len(samples)), samples)


def add_noise(rng: np.random.Generator, samples: np.ndarray, decibels: float, power: float | None = None) -> np.ndarray:
    """Return samples with white noise, that number of decibels below them.

    Args:
      rng: source of random numbers.
      samples: (times,).
      decibels: 10 log10 of the ratio of the two mean energies.
      power: the mean energy of the samples, by default as it is.
    """
    power = np.mean(samples**2) if power is None else power
    return samples + np.sqrt(power * 10 ** (-decibels / 10)) * rng.normal(size=len(samples))


def varied(rng: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    """Return a recording at a random speed; half of them in noise."""
    samples = at_speed(samples, 1 + rng.uniform(-SPEED, SPEED))
    return add_noise(rng, samples, rng.uniform(*_NOISE)) if rng.random() < 0.5 else samples
