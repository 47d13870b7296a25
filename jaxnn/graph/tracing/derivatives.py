"""The reverse pass: the derivative of the output by every node, operation by operation, and that of each operation."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.graph.tracing.nodes import Node, Operation, every
from jaxnn.jaxprs import bind

Derivatives = dict[Node, Any]
"""A cotangent for each node, in its shape."""

ELEMENTWISE = frozenset(
    "abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil clamp"
    " convert_element_type copy cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt imag"
    " integer_pow is_finite le lgamma log log1p logistic lt max min mul ne neg nextafter not or pow real"
    " reduce_precision rem round rsqrt select_n sign sin sinh sqrt square stop_gradient sub tan tanh xor".split()
)


def derivatives(operations: tuple[Operation, ...], seeds: Derivatives, keep: bool = True) -> Derivatives:
    """Pull the seeds, cotangents of nodes of any shapes, back through the operations, the last first.

    `keep` is whether the operations keep what came back through each of them.

    Each operation is differentiated by `jax.vjp` of itself, boxes without a rule through their inside. Inside a box
    with a rule the derivatives are those of the plain function, where it has any; they do not leave the box.

    Raises:
      ValueError: an operation has no derivative; which one, and where it is.
    """
    found = dict(seeds)
    _pull_back(operations, found, keep)
    return found


def _pull_back(operations: tuple[Operation, ...], found: Derivatives, keep: bool) -> None:
    """The pass itself: it adds to `found`, whose arrays have their nodes' shapes."""
    for op in reversed(operations):
        if op.inside and not op.has_rule:
            _pull_back(op.inside, found, keep)
            continue
        pulled = pull(op, found)
        if keep:
            op.pulled = pulled
            found.update(_plain_inside(op, found) if op.inside else {})
        for i, cotangent in pulled.items():
            node = op.inputs[i]
            found[node] = found[node] + cotangent if node in found else cotangent


def pull(op: Operation, cotangents: Derivatives) -> dict[int, Any]:
    """The vector-Jacobian product of one operation: a cotangent, of the input's shape, for inputs by their number.

    Raises:
      ValueError: it has no derivative.
    """
    wanted = tuple(i for i, node in enumerate(op.inputs) if node.inexact and node.kind != "literal")
    given = [cotangents.get(out) for out in op.outputs]
    if not wanted or all(cotangent is None for cotangent in given):
        return {}
    floating = [(out, ct) for out, ct in zip(op.outputs, given, strict=True) if out.inexact]
    full = [jnp.zeros(out.shape, out.dtype) if ct is None else ct for out, ct in floating]
    try:
        # JAX makes a rule anew in each trace: compiled, it would be compiled in each, and never forgotten.
        vjp = _vjp.__wrapped__ if op.has_rule else _vjp
        found = vjp(_Equation(op), wanted, [node.value for node in op.inputs], full)
    except (TypeError, ValueError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        where = f" at {op.source}" if op.source else ""
        if op.name == "while":
            reason = "JAX has none for a while loop, and this one has too many steps to be opened: raise `limit`"
        raise ValueError(f"{op.name}{where} has no derivative: {reason}") from error
    return dict(zip(wanted, found, strict=True))


def local(op: Operation) -> dict[Node, Any] | None:
    """The derivative of an operation's output by each of its inputs, where it is one number for each element.

    In the output's shape: the derivative itself of scalars, the diagonal of it of elementwise functions; `None` for
    other operations.
    """
    if len(op.outputs) != 1 or not op.outputs[0].inexact or not _is_diagonal(op):
        return None
    (out,) = op.outputs
    ones = {out: jnp.ones(out.shape, out.dtype)}
    try:
        if op.inside and not op.has_rule:
            found = derivatives(op.inside, ones, keep=False)
            return {node: found[node] for node in op.inputs if node in found and node.kind != "literal"}
        found = {}
        for i, slope in pull(op, ones).items():
            found[op.inputs[i]] = found.get(op.inputs[i], 0) + slope
        return found
    except ValueError:
        return None


def _is_diagonal(op: Operation) -> bool:
    (out,) = op.outputs
    inputs = [node for node in op.inputs if node.kind != "literal"]
    if out.shape == () and all(node.shape == () for node in inputs if node.inexact):
        return True
    return all(node.shape == out.shape for node in inputs) and _is_elementwise(op)


def _is_elementwise(op: Operation) -> bool:
    return all(map(_is_elementwise, op.inside)) if op.inside else op.name in ELEMENTWISE


def _plain_inside(op: Operation, found: Derivatives) -> Derivatives:
    """Derivatives by the nodes that the plain function of a rule makes, of any shapes."""
    seeds = {out: found[out] for out in op.outputs if out in found}
    try:
        inner = derivatives(op.inside, seeds)
    except ValueError:
        return {}
    made = {out for inner_op in every(op.inside) for out in inner_op.outputs}
    return {node: cotangent for node, cotangent in inner.items() if node in made and node not in found}


class _Equation:
    """A primitive with its parameters, equal to others of the same ones: JAX compiles its derivative once."""

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
        return isinstance(other, _Equation) and self._key == other._key


@partial(jax.jit, static_argnums=(0, 1))
def _vjp(equation: _Equation, wanted: tuple[int, ...], inputs: list[Any], cotangents: list[Any]) -> Any:
    def function(*chosen):
        full = list(inputs)
        for i, value in zip(wanted, chosen, strict=True):
            full[i] = value
        outputs = bind(equation, full)
        return [out for out in outputs if jnp.issubdtype(out.dtype, jnp.inexact)]

    return jax.vjp(function, *(inputs[i] for i in wanted))[1](cotangents)
