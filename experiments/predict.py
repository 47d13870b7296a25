"""Classify a photo by a stored run of catvnoncat: the class, and its probability.

The photo may be a PNG or a JPEG of any size, in colour or grey. It is turned upright as its EXIF data say, transparency
becomes white, and it is squashed, not cropped, to the 64 x 64 pixels that the networks take.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from experiments.options import CacheOptions
from experiments.refusal import inside

if TYPE_CHECKING:
    from experiments.network_file import StoredNetwork


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
    from experiments.networks import class_probabilities
    from experiments.photo import read_photo  # slow to import, as network_file is below, so not for --help

    network = _network(options.run, options.network)
    if network.image_shape is None:
        raise ValueError(f"{options.run} has networks for other data than images: predict takes a run of catvnoncat")
    height, width, _ = network.image_shape
    pixels = read_photo(options.image, height, width).reshape(1, -1)
    probabilities = class_probabilities(network.spec.model(), network.params, pixels)[0]
    best = int(probabilities.argmax())
    return f"{network.classes[best]} with probability {probabilities[best]:.2f}"


def _network(run: Path, name: str) -> "StoredNetwork":
    from experiments.network_file import SUFFIX, load

    if not run.is_dir():
        raise ValueError(f"{run} is not a folder: predict takes the results folder of a run, runs/catvnoncat-... say")
    stored = {path.stem: path for path in sorted(run.glob(f"*{SUFFIX}"))}
    if not stored:
        raise ValueError(f"{run} holds no trained networks (*{SUFFIX}): is it the results folder of a run?")
    if name and name not in stored:
        raise ValueError(f"{run} has no network {name!r}: there are {', '.join(stored)}")
    paths = [inside(run, path.name) for path in ([stored[name]] if name else stored.values())]
    return max(map(load, paths), key=lambda network: len(network.spec.sizes))
