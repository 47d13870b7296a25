"""The problem on flat lists of real arrays, and the checks of what f and the manual backward return."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxnn.gradcheck.domains import Domain
from jaxnn.gradcheck.leaves import replaced
from jaxnn.gradcheck.problem import GradcheckError, Problem
from jaxnn.validation import described


class FlatProblem:
    """The problem on flat lists of arrays: `leaves` in; leaves of y, or gradients of the leaves `wrt`, out.

    `f` and `manual` put the constants (Python ints, strings, keys, ...) back into the arguments. Leaves are held as
    NumPy arrays in their given dtype. A complex array is two leaves, its real and its imaginary part. Outputs of f that
    are whole numbers are left out.

    Attributes:
      leaves: the given arguments.
      names: their names.
      argument: for each, the number of the argument that it belongs to.
      floating: the numbers of the floating leaves.
      domain: where the arguments may lie.
      python_floats: the numbers of the leaves that were given as a Python float.
      wrt: the numbers of the leaves to differentiate with respect to. A leaf with infinite elements, such as a mask
        that is added to logits, is not one of them if the backward returns no gradient for it.
    """

    def __init__(self, problem: Problem, domain: Any = None):
        self.problem = problem
        paths, self._tree = jax.tree_util.tree_flatten_with_path(problem.args)
        self._slots: list[tuple[Any, ...]] = []
        self.leaves: list[np.ndarray] = []
        self.names: list[str] = []
        self.argument: list[int] = []
        self.python_floats: set[int] = set()
        for path, leaf in paths:
            name = problem.names[path[0].idx] + jax.tree_util.keystr(path[1:])
            self._add(name, path[0].idx, leaf)
        self.floating = [i for i, leaf in enumerate(self.leaves) if is_floating(leaf)]
        wrt = problem.wrt or (True,) * len(problem.args)
        self.wrt = [i for i in self.floating if wrt[self.argument[i]]]
        if not self.wrt:
            raise GradcheckError(
                f"{problem.title}: args must hold at least one floating array, "
                f"got {[f'{name}: {leaf.dtype}' for name, leaf in zip(self.names, self.leaves, strict=True)]}"
            )
        if all(self.leaves[i].size == 0 for i in self.wrt):
            raise GradcheckError(f"{problem.title}: args must hold a floating array that is not empty")
        arguments = [problem.names[k] for k in self.argument]
        self.domain = Domain(domain, self.names, arguments, self.arguments)
        self.domain.check(self.names, self.leaves, self.floating)
        self._output = self._first_output()

    def project(self, leaves: list[np.ndarray]) -> list[np.ndarray]:
        """Return float64 leaves in the domain."""
        return self.domain.project(leaves, self.floating)

    def moved(self, leaves: list[np.ndarray], steps: list[np.ndarray]) -> list[np.ndarray]:
        """Return the leaves with steps for those `wrt`, in float64, along the directions of the domain."""
        chosen = [np.asarray(leaves[i], np.float64) + step for i, step in zip(self.wrt, steps, strict=True)]
        return self.domain.displaced(leaves, replaced(leaves, self.wrt, chosen), self.floating)

    def _add(self, name: str, argument: int, leaf: Any) -> None:
        if argument in self.problem.constants or not _is_array(leaf):
            self._slots.append(("constant", leaf))
            return
        self.python_floats |= {len(self.leaves)} if isinstance(leaf, float) else set()
        leaf = _to_numpy(name, leaf)
        first = len(self.leaves)
        if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
            self._slots.append(("complex", first, first + 1))
            parts = [(f"{name} (real)", np.real(leaf)), (f"{name} (imaginary)", np.imag(leaf))]
        else:
            self._slots.append(("real", first))
            parts = [(name, leaf)]
        for part, values in parts:
            self.names.append(part)
            self.leaves.append(np.asarray(values))
            self.argument.append(argument)

    @property
    def has_complex(self) -> bool:
        """Return whether an argument is complex."""
        return any(slot[0] == "complex" for slot in self._slots)

    def _first_output(self) -> Any:
        """Return y at the given arguments, after checking that it can be differentiated."""
        problem = self.problem
        try:
            y = jax.eval_shape(lambda leaves: problem.f(*self.arguments(leaves)), self.leaves)
        except Exception:  # it may look at values: then it runs with them
            try:
                y = problem.f(*self.arguments([jnp.asarray(leaf) for leaf in self.leaves]))
            except Exception as error:
                raise GradcheckError(f"{problem.title}: f raised {type(error).__name__}: {error}") from error
        unfit = [
            leaf for leaf in jax.tree.leaves(y) if not hasattr(leaf, "dtype") and not isinstance(leaf, complex | float)
        ]
        leaves = [] if unfit else [jnp.result_type(leaf) for leaf in jax.tree.leaves(y)]
        if not any(jnp.issubdtype(dtype, jnp.inexact) for dtype in leaves):
            got = ", ".join(map(str, leaves)) or ", ".join(map(described, unfit)) or "nothing"
            raise GradcheckError(f"{problem.title}: f must return at least one floating array, got {got}")
        shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(y)]
        if problem.scalar and (shapes != [()] or jnp.issubdtype(leaves[0], jnp.complexfloating)):
            raise GradcheckError(
                f"{problem.title}: f must return one real scalar, got "
                f"{[described(leaf) for leaf in jax.tree.leaves(y)]}: use vjp"
            )
        return y

    def arguments(self, leaves: list[Any]) -> tuple[Any, ...]:
        """Return the argument tuple with `leaves` in place of the arrays."""
        return jax.tree.unflatten(self._tree, [_filled(slot, leaves) for slot in self._slots])

    def f(self, leaves: list[Any]) -> list[Any]:
        """Return the floating leaves of y."""
        return _real_parts(self.problem.f(*self.arguments(leaves)))

    def value_of(self, function: Callable[..., Any]) -> Callable[[list[Any]], list[Any]]:
        """Return `function` of the flat leaves, with all leaves of what it returns."""
        return lambda leaves: jax.tree.leaves(function(*self.arguments(leaves)))

    def manual(self, leaves: list[Any], cotangents: list[Any]) -> list[Any]:
        """Return the manual gradients of the leaves `wrt`, in the shapes and dtypes that came back."""
        return self.gradients(self.problem.manual, leaves, cotangents)

    def gradients(self, backward: Callable[..., Any], leaves: list[Any], cotangents: list[Any]) -> list[Any]:
        """Return the gradients of the leaves `wrt` that `backward(args, dy)` returns, as `manual` does."""
        args = self.arguments(leaves)
        entries = self._entries(args, backward(args, self._cotangents(leaves, cotangents)))
        return [_as_gradient(entries[i], leaves[i], self.problem.scalar) for i in self.wrt]

    def without_gradient(self, leaves: list[Any], cotangents: list[Any]) -> list[int]:
        """Return the numbers of the leaves for which the backward returns no gradient, but `None`."""
        args = self.arguments(leaves)
        entries = self._entries(args, self.problem.manual(args, self._cotangents(leaves, cotangents)))
        return [i for i in self.floating if entries[i] is None]

    def _cotangents(self, leaves: list[Any], cotangents: list[Any]) -> Any:
        """Return the cotangents in the structure of y, as JAX does it: complex ones conjugated, float0 for ints."""
        like, structure = jax.tree.flatten(self._output)
        if any(not jnp.issubdtype(jnp.result_type(y), jnp.inexact) for y in like):
            args = self.arguments(leaves)  # not traced if they are not yet
            like = jax.tree.leaves(jax.eval_shape(lambda: self.problem.f(*args)))
        parts, whole = iter(cotangents), []
        for y in like:
            dtype = jnp.result_type(y)
            if jnp.issubdtype(dtype, jnp.complexfloating):
                whole.append(jax.lax.complex(jnp.asarray(next(parts)), -jnp.asarray(next(parts))))
            elif jnp.issubdtype(dtype, jnp.floating):
                whole.append(next(parts))
            else:
                whole.append(np.zeros(jnp.shape(y), jax.dtypes.float0))
        return jax.tree.unflatten(structure, whole)

    def _entries(self, args: tuple[Any, ...], returned: Any) -> list[Any]:
        """Return one entry for each leaf from what the backward returned, `None` if it gave none."""
        title, names = self.problem.title, self.problem.names
        if not isinstance(returned, tuple | list) or len(returned) != len(args):
            got = f"{len(returned)} entries" if isinstance(returned, tuple | list) else described(returned)
            raise GradcheckError(
                f"{title}: the backward must return a tuple with one entry for each of the {len(args)} arguments "
                f"({', '.join(names)}), got {got}: return None for an argument without a gradient"
            )
        flat: list[Any] = []
        for name, arg, entry in zip(names, args, returned, strict=True):
            structure = jax.tree.structure(arg)
            if entry is None:
                flat += [None] * structure.num_leaves
                continue
            try:
                flat += structure.flatten_up_to(entry)
            except ValueError as error:
                raise GradcheckError(
                    f"{title}: the gradient of {name} must have the structure of the argument, {structure}, "
                    f"got {jax.tree.structure(entry)}"
                ) from error
        entries: list[Any] = [None] * len(self.leaves)
        for slot, entry in zip(self._slots, flat, strict=True):
            if slot[0] == "constant" or entry is None:
                continue
            name = self.names[slot[1]].removesuffix(" (real)")
            if not hasattr(entry, "dtype") and not isinstance(entry, int | float | complex):
                raise GradcheckError(f"{title}: the gradient of {name} must be an array, got {described(entry)}")
            if slot[0] == "complex":
                entries[slot[1]], entries[slot[2]] = jnp.real(entry), -jnp.imag(entry)
            elif jnp.iscomplexobj(entry):
                raise GradcheckError(f"{title}: the gradient of {name} must be real, got {described(entry)}")
            else:
                entries[slot[1]] = entry
        return entries


def _filled(slot: tuple[Any, ...], leaves: list[Any]) -> Any:
    kind, *which = slot
    if kind == "constant":
        return which[0]
    return leaves[which[0]] if kind == "real" else jax.lax.complex(*(jnp.asarray(leaves[i]) for i in which))


def _real_parts(y: Any) -> list[Any]:
    """Return the floating leaves of y, complex ones as real and imaginary part."""
    parts: list[Any] = []
    for leaf in jax.tree.leaves(y):
        dtype = jnp.result_type(leaf)
        if jnp.issubdtype(dtype, jnp.complexfloating):
            parts += [jnp.real(leaf), jnp.imag(leaf)]
        elif jnp.issubdtype(dtype, jnp.floating):
            parts.append(leaf if hasattr(leaf, "dtype") else jnp.asarray(leaf))
    return parts


def is_floating(a: Any) -> bool:
    """Return True if an array holds real floats, of any precision."""
    return bool(jnp.issubdtype(a.dtype, jnp.floating))


def _as_gradient(entry: Any, leaf: Any, scalar: bool) -> Any:
    """Return one returned entry as the gradient of its leaf; `None` means zeros, as in a jax.custom_vjp.

    A Python number takes the dtype of the leaf. So do, in the gradient of a scalar function, which is not used as a
    rule, a NumPy integer and what JAX calls weakly typed, such as (x > 0) * 1.0.
    """
    if entry is None:
        return jnp.zeros_like(leaf)
    weak = isinstance(entry, int | float)
    if scalar and not weak:
        weak = isinstance(entry, np.integer) or (getattr(entry, "weak_type", False) and is_floating(entry))
    return jnp.asarray(entry, leaf.dtype) if weak else entry


def _is_array(leaf: Any) -> bool:
    if isinstance(leaf, float | complex):
        return True
    if not (hasattr(leaf, "dtype") and hasattr(leaf, "shape")):
        return False
    dtype = leaf.dtype
    return bool(jnp.issubdtype(dtype, np.number) or jnp.issubdtype(dtype, np.bool_))


def _to_numpy(name: str, leaf: Any) -> np.ndarray:
    if isinstance(leaf, Tracer):
        raise GradcheckError(f"{name} must be a concrete array, got a tracer: call gradcheck outside of jax.jit")
    leaf = np.asarray(leaf)
    # JAX turns a NumPy float64 array into float32, unless 64-bit floats are enabled.
    leaf = leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype))
    if jnp.issubdtype(leaf.dtype, jnp.inexact):
        missing = np.isnan(leaf if jnp.iscomplexobj(leaf) else leaf.astype(np.float64))
        if missing.any():
            raise GradcheckError(f"{name} must not hold NaN, got NaN first at {np.argwhere(missing)[0].tolist()}")
    return leaf
