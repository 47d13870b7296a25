"""Questions that cannot be asked: they raise before anything is compared."""

from typing import Any

import jax
import numpy as np

from jaxnn.gradcheck.inspection import constants, trace
from jaxnn.gradcheck.points import make_cotangents
from jaxnn.gradcheck.problem import Flat, GradcheckError
from jaxnn.gradcheck.runner import Arrays, Runner
from jaxnn.jaxprs import equations, inner_jaxprs

_JAX = jax.__file__.removesuffix("__init__.py")


def refuse_vacuous(flat: Flat, leaves: Arrays) -> None:
    """Raise where the plain function carries a derivative rule of somebody's own: leaves of any shapes.

    Autodiff would then follow that rule, perhaps the very one under test, and agree with it whatever it
    says. JAX's own rules (`jax.nn.relu` has one) are trusted.
    """
    closed = trace(flat, leaves)
    for equation in equations(closed.jaxpr) if closed else ():
        name = equation.primitive.name
        if name.startswith(("custom_vjp_call", "custom_jvp_call")) and not _is_jaxs_own(equation):
            kind = "jax.custom_vjp" if "vjp" in name else "jax.custom_jvp"
            raise GradcheckError(
                f"{flat.problem.title}: the plain function carries a {kind} rule of its own ({_described(equation)}): "
                "JAX would differentiate by that rule, so the check would be vacuous; pass the undecorated function"
            )


def refuse_indifferentiable(runner: Runner, given: Arrays, seed: int) -> None:
    """Raise where JAX cannot differentiate f, or where f is not finite at the given leaves (of any shapes)."""
    title = runner.flat.problem.title
    try:
        runner.output(given)
        y, gradients = runner.reference(given, make_cotangents("random", runner, given, seed))
    except GradcheckError:
        raise
    except Exception as error:
        raise GradcheckError(
            f"{title}: JAX cannot differentiate f in reverse mode: {type(error).__name__}: {str(error)[:300]}"
        ) from error
    for what, arrays in (("value", y), ("derivative", gradients)):
        if not all(np.isfinite(a.astype(np.float64)).all() for a in arrays):
            raise GradcheckError(
                f"{title}: f's {what} is not finite at the given arguments: give arguments inside its domain"
            )


def refuse_impure(runner: Runner, given: Arrays, seed: int) -> None:
    """Raise where f or the backward gives something else when it is called again at the same leaves (any shapes)."""
    flat = runner.flat
    cotangents = make_cotangents("random", runner, given, seed)
    for what, function, arguments in (("f", flat.f, (given,)), ("the backward", flat.hand, (given, cotangents))):
        try:
            first, again = (constants(function, *arguments) for _ in range(2))
            if first is None:  # it looks at values, so it can be called as it is
                first, again = (jax.tree.leaves(function(*arguments)) for _ in range(2))
        except GradcheckError:
            raise
        except Exception:  # said where it is run, with the arguments
            return
        if len(first) != len(again) or not all(
            np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(first, again, strict=True)
        ):
            raise GradcheckError(
                f"{flat.problem.title}: {what} is not pure: two calls on the same arguments computed different things; "
                "pass randomness in, as a key"
            )


def _described(equation: Any) -> str:
    inner = inner_jaxprs(equation)
    return str(inner[0].debug_info.func_src_info) if inner else equation.primitive.name


def _is_jaxs_own(equation: Any) -> bool:
    return all(_JAX in str(inner.debug_info.func_src_info) for inner in inner_jaxprs(equation))
