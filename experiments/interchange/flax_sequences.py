"""Flax's layers of sequences: nn.RNN with a cell, nn.Bidirectional, and nn.MultiHeadDotProductAttention.

A cell of linen has a module for each gate, i for W_x and h for W_a: ii, if, ig, io and hi, hf, hg, ho of its LSTM; ir,
iz, in and hr, hz, hn of its GRU, whose z is 1 - z here; i and h of its simple cell. Biases are in h of the LSTM, and in
i of the others; hn of the GRU has one too. NNX has one module for all gates, dense_i and dense_h, in the same order,
i f g o or r z n; its GRU has no bias in n of dense_h.
"""

import re
from collections.abc import Mapping

import numpy as np

from experiments.interchange.attention import by_heads, learned_positions_code, positions_code
from experiments.interchange.layers import Placed
from experiments.interchange.names import Modules
from experiments.interchange.recurrence import Gates, check_reset, directions, joint
from experiments.interchange.tables import Array, Code, Row, arrays_there, call

_CELLS = {"simple_cell": "SimpleCell", "lstm_cell": "OptimizedLSTMCell", "gru_cell": "GRUCell"}
_GATES = {"simple_cell": ("",), "lstm_cell": (*"ifgo",), "gru_cell": (*"rzn",)}
_BIASES = {
    "simple_cell": ("i.bias",),
    "lstm_cell": ("hi.bias", "hf.bias", "hg.bias", "ho.bias"),
    "gru_cell": ("ir.bias", "iz.bias", "in.bias", "hn.bias"),
}


def _named(gates: Gates, layer: Placed) -> dict[str, np.ndarray]:
    check_reset(layer, "Flax")
    cell, arrays = layer.options["cell"], {}
    for i, gate in enumerate(_GATES[cell]):
        arrays |= {f"i{gate}.kernel": gates.W_x[i].T, f"h{gate}.kernel": gates.W_a[i].T}
    for name in _BIASES[cell]:
        # Only the candidate of a GRU has two; gates with one have it where the library does.
        bias = gates.b_a if name == "hn.bias" else gates.b
        arrays[name] = bias[_GATES[cell].index(name[1:-5])]
    return arrays


def _gates(stored: Mapping[str, np.ndarray], layer: Placed) -> Gates:
    gates, none = _GATES[layer.options["cell"]], np.zeros(layer.options["n"], np.float32)
    W_x, W_a = (np.stack([stored[f"{side}{gate}.kernel"].T for gate in gates]) for side in "ih")
    b, b_a = (np.stack([stored.get(f"{side}{gate}.bias", none) for gate in gates]) for side in "ih")
    return Gates(W_x, W_a, b, b_a)


_MAY_LACK = frozenset(name for names in _BIASES.values() for name in names)
_ORDERS = {"lstm_cell": "ifgo", "gru_cell": "rzg"}


def variables_of(layer: Placed) -> dict[str, np.ndarray]:
    """Return the variables of a recurrence: cell.ii.kernel, ..., or forward_rnn.cell.ii.kernel, ... of two."""
    prefixes = ("forward_rnn.cell.", "backward_rnn.cell.") if layer.kind == "bidirectional" else ("cell.",)
    variables = {}
    for one, prefix in zip(directions(layer), prefixes, strict=True):
        variables |= {prefix + name: array for name, array in arrays_there(TABLE["recurrent"], one).items()}
    return variables


def with_cells(modules: Modules) -> Modules:
    """Return modules in which those of the gates of one cell, or of one attention, are one module.

    Example:
      >>> one = {"kernel": np.ones((2, 2))}
      >>> {name: [*arrays] for name, arrays in with_cells({"rnn.cell.i": one, "rnn.cell.h": one, "fc": one}).items()}
      {'rnn.cell': ['i.kernel', 'h.kernel'], 'fc': ['kernel']}
    """
    families: dict[str, Modules] = {}
    for name, arrays in modules.items():
        parent = re.sub(r"[^./]*$", "", name)
        families.setdefault(parent, {})[name[len(parent) :]] = arrays
    cells = {parent: _cell(children) for parent, children in families.items()}
    joined: Modules = {}
    for name, arrays in modules.items():  # in their order, which is that of the layers
        parent = re.sub(r"[^./]*$", "", name)
        cell = cells[parent]
        joined |= {name: arrays} if cell is None else {parent.rstrip("./"): cell}
    return joined


