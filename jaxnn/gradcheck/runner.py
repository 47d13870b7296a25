"""Run the function, its autodiff derivative and the manual gradient in a given precision, compiled if possible."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxnn.gradcheck.deadlines import OverdueError, deadline
from jaxnn.gradcheck.flat_problem import FlatProblem
from jaxnn.gradcheck.leaves import replaced, vjp_of_leaves
from jaxnn.gradcheck.loops import counted
from jaxnn.gradcheck.problem import GradcheckError
from jaxnn.gradcheck.quotients import Quotients, quotient_gradients
from jaxnn.gradcheck.rounding import draw, noisy

Arrays = list[np.ndarray]
_SMALL = 10_000
"""Number of argument elements up to which compiling takes longer than running."""
_FIRST_LIMIT = 1_000_000
"""Iterations of a loop at the given arguments, after which it counts as endless."""


class Runner:
    """Runs the functions of a problem on lists of arrays, in the precision of the arrays' dtype.

    Attributes:
      flat: the problem.
      limit: iterations after which a loop counts as endless: many more than at the given arguments.
      in_python: whether a function ran in Python, since it does not compile.
      quotients: whether difference quotients take the place of autodiff, which cannot differentiate f in reverse mode.
    """

    def __init__(self, flat: FlatProblem):
        self.flat = flat
        self.jit = quick_jit if sum(leaf.size for leaf in flat.leaves) <= _SMALL else jax.jit
        self.limit, self._most, self.quotients = _FIRST_LIMIT, 0, False
        self.in_python = False
        self._reference = Compiled(self, self.autodiff, "f")
        self._f = Compiled(self, flat.f, "f")
        self._manual = Compiled(self, flat.manual, "the backward")
        self._values = {name: Compiled(self, flat.value_of(f), name) for name, f in flat.problem.values.items()}
        self._plain = Compiled(self, flat.value_of(flat.problem.plain), "f")
        self._along = Compiled(self, self._values_along, "f")
        self._outputs: dict[Any, list[jax.ShapeDtypeStruct]] = {}
        perturbed = noisy(lambda leaves, cotangents: self.autodiff(leaves, cotangents)[1])
        self._noisy = Compiled(self, lambda leaves, dy, eps, u: perturbed(eps, u, leaves, dy), "f")

    @property
    def untraceable(self) -> Exception | None:
        """Return why the backward had to run without compilation, if it had to."""
        return self._manual.untraceable

    def limit_loops(self) -> None:
        """From here on, stop loops that take many more iterations than any did so far."""
        self.limit = 1000 + 100 * self._most

    def count(self, iterations: int) -> None:
        """Keep the number of iterations that a loop took."""
        self._most = max(self._most, iterations)

    def reference(self, leaves: Arrays, cotangents: Arrays) -> tuple[Arrays, Arrays]:
        """Return y and the gradients of the leaves `wrt`, from `jax.vjp` of the plain function."""
        with precision(leaves):
            return _numpy(self._reference(leaves, cotangents))

    def quotient_reference(self, leaves: Arrays, cotangents: Arrays, eps: float, seed: int) -> Quotients:
        """Return the gradients of the leaves `wrt` by difference quotients of sum(y dy), and their errors."""
        with precision(leaves):
            chosen = [leaves[i] for i in self.flat.wrt]
            phi = lambda moves: np.asarray(self._along(leaves, cotangents, moves), np.float64)  # noqa: E731
            return quotient_gradients(phi, chosen, eps, seed)

    def perturbed_reference(self, leaves: Arrays, cotangents: Arrays, eps: float, seed: int) -> Arrays:
        """Return the gradients of `reference`, with a rounding error of about eps in every operation.

        Those of `reference` itself if f cannot be traced.
        """
        with precision(leaves):
            if self._reference.untraceable is not None:
                return _numpy(self._reference(leaves, cotangents))[1]
            return _numpy(self._noisy(leaves, cotangents, eps, draw(seed)))

    def f(self, leaves: Arrays) -> Arrays:
        """Return the floating leaves of y."""
        with precision(leaves):
            return _numpy(self._f(leaves))

    def manual(self, leaves: Arrays, cotangents: Arrays) -> Arrays:
        """Return the manual gradients of the leaves `wrt`, in the shapes and dtypes that come back."""
        with precision(leaves):
            try:
                return _numpy(self._manual(leaves, cotangents))
            except Exception as error:
                if isinstance(error, GradcheckError):
                    raise
                raise BackwardRaisedError(self.flat, error, leaves) from error

    def manual_under(self, transform: Callable[[Any], Any], leaves: Any, cotangents: Any) -> Arrays:
        """Return the manual gradients under a transformation of `(leaves, cotangents) -> gradients`, such as `vmap`."""
        with precision(jax.tree.leaves(leaves)):
            return _numpy(Compiled(self, transform(self.flat.manual), "the backward", eager=False)(leaves, cotangents))

    def values(self, leaves: Arrays) -> dict[str, Arrays]:
        """Return the leaves of what the functions of `problem.values` compute, by their names."""
        with precision(leaves):
            return {name: _numpy(f(leaves)) for name, f in self._values.items()}

    def value_dtypes(self, leaves: Arrays) -> list[Any]:
        """Return the floating dtypes of what the functions of `problem.values` return at these leaves."""
        found = []
        for f in self.flat.problem.values.values():
            with precision(leaves):
                try:
                    found += jax.tree.leaves(jax.eval_shape(self.flat.value_of(f), leaves))
                except Exception:  # it does not run in this precision
                    continue
        return [a.dtype for a in found if jnp.issubdtype(a.dtype, jnp.floating)]

    def plain(self, leaves: Arrays) -> Arrays:
        """Return all leaves of the value that these functions must have."""
        with precision(leaves):
            return _numpy(self._plain(leaves))

    def output(self, leaves: Arrays) -> list[jax.ShapeDtypeStruct]:
        """Return shapes and dtypes of y at these leaves; raises what f raises if their shapes do not fit."""
        shapes = tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in leaves)
        if shapes not in self._outputs:
            with precision(leaves):
                try:
                    self._outputs[shapes] = jax.eval_shape(self.flat.f, list(shapes))
                except Exception:
                    if self._outputs and self._f.untraceable is None and self._reference.untraceable is None:
                        raise
                    # It looks at values, so it runs.
                    self._outputs[shapes] = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in self._f(leaves)]
        return self._outputs[shapes]

    def _values_along(self, leaves: list[Any], cotangents: list[Any], moves: list[Any]) -> Any:
        """Return sum(y dy) for each of n steps, arrays (n, ...), away from the leaves `wrt`."""
        chosen = [leaves[i] for i in self.flat.wrt]

        def phi(move):
            moved = [jnp.asarray(a + step.astype(a.dtype)) for a, step in zip(chosen, move, strict=True)]
            values = self.flat.f(replaced(leaves, self.flat.wrt, moved))
            return sum(jnp.sum(y * dy) for y, dy in zip(values, cotangents, strict=True))

        if isinstance(moves[0], Tracer):
            return jax.lax.map(phi, moves)
        return jnp.stack([phi([move[n] for move in moves]) for n in range(len(moves[0]))])

    def autodiff(self, leaves: list[Any], cotangents: list[Any]) -> tuple[list[Any], list[Any]]:
        """Return y and the gradients of the leaves `wrt`, as `reference` does, of arrays that may be traced."""
        return vjp_of_leaves(self.flat.f, leaves, self.flat.wrt, cotangents)


class BackwardRaisedError(GradcheckError):
    """The manual backward raised an exception, or did not end."""

    def __init__(self, flat: FlatProblem, error: Exception, leaves: Arrays):
        self.text = str(error)
        if not isinstance(error, OverdueError):
            named = zip(flat.names, leaves, strict=True)
            shapes = ", ".join(f"{name} {leaf.dtype}{list(leaf.shape)}" for name, leaf in named)
            self.text = raised(error, "the backward raised {}", f" (at {shapes})")
        super().__init__(f"{flat.problem.title}: {first_line(self.text)}")


def raised(error: Exception, before: str = "f raised {}", after: str = "") -> str:
    """Return a sentence with an exception's type and the first line of its message; below it, its other lines.

    Example:
      >>> raised(KeyError("a"), after=" (at x)")
      "f raised KeyError: 'a' (at x)"
    """
    first, _, rest = str(error).strip().partition("\n")
    sentence = before.replace("{}", f"{type(error).__name__}: {first}" if first else type(error).__name__) + after
    return f"{sentence}\n{rest}" if rest.strip() else sentence


def first_line(text: str) -> str:
    """Return the first line of a text."""
    return text.partition("\n")[0]


class Compiled:
    """A function under `jit`, or if tracing fails, under `jit` for these whole numbers, or else without it.

    Tracing fails if it looks at values, or calls NumPy.

    Args:
      runner: has the limit of loops, and counts their iterations.
      function: of arrays.
      name: what it is called in messages.
      eager: whether it may run without `jit`.
    """

    def __init__(self, runner: Runner, function: Callable[..., Any], name: str, *, eager: bool = True):
        self._runner, self._function, self._name = runner, function, name
        self._jitted = runner.jit(counted(function))
        self._by_constants: dict[Any, Callable[..., Any]] = {}
        self._ways = [self._compiled, self._with_constants, self._in_python] if eager else [self._compiled]
        self.untraceable: Exception | None = None

    def __call__(self, *args: Any) -> Any:
        """Return what the function returns for these arrays.

        Raises:
          OverdueError: if a loop in it did not end.
        """
        *others, last = self._ways
        failed: Exception | None = None
        for k, way in enumerate(others):
            if way == self._with_constants and not _whole_numbers(args[0]):
                continue  # it would be the program that failed
            try:
                outputs = way(*args)
            except Exception as error:
                failed = failed or error
                if isinstance(error, OverdueError):
                    raise
            else:
                self._ways = self._ways[k:]
                return outputs
        outputs = last(*args)
        self._ways, self.untraceable = [last], self.untraceable or failed
        return outputs

    def _compiled(self, *args: Any) -> Any:
        return self._limited(self._jitted, args)

    def _with_constants(self, leaves: Arrays, *rest: Any) -> Any:
        """Compile for these whole numbers, such as the number of steps of a `fori_loop`."""
        whole = _whole_numbers(leaves)
        key = tuple((i, leaves[i].shape, leaves[i].tobytes()) for i in whole)
        if key not in self._by_constants:

            def of_floats(floats, *rest):
                others = iter(floats)
                return self._function([leaves[i] if i in whole else next(others) for i in range(len(leaves))], *rest)

            self._by_constants[key] = self._runner.jit(counted(of_floats))
        floats = [leaf for i, leaf in enumerate(leaves) if i not in whole]
        return self._limited(self._by_constants[key], (floats, *rest))

    def _limited(self, program: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        outputs, iterations = program(self._runner.limit, *args)
        if int(iterations) >= self._runner.limit:
            raise OverdueError(f"a loop in {self._name} did not end within {self._runner.limit} iterations")
        self._runner.count(int(iterations))
        return outputs

    def _in_python(self, *args: Any) -> Any:
        self._runner.in_python = True
        with deadline(f"{self._name} did not end"):
            return self._function(*(jax.tree.map(jnp.asarray, a) for a in args))


def _whole_numbers(leaves: Arrays) -> list[int]:
    return [i for i, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.integer)]


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


def _numpy(tree):
    return jax.tree.map(np.asarray, tree)
