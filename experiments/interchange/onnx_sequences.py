"""Operators of layers of sequences for ONNX: RNN, LSTM and GRU, and the products that attention is made of.

The gates are in the order i o f c of LSTM and z r h of GRU, whose z is 1 - z here; with linear_before_reset=1 its reset
gate comes after the product. B has the biases of W and of R, one after another. The operators have time first, so that
sequences (m, T, n) are turned before and after them. Import does not read them: other programs put them between other
operators, and into loops.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.interchange.layers import Placed
from experiments.interchange.recurrence import directions, gates_of, resets_after
from experiments.interchange.tables import Row
from jaxnn.nn import sinusoids

_OPERATORS = {"simple_cell": ("RNN", "g"), "lstm_cell": ("LSTM", "iofg"), "gru_cell": ("GRU", "zrg")}


def _recurrent(g: Any, x: str, layer: Placed, a: Mapping[str, str]) -> str:
    options, ways = layer.options, directions(layer)
    operator, order = _OPERATORS[options["cell"]]
    gates, n = [gates_of(way, order) for way in ways], options["n"]
    W_x, W_a = (np.stack([one[i].reshape(len(order) * n, -1) for one in gates]) for i in (0, 1))
    b = np.stack([np.concatenate([one.b.ravel(), one.b_a.ravel()]) for one in gates])
    attributes: dict[str, Any] = {"linear_before_reset": int(resets_after(ways[0]))} if operator == "GRU" else {}
    reverse = ("reverse",) if options["reverse"] else ("forward",)
    (attributes["direction"],) = reverse if len(ways) == 1 else ("bidirectional",)
    x = g.node("Transpose", x, perm=[1, 0, 2])
    arrays = (g.array(name, array) for name, array in (("W", W_x), ("R", W_a), ("B", b)))
    every, last = g.outputs(operator, 2, x, *arrays, hidden_size=n, **attributes)
    if options["outputs"] == "last":
        return _reshaped(g, g.node("Transpose", last, perm=[1, 0, 2]), 0, -1)
    return _reshaped(g, g.node("Transpose", every, perm=[2, 0, 1, 3]), 0, 0, -1)


def _reshaped(g: Any, x: str, *shape: int) -> str:
    return g.node("Reshape", x, g.array("shape", np.array(shape, np.int64)))


def rows_of_times(g: Any, x: str, layer: Placed) -> str:
    """Add what puts the times of all examples under one another, (m, T, ...) to (m T, ...)."""
    return _reshaped(g, x, -1, *layer.in_shape[1:])


def times_of_rows(g: Any, y: str, layer: Placed) -> str:
    """Add what separates times from examples again."""
    return _reshaped(g, y, -1, *layer.out_shape)


def _attention(g: Any, x: str, layer: Placed, a: Mapping[str, str]) -> str:
    (n_steps, n), heads = layer.in_shape, layer.options["heads"]
    turned = {"query": [0, 2, 1, 3], "key": [0, 2, 3, 1], "value": [0, 2, 1, 3]}
    parts = {part: _split(g, _dense(g, x, layer, part), heads, n, perm) for part, perm in turned.items()}
    scores = g.node("MatMul", parts["query"], parts["key"])
    scores = g.node("Mul", scores, g.array("scale", np.float32((n // heads) ** -0.5)))
    if layer.options["causal"]:
        hidden = np.triu(np.full((n_steps, n_steps), -np.inf, np.float32), 1)
        scores = g.node("Add", scores, g.array("hidden", hidden))
    y = g.node("MatMul", g.node("Softmax", scores, axis=-1), parts["value"])
    y = _reshaped(g, g.node("Transpose", y, perm=[0, 2, 1, 3]), 0, 0, n)
    return _dense(g, y, layer, "output")


def _dense(g: Any, x: str, layer: Placed, part: str) -> str:
    y = g.node("MatMul", x, g.array(part, np.ascontiguousarray(layer.arrays[f"{part}.W"].T)))
    return g.node("Add", y, g.array(part, layer.arrays[f"{part}.b"])) if f"{part}.b" in layer.arrays else y


def _split(g: Any, x: str, heads: int, n: int, perm: list[int]) -> str:
    return g.node("Transpose", _reshaped(g, x, 0, 0, heads, n // heads), perm=perm)


def _positions(g: Any, x: str, layer: Placed, a: Mapping[str, str]) -> str:
    p = sinusoids(*layer.in_shape, layer.options["offset"], "float32")
    return g.node("Add", x, g.array("positions", np.asarray(p)))


def _learned_positions(g: Any, x: str, layer: Placed, a: Mapping[str, str]) -> str:
    offset = int(layer.options["offset"])
    return g.node("Add", x, g.array("positions", layer.arrays["E"][offset : offset + layer.in_shape[0]]))


TABLE = {
    "recurrent": Row(_recurrent),
    "bidirectional": Row(_recurrent),
    "each_step": Row(lambda g, x, layer, a: x),
    "multi_head_attention": Row(_attention),
    "positions": Row(_positions),
    "learned_positions": Row(_learned_positions),
}
"""The operators of each layer; they add its arrays themselves."""
