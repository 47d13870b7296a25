"""Checks of functions: the gradient of a scalar function, and a vector-Jacobian product."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.checker import report_on
from jaxnn.gradcheck.problem import function_name, make_problem
from jaxnn.gradcheck.report import Report


def gradient(
    f: Callable[..., Any],
    grad_f: Callable[..., Any],
    *args: Any,
    fast: bool = False,
    seed: int = 0,
    batch: int | None = None,
) -> Report:
    """Check the manual gradient of a scalar function.

    At a kink, where no derivative exists, every slope between the one-sided slopes is accepted: 0, 1 and JAX's 1/2 for
    max(x, 0) at 0. A note in the report names the slope that was taken. `vjp`, `rule` and `custom`
    require JAX's slope there, because what they check replaces JAX's derivative.

    Args:
      f: the plain function, `f(*args) -> scalar`.
      grad_f: `grad_f(*args)` -> a tuple with one gradient per argument, `None` for an integer argument. With a single
        argument, the gradient itself is accepted too.
      *args: pytrees of arrays, of any shapes.
      fast: check only the given arguments, in float64 and in their own precision.
      seed: seed of all random numbers in the check; the same seed gives the same report.
      batch: size of the batch axis, if it cannot be found by trying which axes f lets grow.

    Returns:
      A `Report`, true if the gradient is right.

    Raises:
      GradcheckError: if the check cannot be run, as for `vjp`.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([1.0, -2.0, 3.0])
      >>> bool(gradient(lambda x: (x**2).sum(), lambda x: 2 * x, x))
      True
      >>> report = gradient(lambda x: (x**2).mean(), lambda x: 2 * x, x)
      >>> report.passed, report.diagnoses[0].kind
      (False, 'missing 1/m')
    """
    manual = gradient_as_vjp(grad_f, len(args))
    problem = make_problem(f"gradient of {function_name(f)}", f, manual, args, scalar=True, subgradient=True)
    return report_on(problem, fast=fast, seed=seed, batch=batch)


def vjp(
    f: Callable[..., Any],
    backward: Callable[..., Any],
    *args: Any,
    fast: bool = False,
    seed: int = 0,
    batch: int | None = None,
) -> Report:
    """Check a manual backward function: a vector-Jacobian product.

    Args:
      f: the plain function, `f(*args) -> y`, y a pytree of floating arrays.
      backward: `backward(args, dy)` -> a tuple with the cotangent of each argument, `None` for an integer argument.
      *args: pytrees of arrays, of any shapes.
      fast: check only the given arguments, in float64 and in their own precision.
      seed: seed of all random numbers in the check; the same seed gives the same report.
      batch: size of the batch axis, if it cannot be found by trying which axes f lets grow.

    Returns:
      A `Report`, true if the backward function is right.

    Raises:
      GradcheckError: if f or the backward function is not pure, if f is not differentiable or carries a custom
        derivative rule, if an argument is not finite, if the backward function raises, or if the structure of what
        it returns does not match the arguments.

    Example:
      >>> import jax.numpy as jnp
      >>> f = lambda x, W: jnp.tanh(x @ W)
      >>> def backward(args, dy):
      ...     x, W = args
      ...     dz = dy * (1 - jnp.tanh(x @ W) ** 2)
      ...     return dz @ W.T, x.T @ dz
      >>> bool(vjp(f, backward, jnp.ones((4, 3)), 0.1 * jnp.ones((3, 2))))
      True
    """
    problem = make_problem(f"vjp of {function_name(f)}", f, backward, args)
    return report_on(problem, fast=fast, seed=seed, batch=batch)


def gradient_as_vjp(grad_f: Callable[..., Any], n_args: int) -> Callable[..., Any]:
    """Return `backward(args, dy)` for the gradient of a scalar function: the gradient times dy."""

    def backward(args, dy):
        returned = grad_f(*args)
        if n_args == 1 and not (isinstance(returned, tuple) and len(returned) == 1):
            returned = (returned,)
        if not isinstance(returned, tuple | list):
            return returned
        return tuple(jax.tree.map(partial(_times, dy), entry) for entry in returned)

    return backward


def _times(dy: Any, g: Any) -> Any:
    # The cotangent of a scalar function is 1, so a value whose dtype is still open can stay as it is.
    weak = isinstance(g, int | float | np.integer) or getattr(g, "weak_type", False)
    return g if weak else g * dy.astype(jnp.result_type(g))
