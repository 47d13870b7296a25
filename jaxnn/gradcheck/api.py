"""Checks of functions: the gradient of a scalar function, and a vector-Jacobian product."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.checker import report_on
from jaxnn.gradcheck.options import Domain, Kinks, Precision, make_options
from jaxnn.gradcheck.problem import check_function, function_name, make_problem, with_accepted, with_keywords
from jaxnn.gradcheck.report import Report


def gradient(
    f: Callable[..., Any],
    grad_f: Callable[..., Any],
    *args: Any,
    fast: bool = False,
    seed: int = 0,
    batch: int | None = None,
    rtol: float = 0.0,
    atol: float = 0.0,
    domain: Domain | None = None,
    instead: Callable[..., Any] | None = None,
    kinks: Kinks = "any",
    dtypes: Sequence[Precision] | None = None,
    order: int | None = None,
    **keywords: Any,
) -> Report:
    """Check the manual gradient of a scalar function.

    Args:
      f: the plain function, `f(*args) -> scalar`.
      grad_f: `grad_f(*args)` -> a tuple with one gradient per argument, `None` for an integer argument. With a single
        argument, the gradient itself is accepted too.
      *args: pytrees of arrays, of any shapes.
      fast: as for `vjp`, and so are the other options.
      seed: see there.
      batch: see there.
      rtol: see there.
      atol: see there.
      domain: see there.
      instead: see there.
      kinks: see there.
      dtypes: see there.
      order: see there.
      **keywords: further arguments of f and grad_f, by name.

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
    options = make_options(
        fast=fast, seed=seed, batch=batch, rtol=rtol, atol=atol, domain=domain, kinks=kinks, dtypes=dtypes, order=order
    )
    f, grad_f = with_keywords("gradient", f, keywords), with_accepted(grad_f, keywords)
    manual = gradient_as_vjp(grad_f, len(args))
    problem = make_problem(f"gradient of {function_name(f)}", f, manual, args, scalar=True, instead=instead)
    check_function("grad_f", grad_f, *problem.names)
    return report_on(problem, options)


def vjp(
    f: Callable[..., Any],
    backward: Callable[..., Any],
    *args: Any,
    fast: bool = False,
    seed: int = 0,
    batch: int | None = None,
    rtol: float = 0.0,
    atol: float = 0.0,
    domain: Domain | None = None,
    instead: Callable[..., Any] | None = None,
    kinks: Kinks = "any",
    dtypes: Sequence[Precision] | None = None,
    order: int | None = None,
    **keywords: Any,
) -> Report:
    """Check a manual backward function: a vector-Jacobian product.

    Args:
      f: the plain function, `f(*args) -> y`, y a pytree of floating arrays.
      backward: `backward(args, dy)` -> a tuple with the cotangent of each argument, `None` for an integer argument.
      *args: pytrees of arrays, of any shapes.
      fast: check only the given arguments, in float64 and in their own precision.
      seed: seed of all random numbers in the check; the same seed gives the same report.
      batch: size of the batch axis, if it cannot be found by trying which axes f lets grow.
      rtol: the error that is allowed besides rounding, relative to the largest element of each gradient: that of a
        solver, or of an epsilon.
      atol: the same, absolute, for a dy of size 1.
      domain: where the arguments lie: "symmetric" or "positive definite" for square matrices, "ordered" for arrays with
        an axis, "positive" or "unit interval"; a dictionary from the names of arguments to these, or to functions that
        project an array; or a function `domain(*args) -> args` that projects all. A function of `rng` alone, a NumPy
        generator, makes arguments.
      instead: the function whose gradient is meant, if it is not f: `lambda x: x` for a rounding with a
        straight-through gradient.
      kinks: "any" accepts every slope between those on the sides of a kink, with a note; "jax" only that of JAX.
      dtypes: the precisions to check in, of "float64", "float32", "bfloat16" and "float16"; all of them by default.
      order: 2 to check the derivative of the backward too, as second derivatives use it. 1 by default.
      **keywords: further arguments of f, by name, which are constants; backward gets those that it accepts.

    Returns:
      A `Report`, true if the backward function is right.

    Raises:
      GradcheckError: if f or the backward function is not pure, if f carries a custom derivative rule or has no finite
        value at the arguments, if an argument is NaN, if the backward function raises there, if the structure of what
        it returns does not match the arguments, or if an argument does not fit the domain.

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
    options = make_options(
        fast=fast, seed=seed, batch=batch, rtol=rtol, atol=atol, domain=domain, kinks=kinks, dtypes=dtypes, order=order
    )
    f, backward = with_keywords("vjp", f, keywords), with_accepted(backward, keywords)
    problem = make_problem(f"vjp of {function_name(f)}", f, backward, args, instead=instead)
    check_function("backward", backward, "args", "dy")
    return report_on(problem, options)


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
