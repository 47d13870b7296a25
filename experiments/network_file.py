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
_FORMAT, _VERSION = "jaxnn-mlp", "1"


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
    """The bytes of a safetensors file: the same for the same network."""
    spec = network.spec
    arrays = jax.device_get(jaxnn.params_to_arrays(spec.model().network, network.params))
    # In C order: a matrix that XLA hands over transposed would be stored by its memory, as another matrix.
    tensors = dict(zip(param_names(spec), map(np.ascontiguousarray, arrays), strict=True))
    if network.standardizer is not None:
        tensors |= {"standardizer/mean": network.standardizer.mean, "standardizer/std": network.standardizer.std}
    metadata = {
        "format": _FORMAT,
        "format_version": _VERSION,
        "sizes": json.dumps(spec.sizes),
        "activation": spec.activation,
        "output": spec.output,
        "classes": json.dumps(network.classes),
        "image_shape": json.dumps(network.image_shape),
    }
    return _sorted(save(tensors, metadata))


def _sorted(data: bytes) -> bytes:
    """The same file with its table of contents in order: the package writes metadata in one that it draws at random."""
    end = 8 + int.from_bytes(data[:8], "little")
    contents = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":")).encode()
    contents += b" " * (-len(contents) % 8)  # so that numbers begin where a machine can read them in place
    return len(contents).to_bytes(8, "little") + contents + data[end:]


def load(path: Path) -> StoredNetwork:
    """Read a stored network.

    Raises:
      ValueError: the file is damaged, of another kind, or its arrays do not fit its network.
      OSError: it cannot be opened.
    """
    path.open("rb").close()  # says plainly what a missing or forbidden file is
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged, or no safetensors file: {error}") from None
    if metadata.get("format") != _FORMAT or metadata.get("format_version") != _VERSION:
        raise ValueError(f"{path} was not written by these experiments, or by another version of them")
    try:
        return _decode(metadata, tensors)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def _decode(metadata: dict[str, str], tensors: dict[str, np.ndarray]) -> StoredNetwork:
    spec = NetworkSpec(tuple(json.loads(metadata["sizes"])), metadata["activation"], metadata["output"])
    model = spec.model()
    stats = [tensors.pop(f"standardizer/{name}", None) for name in ("mean", "std")]
    names = param_names(spec)
    if set(tensors) != set(names):
        raise ValueError(f"the network has {', '.join(names)}, the file {', '.join(sorted(tensors)) or 'nothing'}")
    image_shape = json.loads(metadata["image_shape"])
    return StoredNetwork(
        spec,
        jaxnn.params_from_arrays(model.network, model.in_shape, [tensors[name] for name in names]),
        tuple(json.loads(metadata["classes"])),
        None if image_shape is None else tuple(image_shape),
        None if stats[0] is None else jaxnn.Standardizer(*stats),
    )
