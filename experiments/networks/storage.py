"""Store trained networks as safetensors: the params by name, and metadata to rebuild the network.

A safetensors file is a table of contents and raw numbers. Unlike a pickle, it runs no code when it is read.
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

import jaxnn
from experiments.networks.spec import LayersSpec, NetworkSpec, Spec, param_names, statistics_names
from experiments.networks.tables import in_shape_of, shape_of_row
from experiments.readers.errors import InvalidFileError, check_file, path_inside
from experiments.readers.suggestions import EXPECTED_RUN, suggest_run
from experiments.runs.folder import UNFINISHED
from jaxnn.models.calls_as_json import network_from_json, network_to_json
from jaxnn.models.feedforward import OUTPUTS
from jaxnn.typing import Shapes

SUFFIX = ".safetensors"
MOST_BYTES = 2**28
"""64 million params, five times as many as the largest network of the experiments has."""
MOST_CONTENTS = 2**20
"""The maximum size of the table of contents, which is JSON."""
MOST_LAYERS = 1000
MOST_INPUTS = 100_000
_DTYPES = {"BF16", "BOOL", *(f"{kind}{bits}" for kind in "FIU" for bits in (8, 16, 32, 64))}
"""The dtypes of safetensors that can be read. There are others, such as F8_E4M3."""
_DENSE, _LAYERS, _TABLE = "jaxnn-mlp", "jaxnn-layers", "jaxnn-table"
_VERSIONS = {_DENSE: 1, _LAYERS: 2, _TABLE: 1}
"""The formats, of dense layers, of any layers, and of any layers for rows of numbers and categories, and the version
that is written."""
IN_DTYPES = ("float32", "int32", "uint8")
"""The dtypes of examples: floats, the numbers of words and the like, the bytes of images."""
_STANDARDIZER = ("standardizer/mean", "standardizer/std")


class StoredNetwork(NamedTuple):
    """A trained network, and the meaning of its inputs and outputs.

    Attributes:
      spec: the specification of the network.
      params: its params, in the structure of `spec.model()`.
      classes: the name of each class.
      image_shape: (height, width, 3) if inputs are flattened images, pixels divided by 255; else `None`.
      standardizer: the training set's mean and deviation if inputs, or the numbers of a table, are standardized; else
        `None`.
      stats: the statistics of its layers, as `Fit.stats` has them; `()` for a network without any.
    """

    spec: Spec
    params: Any
    classes: tuple[str, ...]
    image_shape: tuple[int, ...] | None = None
    standardizer: jaxnn.data.Standardizer | None = None
    stats: Any = ()


def encode(network: StoredNetwork) -> bytes:
    """Return the bytes of a safetensors file, which are the same for the same network.

    Raises:
      ValueError: if the statistics are not those of the network.
    """
    spec = network.spec
    stats = jax.device_get(jax.tree.leaves(network.stats))
    if [a.shape for a in stats] != [a.shape for a in jax.tree.leaves(spec.statistics)]:
        raise ValueError(f"stats must be those of {spec}, as Fit.stats has them, got {len(stats)} other arrays")
    arrays = jax.device_get(jaxnn.models.params_to_arrays(spec.model().network, network.params))
    # In C order: an array that XLA returns transposed would be stored in memory order, as another matrix.
    names = [*param_names(spec), *statistics_names(spec)]
    tensors = dict(zip(names, map(np.ascontiguousarray, [*arrays, *stats]), strict=True))
    if network.standardizer is not None:
        tensors |= dict(zip(_STANDARDIZER, network.standardizer, strict=True))
    metadata = {
        **_described(spec),
        "output": spec.output,
        "classes": json.dumps(network.classes),
        "image_shape": json.dumps(network.image_shape),
    }
    return _sorted(save(tensors, metadata))


def _described(spec: Spec) -> dict[str, str]:
    if isinstance(spec, NetworkSpec):
        described = {"format": _DENSE, "sizes": json.dumps(spec.sizes), "activation": spec.activation}
    else:
        row = shape_of_row(spec.in_shape)
        kind, shape = (_TABLE, row) if row and row.categories else (_LAYERS, spec.in_shape)
        described = {"format": kind, "network": network_to_json(spec.network), "in_shape": json.dumps(shape)}
        if kind == _LAYERS:
            described["in_dtype"] = spec.in_dtype
    return described | {"format_version": str(_VERSIONS[described["format"]])}


def _sorted(data: bytes) -> bytes:
    """Return the file with its metadata sorted, which the package writes in random order."""
    end = 8 + int.from_bytes(data[:8], "little")
    contents = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":")).encode()
    contents += b" " * (-len(contents) % 8)  # to align the numbers
    return len(contents).to_bytes(8, "little") + contents + data[end:]


def load(path: Path) -> StoredNetwork:
    """Read a stored network, in this or an older version of the format.

    Raises:
      InvalidFileError: if the file is damaged, of another kind or of a newer version, or its arrays do not fit the
        network.
      OSError: if it cannot be opened.
    """
    metadata, tensors = read_safetensors(path)
    kind, version = metadata.get("format", ""), metadata.get("format_version", "")
    if kind not in _VERSIONS:
        raise InvalidFileError(f"{path} was not written by these experiments: use import for other libraries")
    if version.isdecimal() and int(version) > _VERSIONS[kind]:
        raise InvalidFileError(
            f"{path}: format_version must be at most {_VERSIONS[kind]}, got {version}, written by a newer jaxnn: "
            "update jaxnn"
        )
    try:
        decode = _DECODERS.get((kind, version))
        if decode is None:
            raise ValueError(f"format_version is {version!r}")
        return _decode(decode(metadata), metadata, tensors)
    except KeyError as error:
        raise InvalidFileError(f"{path} is damaged: its header lacks {error}") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidFileError(f"{path} is damaged: {error}") from None


def load_from_run(run: Path, name: str = "") -> tuple[str, StoredNetwork]:
    """Return the name and the network of that name in a run, by default the deepest.

    Raises:
      ValueError: if `run` is not a results folder, or has no such network.
      OSError: if it cannot be read.
    """
    if not run.is_dir():
        raise InvalidFileError(f"{run} is not a folder{suggest_run(run) or EXPECTED_RUN}")
    stored = {path.stem: path for path in sorted(run.glob(f"*{SUFFIX}"))}
    if not stored and (run / UNFINISHED).exists():
        raise InvalidFileError(f"{run} is not finished, and has no trained network yet: use resume to continue it")
    if not stored:
        raise InvalidFileError(f"{run} holds no trained networks (*{SUFFIX}): is it the results folder of a run?")
    if name and name not in stored:
        raise InvalidFileError(f"{run} has no network {name!r}: there are {', '.join(stored)}")
    networks = {stem: load(path_inside(run, stored[stem].name)) for stem in ([name] if name else stored)}
    return max(networks.items(), key=lambda item: item[1].spec.depth)


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Return the metadata and the arrays of any safetensors file; sizes are checked before reading.

    Raises:
      InvalidFileError: if the file is damaged, or of another kind.
      OSError: if it cannot be opened.
    """
    check_file(path, MOST_BYTES)
    with path.open("rb") as file:  # raises a clear error for an unreadable file
        contents = int.from_bytes(file.read(8), "little")
    if contents > MOST_CONTENTS:
        raise InvalidFileError(
            f"{path} is damaged, or not a safetensors file: its table of contents would have {contents:,} bytes"
        )
    try:
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 (not a dictionary)
                dtype = file.get_slice(name).get_dtype()
                if dtype not in _DTYPES:
                    raise InvalidFileError(f"{path}: {name} is {dtype}, expected F64, F32, F16 or BF16")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
            return file.metadata() or {}, tensors
    except InvalidFileError:
        raise
    except (SafetensorError, OSError, TypeError, ValueError, AttributeError) as error:
        raise InvalidFileError(f"{path} is damaged, or not a safetensors file: {error}") from None


