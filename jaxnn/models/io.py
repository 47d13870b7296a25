"""Save a network with its params and statistics to one file, and load it: arrays, and the calls that made the network.

The file is an `.npz` without pickles. A file from a stranger makes no code run but the factories of jaxnn and those
that are passed to `load`.
"""

import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn import nn
from jaxnn.constraints import NO_CALL, Constraint, ParamsTree, checked
from jaxnn.factories.equality import is_dtype
from jaxnn.nn.layer import LAYER, Layer
from jaxnn.nn.repetition import chain_with_scans
from jaxnn.typing import Params, Statistics

_CONTENTS = "jaxnn"
_VERSION = 1
_PLAIN = (str, bool, int, type(None))

Factories = Mapping[str, Callable[..., Any]]


class Saved(NamedTuple):
    """What a file holds.

    Attributes:
      network: the `Layer`.
      params: its params.
      stats: its statistics, `()` without any.
    """

    network: Layer
    params: Params
    stats: Statistics


@checked(network=LAYER, params=ParamsTree())
def save(path: str | os.PathLike, network: Layer, params: Params, stats: Statistics = ()) -> None:
    """Write a network, its params and its statistics to a file, which `load` reads.

    The file is complete or not there: it is written beside the path and then renamed.

    Args:
      path: of the file, such as "model.npz".
      network: the `Layer`, made by factories: those of jaxnn, or functions decorated with `jaxnn.factory`.
      params: its params, tuples, lists and dictionaries of arrays.
      stats: its statistics, `Fit.stats`.

    Raises:
      ValueError: if the network was not made by factories, or from arguments that cannot be written, such as functions;
        or if params or statistics are not such trees.

    Example:
      >>> import tempfile, jax, jax.numpy as jnp, jaxnn
      >>> network = jaxnn.chain(jaxnn.dense(4), jaxnn.tanh(), jaxnn.dense(1))
      >>> params, _ = network.init(jax.random.key(0), (3,))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     save(f"{folder}/model.npz", network, params)
      ...     loaded = load(f"{folder}/model.npz")
      >>> loaded.network == network, bool(jnp.all(loaded.params[0]["W"] == params[0]["W"]))
      (True, True)
    """
    arrays: dict[str, np.ndarray] = {}
    contents = {
        "version": _VERSION,
        "network": _written("network", network, arrays),
        "params": _written("params", params, arrays),
        "stats": _written("stats", stats, arrays),
    }
    path = Path(path)
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            np.savez(file, allow_pickle=False, **{_CONTENTS: np.array(json.dumps(contents))}, **arrays)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def load(path: str | os.PathLike, layers: Factories | None = None) -> Saved:
    """Read what `save` wrote.

    Args:
      path: of the file.
      layers: name -> factory, of layers that `jaxnn.nn` does not have.

    Returns:
      A `Saved`: network, params and stats.

    Raises:
      OSError: if the file cannot be read.
      ValueError: if it is not one that `save` wrote, or names a factory that is not known.

    Example:
      >>> import tempfile, jaxnn
      >>> @jaxnn.factory
      ... def scale(by):
      ...     return jaxnn.stateless(lambda x: (by * x, ()), lambda cache, dy: by * dy)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     save(f"{folder}/model.npz", jaxnn.chain(scale(2.0)), ((),))
      ...     print(load(f"{folder}/model.npz", {"scale": scale}).network)
      chain(scale(2.0))
    """
    known = {**_factories(), **(layers or {})}
    try:
        with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as arrays:
            # Stored arrays take no more memory than the file.
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise _not_saved(path, "compressed entries")
            contents = json.loads(str(arrays[_CONTENTS]))
            if contents["version"] != _VERSION:
                raise _not_saved(path, f"version {contents['version']!r}")
            saved = Saved(*(_read(contents[name], arrays, known) for name in Saved._fields))
    except (OSError, _UnknownFactoryError):
        raise
    except Exception as error:  # a damaged file, or one that never was of `save`
        first, *_ = str(error).splitlines() or [""]
        raise _not_saved(path, f"{type(error).__name__}: {first[:200]}") from error
    LAYER.check("network", saved.network)
    return saved


def network_to_json(network: Layer) -> str:
    """Return the calls that made a network as JSON, which `network_from_json` reads.

    Raises:
      ValueError: if the network was not made by factories, or from arguments that are arrays or functions.

    Example:
      >>> import jaxnn
      >>> network_from_json(network_to_json(jaxnn.chain(jaxnn.dense(4), jaxnn.tanh())))
      chain(dense(4), tanh())
    """
    arrays: dict[str, np.ndarray] = {}
    written = _written("network", network, arrays)
    if arrays:
        raise ValueError(f"network must be made without arrays to be written as JSON, got {next(iter(arrays))}")
    return json.dumps(written)


