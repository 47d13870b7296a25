"""The reverse pass: the derivative of the output with respect to every node, operation by operation."""

import inspect
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.graph.tracing.nodes import Node, Operation, walk_operations
from jaxnn.jaxprs import bind

Cotangents = dict[Node, Any]
"""A cotangent for each node, in the node's shape."""

ELEMENTWISE = frozenset(
    "abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil clamp"
    " convert_element_type copy cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt imag"
    " integer_pow is_finite le lgamma log log1p logistic lt max min mul ne neg nextafter not or pow real"
    " reduce_precision rem round rsqrt select_n sign sin sinh sqrt square stop_gradient sub tan tanh xor".split()
)


def set_derivatives(
    arguments: tuple[Node, ...], operations: tuple[Operation, ...], outputs: tuple[Node, ...], seeds: list[Any]
) -> None:
    """Set the derivative of every node, from the cotangent of each output, `None` for integer outputs.

    A node that no output depends on has the derivative zero, except in the body of a custom rule, where it has `None`.

    Raises:
      ValueError: if an operation has no derivative.
    """
    start: Cotangents = {}
    for node, seed in zip(outputs, seeds, strict=True):
        if seed is not None and node.kind != "literal":
            start[node] = start[node] + seed if node in start else seed
    derivatives = backpropagate(operations, start)

    def assign(nodes: tuple[Node, ...], zeros: bool) -> None:
        for node in nodes:
            if node.inexact and node.kind != "literal" and node.derivative is None:
                node.derivative = derivatives.get(node, jnp.zeros(node.shape, node.dtype) if zeros else None)

    def assign_all(steps: tuple[Operation, ...], zeros: bool) -> None:
        for op in steps:
            assign(op.inputs + op.outputs, zeros)
            assign_all(op.body, zeros and not op.has_rule)

    assign(arguments + outputs, True)
    assign_all(operations, True)


def backpropagate(operations: tuple[Operation, ...], seeds: Cotangents, record: bool = True) -> Cotangents:
    """Pull cotangents back through the operations in reverse order; return those of all nodes.

    dJ/dx = Σ dJ/dv dv/dx over the operations v that take x. Each operation is pulled back by `jax.vjp` of its
    primitive, a composite without a rule through its body. The nodes in the body of a custom rule get the derivatives
    of the plain function, if it has any; these do not leave the body.

    Args:
      operations: in the order of evaluation.
      seeds: the cotangents to start from.
      record: whether to set `input_cotangents` of the operations.

    Raises:
      ValueError: if an operation has no derivative; the message has its name and source line.
    """
    cotangents = dict(seeds)
    _backpropagate_into(cotangents, operations, record)
    return cotangents


def _backpropagate_into(cotangents: Cotangents, operations: tuple[Operation, ...], record: bool) -> None:
    for op in reversed(operations):
        if op.body and not op.has_rule:
            _backpropagate_into(cotangents, op.body, record)
            continue
        pulled_back = operation_vjp(op, cotangents)
        if record:
            op.input_cotangents = pulled_back
            cotangents.update(_rule_body_cotangents(op, cotangents) if op.body else {})
        for i, cotangent in pulled_back.items():
            node = op.inputs[i]
            cotangents[node] = cotangents[node] + cotangent if node in cotangents else cotangent


def operation_vjp(op: Operation, cotangents: Cotangents) -> dict[int, Any]:
    """Compute the vector-Jacobian product of one operation: a cotangent in the input's shape by the input's index.

    Raises:
      ValueError: if the operation has no derivative.
    """
    wrt = tuple(i for i, node in enumerate(op.inputs) if node.inexact and node.kind != "literal")
    known = [cotangents.get(out) for out in op.outputs]
    if not wrt or all(cotangent is None for cotangent in known):
        return {}
    floating = [(out, ct) for out, ct in zip(op.outputs, known, strict=True) if out.inexact]
    full = [jnp.zeros(out.shape, out.dtype) if ct is None else ct for out, ct in floating]
    try:
        # JAX makes a new rule object in each trace: a compiled vjp of it would never be reused.
        vjp = inspect.unwrap(equation_vjp) if op.has_rule else equation_vjp
        results = vjp(Equation(op), wrt, [node.value for node in op.inputs], full)
    except (TypeError, ValueError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        location = f" at {op.source}" if op.source else ""
        if op.name == "while":
            reason = "JAX cannot reverse a while loop, and it has too many steps to be unrolled: raise `limit`"
        raise ValueError(f"{op.name}{location} has no derivative: {reason}") from error
    return dict(zip(wrt, results, strict=True))


def local_derivatives(op: Operation) -> dict[Node, Any] | None:
    """Compute the derivative of an operation's output with respect to each input, in the output's shape.

    This is the derivative for scalars, and the diagonal of the Jacobian for elementwise functions; `None` for other
    operations.
    """
    if len(op.outputs) != 1 or not op.outputs[0].inexact or not _is_diagonal(op):
        return None
    (out,) = op.outputs
    ones = {out: jnp.ones(out.shape, out.dtype)}
    try:
        if op.body and not op.has_rule:
            cotangents = backpropagate(op.body, ones, record=False)
            return {node: cotangents[node] for node in op.inputs if node in cotangents and node.kind != "literal"}
        slopes: Cotangents = {}
        for i, slope in operation_vjp(op, ones).items():
            slopes[op.inputs[i]] = slopes.get(op.inputs[i], 0) + slope
        return slopes
    except ValueError:
        return None


def _is_diagonal(op: Operation) -> bool:
    (out,) = op.outputs
    inputs = [node for node in op.inputs if node.kind != "literal"]
    if out.shape == () and all(node.shape == () for node in inputs if node.inexact):
        return True
    return all(node.shape == out.shape for node in inputs) and _is_elementwise(op)


def _is_elementwise(op: Operation) -> bool:
    return all(map(_is_elementwise, op.body)) if op.body else op.name in ELEMENTWISE


def _rule_body_cotangents(op: Operation, cotangents: Cotangents) -> Cotangents:
    """Compute the cotangents of the nodes in the body of a custom rule by the plain function; empty if it has none."""
    seeds = {out: cotangents[out] for out in op.outputs if out in cotangents}
    try:
        inner = backpropagate(op.body, seeds)
    except ValueError:
        return {}
    results = {out for step in walk_operations(op.body) for out in step.outputs}
    return {node: cotangent for node, cotangent in inner.items() if node in results and node not in cotangents}


class Equation:
    """A primitive with its parameters, equal to others with the same ones, so that JAX compiles its vjp once."""

    def __init__(self, op: Operation):
        self.primitive, self.params = op.primitive, op.params
        self._key: Any = (op.primitive, tuple(sorted(op.params.items(), key=lambda item: item[0])))
        try:
            self._hash = hash(self._key)
        except TypeError:
            self._key = id(op.params)
            self._hash = hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equation) and self._key == other._key


@partial(jax.jit, static_argnums=(0, 1))
def equation_vjp(equation: Equation, wrt: tuple[int, ...], inputs: list[Any], cotangents: list[Any]) -> Any:
    """Compute the vector-Jacobian products of a primitive with respect to the inputs at `wrt`; compiled."""

    def function(*chosen):
        full = list(inputs)
        for i, value in zip(wrt, chosen, strict=True):
            full[i] = value
        return [out for out in bind(equation, full) if jnp.issubdtype(out.dtype, jnp.inexact)]

    return jax.vjp(function, *(inputs[i] for i in wrt))[1](cotangents)
