"""Constraints of arrays, whose axes are named: equal names must have equal sizes, over all arguments of a call."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import as_array, floats, map_arrays, real_numbers
from jaxnn.constraints.declaration import NO_CALL, Call, Constraint, Fix
from jaxnn.validation import described, has_lengths


class Floats(Constraint):
    """An array of floats with named axes; whole numbers and booleans become floats.

    Args:
      axes: names, or sizes, of the axes, such as "m n_in"; "..." or "place..." for any axes, the same ones in all
        arguments.
      fix: the likely fix of a wrong shape, if no other is known.
      lists: whether lists and numbers are converted to arrays.
      scalar: whether a scalar is accepted for any shape.
    """

    kind = "floats"

    def __init__(self, axes: str = "...", fix: str = "", *, lists: bool = False, scalar: bool = False):
        self.axes, self.lists, self.scalar, self.hint = tuple(axes.split()), lists, scalar, fix
        super().__init__(self.kind, ("abc", None, *([] if lists else [[1.0]]), np.array(["a"]), np.array([1j])))

    @property
    def phrases(self) -> tuple[str, ...]:
        """The kind, and what is expected of any array."""
        return self.kind, "an array", "real numbers"

    def accepts(self, value: Any) -> bool:
        """Return whether it is an array with these axes; sizes of other arguments are not known here."""
        try:
            self.check("", value)
        except ValueError:
            return False
        return True

    def check(self, name: str, value: Any, call: Call = NO_CALL) -> Any:
        """Return the array; bind the sizes of its axes."""
        call = Call() if call is NO_CALL else call
        if not (self.lists or hasattr(value, "dtype") or has_lengths(value)):
            raise ValueError(f"{name} must be an array, got {described(value)}: jnp.asarray({name})")
        array = self.convert(value, name)
        if self.scalar and array.shape == ():
            return array
        if not bind(self.axes, shape := array.shape, call.sizes):
            fix = self._fix_of_shape(name, shape, call)
            raise ValueError(
                f"{name} must be {self.expected(name, call)}, got {described(value)}{': ' * bool(fix)}{fix}"
            )
        call.arrays.append((name, shape))
        return array

    def convert(self, value: Any, name: str) -> Any:
        """Return the value as an array of the dtype that the function takes."""
        return floats(value, name)

    def expected(self, name: str, call: Call) -> str:
        """Return the shape with the sizes that are known, and the arrays that they are those of."""
        arrays = " and ".join(f"{of} {shape}" for of, shape in call.arrays)
        of = f" for {arrays}" if arrays else ""
        return f"{self.description} {shape_in_words(self.axes, call.sizes)}{of}"

    def _fix_of_shape(self, name: str, shape: tuple[int, ...], call: Call) -> str:
        if len(shape) == 2 and bind(self.axes, shape[::-1], dict(call.sizes)):
            return f"examples are rows, use {name}.T"
        if len(self.axes) == 1 and len(shape) == 2 and 1 in shape and bind(self.axes, (max(shape),), dict(call.sizes)):
            return f"{name}.ravel()"
        return self.hint


class Numbers(Floats):
    """An array of numbers with named axes, which keeps its dtype."""

    kind = "numbers"

    def convert(self, value: Any, name: str) -> Any:
        """Return the array; whole numbers that JAX would truncate become floats."""
        return real_numbers(value, name)


class ArrayTree(Numbers):
    """Numbers for a network: an array-like, or a dictionary or a tuple of arrays. Lists are arrays."""

    def __init__(self):
        super().__init__(lists=True)

    def check(self, name: str, value: Any, call: Call = NO_CALL) -> Any:
        """Return the tree with an array for each leaf."""
        return map_arrays(lambda path, a: jnp.asarray(real_numbers(a, path)), name, value)


class Integers(Floats):
    """An array of whole numbers with named axes."""

    kind = "whole numbers of an integer dtype"

    def convert(self, value: Any, name: str) -> Any:
        """Return the array itself."""
        array = as_array(name, value)
        if jnp.issubdtype(array.dtype, jnp.integer):
            return array
        raise ValueError(f"{name} must be {self.kind}, got {described(array)}: {name}.astype(int)")


class Mask(Floats):
    """An array of booleans with named axes, or None."""

    kind = "booleans"

    def convert(self, value: Any, name: str) -> Any:
        """Return the mask itself."""
        if jnp.issubdtype(value.dtype, jnp.bool_):
            return value
        raise ValueError(f"{name} must be an array of booleans, got {described(value)}")


class Leaves(Constraint):
    """Params of one layer, or its statistics: a dictionary of arrays with named axes, and no others.

    Args:
      fix: the likely fix if they are not such a dictionary.
      of_another: the likely fix if they are one of other sizes.
      **leaves: name -> axes.
    """

    def __init__(self, fix: Fix = "", of_another: str = "use params of this network", **leaves: str):
        self.leaves = {name: tuple(axes.split()) for name, axes in leaves.items()}
        super().__init__(self._shapes({}), (None, (), {}, {"no such": np.zeros(2)}), fix)
        self.of_another = of_another

    def _shapes(self, sizes: dict[str, Any]) -> str:
        return "{" + ", ".join(f"{name}: {shape_in_words(axes, sizes)}" for name, axes in self.leaves.items()) + "}"

    def accepts(self, value: Any) -> bool:
        """Return whether the leaves have these names, and shapes that agree."""
        return self._fits(value, {})

    def _fits(self, value: Any, sizes: dict[str, Any]) -> bool:
        named = isinstance(value, Mapping) and value.keys() == self.leaves.keys()
        shapes = [(axes, getattr(value[name], "shape", None)) for name, axes in self.leaves.items()] if named else []
        return named and all(shape is not None and bind(axes, shape, sizes) for axes, shape in shapes)

    def check(self, name: str, value: Any, call: Call = NO_CALL) -> dict[str, Any]:
        """Return the leaves as floats; bind the sizes of their axes."""
        call = Call() if call is NO_CALL else call
        known = dict(call.sizes)
        if not self._fits(value, call.sizes):
            call.sizes = known
            raise self.error(name, value, call)
        most = max(map(len, self.leaves.values()))
        call.arrays.extend((leaf, value[leaf].shape) for leaf, axes in self.leaves.items() if len(axes) == most)
        return {leaf: floats(a, leaf) for leaf, a in value.items()}

    def expected(self, name: str, call: Call) -> str:
        """Return the shapes with the sizes that are known."""
        return self._shapes(call.sizes)

    def got(self, value: Any) -> str:
        """Return the leaves given, and the fix of their shapes."""
        if not isinstance(value, Mapping):
            return type(value).__name__
        leaves = ", ".join(f"{name}: {described(a)}" for name, a in value.items())
        fixes = [self._fix_of_leaf(name, np.shape(a)) for name, a in value.items() if name in self.leaves]
        fix = self.of_another if self.accepts(value) else next(filter(None, fixes), "")
        return leaves + ": " * bool(fix) + fix

    def _fix_of_leaf(self, name: str, shape: tuple[int, ...]) -> str:
        if len(shape) == len(self.leaves[name]) + 1 and 1 in shape and len(shape) == 2:
            return f"{name}.ravel()"
        return "jax.vmap over the params of several networks" if len(shape) == len(self.leaves[name]) + 1 else ""


def bind(axes: tuple[str, ...], shape: tuple[Any, ...], sizes: dict[str, Any]) -> bool:
    """Return whether a shape has these axes, and add their sizes to those that are known.

    Example:
      >>> sizes = {}
      >>> bind(("...", "n"), (2, 3, 4), sizes), sizes, bind(("n",), (5,), sizes)
      (True, {'...': (2, 3), 'n': 4}, False)
    """
    i = next((i for i, axis in enumerate(axes) if axis.endswith("...")), None)
    if i is not None:  # their sizes count as one
        after = len(axes) - 1 - i
        if len(shape) < i + after:
            return False
        shape = (*shape[:i], tuple(shape[i : len(shape) - after]), *shape[len(shape) - after :])
    if len(shape) != len(axes):
        return False
    found = {}
    for axis, size in zip(axes, shape, strict=True):
        known = int(axis) if axis.isdecimal() else sizes.get(axis, found.get(axis))
        if known is not None and known != size:
            return False
        found[axis] = size
    sizes.update(found)
    return True


def shape_in_words(axes: tuple[str, ...], sizes: dict[str, Any]) -> str:
    """Return a shape with the names of its axes, and the sizes that are known.

    Example:
      >>> shape_in_words(("...", "n_in"), {"n_in": 5}), shape_in_words(("n_out",), {})
      ('(..., n_in=5)', '(n_out,)')
    """
    words = []
    for axis in axes:
        if axis.endswith("...") and axis in sizes:
            words.extend(map(str, sizes[axis]))
        else:
            words.append(f"{axis}={sizes[axis]}" if axis in sizes else axis)
    return f"({', '.join(words)}{',' * (len(words) == 1 and not words[0].endswith('...'))})"
