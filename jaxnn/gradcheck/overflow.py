"""Whether f itself fails at a point in a precision: a number in it is not finite, as it is in a wider precision."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.gradcheck.loops import counted
from jaxnn.gradcheck.runner import Arrays, Runner, precision
from jaxnn.jaxprs import CALLS, bind, interpret


def overflows(runner: Runner, leaves: Arrays, wide: Arrays) -> bool:
    """Return whether more operations of f make an infinity or NaN at `leaves` than at the same point in `wide`.

    The value of f may be finite, as that of x / (x * x) is 0 where x * x overflows. An infinity that f is meant to
    have, as in the mask of an attention, is there in each precision.

    Args:
      runner: has f.
      leaves: the point, in the precision in question.
      wide: the same in the precision of the reference.
    """
    try:
        here = _not_finite(runner, leaves)
        return here > 0 and here > _not_finite(runner, wide)
    except Exception:  # f looks at values, or does not run there
        return False


def _not_finite(runner: Runner, leaves: Arrays) -> int:
    """Return the number of operations of f that make a number that is not finite from finite ones."""
    found: list[bool] = []

    def special(equation: Any, inputs: list[Any]) -> list[Any] | None:
        if equation.primitive.name in CALLS:
            return None
        outputs = bind(equation, inputs)
        found.append(_all_finite(inputs) and not _all_finite(outputs))
        return outputs

    with precision(leaves):
        # One operation after another: a compiled program may keep intermediate values in a wider precision.
        closed = jax.make_jaxpr(counted(runner.flat.f))(runner.limit, leaves)
        interpret(closed.jaxpr, closed.consts, [jnp.asarray(leaf) for leaf in (runner.limit, *leaves)], special)
    return sum(found)


def _all_finite(values: list[Any]) -> bool:
    floats = [value for value in map(jnp.asarray, values) if jnp.issubdtype(value.dtype, jnp.inexact)]
    return all(bool(jnp.isfinite(value).all()) for value in floats)
