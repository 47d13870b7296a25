"""A stated gradient, whatever its form, as one thing: a plain function, a hand-written backward, arguments."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.validation import check_callable, described


class GradcheckError(ValueError):
    """The question cannot be asked, so there is no answer: what came, what was expected, the likely fix."""


@dataclass(frozen=True)
class Problem:
    """What is claimed.

    Attributes:
      title: what is checked, for the report.
      f: the plain function, `f(*args) -> y`, pytrees of arrays.
      hand: `hand(args, dy)` -> a tuple with a cotangent for each argument.
      args: the arguments, pytrees of arrays. Python ints, bools, strings, functions and random keys are constants.
      names: a name for each argument.
      scalar: y is one number and its cotangent is 1: `hand` is the gradient of a scalar function.
      value: the rule's own forward, `value(*args) -> y`, where it has one.
      asked: for each argument, whether a gradient is claimed for it.
      subgradient: at a kink, any slope between those on its sides is right, and not JAX's choice alone.
    """

    title: str
    f: Callable[..., Any]
    hand: Callable[[tuple[Any, ...], Any], tuple[Any, ...]]
    args: tuple[Any, ...]
    names: tuple[str, ...]
    scalar: bool = False
    value: Callable[..., Any] | None = None
    asked: tuple[bool, ...] = ()
    subgradient: bool = False


def make_problem(title: str, f: Callable[..., Any], hand: Callable[..., Any], args: tuple[Any, ...], **claims: Any):
    """Return a `Problem` with its arguments named.

    Args:
      title: what is checked, for the report.
      f: the plain function.
      hand: the manual gradient, as `Problem` takes it.
      args: the arguments, at least one.
      **claims: the optional attributes of `Problem`.

    Raises:
      GradcheckError: if there is no argument, or f is not a function of that many arguments.
    """
    if not args:
        raise GradcheckError(f"{title}: args must hold at least one array, got none: pass them after the functions")
    names = _argument_names(f, len(args))
    with as_gradcheck_error():
        check_callable("f", f, *names)
    return Problem(title, f, hand, args, names, **claims)


@contextmanager
def as_gradcheck_error() -> Iterator[None]:
    """Raise a `GradcheckError` in place of a ValueError, with the same message."""
    try:
        yield
    except ValueError as error:
        raise GradcheckError(str(error)) from None


def _argument_names(f: Callable[..., Any], n: int) -> tuple[str, ...]:
    """Return the names of the first n parameters of f, or arg0, arg1, ... if its signature cannot be read."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return tuple(positional[i] if i < len(positional) else f"arg{i}" for i in range(n))