def _cell(children: Modules) -> dict[str, np.ndarray] | None:
    """Return the arrays of the modules of one cell, or of attention, as ii.kernel; `None` of other modules."""
    by_gate = {name.rstrip("_"): arrays for name, arrays in _of_gates(children).items()}  # if_ of NNX
    if not _is_one(by_gate):
        return None
    return {f"{name}.{array}": values for name, arrays in by_gate.items() for array, values in arrays.items()}


def _of_gates(children: Modules) -> Modules:
    """Return the modules of a cell by gate, if it is one of NNX with the gates side by side."""
    kernel = children.get("dense_h", {}).get("kernel")
    if {*children} != {"dense_i", "dense_h"} or kernel is None or kernel.ndim != 2:
        return children
    gates = next((gates for gates in _GATES.values() if kernel.shape[1] == len(gates) * kernel.shape[0]), ())
    arrays = [a for child in children.values() for a in child.values()]
    if not gates or any(a.shape[-1:] != kernel.shape[1:] for a in arrays):
        return children
    split: Modules = {}
    for side, of_side in (("i", children["dense_i"]), ("h", children["dense_h"])):
        for array, values in of_side.items():
            for gate, part in zip(gates, np.split(values, len(gates), -1), strict=True):
                split.setdefault(side + gate, {})[array] = part
    return split


def _is_one(children: Modules) -> bool:
    """Return whether these are the modules of one cell, or of attention, whose kernels have an axis of heads."""
    if {*children} == {*_ATTENTION.values()}:
        return all(arrays.get("kernel", np.ones(())).ndim == 3 for arrays in children.values())
    return any({*children} == {f"{side}{gate}" for side in "ih" for gate in gates} for gates in _GATES.values())


def _recurrent(layer: Placed) -> Code:
    options, both = layer.options, layer.kind == "bidirectional"
    check_reset(directions(layer)[0], "Flax")
    n, reverse = options["n"], options["reverse"] and not both
    cell = f"nn.{_CELLS[options['cell']]}({n})"
    made = f"nn.Bidirectional(nn.RNN({cell}), nn.RNN({cell}))" if both else f"nn.RNN({cell})"
    made = f"nn.RNN({cell}, reverse=True, keep_order=True)" if reverse else made
    last = f"lambda x: x[:, {0 if reverse else -1}]"
    if both:
        last = f"lambda x: jax.numpy.concatenate([x[:, -1, :{n}], x[:, 0, {n}:]], -1)"
    return Code(made, (), (last,) if options["outputs"] == "last" else ())


_ATTENTION = {"query": "query", "key": "key", "value": "value", "output": "out"}
"""The parts of attention, and their names there."""


def _attention(layer: Placed) -> str:
    kind = "CausalAttention" if layer.options["causal"] else "nn.MultiHeadDotProductAttention"
    return call(kind, layer.options["heads"])


TABLE = {
    "recurrent": Row(_recurrent, joint=joint(_ORDERS, _named, _gates, _MAY_LACK)),
    "bidirectional": Row(_recurrent),
    "each_step": Row(lambda layer, inside: f"EachStep([{inside}])"),
    "multi_head_attention": Row(
        _attention, joint=by_heads({part: (f"{name}.kernel", f"{name}.bias") for part, name in _ATTENTION.items()})
    ),
    "positions": Row(positions_code),
    "learned_positions": Row(learned_positions_code, {"E": Array("embedding")}),
}

HELPERS = {
    "EachStep": """
class EachStep(nn.Sequential):
    def __call__(self, x):
        y = super().__call__(x.reshape(-1, *x.shape[2:]))
        return y.reshape(*x.shape[:2], *y.shape[1:])
""",
    "CausalAttention": """
class CausalAttention(nn.MultiHeadDotProductAttention):
    def __call__(self, x):
        return super().__call__(x, mask=nn.make_causal_mask(x[..., 0]))
""",
    "Positions": """
class Positions(nn.Module):
    offset: int = 0
    def __call__(self, x):
        _, T, n = x.shape
        times = jax.numpy.arange(T)[:, None] + self.offset
        angles = times * 10000.0 ** (-2 * jax.numpy.arange((n + 1) // 2) / n)
        p = jax.numpy.stack([jax.numpy.sin(angles), jax.numpy.cos(angles)], -1)
        return x + p.reshape(T, -1)[:, :n]
""",
    "LearnedPositions": """
class LearnedPositions(nn.Module):
    longest: int
    n: int
    offset: int = 0
    @nn.compact
    def __call__(self, x):
        E = self.param("embedding", nn.initializers.normal(0.02), (self.longest, self.n))
        return x + E[self.offset : self.offset + x.shape[1]]
""",
}
"""The classes that the printed code defines."""
