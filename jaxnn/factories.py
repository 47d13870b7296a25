"""`factory`: what a function makes knows how it was made, by which it prints, pickles and compares.

A layer is a few functions. Made twice from the same arguments, it is two sets of functions, and JAX compiles for each
of them. A decorated factory leaves the call beside its result, so that equal calls make equal results: one program
does for all of them, and a loop that makes a network in every round compiles once.
"""

import inspect
from collections.abc import Callable, Iterable
from functools import lru_cache, partial, wraps
from operator import attrgetter
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

T = TypeVar("T")
P = ParamSpec("P")


def factory(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that makes layers, so that what it makes prints, pickles and compares as its call.

    The result may be any NamedTuple of functions, such as a `Layer`, `Loss`, `Penalty` or `Objective` or an optax
    optimizer, or a single function, such as an initializer, a schedule or an augmentation. It equals another one if
    both were made by this factory from equal arguments: `dense(4)`, `dense(n_out=4)` and `dense(4, "lecun")` are equal.
    Numbers are equal if their types are, NumPy's integers being integers; arrays if their dtype, shape and bytes are;
    functions and traced numbers if they are the same object.

    The factory must be pure, so its result must depend on nothing but its arguments. Lists, dictionaries and NumPy
    arrays among the arguments are copied before the call, so that changing them later changes nothing. What is made
    pickles if the factory stands at the top of a module and its arguments pickle.

    Args:
      function: makes a NamedTuple of functions, or a function, from arguments of any kind.

    Returns:
      The function, whose results know how they were made.

    Raises:
      TypeError: when called, if the function returns anything else.

    Example:
      >>> import jaxnn
      >>> @jaxnn.factory
      ... def power(n=2):
      ...     return jaxnn.stateless(lambda x: (x**n, x), lambda x, dy: n * x ** (n - 1) * dy)
      >>> jaxnn.chain(power(), power(n=3)), power() == power(2)
      (chain(power(), power(n=3)), True)
    """
    signature = inspect.signature(function)

    @wraps(function)
    def make(*args, **kwargs):
        args, kwargs = tuple(map(_own, args)), {name: _own(value) for name, value in kwargs.items()}
        result = function(*args, **kwargs)
        if isinstance(result, Known) and result.made is not None and result.made.factory is make:
            return result  # it called itself, with arguments in their usual form
        return _known(result, Made(make, signature, args, kwargs))

    return make


class Made:
    """How a value was made: the factory, and the arguments that differ from its defaults.

    Attributes:
      factory: the decorated function.
      arguments: name -> value.
    """

    def __init__(self, factory: Callable, signature: inspect.Signature, args: tuple, kwargs: dict[str, Any]):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        for name, parameter in signature.parameters.items():
            if _by_name(signature, parameter) and key_of(bound.arguments[name]) == key_of(parameter.default):
                del bound.arguments[name]
        self.factory, self.arguments, self._bound = factory, bound.arguments, bound
        kinds = {parameter.kind: name for name, parameter in signature.parameters.items()}
        named = kinds.get(inspect.Parameter.VAR_KEYWORD)
        self._key = factory, *((name, key_of(value)) for name, value in bound.arguments.items() if name != named)
        # Arguments by name are equal in any order.
        self._key += tuple((name, key_of(value)) for name, value in sorted(bound.arguments.get(named, {}).items()))
        self._hash = hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Made) and self._hash == other._hash and self._key == other._key

    def __repr__(self) -> str:
        return f"{self.factory.__name__}({', '.join(self._shown())})"

    def __reduce__(self) -> tuple:
        name, hint = self.factory.__name__, "define it at the top of a module"
        written = {one: _written(name, f"argument {one}", value, hint) for one, value in self.arguments.items()}
        bound = inspect.BoundArguments(self._bound.signature, written)
        return _made_again, (_written(name, "factory", self.factory, hint), bound.args, bound.kwargs)

    def _shown(self) -> Iterable[str]:
        signature = self._bound.signature
        for name, value in self.arguments.items():
            parameter = signature.parameters[name]
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                yield from _elided(value)
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                yield from (f"{key}={shown(one)}" for key, one in value.items())
            else:
                yield f"{name}={shown(value)}" if _by_name(signature, parameter) else shown(value)


def _by_name(signature: inspect.Signature, parameter: inspect.Parameter) -> bool:
    """Whether an argument can be left out, and others given: it has a default, and none is given by its place."""
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
        return True
    kinds = {other.kind for other in signature.parameters.values()}
    has_default = parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and parameter.default is not parameter.empty
    return has_default and inspect.Parameter.VAR_POSITIONAL not in kinds


class Known:
    """What a value does by how it was made; without that, it is the functions that it holds.

    Attributes:
      made: the `Made`, or `None` for what was written by hand.
    """

    made: Made | None = None

    def __repr__(self) -> str:
        return _fields_shown(self) if self.made is None else repr(self.made)

    def __hash__(self) -> int:
        return super().__hash__() if self.made is None else hash(self.made)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other) or (self.made is None) != (other.made is None):
            return False
        return super().__eq__(other) is True if self.made is None else self.made == other.made

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict) -> Any:
        return self

    def __reduce_ex__(self, protocol: int) -> tuple:
        return _fields_written(self) if self.made is None else self.made.__reduce__()


def known(cls: type[T], shown: Callable[[Any], str] | None = None) -> type[T]:
    """Decorate a NamedTuple of functions, whose values then know how they were made.

    It is the same class with one attribute beside the fields. So what replaces a field, as `_replace` and
    `jax.tree.map` do, gives a value written by hand. `shown` is its repr, if it is to have another one than its call.
    """
    namespace = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    if shown is not None:
        namespace["__repr__"] = shown
    if "__firstlineno__" in vars(cls):
        namespace["__firstlineno__"] = cls.__firstlineno__
    return type(cls.__name__, (Known, cls), namespace)


class Function(Known):
    """A function that knows how it was made."""

    def __init__(self, function: Callable, made: Made | None = None):
        self.__wrapped__, self.__name__, self.made = function, made.factory.__name__, made

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns."""
        return self.__wrapped__(*args, **kwargs)


def shown(value: Any) -> str:
    """An argument as it stands in a repr: short, and without addresses."""
    if isinstance(value, jax.core.Tracer):
        return f"<traced {value.dtype} {value.shape}>"
    if _is_dtype(value):
        return jnp.dtype(value).name
    if isinstance(value, jax.Array | np.ndarray):
        return str(value) if value.ndim == 0 else f"<{value.dtype} {value.shape}>"
    if isinstance(value, np.generic):
        return str(value)
    if type(value) is tuple and len(value) == 1:
        return f"({shown(value[0])},)"
    if type(value) in (tuple, list):
        entries = ", ".join(_elided(value))
        return f"({entries})" if type(value) is tuple else f"[{entries}]"
    if type(value) is dict:
        return "{" + ", ".join(f"{key!r}: {shown(one)}" for key, one in value.items()) + "}"
    if isinstance(value, Known):
        return repr(value)
    if callable(value) and hasattr(value, "__name__"):
        return value.__name__
    if type(value) is partial:
        named = [f"{name}={shown(one)}" for name, one in value.keywords.items()]
        return f"partial({', '.join([shown(value.func), *map(shown, value.args), *named])})"
    text = repr(value)
    return text if " at 0x" not in text else f"<{type(value).__name__}>"


_MOST_SHOWN = 12


def _elided(values: Iterable[Any]) -> list[str]:
    """The entries of a sequence, those in the middle of a long one counted."""
    values = list(values)
    if len(values) <= _MOST_SHOWN:
        return [shown(value) for value in values]
    first, last = values[: _MOST_SHOWN // 2], values[-2:]
    rest = len(values) - len(first) - len(last)
    return [*map(shown, first), f"... {rest} more ...", *map(shown, last)]


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a NamedTuple that differ from their defaults, by name."""
    fields, defaults = zip(value._fields, value, strict=True), value._field_defaults
    return {name: field for name, field in fields if field is not defaults.get(name, ...)}


def _fields_shown(value: Any) -> str:
    return f"{type(value).__name__}({', '.join(f'{name}={shown(field)}' for name, field in _fields(value).items())})"


def _known(result: Any, made: Made) -> Any:
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        cls = type(result) if isinstance(result, Known) else _known_kind(type(result))
        result = cls._make(result)  # another one than the function returned, which may hold it elsewhere
        result.made = made
        return result
    if isinstance(result, Function):
        result = result.__wrapped__
    if callable(result):
        return Function(result, made)
    raise TypeError(
        f"factory {made.factory.__name__} must return a NamedTuple of functions, such as a Layer, or a function, "
        f"got {shown(result)}"
    )


_known_kind = lru_cache(maxsize=32)(known)  # of classes that are not jaxnn's, such as optax's


def _made_again(factory: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
    return factory(*args, **kwargs)


def _own(value: Any) -> Any:
    """An argument that nobody else can change."""
    if type(value) is np.ndarray and value.flags.writeable:
        value = value.copy()
        value.flags.writeable = False
    elif type(value) in (list, tuple):
        value = type(value)(map(_own, value))
    elif type(value) is dict:
        value = {name: _own(one) for name, one in value.items()}
    return value


def key_of(value: Any) -> Any:
    """Return what is equal, and has a hash, for equal arguments, and for no others."""
    kind = type(value)
    if kind in (str, bytes, type(None)):
        return value
    if isinstance(value, bool | np.bool_):
        return bool, bool(value)
    if kind is int or isinstance(value, np.integer):
        return int, int(value)
    if isinstance(value, float | complex | np.inexact):
        return kind, repr(value)  # -0.0 is another number than 0.0, NaN the same as NaN
    if isinstance(value, tuple) and not isinstance(value, Known) or kind is list:
        return kind, *map(key_of, value)
    if kind is dict:
        return kind, *((name, key_of(one)) for name, one in value.items())
    if isinstance(value, jax.core.Tracer):
        return _Same(value)
    if kind is np.ndarray and value.dtype != object or isinstance(value, jax.Array) and value.is_fully_addressable:
        return _Numbers(value)
    if _is_dtype(value):
        return np.dtype, jnp.dtype(value)
    if kind is partial:
        return kind, key_of(value.func), key_of(value.args), *sorted((n, key_of(a)) for n, a in value.keywords.items())
    try:
        hash(value)
    except TypeError:
        return _Same(value)
    return kind, value


def _is_dtype(value: Any) -> bool:
    """Whether it is a dtype, or a class that names one: NumPy's float32, or JAX's."""
    if isinstance(value, type):
        return issubclass(value, np.generic) or isinstance(getattr(value, "dtype", None), np.dtype)
    return isinstance(value, np.dtype)


class _Same:
    """An object that equals itself alone."""

    def __init__(self, value: Any):
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value


class _Numbers:
    """An array, equal to those of its kind, dtype, shape and bytes."""

    def __init__(self, array: Any):
        is_key = jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
        self.array = jax.random.key_data(array) if is_key else array
        self.kind = type(array), str(array.dtype), array.shape, getattr(array, "weak_type", False)

    def __hash__(self) -> int:
        return hash(self.kind)

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, _Numbers) and self.kind == other.kind
        return same and np.asarray(self.array).tobytes() == np.asarray(other.array).tobytes()


class _Named:
    """Stands for a function in a pickle: its module and name."""

    def __init__(self, function: Any):
        self.place = function.__module__, function.__qualname__

    def __reduce__(self) -> tuple:
        return _found, self.place


def _found(module: str, name: str) -> Any:
    return attrgetter(name)(__import__(module, fromlist=[name]))


def _written(owner: str, role: str, value: Any, hint: str) -> Any:
    """A value as it is pickled, functions by their names; a TypeError if it cannot be."""
    if isinstance(value, jax.core.Tracer):
        raise TypeError(f"{owner} cannot be pickled: its {role} is traced, as inside jit, vmap or grad")
    if type(value) in (tuple, list):
        return type(value)(_written(owner, role, one, hint) for one in value)
    if type(value) is dict:
        return {name: _written(owner, role, one, hint) for name, one in value.items()}
    if isinstance(value, Known | type) or inspect.ismethod(value) or not hasattr(value, "__qualname__"):
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


def _fields_written(value: Any) -> tuple:
    """A value written by hand, as it is pickled: by its fields, if their functions stand at the top of a module."""
    name = type(value).__name__
    hint = f"return the {name} from a function at the top of a module, decorated with @jaxnn.factory"
    fields = {field: _written(name, f"field {field}", one, hint) for field, one in _fields(value).items()}
    return _from_fields, (type(value), fields)


def _from_fields(cls: type, fields: dict[str, Any]) -> Any:
    return cls(**fields)
