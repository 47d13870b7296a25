"""Store trained networks as files of `jaxnn.save`, which `jaxnn.load` reads too; their notes are the experiments' own.

The model in a file takes the inputs of the network, and standardizes them if the run did. What is done before is not in
the file: pixels of images are divided by 255, the rows of a table are encoded by the run's encoder.json, and if words
are embedded, the standardizer of the numbers beside them is in the notes.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxnn
from experiments.networks.spec import LayersSpec, NetworkSpec, Spec
from experiments.networks.tables import shape_of_row
from experiments.readers.errors import InvalidFileError, path_inside
from experiments.readers.safetensors import read_metadata
from experiments.readers.suggestions import EXPECTED_RUN, suggest_run
from experiments.runs.folder import UNFINISHED
from jaxnn.models.model import shapes_of_params
from jaxnn.models.outputs import OUTPUTS
from jaxnn.models.storage import Saved, encoded
from jaxnn.nn.activations import ACTIVATIONS

SUFFIX = ".safetensors"
_MOST_OBJECTS = 9000
"""Of JSON, in the description of a network: 1000 dense layers have as many. More would take seconds to read."""
_IN_DTYPES = ("float32", "int32", "uint8")
"""The dtypes of examples: floats, the numbers of words and the like, the bytes of images."""
_OF_CLASSES = ("binary", "softmax")
"""The outputs whose labels are classes. The library has no names of values, so the notes have those of others."""


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
    """Return the bytes of the file, which are the same for the same network, scanned or not.

    Raises:
      ValueError: if the statistics are not those of the network, or there are names for another number of classes.
    """
    spec, standardizer = network.spec, network.standardizer
    params, stats = jax.device_get((network.params, jax.tree.leaves(network.stats)))
    leaves, structure = jax.tree.flatten(spec.statistics)
    if [a.shape for a in stats] != [a.shape for a in leaves]:
        raise ValueError(f"stats must be those of {spec}, as Fit.stats has them, got {len(stats)} other arrays")
    model, names, notes = spec.stored_model(), network.classes, {"output": spec.output}
    if isinstance(spec, NetworkSpec):
        notes["activation"] = spec.activation
        arrays = jaxnn.models.params_to_arrays(spec.model().network, params)
        params = jax.tree.unflatten(jax.tree.structure(shapes_of_params(model.network, model.in_shape)), arrays)
    if network.image_shape is not None:
        notes["image_shape"] = tuple(network.image_shape)
    if spec.output not in _OF_CLASSES:
        names, notes["classes"] = None, network.classes
    if standardizer is not None and _embeds(spec):
        standardizer, notes["standardizer"] = None, standardizer._asdict()
    return encoded(Saved(model, params, structure.unflatten(stats), standardizer, names, notes))


def _embeds(spec: Spec) -> bool:
    """Return whether the inputs are numbers and categories, which the library's standardizer does not take."""
    row = shape_of_row(spec.in_shape)
    return row is not None and row.categories > 0


def load(path: Path) -> StoredNetwork:
    """Read a stored network.

    Raises:
      InvalidFileError: if the file is damaged or of another kind, or what is in it does not fit its network.
      OSError: if it cannot be opened.
    """
    objects = sum(text.count("{") for text in read_metadata(path).values())
    if objects > _MOST_OBJECTS:
        raise InvalidFileError(f"{path} is damaged, or its network too large: it is described by {objects:,} objects")
    try:
        saved = jaxnn.load(path)
    except ValueError as error:
        raise InvalidFileError(f"{path} is damaged, or another library's, which import reads: {error}") from None
    if not isinstance(saved.model, jaxnn.Model):
        raise InvalidFileError(
            f"{path} must be a model, got a network alone, as of a run of translation: use predict RUN SENTENCE"
        )
    try:
        return _decode(saved.model, saved)
    except KeyError as error:
        raise InvalidFileError(f"{path} was not written by these experiments: its notes lack {error}") from None
    except Exception as error:  # its parts may be anything, and fail anywhere
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


