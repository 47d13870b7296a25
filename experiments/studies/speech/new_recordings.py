"""Recognize the digits of a person's own recording with a network of a run."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxnn
from experiments.datasets.recording_features import BANDS, HOP, RATE, trimmed
from experiments.networks.storage import StoredNetwork
from experiments.readers.audio import read_mono
from experiments.readers.errors import InvalidFileError
from experiments.studies.speech.data import FRAMES, check_speech, features_of
from experiments.studies.speech.strings import BLANK, CLASSES_OF_PATHS, FRAMES_PER_STEP, steps_of
from jaxnn.decoding import ctc_greedy
from jaxnn.nn import Sequences

MOST_SECONDS = 300
"""The longest recording that is read, in seconds."""
_LONGEST_DIGIT = 2.5
"""Seconds: no recording of one digit in FSDD is longer."""


def recognize(path: Path, network: StoredNetwork) -> str:
    """Return the digits of a recording, and their probability, as text.

    The recording, of any rate, number of channels and loudness, becomes one channel of 8 kHz without silence at its
    ends.

    Raises:
      InvalidFileError: if the file is damaged or of another encoding; if it is silent, too short or too long.
      OSError: if it cannot be opened.
    """
    strings = network.classes == CLASSES_OF_PATHS
    n = FRAMES_PER_STEP * BANDS if strings else BANDS
    if tuple(network.spec.in_shape[1:]) != (n,):
        raise ValueError(f"the network must take features of {n} numbers, got examples {network.spec.in_shape}")
    samples = read_mono(path, RATE)
    if len(samples) > MOST_SECONDS * RATE:
        raise InvalidFileError(f"{path} must last at most {MOST_SECONDS} s, got {len(samples) / RATE:.0f} s: cut it")
    samples = samples - samples.mean()
    check_speech(path, samples)
    samples = trimmed(samples)
    samples = samples / np.abs(samples).max()  # features have a smallest energy, which is that of recordings near 0
    return _string(samples, network) if strings else _digit(path, samples, network)


def _digit(path: Path, samples: np.ndarray, network: StoredNetwork) -> str:
    if len(samples) > _LONGEST_DIGIT * RATE:
        raise InvalidFileError(
            f"{path} must contain one digit, got {len(samples) / RATE:.1f} s without the silence at its ends: cut it, "
            "or use a run with --strings"
        )
    x = features_of([samples], max(FRAMES, -(-len(samples) // HOP)))
    x = x if _takes_lengths(network) else x.x
    probabilities = np.asarray(jax.nn.softmax(_outputs(network.spec.network, network.params, network.stats, x)))[0]
    best = int(probabilities.argmax())
    return f"{network.classes[best]} with probability {probabilities[best]:.2f}"


@partial(jax.jit, static_argnums=0)
def _outputs(layers: jaxnn.Layer, params: Any, stats: Any, x: Any) -> Any:
    """Return the outputs; the next recording of the same shape runs the same program."""
    return layers.infer(params, stats, x)


def _takes_lengths(network: StoredNetwork) -> bool:
    """Return whether the network takes `Sequences`: recurrent ones need lengths, convolutions have none."""
    frames, n = network.spec.in_shape
    shape = Sequences(jax.ShapeDtypeStruct((frames, n), "float32"), jax.ShapeDtypeStruct((), "int32"))
    try:
        jax.eval_shape(lambda key: network.spec.network.init(key, shape)[0], jax.random.key(0))
    except ValueError:
        return False
    return True


def _string(samples: np.ndarray, network: StoredNetwork) -> str:
    z = _outputs(network.spec.network, network.params, (), steps_of(samples)[None])
    labels, lengths = ctc_greedy(z, BLANK)
    if not lengths[0]:
        return "no digits"
    p = float(jax.numpy.exp(-jaxnn.losses.ctc_value(z, Sequences(labels, lengths), BLANK))[0])
    return f"{' '.join(network.classes[i] for i in np.asarray(labels)[0, : lengths[0]])} with probability {p:.2f}"
