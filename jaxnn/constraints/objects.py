"""Constraints of names, functions, and what networks are made of."""

import inspect
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.constraints.declaration import NO_CALL, Call, Constraint, Fix
from jaxnn.validation import described, has_lengths, is_count, sizes_of, unless_lengths


class Flag(Constraint):
    """True or False; a string such as "no" would count as True."""

    def __init__(self, fix: Fix = ""):
        rejects = ("no", 1, None, [True])
        super().__init__("True or False", rejects, fix, lambda value: isinstance(value, bool | np.bool_))


class Nothing(Constraint):
    """None."""

    def __init__(self):
        super().__init__("None", (0, False, ""), test=lambda value: value is None)


class Instance(Constraint):
    """An instance of a class."""

    def __init__(self, cls: type, description: str = "", fix: Fix = ""):
        article = "an" if cls.__name__[0] in "AEIOU" else "a"
        rejects = [value for value in (None, 3, "x", cls, lambda: 0) if not isinstance(value, cls)]
        super().__init__(description or f"{article} {cls.__name__}", rejects, fix, lambda value: isinstance(value, cls))


class OneOf(Constraint):
    """One of several names; the message suggests the nearest.

    Args:
      names: the names, or a table that has them as keys.
      of: what they are, such as "the schedules ", if the name of the argument does not imply it.
      fix: the likely fix, if no name is near.
    """

    def __init__(self, names: Iterable[str], fix: Fix = "", *, of: str = ""):
        super().__init__(f"one of {of}{sorted(names)}", ("no such name", None, ["x"], 3), fix)
        self.names = names

    def likely_fix(self, value: Any) -> str:
        """Return the nearest name."""
        near = get_close_matches(value.lower(), self.names, 1, cutoff=0.7) if isinstance(value, str) else []
        return f"did you mean {near[0]!r}?" if near else super().likely_fix(value)

    def accepts(self, value: Any) -> bool:
        """Return whether it is one of the names."""
        return isinstance(value, str) and value in self.names


class Function(Constraint):
    """A function that accepts these positional arguments. It is not called.

    Args:
      *arguments: their names.
      called: what the function is called in a message; the name of the argument by default.

    Example:
      >>> Function("params").check("evaluate", lambda params, x: {})
      Traceback (most recent call last):
      ...
      ValueError: evaluate must be a function evaluate(params), got a function of (params, x)
    """

    def __init__(self, *arguments: str, called: str = ""):
        super().__init__("a function", (3, "f", None, *([lambda: 0] if arguments else [])))
        self.arguments, self.called = arguments, called

    def resembles(self, value: Any) -> bool:
        """Return whether it is a function of any arguments."""
        return callable(value)

    def accepts(self, value: Any) -> bool:
        """Return whether it is a function of these arguments."""
        signature = signature_of(value)
        if signature is None:
            return callable(value)
        try:
            signature.bind(*self.arguments)
        except TypeError:
            return False
        return True

    def expected(self, name: str, call: Call) -> str:
        """Return the function as it is called."""
        return f"a function {self.called or name}({', '.join(self.arguments)})"

    def got(self, value: Any) -> str:
        """Return the arguments of another function."""
        signature = signature_of(value)
        if signature is None:
            return described(value)
        names = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
        return f"a function of {inspect.Signature(names)}"


class RandomKey(Constraint):
    """One random key: a typed scalar, or an old-style key, uint32 (2,).

    Args:
      without: the likely fix if the key is missing.
    """

    def __init__(self, without: str = ""):
        rejects = (0, None, "a", np.zeros(2), np.zeros((3, 2), np.uint32))
        super().__init__("one random key", rejects, self._hint, lambda value: _shape_of_keys(value) == ())
        self.without = without

    def resembles(self, value: Any) -> bool:
        """Return whether the argument is given: any value is meant as a key."""
        return value is not None

    def _hint(self, value: Any) -> str:
        one = value is None and self.without or "jax.random.key(0) makes one from the seed 0"
        return "index one, or use jax.vmap over them" if _shape_of_keys(value) else one


