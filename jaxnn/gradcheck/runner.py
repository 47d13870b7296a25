"""Running the function, JAX's derivative and the hand's, in a given precision, compiled where they can be."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxnn.gradcheck.problem import Flat, GradcheckError
from jaxnn.gradcheck.rounding import draw, noisy

Arrays = list[np.ndarray]
_SMALL = 10_000
"""Elements of all arguments up to which compiling takes longer than running."""
_UNTRACEABLE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
)


class Runner:
    """The three functions of a problem on lists of arrays. The dtype of the arrays decides the precision."""

    def __init__(self, flat: Flat):
        self.flat = flat
        self.jit = quick_jit if sum(leaf.size for leaf in flat.leaves) <= _SMALL else jax.jit
        self._reference = _Compiled(self._vjp, self.jit)
        self._hand = _Compiled(flat.hand, self.jit)
        self._value = _Compiled(flat.value, self.jit)
        self._outputs: dict[Any, list[jax.ShapeDtypeStruct]] = {}
        self._noisy = self.jit(noisy(lambda leaves, cotangents: self._vjp(leaves, cotangents)[1]))

    @property
    def traceable(self) -> bool:
        """Whether the backward could be compiled: False once it had to run eagerly (no shapes are involved)."""
        return self._hand.traceable

    def reference(self, leaves: Arrays, cotangents: Arrays) -> tuple[Arrays, Arrays]:
        """(y, gradients of the asked leaves) by `jax.vjp` of the plain function, in the precision of the leaves."""
        with precision(leaves):
            return _numpy(self._reference(leaves, cotangents))

    def moved(self, leaves: Arrays, cotangents: Arrays, eps: float, seed: int) -> Arrays:
        """The reference's gradients, in the shapes of the asked leaves, with a rounding error of eps everywhere."""
        with precision(leaves):
            return _numpy(self._noisy(eps, draw(seed), leaves, cotangents))

    def hand(self, leaves: Arrays, cotangents: Arrays) -> Arrays:
        """The hand-written gradients of the asked leaves, in whatever shape and dtype they come."""
        with precision(leaves):
            try:
                return _numpy(self._hand(leaves, cotangents))
            except GradcheckError:
                raise
            except Exception as error:
                raise BackwardRaisedError(self.flat, error, leaves) from error

    def hand_under(self, transform: Callable[[Any], Any], leaves: Any, cotangents: Any) -> Arrays:
        """The hand-written gradients under a transformation of `(leaves, cotangents) -> gradients`, such as `vmap`."""
        with precision(jax.tree.leaves(leaves)):
            return _numpy(self.jit(transform(self.flat.hand))(leaves, cotangents))

    def value(self, leaves: Arrays) -> Arrays:
        """The leaves of the rule's own forward value, of any shapes."""
        with precision(leaves):
            return _numpy(self._value(leaves))

    def output(self, leaves: Arrays) -> list[jax.ShapeDtypeStruct]:
        """Shapes and dtypes of y for these leaves; raises whatever f raises where they do not fit."""
        shapes = tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in leaves)
        if shapes not in self._outputs:
            with precision(leaves):
                self._outputs[shapes] = jax.eval_shape(self.flat.f, list(shapes))
        return self._outputs[shapes]

    def _vjp(self, leaves: list[Any], cotangents: list[Any]) -> tuple[list[Any], list[Any]]:
        asked = self.flat.asked

        def of_asked(chosen):
            full = list(leaves)
            for i, leaf in zip(asked, chosen, strict=True):
                full[i] = leaf
            return self.flat.f(full)

        y, pullback = jax.vjp(of_asked, [leaves[i] for i in asked])
        return y, pullback(cotangents)[0]


class BackwardRaisedError(GradcheckError):
    """The hand-written backward raised."""

    def __init__(self, flat: Flat, error: Exception, leaves: Arrays):
        shapes = ", ".join(
            f"{name} {leaf.dtype}{list(leaf.shape)}" for name, leaf in zip(flat.names, leaves, strict=True)
        )
        text = str(error).strip().split("\n")[0][:200]
        super().__init__(f"{flat.problem.title}: the backward raised {type(error).__name__}: {text} (at {shapes})")


class _Compiled:
    """A function under `jit`, or as it is where it looks at values while it is traced."""

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
    """`jax.jit` for programs that run a few times, on arrays of any shapes: compiled in half the time, on a CPU."""
    if jax.default_backend() != "cpu":
        return jax.jit(function)
    # In one piece: to share so little out among threads takes longer than it saves.
    options = {"xla_backend_optimization_level": 0, "xla_cpu_parallel_codegen_split_count": 1}
    return jax.jit(function, compiler_options=options)


def precision(leaves: Arrays):
    """64-bit floats where the leaves (arrays of any shape) have them; else as a program that never heard of them."""
    return jax.enable_x64(any(leaf.dtype == np.float64 for leaf in leaves))


def _jax(arrays):
    return jax.tree.map(jax.numpy.asarray, arrays)


def _numpy(tree):
    return jax.tree.map(np.asarray, tree)
