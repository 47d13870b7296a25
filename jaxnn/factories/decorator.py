"""`factory`: what a function makes knows how it was made, by which it prints, pickles and compares.

A layer is a few functions. Made twice from the same arguments, it is two sets of functions, and JAX compiles for each
of them. A decorated factory leaves the call beside its result, so that equal calls make equal results: one program
does for all of them, and a loop that makes a network in every round compiles once.
"""

import inspect
from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from jaxnn.factories.equality import key_of
from jaxnn.factories.pickling import fields_to_pickle, to_pickle
from jaxnn.factories.representation import elided, fields_shown, shown

T = TypeVar("T")
P = ParamSpec("P")


def factory(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that makes layers, so that what it makes prints, pickles and compares as its call.

    The result may be any NamedTuple of functions, such as a `Layer`, `Loss`, `Regularizer` or `Objective` or an optax
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
        written = {one: to_pickle(name, f"argument {one}", value, hint) for one, value in self.arguments.items()}
        bound = inspect.BoundArguments(self._bound.signature, written)
        return _made_again, (to_pickle(name, "factory", self.factory, hint), bound.args, bound.kwargs)

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
        return fields_shown(self) if self.made is None else repr(self.made)

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
        return fields_to_pickle(self) if self.made is None else self.made.__reduce__()


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
