"""Write networks, losses and trees of arrays as JSON beside named arrays, and read them: networks as their calls.

What is read calls no function but the factories of jaxnn and those that are passed.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn import losses, nn
from jaxnn.constraints import NO_CALL, Constraint
from jaxnn.factories.equality import is_dtype
from jaxnn.losses.loss import Loss
from jaxnn.models import model
from jaxnn.nn.layer import LAYER, Layer
from jaxnn.nn.repetition import chain_with_scans
from jaxnn.sequences import Sequences

_PLAIN = (str, bool, int, type(None))
_OUTPUTS = (
    model.probabilities_of_logits,
    model.class_probabilities,
    model.class_of_logits,
    model.labels_of_logits,
    model.unchanged,
)
_FUNCTIONS = {function.__name__: function for function in _OUTPUTS}
"""What a `Model` makes of outputs, by name."""

Known = Mapping[str, Callable[..., Any]]


def network_to_json(network: Layer) -> str:
    """Return the calls that made a network as JSON, which `network_from_json` reads.

    Raises:
      ValueError: if the network was not made by factories, or from arguments that are arrays or functions.

    Example:
      >>> import jaxnn
      >>> network_from_json(network_to_json(jaxnn.chain(jaxnn.dense(4), jaxnn.tanh())))
      chain(dense(4), tanh())
    """
    arrays = Arrays()
    written = as_json("network", network, arrays)
    if arrays:
        raise ValueError(f"network must be made without arrays to be written as JSON, got one at {next(iter(arrays))}")
    return json.dumps(written)


def network_from_json(text: str) -> Layer:
    """Return the network whose calls `network_to_json` wrote; only factories of jaxnn are called.

    Raises:
      ValueError: if the text is not JSON of such calls, or names a factory that jaxnn does not have.
    """
    try:
        network = from_json(json.loads(text), {}, known_functions())
    except Exception as error:  # damaged text may fail anywhere
        raise ValueError(
            f"network must be JSON that network_to_json wrote, got {type(error).__name__}: {error}"[:300]
        ) from error
    LAYER.check("network", network)
    return network


class Arrays(dict[str, np.ndarray]):
    """The arrays of what is written, by their paths.

    Attributes:
      functions: what was named, by name: a name stands for one function.
    """

    def __init__(self) -> None:
        super().__init__()
        self.functions: dict[str, Callable[..., Any]] = {}


class UnknownFunctionError(ValueError):
    """What is read names a function that was not passed."""


@cache
def known_functions() -> dict[str, Callable[..., Any]]:
    """Return what may be named: the factories of layers, cells and losses, and the functions of a model's outputs."""
    exported = [getattr(package, name) for package in (nn, losses) for name in package.__all__]
    made = (Layer, nn.Cell, Loss)
    factories = [one for one in exported if getattr(one, "__annotations__", {}).get("return") in made]
    return {one.__name__: one for one in (*factories, chain_with_scans)} | _FUNCTIONS


def as_json(path: str, value: Any, arrays: Arrays) -> Any:
    """Return a value as JSON has it; its arrays are added to `arrays`, each under its path.

    Raises:
      ValueError: with the path, if something in it cannot be written.
    """
    call = getattr(value, "factory_call", None)
    if call is not None:
        args = [as_json(f"{path}/{i}", one, arrays) for i, one in enumerate(call.args)]
        kwargs = {name: as_json(f"{path}/{name}", one, arrays) for name, one in call.kwargs.items()}
        return {"call": _named(path, call.factory, "a factory", arrays), "args": args, "kwargs": kwargs}
    if isinstance(value, jax.ShapeDtypeStruct):
        return {"shape": list(value.shape), "of": jnp.dtype(value.dtype).name}
    if is_dtype(value):
        return {"dtype": jnp.dtype(value).name}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, float):
        return {"float": repr(value)}
    if type(value) in (tuple, list):
        kind = type(value).__name__
        return {kind: [as_json(f"{path}/{i}", one, arrays) for i, one in enumerate(value)]}
    if type(value) is dict and all(isinstance(name, str) for name in value):
        return {"dict": {name: as_json(f"{path}/{name}", one, arrays) for name, one in value.items()}}
    if isinstance(value, Sequences):
        return {"sequences": [as_json(f"{path}/{i}", one, arrays) for i, one in enumerate(value)]}
    return _array_as_json(path, value, arrays)


