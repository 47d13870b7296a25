"""Preconditions of a check: if one does not hold, a GradcheckError is raised before anything is compared."""

from typing import Any

import jax
import numpy as np

from jaxnn.gradcheck.flat_problem import FlatProblem
from jaxnn.gradcheck.inspection import constants, trace
from jaxnn.gradcheck.points import make_cotangents
from jaxnn.gradcheck.problem import GradcheckError
from jaxnn.gradcheck.runner import Arrays, Runner
from jaxnn.jaxprs import equations, inner_jaxprs

_JAX = jax.__file__.removesuffix("__init__.py")


def check_no_custom_rules(flat: FlatProblem, leaves: Arrays) -> None:
    """Raise GradcheckError if the plain function contains a custom derivative rule that is not part of JAX.

    Autodiff would use that rule, possibly the one under test, and agree with it even if it is wrong. Rules that JAX
    itself defines (`jax.nn.relu` has one) are trusted.
    """
    closed = trace(flat, leaves)
    for equation in equations(closed.jaxpr) if closed else ():
        name = equation.primitive.name
        if name.startswith(("custom_vjp_call", "custom_jvp_call")) and not _is_part_of_jax(equation):
            kind = "jax.custom_vjp" if "vjp" in name else "jax.custom_jvp"
            raise GradcheckError(
                f"{flat.problem.title}: f must not contain custom derivative rules, got a {kind} rule "
                f"({_source(equation)}): autodiff would use it and the check would be vacuous; pass the undecorated "
                "function"
            )


def check_differentiable(runner: Runner, given: Arrays, seed: int) -> None:
    """Raise GradcheckError if JAX cannot differentiate f, or f or its derivative is not finite at the given leaves."""
    title = runner.flat.problem.title
    try:
        runner.output(given)
        y, gradients = runner.reference(given, make_cotangents("random", runner, given, seed))
    except GradcheckError:
        raise
    except Exception as error:
        raise GradcheckError(
            f"{title}: f must be differentiable in reverse mode, got {type(error).__name__}: {str(error)[:300]}"
        ) from error
    for what, arrays in (("value", y), ("derivative", gradients)):
        if not all(np.isfinite(a.astype(np.float64)).all() for a in arrays):
            raise GradcheckError(
                f"{title}: the {what} of f must be finite at the given arguments: pass arguments inside its domain"
            )


def check_pure(runner: Runner, given: Arrays, seed: int) -> None:
    """Raise GradcheckError if f or the backward gives another result when it is called again at the same leaves."""
    flat = runner.flat
    cotangents = make_cotangents("random", runner, given, seed)
    for what, function, arguments in (("f", flat.f, (given,)), ("the backward", flat.manual, (given, cotangents))):
        try:
            first, again = (constants(function, *arguments) for _ in range(2))
            if first is None or again is None:  # it looks at values, so it runs without tracing
                first, again = (jax.tree.leaves(function(*arguments)) for _ in range(2))
        except GradcheckError:
            raise
        except Exception:  # reported by the examination, with the arguments
            return
        if len(first) != len(again) or not all(
            np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(first, again, strict=True)
        ):
            raise GradcheckError(
                f"{flat.problem.title}: {what} must be pure, got two results from two calls on the same arguments: "
                "pass random keys as arguments"
            )


def _source(equation: Any) -> str:
    inner = inner_jaxprs(equation)
    return str(inner[0].debug_info.func_src_info) if inner else equation.primitive.name


def _is_part_of_jax(equation: Any) -> bool:
    return all(_JAX in str(inner.debug_info.func_src_info) for inner in inner_jaxprs(equation))
