"""The problem on flat lists of arrays, and the checks of what f and the manual backward return."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxnn.gradcheck.problem import GradcheckError, Problem
from jaxnn.validation import described


class FlatProblem:
    """The problem on flat lists of arrays: `leaves` in; leaves of y, or gradients of the leaves `wrt`, out.

    `f` and `manual` put the constants (Python ints, keys, ...) back into the arguments. Leaves are held as NumPy arrays
    in their given dtype. `wrt` holds the numbers of the leaves to differentiate with respect to.
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
        wrt = problem.wrt or (True,) * len(problem.args)
        self.wrt = [i for i in self.floating if wrt[self.argument[i]]]
        if not self.wrt:
            raise GradcheckError(
                f"{problem.title}: args must hold at least one floating array, "
                f"got {[f'{name}: {leaf.dtype}' for name, leaf in zip(self.names, self.leaves, strict=True)]}"
            )
        if all(self.leaves[i].size == 0 for i in self.wrt):
            raise GradcheckError(f"{problem.title}: args must hold a floating array that is not empty")
        self._output_structure = jax.tree.structure(self._first_output())

    def _first_output(self) -> Any:
        """Return y at the given arguments, after checking that it can be differentiated."""
        problem = self.problem
        args = self.arguments([jnp.asarray(leaf) for leaf in self.leaves])
        try:
            y = jax.eval_shape(lambda leaves: problem.f(*self.arguments(leaves)), self.leaves)
        except jax.errors.ConcretizationTypeError:
            y = problem.f(*args)
        except Exception as error:
            raise GradcheckError(f"{problem.title}: f raised {type(error).__name__}: {error}") from error
        leaves = jax.tree.leaves(y)
        for leaf in leaves:
            if not is_floating(leaf):
                raise GradcheckError(
                    f"{problem.title}: f must return floating arrays, got {leaf.dtype}: leave integer outputs out"
                )
        if problem.scalar and [leaf.shape for leaf in leaves] != [()]:
            shapes = [leaf.shape for leaf in leaves]
            raise GradcheckError(f"{problem.title}: f must return one scalar, got shapes {shapes}: use vjp")
        return y

    def arguments(self, leaves: list[Any]) -> tuple[Any, ...]:
        """Return the argument tuple with `leaves` in place of the arrays."""
        arrays = iter(leaves)
        return jax.tree.unflatten(self._tree, [next(arrays) if c is None else c[0] for c in self._constant])

    def f(self, leaves: list[Any]) -> list[Any]:
        """Return the leaves of y."""
        return jax.tree.leaves(self.problem.f(*self.arguments(leaves)))

    def value(self, leaves: list[Any]) -> list[Any]:
        """Return the leaves of the y that the forward of the rule computes."""
        assert self.problem.value is not None
        return jax.tree.leaves(self.problem.value(*self.arguments(leaves)))

    def manual(self, leaves: list[Any], cotangents: list[Any]) -> list[Any]:
        """Return the manual gradients of the leaves `wrt`, in the shapes and dtypes that came back."""
        args = self.arguments(leaves)
        returned = self.problem.manual(args, jax.tree.unflatten(self._output_structure, cotangents))
        return self._flatten_gradients(args, returned, leaves)

    def _flatten_gradients(self, args: tuple[Any, ...], returned: Any, leaves: list[Any]) -> list[Any]:
        title, names = self.problem.title, self.problem.names
        if not isinstance(returned, tuple | list) or len(returned) != len(args):
            got = f"{len(returned)} entries" if isinstance(returned, tuple | list) else described(returned)
            raise GradcheckError(
                f"{title}: the backward must return a tuple with one entry for each of the {len(args)} arguments "
                f"({', '.join(names)}), got {got}: return None for an argument without a gradient"
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
                    f"{title}: the gradient of {name} must have the structure of the argument, {structure}, "
                    f"got {jax.tree.structure(entry)}"
                ) from error
        flat = [entry for entry, constant in zip(flat, self._constant, strict=True) if constant is None]
        for name, entry in zip(self.names, flat, strict=True):
            if entry is None:
                continue
            if not hasattr(entry, "dtype") and not isinstance(entry, int | float | complex):
                raise GradcheckError(f"{title}: the gradient of {name} must be an array, got {described(entry)}")
            if jnp.iscomplexobj(entry):
                raise GradcheckError(f"{title}: the gradient of {name} must be real, got {described(entry)}")
        return [_as_gradient(flat[i], leaves[i], self.problem.scalar) for i in self.wrt]


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
    if isinstance(leaf, float):
        return True
    return hasattr(leaf, "dtype") and hasattr(leaf, "shape") and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _to_numpy(name: str, leaf: Any) -> np.ndarray:
    if isinstance(leaf, Tracer):
        raise GradcheckError(f"{name} must be a concrete array, got a tracer: call gradcheck outside of jax.jit")
    leaf = np.asarray(leaf)
    # JAX turns a NumPy float64 array into float32, unless 64-bit floats are enabled.
    leaf = leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype))
    if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
        raise GradcheckError(
            f"{name} must be real, got {leaf.dtype}: pass the real and the imaginary part as two arguments"
        )
    if is_floating(leaf) and not np.isfinite(leaf.astype(np.float64)).all():
        bad = np.argwhere(~np.isfinite(leaf.astype(np.float64)))[0].tolist()
        raise GradcheckError(f"{name} must be finite, got NaN or inf, first at {bad}")
    return leaf
