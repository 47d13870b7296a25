"""What is typed for the command's options: names of objects, arrays and domains."""

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.options import PRECISIONS
from jaxnn.gradcheck.problem import parameters_of
from jaxnn.gradcheck.structures import STRUCTURES

DOMAIN_NAMES = tuple(name.replace(" ", "-") for name in STRUCTURES)


def find(option: str, name: str) -> Any:
    """Return what `module:name` names."""
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ValueError(f"{option} must be like package.module:name, got {name!r}")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        target = importlib.import_module(module)
        for part in attribute.split("."):
            target = getattr(target, part)
    except Exception as error:  # the module itself may raise any
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{option} must be importable, got {name!r}, which raises {reason}") from error
    return target


def arguments_of(stated: str | None, shapes: Sequence[str], seed: int, names: list[str]) -> tuple[Any, ...]:
    """Return the arguments: random arrays of the shapes, or those that --args gives."""
    if stated and shapes:
        raise ValueError(f"--args and --shape must not be given both, got {stated!r} and {shapes[0]!r}")
    if stated:
        return _stated_arguments(stated, seed, names)
    if not shapes:
        raise ValueError(
            "--shape must be given once per argument, got none: for example --shape 32,784, or --args MODULE:NAME"
        )
    rng = np.random.default_rng(seed)
    return tuple(_array(rng, shape) for shape in shapes)


def _stated_arguments(text: str, seed: int, names: list[str]) -> tuple[Any, ...]:
    if text.endswith((".npy", ".npz")):
        return _loaded(text, names)
    found = find("--args", text)
    if callable(found):
        required = [p for p in parameters_of(found) if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
        if len(required) > 1:
            got = ", ".join(p.name for p in required)
            raise ValueError(f"--args must be a function of nothing or of a seed, got {text!r}, a function of {got}")
        found = found(seed) if required else found()
    if not isinstance(found, tuple):
        raise ValueError(f"--args must give a tuple of arguments, got a {type(found).__name__} from {text!r}")
    return found


def _loaded(path: str, names: list[str]) -> tuple[Any, ...]:
    """Return the arrays of a file, in the order of the parameters."""
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, Mapping):
                return (loaded,)
            arrays = dict(loaded)
    except Exception as error:  # of many types, where the file is damaged
        raise ValueError(f"--args must be a file of arrays, got {path!r}: {type(error).__name__}: {error}") from error
    if set(arrays) <= {*names} and [name for name in names if name in arrays] == names[: len(arrays)]:
        return tuple(arrays[name] for name in names[: len(arrays)])
    for prefix in ("arg_", "arr_"):
        ordered = [f"{prefix}{n}" for n in range(len(arrays))]
        if set(arrays) == {*ordered}:
            return tuple(arrays[name] for name in ordered)
    raise ValueError(
        f"--args must hold arrays by the names of the first parameters, {', '.join(names)}, or arg_0, arg_1, ..., "
        f"got {', '.join(arrays)} in {path!r}"
    )


def domain_of(texts: list[str]) -> Any:
    """Return the domain: one for all arguments, or a dictionary from their names."""
    by_name = [text.partition("=")[::2] for text in texts if "=" in text]
    if not texts:
        return None
    if not by_name and len(texts) == 1:
        return _one_domain(texts[0])
    if len(by_name) < len(texts):
        raise ValueError(f"--domain must be one for all arguments, or NAME=DOMAIN for each, got {' and '.join(texts)}")
    return {name: _one_domain(domain) for name, domain in by_name}


def _one_domain(text: str) -> Any:
    name = text.replace("-", " ")
    if name in STRUCTURES:
        return name
    if ":" in text:
        return find("--domain", text)
    raise ValueError(f"--domain must be one of {', '.join(DOMAIN_NAMES)} or MODULE:NAME, got {text!r}")


_DTYPES = (*PRECISIONS, "complex64", "complex128")


def _array(rng: np.random.Generator, text: str) -> Any:
    kind, colon, shape = text.rpartition(":")
    kind = "complex64" if kind == "complex" else kind if colon else "float32"
    try:
        sizes = tuple(int(size) for size in shape.strip("()").split(",") if size.strip())
        below = int(kind.removeprefix("int")) if kind.startswith("int") else 0
        if min(sizes, default=1) < 0 or not below and kind not in _DTYPES:
            raise ValueError
    except ValueError:
        raise ValueError(
            "--shape must be sizes such as 32,784, int10:32 for whole numbers 0..9, or complex:3,3 or another of "
            f"{', '.join(_DTYPES)}, got {text!r}"
        ) from None
    if below:
        return rng.integers(0, below, sizes).astype(np.int32)
    values = rng.normal(size=sizes)
    return (values + 1j * rng.normal(size=sizes) if kind.startswith("complex") else values).astype(jnp.dtype(kind))