def function_as_json(path: str, function: Callable[..., Any], arrays: Arrays) -> Any:
    """Return a function of outputs as JSON has it: its name.

    Raises:
      ValueError: if it has none by which it could be passed again.
    """
    if not getattr(function, "__name__", "<lambda>").isidentifier():
        raise _WRITABLE.error(path, function, NO_CALL)
    return {"function": _named(path, function, "a function", arrays)}


def _named(path: str, function: Callable[..., Any], kind: str, arrays: Arrays) -> str:
    name = function.__name__
    if known_functions().get(name, function) is not function:
        raise ValueError(f"{path} must be made by {kind} whose name jaxnn has not, got {name!r}: rename it")
    if arrays.functions.setdefault(name, function) is not function:
        raise ValueError(f"{path} must be made by {kind} that alone is named {name!r}, got a second one: rename it")
    return name


def _array_as_json(path: str, value: Any, arrays: Arrays) -> Any:
    if not isinstance(value, np.ndarray | jax.Array) or isinstance(value, np.ma.MaskedArray) or not _is_plain(value):
        raise _WRITABLE.error(path, value, NO_CALL)
    array = np.asarray(value)
    while path in arrays:
        path += "'"  # a key may hold the separator
    arrays[path] = array.astype(array.dtype.newbyteorder("="), copy=False)
    return {"array": path, "dtype": array.dtype.name}


def _is_plain(array: Any) -> bool:
    """Return whether an array is of numbers that have a name and at most 8 bytes, or complex ones of two of 4."""
    if jnp.issubdtype(array.dtype, jax.dtypes.extended):
        return False
    kinds = (jnp.integer, jnp.floating, jnp.bool_)
    complex64 = array.dtype.name == "complex64"
    return complex64 or any(jnp.issubdtype(array.dtype, kind) for kind in kinds) and array.dtype.itemsize <= 8


_WRITABLE = Constraint(
    "made by factories, of numbers, strings, arrays of numbers, and tuples, lists and dictionaries of them",
    fix=lambda value: "decorate the function that makes it with @jaxnn.factory" if callable(value) else "",
)


def from_json(written: Any, arrays: Mapping[str, np.ndarray], known: Known) -> Any:
    """Return the value that `as_json` wrote, of the arrays and the functions of these names; arrays are NumPy's.

    Raises:
      UnknownFunctionError: if it names a function that is not known.
      Exception: of any type, if it was not written by `as_json`.
    """
    if isinstance(written, _PLAIN):
        return written
    kind = next(iter(written))
    if kind in ("call", "function") and written[kind] not in known:
        name = written[kind]
        raise UnknownFunctionError(f"layers must have {name!r}: load(path, layers={{{name!r}: {name}}})")
    if kind == "function":
        return known[written["function"]]
    if kind == "call":
        args = [from_json(one, arrays, known) for one in written["args"]]
        kwargs = {name: from_json(one, arrays, known) for name, one in written["kwargs"].items()}
        return known[written["call"]](*args, **kwargs)
    if kind == "array":
        array, dtype = arrays[written["array"]], jnp.dtype(written["dtype"])
        return array if array.dtype == dtype else array.view(dtype)
    if kind == "dict":
        return {name: from_json(one, arrays, known) for name, one in written["dict"].items()}
    if kind in ("tuple", "list"):
        entries = [from_json(one, arrays, known) for one in written[kind]]
        return tuple(entries) if kind == "tuple" else entries
    if kind == "sequences":
        return Sequences(*(from_json(one, arrays, known) for one in written[kind]))
    if kind == "shape":
        return jax.ShapeDtypeStruct(tuple(written["shape"]), jnp.dtype(written["of"]))
    return float(written["float"]) if kind == "float" else jnp.dtype(written["dtype"])