class ParamsTree(Constraint):
    """The params of a network, arrays: not None, nor an object that holds or makes params.

    Example:
      >>> ParamsTree().check("params", None)
      Traceback (most recent call last):
      ...
      ValueError: params must be a network's params, got None: model.init(key) makes them
    """

    def __init__(self):
        super().__init__("a network's params", (None, lambda: 0), _source_of_params, lambda x: not _source_of_params(x))

    def check(self, name: str, value: Any, call: Call = NO_CALL) -> Any:
        """Return the params; raise ValueError if a leaf is not a number or an array, such as a word."""
        super().check(name, value, call)
        if not all(map(_is_leaf, jax.tree.leaves(value))):
            paths = jax.tree_util.tree_leaves_with_path(value)
            path, leaf = next((path, leaf) for path, leaf in paths if not _is_leaf(leaf))
            _ARRAY.check(f"{name}{jax.tree_util.keystr(path)}", leaf)
        return value

    def got(self, value: Any) -> str:
        """Return the type of an object that holds params, whose repr would be that of all of them."""
        return described(value) if value is None or hasattr(value, "__name__") else f"a {type(value).__name__}"


class ExampleShape(Constraint):
    """The shape of one example, without the batch axis, and at least `least` axes."""

    def __init__(self, least: int = 0):
        rejects = (4, (0,), (-1,), (4.0,), "4", None, (True,), *([()] if least else []))
        axes = " with at least one axis" if least else ""
        super().__init__(f"the shape of one example{axes}", rejects, self._hint, convert=sizes_of)
        self.least = least

    def accepts(self, value: Any) -> bool:
        """Return whether it is a tuple or a list of positive whole numbers, or a shape of floats with these sizes."""
        return isinstance(n := sizes_of(value), tuple | list) and len(n) >= self.least and all(map(is_count, n))

    def _hint(self, value: Any) -> str:
        if has_lengths(value) or isinstance(value, jax.ShapeDtypeStruct):
            return unless_lengths(value, "it takes floats: put embedding(vocabulary, n), or rescale() (images), first")
        if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(value)):
            return "it takes one array: put fan_in_concat() before it, or parallel(...) with a layer for each entry"
        is_batch = isinstance(value, dict) or hasattr(value, "dtype")
        return "nn.shapes_of(x) makes it of a batch" if is_batch else "omit the batch axis, such as (4,) for 4 features"


class ExampleTree(ExampleShape):
    """The shape of one example: a tuple of sizes for one array of floats, else a pytree of `jax.ShapeDtypeStruct`."""

    def accepts(self, value: Any) -> bool:
        """Return whether it is a tuple of sizes, or a tree of shapes with dtypes."""
        return super().accepts(value) or {jax.ShapeDtypeStruct} == {type(a) for a in jax.tree.leaves(value)}


def signature_of(function: Any) -> inspect.Signature | None:
    """Return the signature of a function; `None` for one written in C without a signature, and for other values."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _shape_of_keys(value: Any) -> tuple[int, ...] | None:
    """Return the shape of an array of random keys; `None` for another value."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return shape
    return shape[:-1] if dtype == np.uint32 and shape else None


def _source_of_params(value: Any) -> str:
    """Return how to get params from an object that holds or makes them; "" for params."""
    for attributes, fix in _HOLDERS.items():
        if all(hasattr(value, attribute) for attribute in attributes):
            return fix
    makes = value is None or callable(value) or callable(getattr(value, "init", None))
    return "model.init(key) makes them" if makes else ""


_HOLDERS = {
    ("opt_state",): "pass state.params; make_epoch continues from a state",
    ("state", "params"): "pass result.params; make_epoch continues from result.state",
    ("params",): "pass its params",
    ("state",): "pass its state.params",
}


def _is_leaf(value: Any) -> bool:
    return hasattr(value, "dtype") or isinstance(value, int | float | complex)


_ARRAY = Constraint("an array", fix="model.init(key) makes params", test=_is_leaf)
