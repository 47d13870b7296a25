"""Save a network or a model with its params, statistics and standardizer to one safetensors file, and load it.

A safetensors file is a table of contents and raw numbers, which any library reads. The calls that made the network are
JSON in its metadata. No code runs when it is read but the factories of jaxnn and those that are passed to `load`.
"""

import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save as to_bytes

from jaxnn.constraints import Constraint, Instance, Nothing, ParamsTree, checked
from jaxnn.data.standardization import Standardizer, standardize
from jaxnn.models.calls_as_json import (
    Arrays,
    Known,
    UnknownFunctionError,
    as_json,
    from_json,
    function_as_json,
    known_functions,
)
from jaxnn.models.model import Model, shapes_of_params
from jaxnn.nn.layer import LAYER, Layer
from jaxnn.nn.shapes import structs
from jaxnn.typing import Array, ArrayLike, Params, Shapes, Statistics

_METADATA = "jaxnn"
_VERSION = 1


class Saved(NamedTuple):
    """What a file holds, as `save` took it.

    Attributes:
      model: the `Model` or the `Layer`.
      params: its params.
      stats: its statistics, `()` without any.
      standardizer: of its inputs, or `None`.
      class_names: of its classes, or `None`.
      notes: what else was saved with it, `{}` without any.
    """

    model: Model | Layer
    params: Params
    stats: Statistics = ()
    standardizer: Standardizer | None = None
    class_names: tuple[str, ...] | None = None
    notes: Mapping[str, Any] = MappingProxyType({})

    def predict_proba(self, x: ArrayLike) -> Array:
        """Return probabilities (m, k), or values (m, k) for regression, for inputs x (m, ...) as they are in the data.

        They are standardized first, if the file has a standardizer.

        Raises:
          ValueError: as `Model.predict_proba`, or if the file has a `Layer`, whose outputs have no meaning.
        """
        return self._model().predict_proba(self.params, self._standardized(x), self.stats)

    def predict(self, x: ArrayLike) -> Any:
        """Return labels (m,), by their names if the file has names, or values (m, k), for inputs x (m, ...).

        Each step of a sequence has a label, (m, T), by its name too. For several labels per example, (m, k), the names
        are those of the columns.

        Raises:
          ValueError: as `predict_proba`.
        """
        model = self._model()
        z = model.outputs(self.params, self._standardized(x), self.stats)
        labels = jax.tree.map(np.asarray, model.labels(z))
        return np.asarray(self.class_names)[labels] if self.class_names and _are_of_classes(z, labels) else labels

    def _model(self) -> Model:
        _MODEL.check("model", self.model)
        return cast(Model, self.model)

    def _standardized(self, x: ArrayLike) -> Any:
        return x if self.standardizer is None else standardize(self.standardizer, x)


_MODEL = Constraint(
    "a Model",
    fix="a Layer has outputs alone: saved.model.infer(saved.params, saved.stats, x)",
    test=lambda value: isinstance(value, Model),
)
_NAMES = Constraint(
    "the names of the classes",
    rejects=(3, "ab", [1, 2], [None]),
    test=lambda value: (
        not isinstance(value, str)
        and isinstance(value, Sequence | np.ndarray)
        and all(isinstance(one, str) for one in value)
    ),
)


