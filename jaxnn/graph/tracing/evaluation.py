"""The forward pass: a jaxpr evaluated equation by equation, boxes opened, every intermediate kept."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from jaxnn.graph.tracing.nodes import Node, Operation, to_numpy
from jaxnn.graph.tracing.vmaps import in_vmaps
from jaxnn.jaxprs import CALLS, RULES, bind, closed_jaxprs, equations, inner_jaxprs, scan_sizes

_LIBRARIES = tuple(
    path[: -len(name)] for path, name in ((jax.__file__, "__init__.py"), (__file__, "tracing/evaluation.py"))
)
Inside = tuple[core.ClosedJaxpr, list[Node], int]


def evaluate(
    closed: core.ClosedJaxpr, inputs: list[Node], limit: int, source: str = "", own_source: bool = True
) -> tuple[tuple[Operation, ...], list[Node]]:
    """The operations and the outputs of a jaxpr, on nodes of any shapes.

    Operations on constants alone are done, and their results are constants. Loops are opened step by step where that
    makes `limit` operations at most. `source` is where the caller's code asked for all this; equations say it
    themselves unless `own_source` is false.
    """
    jaxpr = closed.jaxpr
    nodes: dict[Any, Node] = dict(zip(jaxpr.invars, inputs, strict=True))
    nodes.update((v, _constant(const)) for v, const in zip(jaxpr.constvars, closed.consts, strict=True))

    def read(variable: Any) -> Node:
        return _constant(variable.val) if isinstance(variable, core.Literal) else nodes[variable]

    operations, stacks = [], []
    for equation in jaxpr.eqns:
        taken = [read(v) for v in equation.invars]
        if equation.primitive.name == "name":
            # An identity: its output is its input, which it gives a name.
            if taken[0].kind == "result":
                taken[0].name = equation.params["name"]
            outputs = taken
        else:
            asked_at = (_source(equation) if own_source else "") or source
            made = _operation(equation, taken, limit, asked_at)
            outputs = list(made.outputs)
            if any(node.kind == "result" for node in outputs if node not in taken) or not outputs:
                operations.append(made)
                stacks.append(equation.source_info.name_stack)
        nodes.update(zip(equation.outvars, outputs, strict=True))
    results = [read(v) for v in jaxpr.outvars]
    return in_vmaps(operations, stacks, results), results


def _operation(equation: Any, inputs: list[Node], limit: int, source: str) -> Operation:
    primitive, params = equation.primitive, equation.params
    has_rule = primitive.name in RULES
    inside = _inside(equation, inputs, limit)
    if inside is not None:
        loop = primitive.name in ("scan", "while")
        operations, outputs = evaluate(*inside, source, own_source=not loop)
    else:
        values = bind(equation, [node.value for node in inputs])
        folds = all(node.kind in ("constant", "literal") for node in inputs)
        operations, outputs = (), [_folded(v) if folds else Node(v, "result") for v in values]
    # A box whose inside was all on constants, or nothing, is as good as not there.
    name = _box_name(equation) if inside is not None else primitive.name
    return Operation(name, primitive, params, tuple(inputs), tuple(outputs), operations, has_rule, source)


def _constant(value: Any) -> Node:
    # A literal may be a plain Python or NumPy number, whose dtype must stay as it is.
    return Node(value, "literal" if np.ndim(value) == 0 else "constant")


def _folded(value: Any) -> Node:
    """What comes of constants: as good as a number where all its elements (of any shape) are the same one."""
    array = to_numpy(value)
    uniform = array is not None and array.size > 0 and bool((array == array.flat[0]).all())
    return Node(value, "literal" if uniform else "constant")


def _inside(equation: Any, inputs: list[Node], limit: int) -> Inside | None:
    """What runs inside an equation on these inputs, of any shapes, and the limit there.

    `None` of a primitive, or of too long a loop. The steps of a loop share its limit.
    """
    name, params = equation.primitive.name, equation.params
    if name in CALLS:
        closed = next(iter(closed_jaxprs(equation)), None)
        if closed is None:
            return None
        return (_with_own_outputs(closed) if name in RULES else closed), inputs, limit
    if name == "cond":
        return params["branches"][int(inputs[0].value)], inputs[1:], limit
    steps = unrolled = None
    if name == "scan" and params["length"] * _count(params["jaxpr"].jaxpr) <= limit:
        steps, unrolled = params["length"], _steps_of_scan(equation)
    elif name == "while" and (steps := _length_of_while(params, inputs, limit)) is not None:
        unrolled = _steps_of_while(params, steps)
    if steps is None or unrolled is None:
        return None
    return jax.make_jaxpr(unrolled)(*(node.value for node in inputs)), inputs, limit // max(steps, 1)


def _with_own_outputs(closed: core.ClosedJaxpr) -> core.ClosedJaxpr:
    """The same (shapes too), whose outputs are neither its inputs nor one another.

    A rule tells its outputs from its inputs, and so must the nodes: both have derivatives.
    """
    inner = closed.jaxpr
    distinct = {v for v in inner.outvars if not isinstance(v, core.Literal)} - {*inner.invars, *inner.constvars}
    if len(distinct) == len(inner.outvars):
        return closed
    function = core.jaxpr_as_fun(closed)
    return jax.make_jaxpr(lambda *args: [jnp.copy(out) for out in function(*args)])(
        *(jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in inner.invars)
    )


def _count(jaxpr: core.Jaxpr) -> int:
    """How many equations there are, inside boxes too, each at least once."""
    return sum(1 for _ in equations(jaxpr))


def _named(closed: core.ClosedJaxpr, name: str) -> Callable[..., Any]:
    function = core.jaxpr_as_fun(closed)

    def step(*args):
        return function(*args)

    step.__name__ = step.__qualname__ = name
    return jax.jit(step)


def _steps_of_scan(equation: Any) -> Callable[..., list[Any]]:
    """The scan as a Python loop over boxes called "step"; inputs and outputs have the scan's shapes."""
    length, step = equation.params["length"], _named(equation.params["jaxpr"], "step")
    n_consts, n_carry = scan_sizes(equation)
    n_whole = n_consts + n_carry

    def slice_of(x, i):
        # As if `i` were not known: so JAX compiles this once, not once for each step.
        return lax.squeeze(lax.dynamic_slice(x, (i, *[0] * (x.ndim - 1)), (1, *x.shape[1:])), (0,))

    def loop(*inputs):
        consts, carry, xs = inputs[: n_whole - n_carry], inputs[n_whole - n_carry : n_whole], inputs[n_whole:]
        ys: list[Any] = [None] * length
        for i in reversed(range(length)) if equation.params["reverse"] else range(length):
            outputs = step(*consts, *carry, *(slice_of(x, i) for x in xs))
            carry, ys[i] = outputs[:n_carry], [lax.expand_dims(y, (0,)) for y in outputs[n_carry:]]
        stacked = [lax.concatenate(y, 0) for y in zip(*ys, strict=True)] if length else _empty_ys()
        return [*carry, *stacked]

    def _empty_ys():
        return [jnp.zeros(v.aval.shape, v.aval.dtype) for v in equation.outvars[n_carry:]]

    return loop