class Flat:
    """The problem on flat lists of arrays: `leaves` in, output leaves out, gradients of the leaves in `asked` out.

    Constants (Python ints, keys, ...) are put back in place by `f` and `hand`. Floating leaves are held as NumPy
    arrays in their given dtype.
    """

    def __init__(self, problem: Problem):
        self.problem = problem
        paths, self._tree = jax.tree_util.tree_flatten_with_path(problem.args)
        self._constant = [None if _is_array(leaf) else (leaf,) for _, leaf in paths]
        kept = [(path, leaf) for path, leaf in paths if _is_array(leaf)]
        self.names = [problem.names[path[0].idx] + jax.tree_util.keystr(path[1:]) for path, _ in kept]
        self.argument = [path[0].idx for path, _ in kept]
        self.leaves = [_to_numpy(name, leaf) for name, (_, leaf) in zip(self.names, kept, strict=True)]
        self.floating = [i for i, leaf in enumerate(self.leaves) if is_floating(leaf)]
        asked = problem.asked or (True,) * len(problem.args)
        self.asked = [i for i in self.floating if asked[self.argument[i]]]
        if not self.asked:
            raise GradcheckError(
                f"{problem.title}: no argument is a floating array, so there is no gradient to check: "
                f"got {[f'{name}: {leaf.dtype}' for name, leaf in zip(self.names, self.leaves, strict=True)]}"
            )
        if all(self.leaves[i].size == 0 for i in self.asked):
            raise GradcheckError(f"{problem.title}: every floating argument is empty, so there is nothing to check")
        self._output_structure = jax.tree.structure(self._first_output())

    def _first_output(self) -> Any:
        """y at the given arguments, checked: what f cannot do there it can do nowhere."""
        problem = self.problem
        args = self.arguments([jnp.asarray(leaf) for leaf in self.leaves])
        try:
            y = jax.eval_shape(lambda leaves: problem.f(*self.arguments(leaves)), self.leaves)
        except jax.errors.ConcretizationTypeError:
            y = problem.f(*args)
        except Exception as error:
            raise GradcheckError(f"{problem.title}: f itself raised {type(error).__name__}: {error}") from error
        leaves = jax.tree.leaves(y)
        for leaf in leaves:
            if not is_floating(leaf):
                raise GradcheckError(
                    f"{problem.title}: f returns {leaf.dtype}, which has no derivative: return floats, and split "
                    "integer outputs off"
                )
        if problem.scalar and [leaf.shape for leaf in leaves] != [()]:
            shapes = [leaf.shape for leaf in leaves]
            raise GradcheckError(f"{problem.title}: a gradient is of a scalar function, f returns {shapes}: use vjp")
        return y

    def arguments(self, leaves: list[Any]) -> tuple[Any, ...]:
        """The argument tuple, with `leaves` (arrays of any shapes) in the places of the arrays."""
        arrays = iter(leaves)
        return jax.tree.unflatten(self._tree, [next(arrays) if c is None else c[0] for c in self._constant])

    def f(self, leaves: list[Any]) -> list[Any]:
        """The leaves of y, arrays of any shapes."""
        return jax.tree.leaves(self.problem.f(*self.arguments(leaves)))

    def value(self, leaves: list[Any]) -> list[Any]:
        """The leaves of the rule's own y, arrays of any shapes."""
        return jax.tree.leaves(self.problem.value(*self.arguments(leaves)))

    def hand(self, leaves: list[Any], cotangents: list[Any]) -> list[Any]:
        """The hand-written cotangents of the leaves in `asked`, arrays as they came."""
        args = self.arguments(leaves)
        returned = self.problem.hand(args, jax.tree.unflatten(self._output_structure, cotangents))
        return self._in_place(args, returned, leaves)

    def _in_place(self, args: tuple[Any, ...], returned: Any, leaves: list[Any]) -> list[Any]:
        title, names = self.problem.title, self.problem.names
        if not isinstance(returned, tuple | list) or len(returned) != len(args):
            got = f"{len(returned)} entries" if isinstance(returned, tuple | list) else "no tuple"
            raise GradcheckError(
                f"{title}: the backward must return a tuple with one entry for each of the {len(args)} arguments "
                f"({', '.join(names)}), got {got}: None stands for an argument without a gradient"
            )
        flat = []
        for name, arg, entry in zip(names, args, returned, strict=True):
            structure = jax.tree.structure(arg)
            if entry is None:
                flat += [None] * structure.num_leaves
                continue
            try:
                flat += structure.flatten_up_to(entry)
            except ValueError as error:
                raise GradcheckError(
                    f"{title}: the gradient of {name} has the structure {jax.tree.structure(entry)}, "
                    f"expected that of the argument, {structure}"
                ) from error
        flat = [entry for entry, constant in zip(flat, self._constant, strict=True) if constant is None]
        for name, entry in zip(self.names, flat, strict=True):
            if entry is None:
                continue
            if not hasattr(entry, "dtype") and not isinstance(entry, int | float | complex):
                raise GradcheckError(f"{title}: the gradient of {name} is {described(entry)}, expected an array")
            if jnp.iscomplexobj(entry):
                raise GradcheckError(f"{title}: the gradient of {name} is {described(entry)}, expected real numbers")
        return [_as_gradient(flat[i], leaves[i], self.problem.scalar) for i in self.asked]


def is_floating(a: Any) -> bool:
    """Whether an array (of any shape) holds real floats, of any precision."""
    return bool(jnp.issubdtype(a.dtype, jnp.floating))


def _as_gradient(entry: Any, leaf: Any, scalar: bool) -> Any:
    """`None` stands for zeros, as it does in a jax.custom_vjp.

    What a Python number decides has its argument's dtype: the number itself, and, in the gradient of a scalar function,
    which no rule is made of, a whole number of NumPy's and what JAX calls weakly typed, such as (x > 0) * 1.0.
    """
    if entry is None:
        return jnp.zeros_like(leaf)
    weak = isinstance(entry, int | float)
    if scalar and not weak:
        weak = isinstance(entry, np.integer) or (getattr(entry, "weak_type", False) and is_floating(entry))
    return jnp.asarray(entry, leaf.dtype) if weak else entry


def _is_array(leaf: Any) -> bool:
    if isinstance(leaf, float):
        return True
    return hasattr(leaf, "dtype") and hasattr(leaf, "shape") and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _to_numpy(name: str, leaf: Any) -> np.ndarray:
    if isinstance(leaf, jax.core.Tracer):
        raise GradcheckError(f"{name} is traced, as inside jax.jit: a gradient is checked at numbers, outside of it")
    leaf = np.asarray(leaf)
    # A NumPy float64 array is what JAX makes of it: float32, unless 64-bit floats are on.
    leaf = leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype))
    if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
        raise GradcheckError(
            f"{name} is {leaf.dtype}: complex arguments are not supported, pass real and imaginary parts"
        )
    if is_floating(leaf) and not np.isfinite(leaf.astype(np.float64)).all():
        bad = np.argwhere(~np.isfinite(leaf.astype(np.float64)))[0].tolist()
        raise GradcheckError(f"{name} holds NaN or inf, first at {bad}: a gradient is checked at finite points")
    return leaf
