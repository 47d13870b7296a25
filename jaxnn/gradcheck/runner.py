"""Run the function, its autodiff derivative and the manual gradient in a given precision, compiled if possible."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxnn.gradcheck.flat_problem import FlatProblem
from jaxnn.gradcheck.problem import GradcheckError
from jaxnn.gradcheck.rounding import draw, noisy

Arrays = list[np.ndarray]
_SMALL = 10_000
"""Number of argument elements up to which compiling takes longer than running."""
_UNTRACEABLE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
)


class Runner:
    """Runs the functions of a problem on lists of arrays, in the precision of the arrays' dtype."""

    def __init__(self, flat: FlatProblem):
        self.flat = flat
        self.jit = quick_jit if sum(leaf.size for leaf in flat.leaves) <= _SMALL else jax.jit
        self._reference = _Compiled(self._vjp, self.jit)
        self._manual = _Compiled(flat.manual, self.jit)
        self._value = _Compiled(flat.value, self.jit)
        self._outputs: dict[Any, list[jax.ShapeDtypeStruct]] = {}
        self._noisy = self.jit(noisy(lambda leaves, cotangents: self._vjp(leaves, cotangents)[1]))

    @property
    def traceable(self) -> bool:
        """Return False once the backward had to run without compilation."""
        return self._manual.traceable

    def reference(self, leaves: Arrays, cotangents: Arrays) -> tuple[Arrays, Arrays]:
        """Return y and the gradients of the leaves `wrt`, from `jax.vjp` of the plain function."""
        with precision(leaves):
            return _numpy(self._reference(leaves, cotangents))

    def perturbed_reference(self, leaves: Arrays, cotangents: Arrays, eps: float, seed: int) -> Arrays:
        """Return the gradients of `reference`, with a rounding error of about eps in every operation."""
        with precision(leaves):
            return _numpy(self._noisy(eps, draw(seed), leaves, cotangents))

    def manual(self, leaves: Arrays, cotangents: Arrays) -> Arrays:
        """Return the manual gradients of the leaves `wrt`, in the shapes and dtypes that come back."""
        with precision(leaves):
            try:
                return _numpy(self._manual(leaves, cotangents))
            except GradcheckError:
                raise
            except Exception as error:
                raise BackwardRaisedError(self.flat, error, leaves) from error

    def manual_under(self, transform: Callable[[Any], Any], leaves: Any, cotangents: Any) -> Arrays:
        """Return the manual gradients under a transformation of `(leaves, cotangents) -> gradients`, such as `vmap`."""
        with precision(jax.tree.leaves(leaves)):
            return _numpy(self.jit(transform(self.flat.manual))(leaves, cotangents))

    def value(self, leaves: Arrays) -> Arrays:
        """Return the leaves of the y that the forward of the rule computes."""
        with precision(leaves):
            return _numpy(self._value(leaves))

    def output(self, leaves: Arrays) -> list[jax.ShapeDtypeStruct]:
        """Return shapes and dtypes of y at these leaves; raises what f raises if their shapes do not fit."""
        shapes = tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in leaves)
        if shapes not in self._outputs:
            with precision(leaves):
                self._outputs[shapes] = jax.eval_shape(self.flat.f, list(shapes))
        return self._outputs[shapes]

    def _vjp(self, leaves: list[Any], cotangents: list[Any]) -> tuple[list[Any], list[Any]]:
        wrt = self.flat.wrt

        def of_wrt(chosen):
            full = list(leaves)
            for i, leaf in zip(wrt, chosen, strict=True):
                full[i] = leaf
            return self.flat.f(full)

        y, pullback = jax.vjp(of_wrt, [leaves[i] for i in wrt])
        return y, pullback(cotangents)[0]


class BackwardRaisedError(GradcheckError):
    """The manual backward raised an exception."""

    def __init__(self, flat: FlatProblem, error: Exception, leaves: Arrays):
        shapes = ", ".join(
            f"{name} {leaf.dtype}{list(leaf.shape)}" for name, leaf in zip(flat.names, leaves, strict=True)
        )
        text = str(error).strip().split("\n")[0][:200]
        super().__init__(f"{flat.problem.title}: the backward raised {type(error).__name__}: {text} (at {shapes})")


class _Compiled:
    """A function under `jit`, or without it once tracing fails because the function looks at values."""

    def __init__(self, function: Callable[..., Any], jit: Callable[..., Any]):
        self._function, self._jitted, self.traceable = function, jit(function), True

    def __call__(self, *args):
        if self.traceable:
            try:
                return self._jitted(*args)
            except _UNTRACEABLE:
                self.traceable = False
        return self._function(*(_jax(a) for a in args))


def quick_jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `jax.jit(function)` with options that halve the compile time on a CPU, for programs that run few times."""
    if jax.default_backend() != "cpu":
        return jax.jit(function)
    # In one piece: splitting small programs among threads takes longer than it saves.
    options = {"xla_backend_optimization_level": 0, "xla_cpu_parallel_codegen_split_count": 1}
    return jax.jit(function, compiler_options=options)


def precision(leaves: Arrays):
    """Return a context that enables 64-bit floats if a leaf is float64, and disables them otherwise."""
    return jax.enable_x64(any(leaf.dtype == np.float64 for leaf in leaves))


def _jax(arrays):
    return jax.tree.map(jax.numpy.asarray, arrays)


def _numpy(tree):
    return jax.tree.map(np.asarray, tree)
