"""Run a function and return what is marked in it: by `jaxnn.marking.marks`, at places that `jax.named_scope` names."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.jaxprs import CALLS, bind, closed_jaxprs, equations, interpret, scan_sizes, scopes_of
from jaxnn.marking.harvested import Loop, Mark, Marks
from jaxnn.marking.marks import MARKING
from jaxnn.marking.places import Place
from jaxnn.marking.primitive import MARK

_RECOMPUTED = "rematted_computation"
"""The scope that JAX gives to what `jax.checkpoint` computes again in the backward pass."""


def harvest(f: Callable[..., Any], measure: Callable[[jax.Array], Any]) -> Callable[..., tuple[Any, Marks]]:
    """Transform a function so that it also returns a measure of each array that is marked in it.

    The function is traced once, with marks, and its jaxpr is evaluated equation by equation: through functions under
    `jit`, `jax.checkpoint`, custom derivative rules, `cond` and `scan`. What `jax.checkpoint` computes again is left
    out, and so are the marks in a `while` loop, whose number of steps is unknown. Those of a branch of `cond` that was
    not taken have zeros for measures.

    Args:
      f: a function of pytrees of arrays.
      measure: maps an array to a pytree of arrays, such as a maximum; the identity keeps the array.

    Returns:
      A function that returns the output of f and the marks in the order of evaluation; `each_mark` lists them.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxnn.marking.harvested import each_mark
      >>> from jaxnn.marking.marks import mark
      >>> y, marks = harvest(lambda x: mark("root", jnp.sqrt(x)) + 1, jnp.max)(jnp.array([4.0, 9.0]))
      >>> [(one.what, one.measured.item()) for one in each_mark(marks)]
      [('root', 3.0)]
    """

    def harvested(*args):
        with MARKING(True):
            closed, shapes = jax.make_jaxpr(f, return_shape=True)(*args)
        outputs, marks = _run(closed, jax.tree.leaves(args), (), measure)
        return jax.tree.unflatten(jax.tree.structure(shapes), outputs), marks

    return harvested


def _run(closed: Any, inputs: Sequence[Any], outer: Place, measure: Any) -> tuple[list[Any], Marks]:
    """Evaluate a jaxpr; return its outputs and its marks."""
    marks: Marks = []

    def outputs_of(equation, operands):
        place = place_of(equation, outer)
        if equation.primitive is MARK:
            if _RECOMPUTED not in place:
                marks.append(Mark(**equation.params, place=place, measured=measure(jnp.asarray(operands[0]))))
            return operands
        run_inside = _INSIDE.get(equation.primitive.name)
        if run_inside is None or not _is_marked(equation):
            return bind(equation, operands)
        outputs, inner = run_inside(equation, operands, place, measure)
        marks.extend(inner)
        return outputs

    return interpret(closed.jaxpr, closed.consts, inputs, outputs_of), marks


def place_of(equation: Any, outer: Place) -> Place:
    """Return the scopes around an equation, of which the `outer` ones are around its jaxpr."""
    scopes = scopes_of(equation)
    half = len(scopes) // 2
    # JAX transposes `jax.checkpoint` in its scopes, and so they are named twice.
    doubled = "remat" in equation.primitive.name and scopes[:half] == scopes[half:]
    return outer + (scopes[:half] if doubled else scopes)


def _is_marked(equation: Any) -> bool:
    return any(inner.primitive is MARK for closed in closed_jaxprs(equation) for inner in equations(closed.jaxpr))


def _run_call(equation: Any, operands: list[Any], place: Place, measure: Any) -> tuple[list[Any], Marks]:
    return _run(closed_jaxprs(equation)[0], operands, place, measure)


def _run_scan(equation: Any, operands: list[Any], place: Place, measure: Any) -> tuple[list[Any], Marks]:
    n_consts, n_carry = scan_sizes(equation)
    consts, carry, xs = operands[:n_consts], operands[n_consts : n_consts + n_carry], operands[n_consts + n_carry :]

    def step(carry, xs):
        outputs, marks = _run(equation.params["jaxpr"], [*consts, *carry, *xs], place, measure)
        return outputs[:n_carry], (outputs[n_carry:], marks)

    length, reverse = equation.params["length"], equation.params["reverse"]
    carry, (ys, marks) = jax.lax.scan(step, carry, xs, length, reverse)
    return [*carry, *ys], [Loop(marks, length, reverse)]


def _run_cond(equation: Any, operands: list[Any], place: Place, measure: Any) -> tuple[list[Any], Marks]:
    index, *inputs = operands
    branches = [partial(_run, closed, outer=place, measure=measure) for closed in equation.params["branches"]]
    empty = [jax.tree.map(_zeros, jax.eval_shape(branch, inputs)[1]) for branch in branches]

    def taken(i, inputs):
        outputs, marks = branches[i](inputs)
        return outputs, [one for j, other in enumerate(empty) for one in (marks if j == i else other)]

    return jax.lax.switch(index, [partial(taken, i) for i in range(len(branches))], inputs)


def _zeros(shape: jax.ShapeDtypeStruct) -> jax.Array:
    return jnp.zeros(shape.shape, shape.dtype)


_INSIDE = {**dict.fromkeys(CALLS, _run_call), "scan": _run_scan, "cond": _run_cond}
