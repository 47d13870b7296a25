"""What a graph is made of: nodes, which are variables, and operations, which make nodes of nodes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Summary(NamedTuple):
    """An array in five numbers.

    Attributes:
      minimum, mean, maximum: of its finite elements; NaN where it has none.
      zeros: the share of its elements that are zero.
      not_finite: how many of its elements are NaN or infinite.
    """

    minimum: float
    mean: float
    maximum: float
    zeros: float
    not_finite: int


@dataclass(eq=False)
class Node:
    """A variable: an argument, a constant, or what an operation made.

    Attributes:
      value: an array, of any shape and dtype.
      kind: "argument", "constant", "literal" (a constant number, shown inside formulas), or "result".
      name: an argument's is its path, a result's what `name` called it, or v1, v2, ... in the order of evaluation.
      derivative: of the output by this node, in the shape of its value; `None` where there is none: of whole numbers
        and of literals, and inside a custom rule whose plain function has none.
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
        """The dtype of the value (of any shape)."""
        return jnp.result_type(self.value)

    @property
    def inexact(self) -> bool:
        """Whether the value, of any shape, is of numbers that a derivative can be taken by."""
        return jnp.issubdtype(self.dtype, jnp.inexact)


@dataclass(eq=False)
class Operation:
    """One step of the evaluation: a primitive of JAX, or a box of steps, such as a jitted function.

    Attributes:
      name: the primitive's, the jitted function's, or "scan", "while", "cond", "step", "vmap" and the like.
      primitive: what `jax.make_jaxpr` called it.
      params: the primitive's parameters.
      inputs, outputs: nodes, of any shapes, in order.
      inside: the operations of a box, in the order of evaluation; none of a primitive.
      has_rule: whether a box brings its own derivative, as `jax.custom_vjp` and `jax.custom_jvp` do.
      source: the file and line of the caller's code that it comes from; empty where that is unknown.
      scope: the `jax.named_scope` it is in; empty outside of one.
      pulled: of the output's derivative, what came back to each input through this operation alone; empty before the
        reverse pass, and of boxes without a rule.
    """

    name: str
    primitive: Any
    params: dict[str, Any]
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    inside: tuple["Operation", ...] = ()
    has_rule: bool = False
    source: str = ""
    scope: str = ""
    pulled: dict[int, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Of its box when it is opened: what is inside is the plain function, whatever its rule says."""
        return f"{self.name}, by its own rule" if self.has_rule else self.name

    def __repr__(self) -> str:
        return f"Operation({self.name!r}, {[n.name for n in self.inputs]} -> {[n.name for n in self.outputs]})"


def to_numpy(value: Any) -> np.ndarray | None:
    """A value of any shape in NumPy's dtypes, half precision as float32; `None` for random keys."""
    dtype = jnp.result_type(value)
    if jnp.issubdtype(dtype, jax.dtypes.extended):
        return None
    array = np.asarray(value)
    return array.astype(np.float32) if dtype == jnp.bfloat16 or array.dtype.kind == "V" else array


def summarise(value: Any) -> Summary | None:
    """Five numbers for an array of any shape; `None` where it is empty, complex or of random keys.

    Example:
      >>> print(summarise(np.array([0.0, 1.0, np.inf, 3.0])))
      Summary(minimum=0.0, mean=1.3333333333333333, maximum=3.0, zeros=0.25, not_finite=1)
    """
    array = to_numpy(value)
    if array is None or array.size == 0 or array.dtype.kind == "c":
        return None
    finite = array[np.isfinite(array)].astype(np.float64)
    low, mean, high = (finite.min(), finite.mean(), finite.max()) if finite.size else (np.nan, np.nan, np.nan)
    share = float((array == 0).mean())
    return Summary(float(low), float(mean), float(high), share, array.size - finite.size)


def every(operations: tuple[Operation, ...], depth: float = inf) -> list[Operation]:
    """All operations, boxes before what is in them, `depth` levels of boxes deep (on nodes of any shapes)."""
    return [found for op in operations for found in (op, *(every(op.inside, depth - 1) if depth > 0 else ()))]


def flat(operations: tuple[Operation, ...]) -> list[Operation]:
    """All operations that are no boxes, in the order of evaluation (on nodes of any shapes)."""
    return [leaf for op in operations for leaf in (flat(op.inside) if op.inside else [op])]


def uses(operations: Iterable[Operation], outputs: Iterable[Node] = ()) -> Counter[Node]:
    """How often each node, of any shape, is taken: by operations, and as an output."""
    return Counter(node for op in operations for node in op.inputs) + Counter(outputs)


def boundary(inside: Sequence[Operation], everywhere: Counter[Node]) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """What some operations take from others, and what they made that others take: nodes of any shapes.

    `everywhere` is how often each node is taken in all.
    """
    here = uses(inside)
    made = dict.fromkeys(node for op in inside for node in op.outputs)
    taken = tuple(node for node in here if node not in made and node.kind != "literal")
    return taken, tuple(node for node in made if everywhere[node] > here[node])