def _split_while(params: dict[str, Any], inputs: Any) -> tuple[Any, Any, Any]:
    first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    return inputs[:first], inputs[first:second], inputs[second:]


def _length_of_while(params: dict[str, Any], inputs: list[Node], limit: int) -> int | None:
    """How many steps the loop takes on these inputs, of any shapes; `None` where it is more than it may."""
    most = limit // max(_count(params["body_jaxpr"].jaxpr), 1)
    of_cond, of_body, carry = _split_while(params, [node.value for node in inputs])
    cond, body = (core.jaxpr_as_fun(params[name]) for name in ("cond_jaxpr", "body_jaxpr"))

    def goes_on(state):
        return (state[0] <= most) & cond(*of_cond, *state[1:])[0]

    steps = int(lax.while_loop(goes_on, lambda state: (state[0] + 1, *body(*of_body, *state[1:])), (0, *carry))[0])
    return steps if steps <= most else None


def _steps_of_while(params: dict[str, Any], length: int) -> Callable[..., list[Any]]:
    """The loop as its steps, boxes called "step"; inputs and outputs have the loop's shapes."""
    step = _named(params["body_jaxpr"], "step")

    def loop(*inputs):
        _, of_body, carry = _split_while(params, inputs)
        for _ in range(length):
            carry = step(*of_body, *carry)
        return list(carry)

    return loop


def _box_name(equation: Any) -> str:
    name = equation.params.get("name")
    if name is None and equation.primitive.name in RULES:  # JAX before 0.12 gives it elsewhere
        name = getattr(inner_jaxprs(equation)[0].debug_info, "func_name", None)
    return str(name) if name else equation.primitive.name


def _source(equation: Any) -> str:
    """The file and line in the caller's code; empty where JAX kept what it traced of a library's function."""
    traceback = equation.source_info.traceback
    for frame in traceback.frames if traceback is not None else ():
        if not frame.file_name.startswith((*_LIBRARIES, "<")):
            return f"{frame.file_name}:{frame.line_num}"
    return ""