def _dense(metadata: dict[str, str]) -> NetworkSpec:
    sizes = json.loads(metadata["sizes"])
    _check_counts("sizes", sizes)
    if len(sizes) - 1 > MOST_LAYERS:
        raise ValueError(f"a network of {len(sizes) - 1:,} layers, more than {MOST_LAYERS:,}")
    return NetworkSpec(tuple(sizes), metadata["activation"], metadata["output"])


def _any_layers(metadata: dict[str, str]) -> LayersSpec:
    in_shape = json.loads(metadata["in_shape"])
    in_dtype = metadata.get("in_dtype", "float32")  # version 1 has floats only
    _check_counts("in_shape", in_shape, least=1)
    if in_dtype not in IN_DTYPES:
        raise ValueError(f"in_dtype must be one of {', '.join(IN_DTYPES)}, got {in_dtype!r}")
    return _layers(metadata, tuple(in_shape), in_dtype)


def _table(metadata: dict[str, str]) -> LayersSpec:
    row = json.loads(metadata["in_shape"])
    if not (isinstance(row, list) and len(row) == 2 and all(type(n) is int for n in row)):
        raise ValueError(f"its in_shape is {str(row)[:100]}, expected the number of numbers and that of categories")
    numbers, categories = row
    if not 0 <= numbers <= MOST_INPUTS or not 1 <= categories <= MOST_INPUTS:
        raise ValueError(
            f"its rows have {numbers} numbers and {categories} categories, expected at most {MOST_INPUTS:,} and some"
        )
    return _layers(metadata, in_shape_of(numbers, [1] * categories))


