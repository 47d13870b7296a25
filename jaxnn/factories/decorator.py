"""`factory`: results record the call that made them, by which they print, pickle and compare.

A layer is a few functions. Made twice from the same arguments, it would be two sets of functions, and JAX would compile
for both. A decorated factory stores the call with its result, so that equal calls make equal results: they share one
compiled program, and a loop that makes the same network in every round compiles once.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial, wraps
from typing import Any, SupportsIndex, TypeVar, overload

import numpy as np

from jaxnn.factories.equality import key_of
from jaxnn.factories.pickling import fields_to_pickle, to_pickle
from jaxnn.factories.representation import elided, fields_shown, shown
from jaxnn.validation import described

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


@overload
def factory(function: F, *, computes: str | None = None) -> F: ...
@overload
def factory(function: None = None, *, computes: str | None = None) -> Callable[[F], F]: ...
def factory(function: Callable[..., Any] | None = None, *, computes: str | None = None) -> Callable[..., Any]:
    """Decorate a function that makes layers or the like, so that results print, pickle and compare by their call.

    The result may be any NamedTuple of functions, such as a `Layer`, `Loss`, `Regularizer` or `Objective` or an optax
    optimizer, or a single function, such as an initializer, a schedule or an augmentation. Two results are equal if
    both were made by this factory from equal arguments: `dense(4)`, `dense(n_out=4)` and `dense(4, "lecun")` are equal.
    Numbers are equal if their types and values are, with NumPy integers counting as int; arrays if their dtype, shape
    and bytes are; functions and traced numbers if they are the same object.

    The factory must be pure: its result may depend only on its arguments. Lists, dictionaries and NumPy arrays among
    the arguments are copied before the call, so that later changes to them have no effect. A result can be pickled if
    the factory is defined at the top of a module and its arguments can be pickled.

    Args:
      function: makes a NamedTuple of functions, or a function, from arguments of any kind.
      computes: how to compute on arrays, such as "relu_forward(z)"; the hint of the error for a factory that is called
        with arrays, as in `relu(z)`.

    Returns:
      The function, whose results record their call; without `function`, the decorator.

    Raises:
      TypeError: when called, if the function returns anything else.
      ValueError: when called, if `computes` is given and the arguments are arrays to compute on.

    Example:
      >>> import jaxnn
      >>> @jaxnn.factory
      ... def power(n=2):
      ...     return jaxnn.stateless(lambda x: (x**n, x), lambda x, dy: n * x ** (n - 1) * dy)
      >>> jaxnn.chain(power(), power(n=3)), power() == power(2)
      (chain(power(), power(n=3)), True)
    """
    if function is None:
        return partial(factory, computes=computes)
    signature = inspect.signature(function)

    @wraps(function)
    def make(*args, **kwargs):
        if computes is not None and args and (len(args) > len(signature.parameters) or _is_array(args[0])):
            kind = signature.return_annotation.__name__.lower()
            raise ValueError(
                f"arguments of {function.__name__}() must be those of a {kind}, got {described(args[0])}: "
                f"compute with {computes}"
            )
        args, kwargs = tuple(map(_own, args)), {name: _own(value) for name, value in kwargs.items()}
        result = function(*args, **kwargs)
        if isinstance(result, FactoryMade) and result.factory_call is not None and result.factory_call.factory is make:
            return result  # the factory called itself with normalized arguments
        return _with_call(result, FactoryCall(make, signature, args, kwargs))

    return make


def _is_array(argument: Any) -> bool:
    return isinstance(argument, list) or getattr(argument, "ndim", 0) > 0


class FactoryCall:
    """The call that made a value: the factory, and the arguments that differ from its defaults.

    Attributes:
      factory: the decorated function.
      arguments: name -> value.
      args, kwargs: the arguments as they are passed to the factory.
    """

    def __init__(self, factory: Callable, signature: inspect.Signature, args: tuple, kwargs: dict[str, Any]):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        for name, parameter in signature.parameters.items():
            if _by_name(signature, parameter) and key_of(bound.arguments[name]) == key_of(parameter.default):
                del bound.arguments[name]
        self.factory, self.arguments, self._bound = factory, bound.arguments, bound
        self.args, self.kwargs = bound.args, bound.kwargs
        kinds = {parameter.kind: name for name, parameter in signature.parameters.items()}
        named = kinds.get(inspect.Parameter.VAR_KEYWORD, "")
        self._key = factory, *((name, key_of(value)) for name, value in bound.arguments.items() if name != named)
        # Keyword arguments are equal in any order.
        self._key += tuple((name, key_of(value)) for name, value in sorted(bound.arguments.get(named, {}).items()))
        self._hash = hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FactoryCall) and self._hash == other._hash and self._key == other._key

    def __repr__(self) -> str:
        return f"{self.factory.__name__}({', '.join(self._shown())})"

    def __reduce__(self) -> tuple:
        name, hint = self.factory.__name__, "define it at the top of a module"
        written = {one: to_pickle(name, f"argument {one}", value, hint) for one, value in self.arguments.items()}
        bound = inspect.BoundArguments(self._bound.signature, written)
        return _call_again, (to_pickle(name, "factory", self.factory, hint), bound.args, bound.kwargs)

    def _shown(self) -> Iterable[str]:
        signature = self._bound.signature
        for name, value in self.arguments.items():
            parameter = signature.parameters[name]
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                yield from elided(value)
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                yield from (f"{key}={shown(one)}" for key, one in value.items())
            else:
                yield f"{name}={shown(value)}" if _by_name(signature, parameter) else shown(value)


def _by_name(signature: inspect.Signature, parameter: inspect.Parameter) -> bool:
    """Return whether a parameter may be omitted and later ones given by name: it has a default, and no *args follow."""
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
        return True
    kinds = {other.kind for other in signature.parameters.values()}
    has_default = parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and parameter.default is not parameter.empty
    return has_default and inspect.Parameter.VAR_POSITIONAL not in kinds


class FactoryMade:
    """Prints, compares, hashes and pickles a value by the call that made it; without one, by its fields.

    Attributes:
      factory_call: the `FactoryCall`, or `None` for a value written by hand.
    """

    factory_call: FactoryCall | None = None

    @staticmethod
    def completed(value: Any) -> Any:
        """Return a value that a factory returned with what its class adds: nothing, by default."""
        return value

    def __repr__(self) -> str:
        return fields_shown(self) if self.factory_call is None else repr(self.factory_call)

    def __hash__(self) -> int:
        return super().__hash__() if self.factory_call is None else hash(self.factory_call)

    def __eq__(self, other: Any) -> bool:
        if self is other:
            return True
        if type(self) is not type(other) or (self.factory_call is None) != (other.factory_call is None):
            return False
        return super().__eq__(other) is True if self.factory_call is None else self.factory_call == other.factory_call

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict) -> Any:
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple:
        return fields_to_pickle(self) if self.factory_call is None else self.factory_call.__reduce__()


class ByAutodiff(FactoryMade):
    """A value whose gradient is JAX's, as its repr states."""

    def __repr__(self) -> str:
        return super().__repr__() + " by autodiff" * (self.factory_call is not None)


