"""Make strings of digits from recordings: one after another, with or without pauses, clean or in noise."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.datasets.recording_features import BANDS, RATE, log_mel, padded
from experiments.studies.speech.augmentation import add_noise, at_speed
from experiments.studies.speech.data import CLASSES, Recordings
from jaxnn.nn import Sequences

BLANK = 0
CLASSES_OF_PATHS = ("blank", *CLASSES)
"""The class of a digit is one more than the digit."""
FRAMES_PER_STEP = 2
"""Frames side by side that the network sees at each step, which is 20 ms."""
MOST_SECONDS, MOST_DIGITS = 3.2, 7
"""Limits of a string in training: digits that would exceed them are left out."""
MOST_STEPS = round(MOST_SECONDS * 100) // FRAMES_PER_STEP
_PAUSE = (0.05, 0.4)
"""The shortest and the longest pause between two digits, in seconds."""
_LEVEL = 3.0
"""Decibels by which a digit is at most louder or quieter than the others."""


class Condition(NamedTuple):
    """How strings are made.

    Attributes:
      pauses: whether there are pauses between digits, and before the first and after the last.
      noise: the lowest and the highest ratio of speech to white noise in decibels, or `None` for no noise.
    """

    pauses: bool
    noise: tuple[float, float] | None


NOISE = (10.0, 30.0)
CONDITIONS = {
    "noise of 10 to 30 dB": Condition(True, NOISE),
    "clean": Condition(True, None),
    "no pauses, noise of 10 to 30 dB": Condition(False, NOISE),
    "no pauses, clean": Condition(False, None),
    "noise of 5 dB": Condition(True, (5.0, 5.0)),
}
"""Of the test. Training strings are of the first four kinds; half have pauses, and a quarter are clean."""
_CLEAN = 0.25


class Strings(NamedTuple):
    """Strings of digits.

    Attributes:
      samples: of each, (times,).
      digits: of each, (n,).
    """

    samples: list[np.ndarray]
    digits: list[np.ndarray]


def make_string(
    rng: np.random.Generator, recordings: Recordings, condition: Condition, n: int, speed: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples of up to n digits of one random speaker, (times,), and the digits.

    Each digit has the same mean energy, but for a random factor. The first digit is always there, others as long as the
    string is not too long.

    Args:
      rng: source of random numbers.
      recordings: to choose from.
      condition: pauses and noise.
      n: digits, at most.
      speed: the largest change of speed, as a share.
    """
    speaker = rng.choice(np.unique(recordings.speakers))
    chosen = rng.choice(np.flatnonzero(recordings.speakers == speaker), n)
    pieces, digits, length = [_pause(rng, condition)], [], 0
    for i in chosen:
        digit = at_speed(recordings.samples[i], 1 + rng.uniform(-speed, speed))
        level = 10 ** (rng.uniform(-_LEVEL, _LEVEL) / 20) / max(np.sqrt(np.mean(digit**2)), 1e-9)
        pause = _pause(rng, condition)
        if digits and length + len(digit) + len(pause) > MOST_SECONDS * RATE:
            break
        pieces += [level * digit, pause]
        digits.append(recordings.digits[i])
        length = sum(map(len, pieces))
    samples = np.concatenate(pieces)
    if condition.noise is not None:
        # Digits have a mean energy of about 1, and pauses do not count.
        samples = add_noise(rng, samples, rng.uniform(*condition.noise), power=1.0)
    return samples, np.array(digits, np.int32)


def _pause(rng: np.random.Generator, condition: Condition) -> np.ndarray:
    return np.zeros(int(rng.uniform(*_PAUSE) * RATE) if condition.pauses else 0)


def training_strings(rng: np.random.Generator, recordings: Recordings, m: int, speed: float) -> Strings:
    """Return m strings of 1 to `MOST_DIGITS` digits, each in a random condition."""
    made = []
    for _ in range(m):
        pauses, clean = rng.random() < 0.5, rng.random() < _CLEAN
        condition = Condition(pauses, None if clean else NOISE)
        made.append(make_string(rng, recordings, condition, int(rng.integers(1, MOST_DIGITS + 1)), speed))
    return Strings([samples for samples, _ in made], [digits for _, digits in made])


def strings_in(recordings: Recordings, condition: Condition, seed: int, digits: int) -> Strings:
    """Return strings of 3 to `MOST_DIGITS` digits in one condition, at least that many digits in all."""
    rng, made, total = np.random.default_rng(seed), [], 0
    while total < digits:
        made.append(make_string(rng, recordings, condition, int(rng.integers(3, MOST_DIGITS + 1))))
        total += len(made[-1][1])
    return Strings([samples for samples, _ in made], [digits for _, digits in made])


def steps_of(samples: np.ndarray) -> np.ndarray:
    """Return features by step, (steps, FRAMES_PER_STEP BANDS); an odd last frame is left out."""
    features = log_mel(samples)
    steps = max(1, len(features) // FRAMES_PER_STEP)
    features = np.pad(features, ((0, max(0, steps * FRAMES_PER_STEP - len(features))), (0, 0)))
    return features[: steps * FRAMES_PER_STEP].reshape(steps, FRAMES_PER_STEP * BANDS)


def examples(strings: Strings) -> tuple[Sequences, Sequences]:
    """Return inputs (m, MOST_STEPS, n) and classes (m, MOST_DIGITS) of strings, with their lengths.

    Raises:
      ValueError: if a string is too short for its digits.
    """
    x = padded([steps_of(samples) for samples in strings.samples], MOST_STEPS)
    y = np.zeros((len(strings.digits), MOST_DIGITS), np.int32)
    for row, digits in zip(y, strings.digits, strict=True):
        row[: len(digits)] = digits + 1
    check_long_enough(x.lengths, strings.digits)
    return x, Sequences(y, np.array([len(digits) for digits in strings.digits], np.int32))


def check_long_enough(steps: np.ndarray, digits: Sequence[np.ndarray]) -> None:
    """Raise a ValueError unless each string has a step for each digit, and one more between two equal ones."""
    needed = np.array([len(one) + np.count_nonzero(one[1:] == one[:-1]) for one in digits])
    short = steps < needed
    if short.any():
        i = int(short.argmax())
        named = " ".join(map(str, digits[i].tolist()))
        raise ValueError(
            f"a string of the digits {named} must have at least {needed[i]} steps of {10 * FRAMES_PER_STEP} ms, got "
            f"{steps[i]}: its recordings are too short for speech"
        )