def _layers(metadata: dict[str, str], in_shape: Shapes, in_dtype: str = "float32") -> LayersSpec:
    output = metadata["output"]
    if output not in OUTPUTS:
        raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, got {output!r}")
    spec = LayersSpec(network_from_json(metadata["network"]), in_shape, output, in_dtype)
    if len(spec.layers) > MOST_LAYERS:
        raise ValueError(f"a network of {len(spec.layers):,} layers, more than {MOST_LAYERS:,}")
    return spec


def _decode(spec: Spec, metadata: dict[str, str], tensors: dict[str, np.ndarray]) -> StoredNetwork:
    for name, array in tensors.items():
        if array.dtype.kind != "f":
            raise ValueError(f"{name} is {array.dtype}, expected floats")
    classes, image_shape = (json.loads(metadata[name]) for name in ("classes", "image_shape"))
    row = shape_of_row(spec.in_shape)
    shape = (row.numbers,) if row else spec.in_shape
    n_in = math.prod(shape)
    if image_shape is not None:
        _check_counts("image_shape", image_shape)
        if len(image_shape) != 3 or math.prod(image_shape) != n_in:
            raise ValueError(f"its images are {image_shape}, expected (height, width, 3) of {n_in} numbers")
    _check_classes(spec, classes)
    standardizer = _standardizer(tensors, [shape, tuple(image_shape or ())[-1:]])
    stored = sum(array.size for array in tensors.values())
    if spec.n_params > stored:
        raise ValueError(f"a network {str(spec)[:100]} has {spec.n_params:,} params, the file {stored:,}")
    model, names, of_stats = spec.model(), param_names(spec), statistics_names(spec)
    if set(tensors) != {*names, *of_stats}:
        named = ", ".join([*names, *of_stats])
        raise ValueError(f"the network has {named}, the file {', '.join(sorted(tensors)) or 'nothing'}")
    params = jaxnn.models.params_from_arrays(model.network, model.in_shape, [tensors[name] for name in names])
    image_shape = None if image_shape is None else tuple(image_shape)
    stats = _statistics(spec, {name: tensors[name] for name in of_stats})
    return StoredNetwork(spec, params, tuple(classes), image_shape, standardizer, stats)


def _statistics(spec: Spec, arrays: dict[str, np.ndarray]) -> Any:
    """Return the statistics in the structure that the network takes."""
    leaves, structure = jax.tree.flatten(spec.statistics)
    for (name, array), leaf in zip(arrays.items(), leaves, strict=True):
        if array.shape != leaf.shape or not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite, of shape {leaf.shape}, got {array.shape}")
    return structure.unflatten([array.astype(leaf.dtype) for array, leaf in zip(arrays.values(), leaves, strict=True)])


def _check_counts(name: str, value: Any, least: int = 2) -> None:
    if not isinstance(value, list) or not all(type(n) is int and n >= 1 for n in value) or len(value) < least:
        raise ValueError(f"its {name} are {str(value)[:100]}, expected integers of at least 1")


def _check_classes(spec: Spec, classes: Any) -> None:
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"its classes are {str(classes)[:100]}, expected names")
    if not all(name.isprintable() for name in classes):  # they are printed to a terminal, which they could control
        raise ValueError("its classes have names that cannot be printed")
    outputs = spec.n_outputs
    expected = 2 if (spec.output, outputs) == ("binary", 1) else outputs if spec.output == "softmax" else len(classes)
    if len(classes) != expected:
        raise ValueError(f"it names {len(classes)} classes, but its outputs are of {expected}")


def _standardizer(tensors: dict[str, np.ndarray], shapes: list[tuple[int, ...]]) -> jaxnn.data.Standardizer | None:
    """Remove the standardizer from the tensors and return it: mean and deviation of each input, or of each channel."""
    stats = [tensors.pop(name, None) for name in _STANDARDIZER]
    if stats[0] is None and stats[1] is None:
        return None
    mean, std = (np.empty(0) if array is None else array for array in stats)
    if mean.shape != std.shape or mean.shape not in shapes:
        raise ValueError(f"its standardizer has shapes {mean.shape} and {std.shape}, its inputs {shapes[0]}")
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
        raise ValueError("its standardizer is not finite, or has a deviation of 0 or less")
    return jaxnn.data.Standardizer(mean, std)


_DECODERS = {
    (_DENSE, "1"): _dense,
    (_LAYERS, "1"): _any_layers,
    (_LAYERS, "2"): _any_layers,
    (_TABLE, "1"): _table,
}
"""What reads the specification, by format and version. A change of a format adds a version and keeps the others."""
