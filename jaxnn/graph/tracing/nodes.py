"""The parts of a graph: nodes, which are variables, and operations, which compute nodes from nodes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import jax.numpy as jnp
import numpy as np


@dataclass(eq=False)
class Node:
    """A variable: an argument, a constant, or an output of an operation.

    Attributes:
      value: an array of any shape and dtype.
      kind: "argument", "constant", "literal" (a constant scalar, written inside formulas), or "result".
      name: the path of an argument; for a result the label given by `name`, or v1, v2, ... in the order of evaluation.
      derivative: the derivative of the output with respect to this node, in the shape of its value. `None` for integers
        and literals, and inside a custom rule whose plain function has no derivative.
    """

    value: Any
    kind: str
    name: str = ""
    derivative: Any = None

    def __repr__(self) -> str:
        return f"Node({self.name!r}, shape={self.shape}, dtype={self.dtype})"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        return np.shape(self.value)

    @property
    def dtype(self) -> Any:
        """The dtype of the value."""
        return jnp.result_type(self.value)

    @property
    def inexact(self) -> bool:
        """Whether the dtype is floating or complex, so that derivatives with respect to the node exist."""
        return jnp.issubdtype(self.dtype, jnp.inexact)


@dataclass(eq=False)
class Operation:
    """One step of the evaluation: a JAX primitive, or a composite of other operations, such as a jitted function.

    Attributes:
      name: of the primitive or the jitted function; or "scan", "while", "cond", "step", "vmap" and the like.
      primitive: the JAX primitive; `None` for a layer.
      params: the parameters of the primitive.
      inputs, outputs: nodes, in order.
      body: the operations of a composite, in the order of evaluation; empty for a primitive.
      has_rule: whether a composite has a custom derivative rule, as from `jax.custom_vjp` and `jax.custom_jvp`.
      source: file:line in the caller's code; empty if unknown.
      scope: the enclosing `jax.named_scope`; empty outside of one.
      layer: the path, in the params of a network of jaxnn, of the layer that it belongs to, such as `[1][0]`.
      input_cotangents: by the input's index, the part of its derivative that comes back through this operation. Empty
        before the reverse pass, and for composites without a rule.
    """

    name: str
    primitive: Any
    params: dict[str, Any]
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    body: tuple["Operation", ...] = ()
    has_rule: bool = False
    source: str = ""
    scope: str = ""
    layer: str = ""
    input_cotangents: dict[int, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The title of the expanded composite, which shows the plain function even if a custom rule replaces it."""
        return f"{self.name} (custom rule)" if self.has_rule else self.name

    def __repr__(self) -> str:
        return f"Operation({self.name!r}, {[n.name for n in self.inputs]} -> {[n.name for n in self.outputs]})"


def walk_operations(operations: tuple[Operation, ...], depth: float = inf) -> list[Operation]:
    """List all operations, composites before their bodies, to a nesting depth of `depth`."""
    nested = ((op, *(walk_operations(op.body, depth - 1) if depth > 0 else ())) for op in operations)
    return [op for ops in nested for op in ops]


def leaf_operations(operations: tuple[Operation, ...]) -> list[Operation]:
    """List the operations that are not composites, at any depth, in the order of evaluation."""
    return [leaf for op in operations for leaf in (leaf_operations(op.body) if op.body else [op])]


def count_uses(operations: Iterable[Operation], outputs: Iterable[Node] = ()) -> Counter[Node]:
    """Count how often each node is used, as an input of the operations or as an output."""
    return Counter(node for op in operations for node in op.inputs) + Counter(outputs)


def find_boundary(group: Sequence[Operation], uses: Counter[Node]) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """Return the inputs and the outputs of a group of operations: nodes from outside of it, and nodes used outside.

    `uses` counts the uses of each node in the whole graph.
    """
    inside = count_uses(group)
    results = dict.fromkeys(node for op in group for node in op.outputs)
    inputs = tuple(node for node in inside if node not in results and node.kind != "literal")
    return inputs, tuple(node for node in results if uses[node] > inside[node])
