"""What must hold before anything is compared, and in which precision and against which reference it is compared."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.flat_problem import FlatProblem
from jaxnn.gradcheck.inspection import constants, is_part_of_jax, is_rule, rule_source, trace
from jaxnn.gradcheck.points import make_cotangents
from jaxnn.gradcheck.problem import GradcheckError
from jaxnn.gradcheck.runner import Arrays, BackwardRaisedError, Runner, first_line, precision, raised
from jaxnn.jaxprs import equations


class Setting(NamedTuple):
    """How a problem can be examined.

    Attributes:
      widest: the precision of the reference.
      working: the precision in which the backward runs at every test point.
      assumed: what was assumed, in sentences.
    """

    widest: str
    working: str
    assumed: list[str]


def check_no_custom_rules(flat: FlatProblem, leaves: Arrays) -> None:
    """Raise GradcheckError if the plain function contains a custom derivative rule that is not part of JAX.

    Autodiff would use that rule, possibly the one under test, and agree with it even if it is wrong. Rules that JAX
    itself defines (`jax.nn.relu` has one) are trusted.
    """
    closed = trace(flat, leaves)
    for equation in equations(closed.jaxpr) if closed else ():
        if is_rule(equation) and not is_part_of_jax(equation):
            kind = "jax.custom_vjp" if "vjp" in equation.primitive.name else "jax.custom_jvp"
            raise GradcheckError(
                f"{flat.problem.title}: f must not contain custom derivative rules, got a {kind} rule "
                f"({rule_source(equation)}): autodiff would use it and the check would be vacuous; pass the "
                "undecorated function, or state by the option instead whose gradient is meant"
            )


def find_setting(runner: Runner, given: Arrays, seed: int) -> Setting:
    """Run f, its derivative and the backward at the given arguments, in float64 and, if one cannot, in their precision.

    Raises:
      GradcheckError: if f or the backward does not run at all, or f is not finite.
    """
    flat = runner.flat
    own_dtype = _own_precision(flat)
    own = [leaf.astype(own_dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf for leaf in given]
    assumed: list[str] = []
    widest, leaves = "float64", given
    try:
        y = _reference_or_quotients(runner, given, seed, assumed)
    except Exception as error:
        widest, leaves = own_dtype, own
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        assumed.append(raised(cause, "f does not run in float64 ({})", f": compared in {widest}"))
        y = _reference_or_quotients(runner, own, seed, assumed)
    if any(np.isnan(a.astype(np.float64)).any() for a in y):
        raise GradcheckError(
            f"{flat.problem.title}: the value of f must be a number at the given arguments: pass arguments inside "
            "its domain"
        )
    working = widest
    try:
        runner.manual(leaves, make_cotangents("random", runner, leaves, seed))
    except BackwardRaisedError as error:
        if widest == own_dtype:
            raise
        runner.manual(own, make_cotangents("random", runner, own, seed))
        working = own_dtype
        assumed.append(f"compared in {working}, since the backward does not run in float64: {error.text}")
    runner.limit_loops()
    return Setting(widest, working, assumed)


def leave_out_constants(runner: Runner, given: Arrays, seed: int) -> list[str]:
    """Take leaves with infinite elements and Python floats as constants, if the backward returns `None` for them.

    Returns:
      What was assumed, in sentences.
    """
    flat = runner.flat
    infinite = {i for i in flat.wrt if not np.isfinite(flat.leaves[i].astype(np.float64)).all()}
    candidates = infinite | (flat.python_floats & {*flat.wrt})
    if not candidates or candidates == {*flat.wrt}:
        return []
    with precision(given):
        arrays = [jnp.asarray(leaf) for leaf in given]
        cotangents = [jnp.asarray(c) for c in make_cotangents("random", runner, given, seed)]
        without = set(flat.without_gradient(arrays, cotangents)) & candidates
    flat.wrt = [i for i in flat.wrt if i not in without]
    return [
        f"{flat.names[i]} is a constant: it {'has infinite elements' if i in infinite else 'is a Python float'}, "
        "and the backward no gradient"
        for i in sorted(without)
    ]


def _reference_or_quotients(runner: Runner, leaves: Arrays, seed: int, assumed: list[str]) -> Arrays:
    """Return y; switch to difference quotients if JAX cannot differentiate f in reverse mode."""
    if runner.quotients:
        assumed.append(
            "autodiff of f is not its derivative, since f rounds or branches: compared with difference quotients"
        )
        return runner.f(leaves)
    try:
        return runner.reference(leaves, make_cotangents("random", runner, leaves, seed))[0]
    except Exception as error:
        title = runner.flat.problem.title
        try:
            y = runner.f(leaves)
        except Exception as cause:
            raise GradcheckError(f"{title}: {first_line(raised(cause))}") from cause
        runner.quotients = True
        assumed.append(
            raised(error, "JAX cannot differentiate f in reverse mode ({})", ": compared with difference quotients")
        )
        return y


def _own_precision(flat: FlatProblem) -> str:
    return str(np.result_type(*[flat.leaves[i].dtype for i in flat.wrt]))


def check_pure(runner: Runner, given: Arrays, seed: int) -> None:
    """Raise GradcheckError if f or the backward gives another result when it is called again at the same leaves."""
    flat = runner.flat
    cotangents = make_cotangents("random", runner, given, seed)
    for what, function, arguments in (("f", flat.f, (given,)), ("the backward", flat.manual, (given, cotangents))):
        try:
            first, again = (constants(function, *arguments) for _ in range(2))
            if first is None or again is None:  # it looks at values, so it runs without tracing
                with precision(given):
                    arrays = jax.tree.map(jnp.asarray, arguments)
                    first, again = ([np.asarray(a) for a in jax.tree.leaves(function(*arrays))] for _ in range(2))
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
