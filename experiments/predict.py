"""Classify a photo by a stored run of catvnoncat: the class, and its probability.

The photo may be a PNG or a JPEG of any size, in colour or grey. It is turned upright as its EXIF data say, transparency
becomes white, and it is squashed, not cropped, to the 64 x 64 pixels that the networks take.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.options import CacheOptions


@dataclass(frozen=True)
class Options(CacheOptions):
    """What to classify, and by what."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The results folder of a run."""
    image: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="IMAGE")]
    """The photo."""
    network: Annotated[str, tyro.conf.arg(metavar="NAME")] = ""
    """A network of the run: logistic, one-hidden or four-layers. By default the deepest."""


def predict(options: Options) -> str:
    """The answer in words.

    Raises:
      ValueError, OSError: what is wrong with the run or with the photo.
    """
    # Slow to import, so not for --help.
    from experiments.network_file import load_from_run
    from experiments.networks import class_probabilities
    from experiments.photo import read_photo

    _, network = load_from_run(options.run, options.network)
    if network.image_shape is None:
        raise ValueError(f"{options.run} has networks for other data than images: predict takes a run of catvnoncat")
    height, width, _ = network.image_shape
    pixels = read_photo(options.image, height, width).reshape(1, -1)
    probabilities = class_probabilities(network.spec.model(), network.params, pixels)[0]
    best = int(probabilities.argmax())
    return f"{network.classes[best]} with probability {probabilities[best]:.2f}"
