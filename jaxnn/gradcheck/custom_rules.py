"""Checks of custom derivative rules: a forward and backward pair, or a decorated function."""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from inspect import Parameter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.constraints import Constraint, Count, ListOf
from jaxnn.gradcheck.checker import report_on
from jaxnn.gradcheck.inspection import is_part_of_jax, is_rule
from jaxnn.gradcheck.leaves import replaced
from jaxnn.gradcheck.options import Domain, Kinks, Precision, make_options
from jaxnn.gradcheck.problem import (
    GradcheckError,
    as_gradcheck_error,
    check_function,
    function_name,
    make_problem,
    parameters_of,
    with_accepted,
    with_keywords,
)
from jaxnn.gradcheck.report import Report
from jaxnn.jaxprs import bind, interpret


def rule(
    f: Callable[..., Any],
    fwd: Callable[..., Any],
    bwd: Callable[..., Any],
    *args: Any,
    nondiff_argnums: Sequence[int] = (),
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
    """Check a forward and backward pair before it becomes the rule of a `jax.custom_vjp`.

    Args:
      f: the plain function, `f(*args) -> y`.
      fwd: `fwd(*args) -> (y, residuals)`; its y must equal that of f.
      bwd: `bwd(residuals, dy)` -> a tuple with the cotangent of each argument; `None` means zeros.
      *args: pytrees of arrays, of any shapes.
      nondiff_argnums: as `jax.custom_vjp` takes it: these arguments come first in bwd, and have no cotangent.
      fast: as for `vjp`, and so are seed, batch, rtol, atol, domain, instead, kinks and dtypes.
      seed: see there.
      batch: see there.
      rtol: see there.
      atol: see there.
      domain: see there.
      instead: see there.
      kinks: see there.
      dtypes: see there.
      order: 2 to check the derivative of the backward too, which second derivatives use; 1 not to. 2 by default, but
        with `fast`.
      **keywords: further arguments of f and fwd, by name.

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
    options = make_options(
        fast=fast, seed=seed, batch=batch, rtol=rtol, atol=atol, domain=domain, kinks=kinks, dtypes=dtypes, order=order
    )
    f, fwd = with_keywords("rule", f, keywords), with_accepted(fwd, keywords)
    first, assumed = _nondiff_argnums(nondiff_argnums, bwd, args)

    def forward(*args):
        with as_gradcheck_error():
            return _PAIR.check("what fwd returns", fwd(*args))

    def manual(args, dy):
        _, residuals = forward(*args)
        cotangents = bwd(*(args[i] for i in first), residuals, dy)
        if not first or not isinstance(cotangents, tuple | list):
            return cotangents
        rest = iter(cotangents)
        if len(cotangents) != len(args) - len(first):
            raise GradcheckError(
                f"bwd must return a tuple with one cotangent for each of the {len(args) - len(first)} arguments that "
                f"are not in nondiff_argnums, got {len(cotangents)}"
            )
        return tuple(None if i in first else next(rest) for i in range(len(args)))

    problem = make_problem(
        f"custom_vjp pair of {function_name(f)}",
        f,
        manual,
        args,
        values={"the rule": lambda *args: forward(*args)[0]},
        wrt=tuple(i not in first for i in range(len(args))),
        instead=instead,
        assumed=assumed,
        constants=first,
    )
    check_function("fwd", fwd, *problem.names)
    check_function("bwd", bwd, *(problem.names[i] for i in first), "residuals", "dy")
    return report_on(problem, options, default_order=1 if fast else 2)


def custom(
    f_with_rule: Callable[..., Any],
    f_plain: Callable[..., Any],
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
    """Check a function decorated with `jax.custom_vjp` or `jax.custom_jvp` against the undecorated function.

    Besides the gradient, the value of the decorated function and of its forward are compared with f_plain, its tangents
    in forward mode if it has a JVP, and its second derivatives.

    Args:
      f_with_rule: the decorated function.
      f_plain: the same function without the rule. For a `jax.custom_vjp` object f, that is `f.fun`.
      *args: pytrees of arrays, of any shapes. Strings, functions and Python ints are passed on as they are.
      fast: as for `vjp`, and so are seed, batch, rtol, atol, domain, instead, kinks and dtypes.
      seed: see there.
      batch: see there.
      rtol: see there.
      atol: see there.
      domain: see there.
      instead: see there.
      kinks: see there.
      dtypes: see there.
      order: 2 to check second derivatives too, 1 not to. 2 by default, but with `fast`.
      **keywords: further arguments of both functions, by name.

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
    options = make_options(
        fast=fast, seed=seed, batch=batch, rtol=rtol, atol=atol, domain=domain, kinks=kinks, dtypes=dtypes, order=order
    )
    ruled = with_keywords("custom", f_with_rule, keywords)
    plain = with_accepted(f_plain, keywords)
    constants = tuple(getattr(f_with_rule, "nondiff_argnums", ()))

    def manual(args, dy):
        of_floats, floats, rebuild = split_floats(ruled, args, constants)
        y, pullback = jax.vjp(of_floats, floats)
        return rebuild(pullback(jax.tree.map(_like, dy, y))[0])

    def forward(*args):
        of_floats, floats, _ = split_floats(ruled, args, constants)
        return jax.vjp(of_floats, floats)[0]

    problem = make_problem(
        f"custom rule of {function_name(f_with_rule)}",
        plain,
        manual,
        args,
        values={"the rule": ruled, "the rule's forward": forward},
        ruled=ruled,
        instead=instead,
        constants=constants,
    )
    check_function("f_with_rule", ruled, *problem.names)
    return report_on(problem, options, default_order=1 if fast else 2)


def split_floats(
    f: Callable[..., Any], args: tuple[Any, ...], constants: tuple[int, ...] = ()
) -> tuple[Callable[..., Any], list[Any], Callable[[list[Any]], tuple[Any, ...]]]:
    """Return f as a function of a list of its floating leaves, these leaves, and what puts others in their place.

    The last one returns the tuple of arguments with such a list in it, and `None` for the other leaves. The arguments
    whose numbers are in `constants` have no such leaves.
    """
    leaves, structure = jax.tree.flatten(args)
    argument = [k for k, arg in enumerate(args) for _ in jax.tree.leaves(arg)]
    floating = [i for i, leaf in enumerate(leaves) if _is_inexact(leaf) and argument[i] not in constants]

    def of_floats(chosen):
        return f(*jax.tree.unflatten(structure, replaced(leaves, floating, chosen)))

    def rebuild(chosen):
        return jax.tree.unflatten(structure, replaced([None] * len(leaves), floating, chosen))

    return of_floats, [leaves[i] for i in floating], rebuild


def without_rules(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return the same function without the `jax.custom_vjp` and `jax.custom_jvp` rules inside it.

    Args:
      f: any traceable function of pytrees of arrays, of any shapes.

    Returns:
      A function with the values of f, which JAX differentiates down to its own primitives and the rules that JAX itself
      defines, such as that of `jax.nn.relu`. Rules inside a loop or a branch (`scan`, `while`, `cond`) stay.

    Example:
      >>> import jax
      >>> float(jax.grad(without_rules(jax.nn.relu))(2.0))
      1.0
    """

    @wraps(f, updated=())
    def plain(*args, **keywords):
        closed, shape = jax.make_jaxpr(partial(f, **keywords), return_shape=True)(*args)
        outputs = interpret(closed.jaxpr, closed.consts, jax.tree.leaves(args), _kept)
        return jax.tree.unflatten(jax.tree.structure(shape), outputs)

    return plain


def _kept(equation: Any, inputs: list[Any]) -> list[Any] | None:
    return bind(equation, inputs) if is_rule(equation) and is_part_of_jax(equation) else None


_PAIR = Constraint(
    "a pair (y, residuals)",
    (3, (1,), (1, 2, 3), None),
    "return the value of f and what bwd needs",
    lambda value: isinstance(value, tuple | list) and len(value) == 2,
)


def _nondiff_argnums(
    stated: Sequence[int], bwd: Callable[..., Any], args: tuple[Any, ...]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return nondiff_argnums: as stated, or if bwd takes more than two arguments, those that are not arrays."""
    with as_gradcheck_error():
        of_one = Constraint("", (-1, len(args)), test=lambda n: Count(0).accepts(n) and n < len(args))
        numbers = ListOf(of_one, f"a list of numbers of arguments, from 0 to {len(args) - 1}", least=0)
        stated = tuple(numbers.check("nondiff_argnums", stated))
    if stated:
        return stated, ()
    required = [p for p in parameters_of(bwd) if p.default is p.empty and p.kind in _POSITIONAL]
    constants = tuple(i for i, arg in enumerate(args) if not any(map(_is_number, jax.tree.leaves(arg))))
    if len(required) - 2 == len(constants) > 0:
        return constants, (f"nondiff_argnums={constants}, since bwd takes {len(required)} arguments",)
    return (), ()


_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def _is_number(leaf: Any) -> bool:
    return isinstance(leaf, float | complex) or hasattr(leaf, "dtype")


def _is_inexact(leaf: Any) -> bool:
    if isinstance(leaf, bool | int | str) or not _is_number(leaf):
        return False
    return bool(jnp.issubdtype(getattr(leaf, "dtype", np.dtype(float)), np.inexact))


def _like(dy: Any, y: Any) -> Any:
    """Return the cotangent in the dtype of the value that it belongs to."""
    inexact = jnp.issubdtype(jnp.result_type(y), jnp.inexact)
    return jnp.asarray(dy).astype(jnp.result_type(y)) if inexact else dy