def network_from_json(text: str) -> Layer:
    """Return the network whose calls `network_to_json` wrote; only factories of jaxnn are called.

    Raises:
      ValueError: if the text is not JSON of such calls, or names a factory that jaxnn does not have.
    """
    try:
        network = _read(json.loads(text), {}, _factories())
    except Exception as error:  # damaged text may fail anywhere
        raise ValueError(
            f"network must be JSON that network_to_json wrote, got {type(error).__name__}: {error}"[:300]
        ) from error
    LAYER.check("network", network)
    return network


class _UnknownFactoryError(ValueError):
    """A file names a factory that was not passed."""


def _not_saved(path: Any, got: str) -> ValueError:
    return ValueError(f"{Path(path).name} must be a file that jaxnn.models.save wrote, got {got}")


def _factories() -> dict[str, Callable[..., Any]]:
    """Return jaxnn's factories of layers, and of the cells that they take, by name."""
    exported = {name: getattr(nn, name) for name in nn.__all__} | {"chain_with_scans": chain_with_scans}
    return {
        name: one
        for name, one in exported.items()
        if getattr(one, "__annotations__", {}).get("return") in (Layer, nn.Cell)
    }


def _written(path: str, value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return a value as JSON has it; arrays are added to `arrays`."""
    call = getattr(value, "factory_call", None)
    if call is not None:
        name = call.factory.__name__
        if _factories().get(name, call.factory) is not call.factory:
            raise ValueError(f"{path} must be made by a factory whose name jaxnn has not, got {name!r}: rename it")
        args = [_written(f"{path}.{i}", one, arrays) for i, one in enumerate(call.args)]
        kwargs = {name: _written(f"{path}.{name}", one, arrays) for name, one in call.kwargs.items()}
        return {"call": name, "args": args, "kwargs": kwargs}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, float):
        return {"float": repr(value)}
    if type(value) in (tuple, list):
        kind = type(value).__name__
        return {kind: [_written(f"{path}.{i}", one, arrays) for i, one in enumerate(value)]}
    if type(value) is dict and all(isinstance(name, str) for name in value):
        return {"dict": {name: _written(f"{path}.{name}", one, arrays) for name, one in value.items()}}
    return _array_written(path, value, arrays)


def _array_written(path: str, value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if is_dtype(value):
        return {"dtype": jnp.dtype(value).name}
    if not isinstance(value, np.ndarray | jax.Array) or jnp.issubdtype(value.dtype, jax.dtypes.extended):
        raise _WRITABLE.error(path, value, NO_CALL)
    array = np.asarray(value)
    array, path = array.astype(array.dtype.newbyteorder("="), copy=False), f"{len(arrays)} {path}"
    # NumPy writes dtypes that are not its own, such as bfloat16, as bytes without a name.
    arrays[path] = array if array.dtype.kind in "biufc" else array.view(f"u{array.dtype.itemsize}")
    return {"array": path, "dtype": array.dtype.name}


_WRITABLE = Constraint(
    "made by factories, of numbers, strings, arrays, and tuples, lists and dictionaries of them",
    fix=lambda value: "decorate the function that makes it with @jaxnn.factory" if callable(value) else "",
)


def _read(written: Any, arrays: Any, factories: Factories) -> Any:
    """Return the value that `_written` wrote."""
    if isinstance(written, _PLAIN):
        return written
    kind = next(iter(written))
    if kind == "call":
        name = written["call"]
        if name not in factories:
            raise _UnknownFactoryError(
                f"layers must have the factory {name!r}: load(path, layers={{{name!r}: {name}}})"
            )
        args = [_read(one, arrays, factories) for one in written["args"]]
        kwargs = {name: _read(one, arrays, factories) for name, one in written["kwargs"].items()}
        return factories[name](*args, **kwargs)
    if kind == "array":
        dtype = jnp.dtype(written["dtype"])
        array = arrays[written["array"]]
        return jnp.asarray(array if array.dtype == dtype else array.view(dtype))
    if kind == "dict":
        return {name: _read(one, arrays, factories) for name, one in written["dict"].items()}
    if kind in ("tuple", "list"):
        entries = [_read(one, arrays, factories) for one in written[kind]]
        return tuple(entries) if kind == "tuple" else entries
    return float(written["float"]) if kind == "float" else jnp.dtype(written["dtype"])