def factory_made(cls: type[T], shown: Callable[[Any], str] | None = None) -> type[T]:
    """Decorate a NamedTuple of functions, whose values then record the call that made them.

    The class gets one attribute besides the fields, which `_replace` and `jax.tree.map` do not copy: a value with a
    replaced field counts as written by hand. `shown` is the repr, if it is to differ from the call.
    """
    namespace = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    if shown is not None:
        namespace["__repr__"] = shown
    if "__firstlineno__" in vars(cls):
        namespace["__firstlineno__"] = vars(cls)["__firstlineno__"]
    made: Any = type(cls.__name__, (FactoryMade, cls), namespace)
    return made


def calls_of(value: Any, factory: Callable) -> list[FactoryCall]:
    """Return the calls of a factory that a value was made by, or by which something it is made of was made, each once.

    Example:
      >>> import jaxnn
      >>> calls_of(jaxnn.chain(jaxnn.dense(3), jaxnn.residual(jaxnn.dense(3)), jaxnn.dense(1)), jaxnn.dense)
      [dense(3), dense(1)]
    """
    call = getattr(value, "factory_call", None)
    if call is not None and call.factory is factory:
        return [call]
    inside = value if call is None else call.arguments
    inside = inside.values() if isinstance(inside, Mapping) else inside if isinstance(inside, tuple | list) else ()
    return list(dict.fromkeys(one for part in inside for one in calls_of(part, factory)))


def derived_field(cls: type, field: str, derive: Callable[[Any], Any]) -> None:
    """Make `derive(value)` the default of a field of a `factory_made` class, which the tuple has as `None` by default.

    It is derived when it is read, so that a value with other fields replaced has another.
    """
    i = cls._fields.index(field)
    setattr(cls, field, property(lambda value: derive(value) if value[i] is None else value[i]))


def completed_by(cls: type, complete: Callable[[Any], Any]) -> None:
    """Let `complete(value)` replace each value of a `factory_made` class that a factory returns."""
    setattr(cls, "completed", staticmethod(complete))  # noqa: B010


class Function(FactoryMade):
    """A function that records the call that made it."""

    def __init__(self, function: Callable, factory_call: FactoryCall):
        self.__wrapped__, self.__name__, self.factory_call = function, factory_call.factory.__name__, factory_call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.__wrapped__(*args, **kwargs)


def _with_call(result: Any, factory_call: FactoryCall) -> Any:
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        cls: Any = type(result) if isinstance(result, FactoryMade) else _factory_made_class(type(result))
        result = cls.completed(cls._make(result))  # a copy, since the function may keep its result elsewhere
        result.factory_call = factory_call
        return result
    if isinstance(result, Function):
        result = result.__wrapped__
    if callable(result):
        return Function(result, factory_call)
    raise TypeError(
        f"factory {factory_call.factory.__name__} must return a NamedTuple of functions, such as a Layer, or a "
        f"function, got {shown(result)}"
    )


_factory_made_class = lru_cache(maxsize=32)(factory_made)  # for classes of other libraries, such as optax


def _call_again(factory: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
    return factory(*args, **kwargs)


def _own(value: Any) -> Any:
    """Copy an argument that the caller could change later."""
    kind = type(value)
    if kind is np.ndarray and value.flags.writeable:
        value = value.copy()
        value.flags.writeable = False
    elif kind in (list, tuple):
        value = kind(map(_own, value))
    elif kind is dict:
        value = {name: _own(one) for name, one in value.items()}
    return value
