"""What uses a rule besides a first gradient in reverse mode: second derivatives, and forward mode."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.comparison import Row
from jaxnn.gradcheck.examination import Examiner
from jaxnn.gradcheck.flat_problem import FlatProblem
from jaxnn.gradcheck.leaves import replaced
from jaxnn.gradcheck.points import make_cotangents
from jaxnn.gradcheck.preconditions import Setting
from jaxnn.gradcheck.problem import make_problem
from jaxnn.gradcheck.references import OutsideDomainError, cast
from jaxnn.gradcheck.runner import Arrays, BackwardRaisedError, Runner, precision, raised

SECOND_ORDER = "second order"
"""The name of the test point."""


def second_order(examiner: Examiner, setting: Setting, given: Arrays) -> list[Row]:
    """Return rows that compare the derivative of the backward with that of autodiff's gradient."""
    runner, options = examiner.runner, examiner.options
    if runner.quotients or setting.working != "float64" or runner.untraceable is not None:
        return [Row(SECOND_ORDER, "all", "skip", text="there is no derivative of the reference to compare with")]
    flat = runner.flat
    cotangents = make_cotangents("random", runner, given, options.seed)

    def gradients(leaves, dy):
        return runner.autodiff(leaves, dy)[1]

    def manual(args, ddy):
        leaves, dy = args
        floats = [leaves[i] for i in flat.floating]

        def of_floats(chosen, dy):
            return flat.manual(replaced(leaves, flat.floating, chosen), dy)

        by_leaf, by_dy = jax.vjp(of_floats, floats, dy)[1](ddy)
        by_number = dict(zip(flat.floating, by_leaf, strict=True))
        return [by_number.get(i) for i in range(len(leaves))], by_dy

    with precision(given):
        inner = FlatProblem(make_problem(flat.problem.title, gradients, manual, (list(given), list(cotangents))))
    inner.names = [*flat.names, *(f"dy{list(dy.shape)}" for dy in cotangents)]
    inner.domain = flat.domain.extended(len(cotangents))
    inner.leaves = [*given, *cotangents]
    inner.wrt = [i for i in inner.floating if i in flat.wrt or i >= len(given)]
    derived = Runner(inner)
    try:
        at = given if examiner.references.given_is_smooth else _beside(runner, given, options.seed)
        leaves = [*at, *cotangents]
        found = Examiner(derived, options, own_eps=examiner.own_eps).examine(
            SECOND_ORDER, "smooth", leaves, make_cotangents("random", derived, leaves, options.seed)
        )
    except OutsideDomainError as error:
        return [Row(SECOND_ORDER, "all", "skip", text=str(error))]
    except BackwardRaisedError as error:
        return [Row(SECOND_ORDER, "all", "note", text=f"the backward has no derivative: {error.text}")]
    except Exception as error:
        return [Row(SECOND_ORDER, "all", "skip", text=raised(error, "{}"))]
    return found.rows


def _beside(runner: Runner, given: Arrays, seed: int) -> Arrays:
    """Return a point beside the given one, which is at a kink, where a first derivative jumps."""
    rng = np.random.default_rng([seed, 808])
    moved = list(given)
    for i in runner.flat.floating:
        size = np.where(given[i] == 0, np.abs(given[i]).max(initial=0.0) or 1.0, np.abs(given[i]))
        moved[i] = given[i] + np.where(np.isfinite(size), 0.02 * size * rng.uniform(0.5, 1.0, size.shape), 0.0)
    return runner.flat.project(moved)


def forward_mode(examiner: Examiner, setting: Setting, given: Arrays) -> list[Row]:
    """Return a row that compares the tangents of a function with a JVP rule with those of f, none if it has no JVP."""
    runner, options = examiner.runner, examiner.options
    flat = runner.flat
    at = given if examiner.references.given_is_smooth else _beside(runner, given, options.seed)
    given = cast(at, setting.working)
    if flat.problem.ruled is None or runner.quotients or options.fast:
        return []
    rng = np.random.default_rng([options.seed, 606])
    tangents = [rng.normal(size=given[i].shape) for i in flat.wrt]

    def along(function: Callable[..., Any]) -> Callable[..., Any]:
        def of(leaves, tangents):
            def of_wrt(chosen):
                values = flat.value_of(function)(replaced(leaves, flat.wrt, chosen))
                return [y for y in values if jnp.issubdtype(y.dtype, jnp.inexact)]

            return jax.jvp(of_wrt, ([leaves[i] for i in flat.wrt],), (tangents,))[1]

        return runner.jit(of)

    with precision(given):
        try:
            own = [np.asarray(t) for t in along(flat.problem.ruled)(given, tangents)]
            reference = [np.asarray(t) for t in along(flat.problem.f)(given, tangents)]
        except Exception:  # a custom_vjp, or f has no JVP
            return []
    for a, b in zip(own, reference, strict=True):
        size, off = np.abs(b).max(initial=0.0), np.abs(a - b).max(initial=0.0)
        digits = max(1e-6, 100 * float(jnp.finfo(b.dtype).eps))
        if not off <= (digits + options.rtol) * max(size, 1e-300) + options.atol and np.isfinite(b).all():
            text = "the tangents of the rule in forward mode differ from those of f"
            return [Row("forward mode", "y", "fail", float(off), float(off / (size or 1.0)), text=text)]
    return [Row("forward mode", "y", "pass")]
