"""Keras' layers of sequences: SimpleRNN, LSTM, GRU, Bidirectional and MultiHeadAttention.

The weights of a cell are kernel (n_in, gates n), recurrent_kernel and bias, with the gates in the order i f c o of the
LSTM and z r h of the GRU, whose z is 1 - z here. By default the reset gate of a GRU comes after the product
(reset_after=True), with a bias (2, 3 n), one beside each matrix; before it, with one bias.
"""

from collections.abc import Mapping

import numpy as np

from experiments.interchange.attention import PARTS, by_heads, learned_positions_code, positions_code
from experiments.interchange.layers import Placed
from experiments.interchange.names import Modules
from experiments.interchange.recurrence import Gates, directions, joint, resets_after
from experiments.interchange.tables import Array, Code, Row, arrays_there, call, given

_CLASSES = {"simple_cell": "SimpleRNN", "lstm_cell": "LSTM", "gru_cell": "GRU"}


def _named(gates: Gates, layer: Placed) -> dict[str, np.ndarray]:
    n, n_in = gates.W_x.shape[1:]
    bias = np.stack([gates.b.ravel(), gates.b_a.ravel()]) if resets_after(layer) else gates.b.ravel()
    return {"0": gates.W_x.reshape(-1, n_in).T, "1": gates.W_a.reshape(-1, n).T, "2": bias}


def _gates(stored: Mapping[str, np.ndarray], layer: Placed) -> Gates:
    n = layer.options["n"]
    W_x, W_a = (stored[name].T.reshape(-1, n, len(stored[name])) for name in ("0", "1"))
    bias = stored["2"]
    b, b_a = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    return Gates(W_x, W_a, b.reshape(-1, n), b_a.reshape(-1, n))


def weights_of(layer: Placed) -> dict[str, np.ndarray]:
    """Return the weights of a layer by their paths in it, such as forward_layer/cell/vars/0."""
    if layer.kind == "multi_head_attention":
        arrays = arrays_there(TABLE[layer.kind], layer)
        return {f"attention/{name.replace('.', '_dense/vars/')}": array for name, array in arrays.items()}
    prefixes = ("forward_layer/", "backward_layer/") if layer.kind == "bidirectional" else ("",)
    weights = {}
    for one, prefix in zip(directions(layer), prefixes, strict=True):
        arrays = arrays_there(TABLE["recurrent"], one)
        weights |= {f"{prefix}cell/vars/{number}": array for number, array in arrays.items()}
    return weights


def with_attention(modules: Modules) -> Modules:
    """Return modules in which the four of attention, which are called query_dense and so on, are one module.

    Example:
      >>> parts = {f"net/{part}_dense": {"0": np.ones((4, 2, 2))} for part in ("query", "key", "value", "output")}
      >>> {name: [*arrays] for name, arrays in with_attention(parts).items()}
      {'net': ['query.0', 'key.0', 'value.0', 'output.0']}
    """
    joined: Modules = {}
    for name, arrays in modules.items():
        parent, _, child = name.rpartition("/")
        part = child.removesuffix("_dense")
        whole = all(arrays_of.get("0", np.ones(())).ndim == 3 for arrays_of in _parts(modules, parent))
        if part in PARTS and child != part and whole:
            joined.setdefault(parent, {}).update({f"{part}.{number}": array for number, array in arrays.items()})
        else:
            joined[name] = arrays
    return joined


def _parts(modules: Modules, parent: str) -> list[dict[str, np.ndarray]]:
    return [modules.get(f"{parent}/{part}_dense", {}) for part in PARTS]


def _recurrent(layer: Placed) -> Code:
    options, both, after = layer.options, layer.kind == "bidirectional", ()
    reverse = options["reverse"] and not both
    stated = given(return_sequences=(options["outputs"] == "all", False), go_backwards=(reverse, False))
    if "reset" in options:
        stated |= given(reset_after=(resets_after(directions(layer)[0]), True))
    made = call(f"keras.layers.{_CLASSES[options['cell']]}", options["n"], **stated)
    if reverse and options["outputs"] == "all":
        after = ("keras.layers.Lambda(lambda x: keras.ops.flip(x, 1))",)
    return Code(f"keras.layers.Bidirectional({made})" if both else made, (), after)


def _attention(layer: Placed) -> str:
    heads = layer.options["heads"]
    causal = given(causal=(layer.options["causal"], False))
    return call("SelfAttention", heads, layer.in_shape[-1] // heads, **causal)


TABLE = {
    "recurrent": Row(
        _recurrent, joint=joint({"lstm_cell": "ifgo", "gru_cell": "zrg"}, _named, _gates, frozenset({"2"}))
    ),
    "bidirectional": Row(_recurrent),
    "each_step": Row(lambda layer, inside: f"EachStep({inside})"),
    "multi_head_attention": Row(_attention, joint=by_heads({part: (f"{part}.0", f"{part}.1") for part in PARTS})),
    "positions": Row(positions_code),
    "learned_positions": Row(learned_positions_code, {"E": Array("0")}),
}
JOINT = ("recurrent", "bidirectional", "multi_head_attention")
"""Those whose weights `weights_of` returns."""
