"""Pickle what a factory made: the factory by its name, and its arguments."""

import inspect
from operator import attrgetter
from typing import Any

from jax.core import Tracer

from jaxnn.factories.equality import is_factory_made
from jaxnn.factories.representation import fields_of


class _Named:
    """A function in a pickle: its module and name."""

    def __init__(self, function: Any):
        self.place = function.__module__, function.__qualname__

    def __reduce__(self) -> tuple:
        return _import, self.place


def _import(module: str, name: str) -> Any:
    return attrgetter(name)(__import__(module, fromlist=[name]))


def to_pickle(owner: str, role: str, value: Any, hint: str) -> Any:
    """Replace functions in a value by their names for a pickle; raise TypeError if that is impossible."""
    if isinstance(value, Tracer):
        raise TypeError(f"{role} of {owner} must not be traced to be pickled: pickle it outside of jit, vmap and grad")
    if type(value) in (tuple, list):
        return type(value)(to_pickle(owner, role, one, hint) for one in value)
    if type(value) is dict:
        return {name: to_pickle(owner, role, one, hint) for name, one in value.items()}
    if (
        is_factory_made(value)
        or isinstance(value, type)
        or inspect.ismethod(value)
        or not hasattr(value, "__qualname__")
    ):
        return value
    try:
        if _import(value.__module__, value.__qualname__) is value:
            return _Named(value)
    except (ImportError, AttributeError, KeyError, TypeError):
        if not inspect.isfunction(value):
            return value  # pickle may support it
    raise TypeError(
        f"{role} of {owner} must be defined at the top of a module to be pickled, "
        f"got {value.__module__}.{value.__qualname__}: {hint}"
    )


def fields_to_pickle(value: Any) -> tuple:
    """Reduce a value written by hand to its fields for a pickle; their functions must be at the top of a module."""
    name = type(value).__name__
    hint = f"return the {name} from a function at the top of a module, decorated with @jaxnn.factory"
    fields = {field: to_pickle(name, f"field {field}", one, hint) for field, one in fields_of(value).items()}
    return _from_fields, (type(value), fields)


def _from_fields(cls: type, fields: dict[str, Any]) -> Any:
    return cls(**fields)
