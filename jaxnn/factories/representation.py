"""The text of arguments in the repr of what a factory made."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxnn.factories.equality import is_dtype, is_factory_made


def shown(value: Any) -> str:
    """Return an argument's text in the repr of a call, without memory addresses.

    It looks like the code that makes the argument, such as `dense(4)`; an error message describes an argument by
    `validation.described` instead, which may give only its type.
    """
    if isinstance(value, Tracer):
        return f"<traced {value.dtype} {value.shape}>"
    if is_dtype(value):
        return jnp.dtype(value).name
    if isinstance(value, jax.Array | np.ndarray):
        return str(value) if value.ndim == 0 else f"<{value.dtype} {value.shape}>"
    if isinstance(value, np.generic):
        return str(value)
    if type(value) is tuple and len(value) == 1:
        return f"({shown(value[0])},)"
    if type(value) in (tuple, list):
        entries = ", ".join(elided(value))
        return f"({entries})" if type(value) is tuple else f"[{entries}]"
    if type(value) is dict:
        return "{" + ", ".join(f"{key!r}: {shown(one)}" for key, one in value.items()) + "}"
    if is_factory_made(value):
        return repr(value)
    name = getattr(value, "__name__", None)
    if type(value) is partial and name is None:
        named = [f"{name}={shown(one)}" for name, one in value.keywords.items()]
        return f"partial({', '.join([shown(value.func), *map(shown, value.args), *named])})"
    if callable(value) and name is not None:
        return name
    text = repr(value)
    return text if " at 0x" not in text else f"<{type(value).__name__}>"


_MOST_SHOWN = 12


def elided(values: Iterable[Any]) -> list[str]:
    """Return the texts of a sequence's entries; the middle of a long sequence becomes a count."""
    values = list(values)
    if len(values) <= _MOST_SHOWN:
        return [shown(value) for value in values]
    first, last = values[: _MOST_SHOWN // 2], values[-2:]
    rest = len(values) - len(first) - len(last)
    return [*map(shown, first), f"... {rest} more ...", *map(shown, last)]


def in_few_words(value: Any) -> str:
    """Return the call that made a value, its arguments omitted if they are long; "a Layer" for one written by hand."""
    if getattr(value, "factory_call", None) is None:
        return f"a {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= 60 else f"{value.factory_call.factory.__name__}(...)"


def fields_of(value: Any) -> dict[str, Any]:
    """Return the fields of a NamedTuple that differ from their defaults, by name."""
    fields, defaults = zip(value._fields, value, strict=True), value._field_defaults
    return {name: field for name, field in fields if field is not defaults.get(name, ...)}


def fields_shown(value: Any) -> str:
    """Return the repr of a NamedTuple written by hand: its fields by name."""
    return f"{type(value).__name__}({', '.join(f'{name}={shown(field)}' for name, field in fields_of(value).items())})"
