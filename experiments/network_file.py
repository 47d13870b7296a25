"""Trained networks as safetensors: the params under their names, and beside them what rebuilds the network.

A safetensors file is a table of contents and raw numbers. Reading one runs no code, unlike a pickle.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

import jaxnn
from experiments.networks import NetworkSpec, param_names

SUFFIX = ".safetensors"
_FORMAT, _VERSION = "jaxnn-mlp", 1

_STANDARDIZER = ("standardizer/mean", "standardizer/std")


class StoredNetwork(NamedTuple):
    """A trained network, and what its inputs and outputs mean.

    Attributes:
      spec: the network.
      params: its params, as `jaxnn.mlp` makes them.
      classes: the name of each class.
      image_shape: (height, width, 3) where inputs are images, flattened, their pixels divided by 255; else `None`.
      standardizer: where inputs are standardised first, the training set's mean and deviation; else `None`.
    """

    spec: NetworkSpec
    params: Any
    classes: tuple[str, ...]
    image_shape: tuple[int, ...] | None = None
    standardizer: jaxnn.Standardizer | None = None


def encode(network: StoredNetwork) -> bytes:
    """The bytes of a safetensors file."""
    spec = network.spec
    arrays = jax.device_get(jaxnn.params_to_arrays(spec.model().network, network.params))
    # In C order: a matrix that XLA hands over transposed would be stored by its memory, as another matrix.
    tensors = dict(zip(param_names(spec), map(np.ascontiguousarray, arrays), strict=True))
    if network.standardizer is not None:
        tensors |= dict(zip(_STANDARDIZER, network.standardizer, strict=True))
    metadata = {
        "format": _FORMAT,
        "format_version": str(_VERSION),
        "sizes": json.dumps(spec.sizes),
        "activation": spec.activation,
        "output": spec.output,
        "classes": json.dumps(network.classes),
        "image_shape": json.dumps(network.image_shape),
    }
    return save(tensors, metadata)


def load(path: Path) -> StoredNetwork:
    """Read a stored network, of this version of the format or of an older one.

    Raises:
      ValueError: the file is damaged, of another kind or of a newer version, or its arrays do not fit its network.
      OSError: it cannot be opened.
    """
    metadata, tensors = read_safetensors(path)
    if metadata.get("format") != _FORMAT:
        raise ValueError(f"{path} was not written by these experiments: import takes weights of other libraries")
    version = metadata.get("format_version", "")
    if version.isdecimal() and int(version) > _VERSION:
        raise ValueError(
            f"{path} was written by a newer jaxnn, in version {version} of its format; this one reads versions up to "
            f"{_VERSION}: update jaxnn"
        )
    try:
        decode = _DECODERS.get(version)
        if decode is None:
            raise ValueError(f"format_version is {version!r}")
        return decode(metadata, tensors)
    except KeyError as error:
        raise ValueError(f"{path} is damaged: its header lacks {error}") from None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def load_from_run(run: Path, name: str = "") -> tuple[str, StoredNetwork]:
    """A network of a run and its name: the one of that name, or else the deepest.

    Raises:
      ValueError: `run` is no results folder, or it has no such network.
      OSError: it cannot be read.
    """
    if not run.is_dir():
        raise ValueError(f"{run} is not a folder: expected the results folder of a run, runs/catvnoncat-... say")
    stored = {path.stem: path for path in sorted(run.glob(f"*{SUFFIX}"))}
    if not stored:
        raise ValueError(f"{run} holds no trained networks (*{SUFFIX}): is it the results folder of a run?")
    if name and name not in stored:
        raise ValueError(f"{run} has no network {name!r}: there are {', '.join(stored)}")
    if name:
        return name, load(stored[name])
    networks = {name: load(path) for name, path in stored.items()}
    return max(networks.items(), key=lambda item: len(item[1].spec.sizes))


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """The metadata and the arrays of any safetensors file. Its sizes are held against the file's before it is read.

    Raises:
      ValueError: the file is damaged, or of another kind.
      OSError: it cannot be opened.
    """
    path.open("rb").close()  # says plainly what a missing or forbidden file is
    try:
        with safe_open(path, framework="np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
            return file.metadata() or {}, tensors
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged, or no safetensors file: {error}") from None


def _decode(metadata: dict[str, str], tensors: dict[str, np.ndarray]) -> StoredNetwork:
    spec = NetworkSpec(tuple(json.loads(metadata["sizes"])), metadata["activation"], metadata["output"])
    model = spec.model()
    stats = [tensors.pop(name) for name in _STANDARDIZER if name in tensors]
    if stats and [np.shape(a) for a in stats] != [model.in_shape] * 2:
        raise ValueError(f"its standardizer needs a mean and a deviation for each of {spec.sizes[0]} inputs")
    if stats and not (np.isfinite(stats).all() and (stats[1] > 0).all()):
        raise ValueError("its standardizer holds numbers that are not finite, or a deviation that is not above 0")
    names = param_names(spec)
    if set(tensors) != set(names):
        raise ValueError(f"the network has {', '.join(names)}, the file {', '.join(sorted(tensors)) or 'nothing'}")
    image_shape = json.loads(metadata["image_shape"])
    return StoredNetwork(
        spec,
        jaxnn.params_from_arrays(model.network, model.in_shape, [tensors[name] for name in names]),
        tuple(json.loads(metadata["classes"])),
        None if image_shape is None else tuple(image_shape),
        jaxnn.Standardizer(*stats) if stats else None,
    )


_DECODERS = {"1": _decode}
"""How each version of the format is read. Whoever changes the format adds a version, and keeps reading the others."""