def _decode(model: jaxnn.Model, saved: Saved) -> StoredNetwork:
    notes, arrays = saved.notes, jax.tree.leaves(saved.params)
    spec = _spec(model, arrays, notes)
    if spec.stored_model() != model:
        raise ValueError(f"its model must be that of its notes, {str(spec)[:100]} ({spec.kind}), got another")
    _check_arrays("params", saved.params, shapes_of_params(model.network, model.in_shape))
    _check_arrays("stats", saved.stats, spec.statistics)
    params = saved.params
    if isinstance(spec, NetworkSpec):
        params = jaxnn.models.params_from_arrays(spec.model().network, spec.in_shape, arrays)
    row = shape_of_row(spec.in_shape)
    shape = (row.numbers,) if row else spec.in_shape
    image_shape = notes.get("image_shape")
    if image_shape is not None and not (
        _is_counts(image_shape) and len(image_shape) == 3 and math.prod(image_shape) == math.prod(shape)
    ):
        raise ValueError(
            f"its image_shape must be (height, width, 3) of {math.prod(shape)} numbers, got {str(image_shape)[:100]}"
        )
    classes = saved.class_names if spec.output in _OF_CLASSES else notes["classes"]
    _check_classes(classes)
    standardizer = saved.standardizer
    if _embeds(spec) and "standardizer" in notes:
        standardizer = jaxnn.data.Standardizer(**notes["standardizer"])
    if standardizer is not None:
        _check_standardizer(standardizer, [shape, shape[-1:]])
    return StoredNetwork(spec, params, classes, image_shape, standardizer, saved.stats)


def _spec(model: jaxnn.Model, arrays: Sequence[Any], notes: Mapping[str, Any]) -> Spec:
    """Return the specification of a model with these arrays."""
    output, in_shape = notes["output"], model.in_shape
    if output not in OUTPUTS:
        raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, got {str(output)[:100]!r}")
    if "activation" in notes:
        activation = notes["activation"]
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {str(activation)[:100]!r}")
        return NetworkSpec((*in_shape, *(len(b) for b in arrays[1::2])), activation, output)
    in_dtype = "float32"
    if isinstance(in_shape, jax.ShapeDtypeStruct):
        in_shape, in_dtype = in_shape.shape, in_shape.dtype.name
    if not _is_counts(in_shape) and not shape_of_row(in_shape):
        raise ValueError(f"in_shape must be sizes, or numbers and categories, got {str(in_shape)[:100]}")
    if in_dtype not in _IN_DTYPES:
        raise ValueError(f"in_dtype must be one of {', '.join(_IN_DTYPES)}, got {in_dtype!r}")
    return LayersSpec(model.network, in_shape, output, in_dtype)


def _is_counts(value: Any) -> bool:
    return isinstance(value, tuple) and all(type(n) is int and n >= 1 for n in value)


def _check_arrays(name: str, tree: Any, expected: Any) -> None:
    if jax.tree.structure(tree) != jax.tree.structure(expected):
        raise ValueError(f"its {name} must be those of its network, got another tree")
    for (path, array), wanted in zip(
        jax.tree_util.tree_flatten_with_path(tree)[0], jax.tree.leaves(expected), strict=True
    ):
        if (array.shape, array.dtype) != (wanted.shape, wanted.dtype) or not np.isfinite(array).all():
            place, of = f"{name}{jax.tree_util.keystr(path)}", f"{wanted.dtype} {wanted.shape}"
            raise ValueError(f"{place} must be finite {of}, got {array.dtype} {array.shape}")


def _check_classes(classes: Any) -> None:
    if not isinstance(classes, tuple) or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"its classes must be names, got {str(classes)[:100]}")
    if not all(name.isprintable() for name in classes):  # they are printed to a terminal, which they could control
        raise ValueError("its classes must have names that can be printed")


def _check_standardizer(standardizer: jaxnn.data.Standardizer, shapes: list[tuple[int, ...]]) -> None:
    """Raise unless it has the mean and deviation of each input, or of each channel."""
    mean, std = map(np.asarray, standardizer)
    if mean.shape != std.shape or mean.shape not in shapes:
        raise ValueError(f"its standardizer must be of shape {shapes[0]}, got {mean.shape} and {std.shape}")
    if not all(a.dtype.kind == "f" and np.isfinite(a).all() for a in (mean, std)) or not (std > 0).all():
        raise ValueError("its standardizer must be finite, of deviations above 0, got others")
