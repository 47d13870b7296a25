"""Made values in a pickle: the factory by its name, and its arguments."""

import inspect
from operator import attrgetter
from typing import Any

import jax

from jaxnn.factories.equality import is_known
from jaxnn.factories.representation import fields_of


class _Named:
    """Stands for a function in a pickle: its module and name."""

    def __init__(self, function: Any):
        self.place = function.__module__, function.__qualname__

    def __reduce__(self) -> tuple:
        return _found, self.place


def _found(module: str, name: str) -> Any:
    return attrgetter(name)(__import__(module, fromlist=[name]))


def to_pickle(owner: str, role: str, value: Any, hint: str) -> Any:
    """A value as it is pickled, functions by their names; a TypeError if it cannot be."""
    if isinstance(value, jax.core.Tracer):
        raise TypeError(f"{owner} cannot be pickled: its {role} is traced, as inside jit, vmap or grad")
    if type(value) in (tuple, list):
        return type(value)(to_pickle(owner, role, one, hint) for one in value)
    if type(value) is dict:
        return {name: to_pickle(owner, role, one, hint) for name, one in value.items()}
    if is_known(value) or isinstance(value, type) or inspect.ismethod(value) or not hasattr(value, "__qualname__"):
        return value
    try:
        if _found(value.__module__, value.__qualname__) is value:
            return _Named(value)
    except (ImportError, AttributeError, KeyError, TypeError):
        if not inspect.isfunction(value):
            return value  # pickle may know how
    raise TypeError(
        f"{owner} cannot be pickled: its {role} is {value.__qualname__}, which module {value.__module__} does not hold "
        f"by that name: {hint}"
    )


def fields_to_pickle(value: Any) -> tuple:
    """A value written by hand, as it is pickled: by its fields, if their functions stand at the top of a module."""
    name = type(value).__name__
    hint = f"return the {name} from a function at the top of a module, decorated with @jaxnn.factory"
    fields = {field: to_pickle(name, f"field {field}", one, hint) for field, one in fields_of(value).items()}
    return _from_fields, (type(value), fields)


def _from_fields(cls: type, fields: dict[str, Any]) -> Any:
    return cls(**fields)
