"""Checks of custom derivative rules: a forward and backward pair, or a decorated function."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.gradcheck.checker import report_on
from jaxnn.gradcheck.problem import function_name, make_problem
from jaxnn.gradcheck.report import Report
from jaxnn.jaxprs import interpret


def rule(
    f: Callable[..., Any],
    fwd: Callable[..., Any],
    bwd: Callable[..., Any],
    *args: Any,
    fast: bool = False,
    seed: int = 0,
    batch: int | None = None,
) -> Report:
    """Check a forward and backward pair before it becomes the rule of a `jax.custom_vjp`.

    Args:
      f: the plain function, `f(*args) -> y`.
      fwd: `fwd(*args) -> (y, residuals)`; its y must equal that of f.
      bwd: `bwd(residuals, dy)` -> a tuple with the cotangent of each argument; `None` means zeros.
      *args: pytrees of arrays, of any shapes.
      fast: check only the given arguments, in float64 and in their own precision.
      seed: seed of all random numbers in the check; the same seed gives the same report.
      batch: size of the batch axis, if it cannot be found by trying which axes f lets grow.

    Returns:
      A `Report`, true if the pair is right.

    Raises:
      GradcheckError: if the check cannot be run, as for `vjp`.

    Example:
      >>> import jax.numpy as jnp
      >>> fwd = lambda x: (jnp.exp(x), jnp.exp(x))
      >>> bool(rule(jnp.exp, fwd, lambda y, dy: (y * dy,), jnp.array([0.5, -1.0])))
      True
    """

    def manual(args, dy):
        return bwd(fwd(*args)[1], dy)

    problem = make_problem(f"custom_vjp pair of {function_name(f)}", f, manual, args, value=lambda *args: fwd(*args)[0])
    return report_on(problem, fast=fast, seed=seed, batch=batch)


def custom(
    f_with_rule: Callable[..., Any],
    f_plain: Callable[..., Any],
    *args: Any,
    fast: bool = False,
    seed: int = 0,
    batch: int | None = None,
) -> Report:
    """Check a function decorated with `jax.custom_vjp` or `jax.custom_jvp` against the undecorated function.

    Args:
      f_with_rule: the decorated function.
      f_plain: the same function without the rule. For a `jax.custom_vjp` object f, that is `f.fun`.
      *args: pytrees of arrays, of any shapes.
      fast: check only the given arguments, in float64 and in their own precision.
      seed: seed of all random numbers in the check; the same seed gives the same report.
      batch: size of the batch axis, if it cannot be found by trying which axes f lets grow.

    Returns:
      A `Report`, true if the rule is right.

    Raises:
      GradcheckError: if the check cannot be run, as for `vjp`; for example if f_plain carries a custom rule too.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> @jax.custom_vjp
      ... def square(x):
      ...     return x * x
      >>> square.defvjp(lambda x: (x * x, x), lambda x, dy: (3 * x * dy,))
      >>> report = custom(square, lambda x: x * x, jnp.array([1.0, 2.0]))
      >>> print(report.diagnoses[0].text)
      it is 1.5 times the gradient everywhere
    """

    def manual(args, dy):
        floating = [i for i, arg in enumerate(args) if _is_floating(arg)]

        def of_floating(*chosen):
            full = list(args)
            for i, arg in zip(floating, chosen, strict=True):
                full[i] = arg
            return f_with_rule(*full)

        cotangents = jax.vjp(of_floating, *(args[i] for i in floating))[1](dy)
        by_argument = dict(zip(floating, cotangents, strict=True))
        return tuple(by_argument.get(i) for i in range(len(args)))

    problem = make_problem(f"custom rule of {function_name(f_with_rule)}", f_plain, manual, args, value=f_with_rule)
    return report_on(problem, fast=fast, seed=seed, batch=batch)


def without_rules(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return the same function without the `jax.custom_vjp` and `jax.custom_jvp` rules inside it.

    Args:
      f: any traceable function of pytrees of arrays, of any shapes.

    Returns:
      A function with the values of f, which JAX differentiates down to its own primitives. Rules inside a loop or a
      branch (`scan`, `while`, `cond`) stay.

    Example:
      >>> import jax
      >>> float(jax.grad(without_rules(jax.nn.relu))(2.0))
      1.0
    """

    def plain(*args):
        closed, shape = jax.make_jaxpr(f, return_shape=True)(*args)
        outputs = interpret(closed.jaxpr, closed.consts, jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shape), outputs)

    return plain


def _is_floating(arg: Any) -> bool:
    leaves = jax.tree.leaves(arg)
    return bool(leaves) and all(jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating) for leaf in leaves)