@checked(
    model=Instance(Model, "a Model or a Layer") | LAYER,
    params=ParamsTree(),
    standardizer=Instance(Standardizer, "the result of fit_standardizer") | Nothing(),
    class_names=_NAMES | Nothing(),
)
def save(
    path: str | os.PathLike,
    model: Model | Layer,
    params: Params,
    stats: Statistics = (),
    *,
    standardizer: Standardizer | None = None,
    class_names: Sequence[str] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write a model, its params, and what else is needed to predict, to a safetensors file, which `load` reads.

    The file is complete or not there: it is written beside the path and then renamed. The same values give the same
    bytes. Arrays have the names of their places, such as params/0/W.

    Args:
      path: of the file, such as "model.safetensors".
      model: the `Model`, or a network alone, a `Layer`; of factories: those of jaxnn, or functions decorated with
        `jaxnn.factory`.
      params: its params, tuples, lists and dictionaries of arrays.
      stats: its statistics, `Fit.stats`.
      standardizer: the `Standardizer` of its inputs.
      class_names: the name of each class, in the order of the labels.
      notes: what else to keep, by name: units, a threshold, the source of the data; numbers, strings, arrays, and
        tuples, lists and dictionaries of them.

    Raises:
      ValueError: if the model was not made by factories, or from arguments that cannot be written, such as functions;
        if params or statistics are not such trees; or if those of a `Model` are another network's, its standardizer is
        of other inputs, or there are names for another number of classes.
      OSError: if the file cannot be written.

    Example:
      >>> import tempfile, jax, jax.numpy as jnp, jaxnn
      >>> model = jaxnn.mlp((3, 4, 2), "tanh", output="softmax")
      >>> params = model.init(jax.random.key(0))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     save(f"{folder}/model.safetensors", model, params, class_names=["cat", "dog"])
      ...     loaded = load(f"{folder}/model.safetensors")
      >>> loaded.model.network == model.network, loaded.predict(jnp.zeros((1, 3))).item() in ("cat", "dog")
      (True, True)
    """
    names = None if class_names is None else tuple(map(str, class_names))
    path, data = Path(path), encoded(Saved(model, params, stats, standardizer, names, notes or {}))
    beside = path.with_name(f".{os.getpid()}-{threading.get_ident()}.part")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def load(path: str | os.PathLike, layers: Known | None = None) -> Saved:
    """Read what `save` wrote.

    Args:
      path: of the file.
      layers: name -> factory, of layers and losses that jaxnn does not have, and functions of a `Model`'s outputs.

    Returns:
      A `Saved`.

    Raises:
      OSError: if the file cannot be read.
      ValueError: if it is damaged, is not one that `save` wrote, or names a factory that is not known.

    Example:
      >>> import tempfile, jaxnn
      >>> @jaxnn.factory
      ... def scale(by):
      ...     return jaxnn.stateless(lambda x: (by * x, ()), lambda cache, dy: by * dy)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     save(f"{folder}/network.safetensors", jaxnn.chain(scale(2.0)), ((),))
      ...     print(load(f"{folder}/network.safetensors", {"scale": scale}).model)
      chain(scale(2.0))
    """
    known = {**known_functions(), **(layers or {})}
    with Path(path).open("rb"):  # a file that cannot be read raises an OSError
        pass
    try:
        with safe_open(path, framework="np") as file:
            contents = json.loads((file.metadata() or {})[_METADATA])
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
        if contents["version"] != _VERSION:
            raise ValueError(f"version {contents['version']!r}")
        if contents.pop("sha256") != _digest(contents, stored):
            raise ValueError("another digest than it was saved with: the file is damaged")
        return _from_contents(contents, stored, known)
    except UnknownFunctionError:
        raise
    except Exception as error:  # a damaged file, or one that never was of `save`
        first, *_ = str(error).splitlines() or [""]
        raise ValueError(
            f"{Path(path).name} must be a file that jaxnn.save wrote, got {type(error).__name__}: {first[:200]}"
        ) from error


def encoded(saved: Saved) -> bytes:
    """Return the bytes of the file.

    Raises:
      ValueError: as `save`.
    """
    _check(saved)
    arrays = Arrays()
    of_standardizer = saved.standardizer and {name: np.asarray(a) for name, a in saved.standardizer._asdict().items()}
    contents = {
        "version": _VERSION,
        "model": _model_as_json(saved.model, arrays),
        "params": as_json("params", saved.params, arrays),
        "stats": as_json("stats", saved.stats, arrays),
        "standardizer": as_json("standardizer", of_standardizer, arrays),
        "class_names": as_json("class_names", saved.class_names, arrays),
        "notes": as_json("notes", dict(saved.notes), arrays),
    }
    stored = {name: _storable(array) for name, array in arrays.items()}
    described = {"sha256": _digest(contents, stored), **contents}
    return to_bytes(stored, {_METADATA: json.dumps(described)})


def _from_contents(contents: dict[str, Any], stored: dict[str, np.ndarray], known: Known) -> Saved:
    parts = {name: from_json(contents[name], stored, known) for name in Saved._fields}
    model, names, standardizer = parts["model"], parts["class_names"], parts["standardizer"]
    if isinstance(model, dict):
        model = Model(**model)
    LAYER.check("network", model.network if isinstance(model, Model) else model)
    (_NAMES | Nothing()).check("class_names", names)
    parts |= jax.tree.map(_on_device, {name: parts[name] for name in ("params", "stats")})
    saved = Saved(**{**parts, "model": model, "standardizer": standardizer and Standardizer(**standardizer)})
    _check(saved)
    return saved


def _on_device(leaf: Any) -> Any:
    """Return an array of JAX, or NumPy's if JAX would round it, as 64 bits where they are not enabled."""
    rounded = isinstance(leaf, np.ndarray) and jax.dtypes.canonicalize_dtype(leaf.dtype) != leaf.dtype
    return leaf if rounded else jnp.asarray(leaf)


def _model_as_json(model: Model | Layer, arrays: Arrays) -> Any:
    if isinstance(model, Layer):
        return as_json("network", model, arrays)
    written = {name: as_json(name, getattr(model, name), arrays) for name in ("network", "in_shape", "loss")}
    written |= {name: function_as_json(name, getattr(model, name), arrays) for name in ("probabilities", "labels")}
    return {"dict": written}


def _storable(array: np.ndarray) -> np.ndarray:
    """Return an array in C order, of a dtype that safetensors has: one of others as whole numbers of the same bits."""
    array = np.ascontiguousarray(array).reshape(array.shape)  # safetensors writes it as it lies in memory
    if array.dtype.kind in "biuf" or array.dtype.name in ("bfloat16", "complex64"):
        return array
    return array.view(f"u{array.dtype.itemsize}")


def _digest(contents: dict[str, Any], stored: Mapping[str, np.ndarray]) -> str:
    found = hashlib.sha256(json.dumps(contents).encode())
    for name, array in sorted(stored.items()):
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def _check(saved: Saved) -> None:
    """Raise a ValueError if params or statistics are not the model's, or the names those of other classes."""
    names = saved.class_names
    if not isinstance(saved.model, Model):
        if names is not None or saved.standardizer is not None:
            raise ValueError(
                "class_names and standardizer must be None for a Layer, whose outputs have no meaning: save "
                "jaxnn.models.model_from(network, in_shape, output)"
            )
        return
    _check_standardizer(saved.standardizer, saved.model.in_shape)
    outputs, labels = _shapes_of_outputs(saved)
    if names is None:
        return
    if not isinstance(labels, jax.ShapeDtypeStruct):
        raise ValueError(f"class_names must be None for a model of several outputs, got {len(names)} names")
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"class_names must be None for a model of values, got {len(names)} names")
    n = max(2, outputs.shape[-1]) if _are_of_classes(outputs, labels) else labels.shape[-1]
    if len(names) != n:
        raise ValueError(f"class_names must be those of the model's {n} classes, got {len(names)}")


