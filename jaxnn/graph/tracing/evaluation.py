"""The forward pass: a jaxpr evaluated equation by equation, composites expanded, every intermediate kept."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxnn.graph.tracing.loops import unroll
from jaxnn.graph.tracing.nodes import Node, Operation
from jaxnn.graph.tracing.sources import find_source
from jaxnn.graph.tracing.summaries import to_numpy
from jaxnn.graph.tracing.vmaps import group_vmaps
from jaxnn.jaxprs import CALLS, RULES, bind, closed_jaxprs, inner_jaxprs

_Body = tuple[Any, list[Node], int]


def evaluate(
    closed: Any, inputs: list[Node], limit: int, source: str = "", own_sources: bool = True
) -> tuple[tuple[Operation, ...], list[Node]]:
    """Evaluate a jaxpr; return its operations and its output nodes.

    Operations on constants alone are folded: their results are constants. An equation of primitive "name" is an
    identity: it names its input, and makes no operation.

    Args:
      closed: the jaxpr.
      inputs: a node for each of its inputs.
      limit: loops of more than `limit` operations are not unrolled.
      source: file:line of the caller's code for equations without a source.
      own_sources: whether equations may have sources; if false, all have `source`.
    """
    jaxpr = closed.jaxpr
    nodes: dict[Any, Node] = dict(zip(jaxpr.invars, inputs, strict=True))
    nodes.update((v, _constant(const)) for v, const in zip(jaxpr.constvars, closed.consts, strict=True))

    def read(variable: Any) -> Node:
        return _constant(variable.val) if isinstance(variable, core.Literal) else nodes[variable]

    operations, stacks = [], []
    for equation in jaxpr.eqns:
        operands = [read(v) for v in equation.invars]
        if equation.primitive.name == "name":
            if operands[0].kind == "result":
                operands[0].name = equation.params["name"]
            outputs = operands
        else:
            op = _operation(equation, operands, limit, (find_source(equation) if own_sources else "") or source)
            outputs = list(op.outputs)
            if any(node.kind == "result" for node in outputs if node not in operands) or not outputs:
                operations.append(op)
                stacks.append(equation.source_info.name_stack)
        nodes.update(zip(equation.outvars, outputs, strict=True))
    results = [read(v) for v in jaxpr.outvars]
    return group_vmaps(operations, stacks, results), results


def _operation(equation: Any, inputs: list[Node], limit: int, source: str) -> Operation:
    primitive = equation.primitive
    has_rule = primitive.name in RULES
    body = _body(equation, inputs, limit)
    if body is not None:
        operations, outputs = evaluate(*body, source, own_sources=primitive.name not in ("scan", "while"))
    else:
        values = bind(equation, [node.value for node in inputs])
        folds = all(node.kind in ("constant", "literal") for node in inputs)
        operations, outputs = (), [_folded(value) if folds else Node(value, "result") for value in values]
    name = primitive.name if body is None else _composite_name(equation)
    # A composite with no operations left, all of them folded, has an empty body, as a primitive has.
    return Operation(name, primitive, equation.params, tuple(inputs), tuple(outputs), operations, has_rule, source)


def _constant(value: Any) -> Node:
    # A literal may be a Python or NumPy scalar, which keeps its dtype.
    return Node(value, "literal" if np.ndim(value) == 0 else "constant")


def _folded(value: Any) -> Node:
    """Return a constant computed from constants: a literal if all its elements are equal."""
    array = to_numpy(value)
    uniform = array is not None and array.size > 0 and bool((array == array.flat[0]).all())
    return Node(value, "literal" if uniform else "constant")


def _body(equation: Any, inputs: list[Node], limit: int) -> _Body | None:
    """Return the jaxpr that an equation runs on these inputs, its inputs, and the limit for the loops in it.

    `None` for a primitive, and for a loop that is too long to be unrolled. The steps of a loop share its limit.
    """
    name = equation.primitive.name
    if name in CALLS:
        closed = next(iter(closed_jaxprs(equation)), None)
        if closed is None:
            return None
        return (_with_distinct_outputs(closed) if name in RULES else closed), inputs, limit
    if name == "cond":
        return equation.params["branches"][int(inputs[0].value)], inputs[1:], limit
    if name in ("scan", "while") and (unrolled := unroll(equation, [node.value for node in inputs], limit)):
        loop, steps = unrolled
        return jax.make_jaxpr(loop)(*(node.value for node in inputs)), inputs, limit // max(steps, 1)
    return None


def _with_distinct_outputs(closed: Any) -> Any:
    """Return an equivalent jaxpr whose outputs are distinct variables, none of them an input or a constant.

    A custom rule gives derivatives of outputs and inputs separately, so they need separate nodes.
    """
    inner = closed.jaxpr
    distinct = {v for v in inner.outvars if not isinstance(v, core.Literal)} - {*inner.invars, *inner.constvars}
    if len(distinct) == len(inner.outvars):
        return closed
    function = core.jaxpr_as_fun(closed)
    return jax.make_jaxpr(lambda *args: [jnp.copy(out) for out in function(*args)])(
        *(jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in inner.invars)
    )


def _composite_name(equation: Any) -> str:
    name = equation.params.get("name")
    if name is None and equation.primitive.name in RULES:  # before JAX 0.12, the name is in the debug info
        name = getattr(inner_jaxprs(equation)[0].debug_info, "func_name", None)
    return str(name) if name else equation.primitive.name