def _check_standardizer(standardizer: Standardizer | None, in_shape: Shapes) -> None:
    if standardizer is None:
        return
    fitted, shape = np.shape(standardizer.mean), getattr(structs(in_shape), "shape", None)
    if shape is None or fitted not in (shape, shape[-1:]):
        raise ValueError(f"standardizer must be of the model's inputs, {shape or in_shape}, got one of {fitted}")


def _shapes_of_outputs(saved: Saved) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    """Return the shapes of probabilities and labels of one row; raises a ValueError for params of another network."""
    model = cast(Model, saved.model)
    _check_params(model, saved.params)
    _ARRAYS.check("stats", saved.stats)
    x = jax.tree.map(lambda a: jax.ShapeDtypeStruct((1, *a.shape), a.dtype), structs(model.in_shape))
    params, stats = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), (saved.params, saved.stats))

    def outputs(params, x, stats):
        z = model.outputs(params, x, stats)
        return model.probabilities(z), model.labels(z)

    try:
        return jax.eval_shape(outputs, params, x, stats)
    except ValueError:
        raise
    except Exception as error:  # of the model's own functions
        first, *_ = str(error).splitlines() or [""]
        raise ValueError(f"model must predict from its inputs, got {type(error).__name__}: {first[:200]}") from error


_ARRAYS = Constraint(
    "a tree of arrays, Fit.stats",
    rejects=("abc",),
    test=lambda tree: all(hasattr(leaf, "shape") and hasattr(leaf, "dtype") for leaf in jax.tree.leaves(tree)),
)


def _are_of_classes(outputs: Any, labels: Any) -> bool:
    """Return whether each label is one of k classes, for outputs (m, ..., k); else each output has its label."""
    return labels.ndim < outputs.ndim


def _check_params(model: Model, params: Params) -> None:
    expected, got = (_shapes_by_path(tree) for tree in (shapes_of_params(model.network, model.in_shape), params))
    for path in {**expected, **got}:
        if expected.get(path) != got.get(path):
            shapes = f"params{path} must be {expected.get(path, 'nothing')}, got {got.get(path, 'nothing')}"
            raise ValueError(f"{shapes}: params are those of another network")


def _shapes_by_path(tree: Any) -> dict[str, str]:
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): f"an array {jnp.shape(leaf)}" for path, leaf in paths}
