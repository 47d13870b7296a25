"""PyTorch's layers of sequences: nn.RNN, nn.LSTM, nn.GRU and nn.MultiheadAttention, with batch_first=True.

The gates of weight_ih and weight_hh are in the order i f g o of nn.LSTM and r z n of nn.GRU, whose z is 1 - z here.
There are two biases, bias_ih and bias_hh: export writes their sum into the first, and 0 into the second, but for n of
nn.GRU, which needs both. nn.MultiheadAttention has the matrices of queries, keys and values under one another.
"""

import re
from collections.abc import Mapping

import numpy as np

from experiments.interchange.attention import learned_positions_code, positions_code
from experiments.interchange.channels_first import ARRAYS as ARRAYS_OF_LAYERS
from experiments.interchange.layers import Placed
from experiments.interchange.recurrence import Gates, check_reset, directions, joint
from experiments.interchange.tables import Code, Joint, Row, arrays_there, call, given

_MODULES = {"simple_cell": "nn.RNN", "lstm_cell": "nn.LSTM", "gru_cell": "nn.GRU"}
ARRAYS = "(weight|bias)_(ih|hh)|(in|out)_proj_(weight|bias)"
"""The pattern of the names of arrays in a module, after `named_by_layer`."""


def _named(gates: Gates, layer: Placed) -> dict[str, np.ndarray]:
    check_reset(layer, "PyTorch")
    n, n_in = gates.W_x.shape[1:]
    weights = {"weight_ih": gates.W_x.reshape(-1, n_in), "weight_hh": gates.W_a.reshape(-1, n)}
    return weights | {"bias_ih": gates.b.ravel(), "bias_hh": gates.b_a.ravel()}


def _gates(stored: Mapping[str, np.ndarray], layer: Placed) -> Gates:
    n = layer.options["n"]
    weights = (stored[name].reshape(-1, n, stored[name].shape[1]) for name in ("weight_ih", "weight_hh"))
    return Gates(*weights, stored["bias_ih"].reshape(-1, n), stored["bias_hh"].reshape(-1, n))


_CELLS = joint({"lstm_cell": "ifgo", "gru_cell": "rzg"}, _named, _gates, frozenset({"bias_ih", "bias_hh"}))


def state_of(layer: Placed) -> dict[str, np.ndarray]:
    """Return the state dict of a module: weight_ih_l0, ..., weight_ih_l0_reverse, ... of a recurrence."""
    state = {}
    if layer.kind == "multi_head_attention":
        arrays = arrays_there(TABLE[layer.kind], layer)
        return {name.replace("out_proj_", "out_proj."): array for name, array in arrays.items()}
    for one, suffix in zip(directions(layer), ("_l0", "_l0_reverse"), strict=False):
        state |= {name + suffix: array for name, array in arrays_there(TABLE["recurrent"], one).items()}
    return state


def named_by_layer(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a state dict in which each layer and direction of a recurrence is a module, and attention is one.

    Example:
      >>> [*named_by_layer({"0.weight_ih_l0": 1, "0.bias_hh_l1_reverse": 2, "1.weight": 3})]
      ['0.l0.weight_ih', '0.l1_reverse.bias_hh', '1.weight']
      >>> [*named_by_layer({"a.in_proj_weight": 1, "a.out_proj.bias": 2, "b.out_proj.bias": 3})]
      ['a.in_proj_weight', 'a.out_proj_bias', 'b.out_proj.bias']

    Raises:
      ValueError: if an nn.LSTM has a projection, or attention has keys of another size.
    """
    for name in arrays:
        if re.search(r"(^|\.)(weight_hr_l\d+|[qkv]_proj_weight|bias_[kv])(_reverse)?$", name):
            raise ValueError(
                f"{name!r} must not be there: nn.LSTM must have no proj_size, nn.MultiheadAttention one size"
            )
    return {_named_by_layer(name, arrays): array for name, array in arrays.items()}


def _named_by_layer(name: str, arrays: Mapping[str, np.ndarray]) -> str:
    if match := re.fullmatch(r"(.*\.)?(weight|bias)_(ih|hh)_(l\d+(_reverse)?)", name):
        return f"{match[1] or ''}{match[4]}.{match[2]}_{match[3]}"
    module, _, array = name.rpartition("out_proj.")
    attention = array in ("weight", "bias") and f"{module}in_proj_weight" in arrays
    return f"{module}out_proj_{array}" if attention else name


def _recurrent(layer: Placed) -> Code:
    options = layer.options
    check_reset(directions(layer)[0], "PyTorch")
    both = given(bidirectional=(layer.kind == "bidirectional", False))
    made = call(_MODULES[options["cell"]], layer.in_shape[-1], options["n"], batch_first=True, **both)
    turned = ("Reversed()",) * (layer.kind == "recurrent" and options["reverse"])
    after = ("LastStep()",) if options["outputs"] == "last" else ("AllSteps()", *turned)
    return Code(made, (*_last(layer), *turned), after)


def _attention(layer: Placed) -> Code:
    options = layer.options
    causal = given(causal=(options["causal"], False))
    return Code(call("SelfAttention", layer.in_shape[-1], options["heads"], **causal), _last(layer))


def _attention_there(layer: Placed) -> dict[str, np.ndarray]:
    a = layer.arrays
    matrices, biases = [a[f"{part}.W"] for part in _PARTS], [a["query.b"], np.zeros_like(a["query.b"]), a["value.b"]]
    inside = {"in_proj_weight": np.concatenate(matrices), "in_proj_bias": np.concatenate(biases)}
    return inside | {"out_proj_weight": a["output.W"], "out_proj_bias": a["output.b"]}


def _attention_here(stored: Mapping[str, np.ndarray], layer: Placed) -> dict[str, np.ndarray]:
    matrices = zip(_PARTS, np.split(stored["in_proj_weight"], 3), strict=True)
    of_queries, _, of_values = np.split(stored["in_proj_bias"], 3)
    arrays = {f"{part}.W": W for part, W in matrices} | {"query.b": of_queries, "value.b": of_values}
    return arrays | {"output.W": stored["out_proj_weight"], "output.b": stored["out_proj_bias"]}


_PARTS = ("query", "key", "value")


def _last(layer: Placed) -> tuple[str, ...]:
    return ("ChannelsLast()",) * layer.moved


def _each_step(layer: Placed, inside: str) -> Code:
    return Code(f"EachStep({inside})", _last(layer))


TABLE = {
    "recurrent": Row(_recurrent, joint=_CELLS),
    "bidirectional": Row(_recurrent),
    "each_step": Row(_each_step),
    "multi_head_attention": Row(
        _attention, joint=Joint(_attention_there, _attention_here, frozenset({"in_proj_bias", "out_proj_bias"}))
    ),
    "positions": Row(lambda layer: Code(positions_code(layer), _last(layer))),
    "learned_positions": Row(
        lambda layer: Code(learned_positions_code(layer), _last(layer)), ARRAYS_OF_LAYERS["learned_positions"]
    ),
}

JOINT = ("recurrent", "bidirectional", "multi_head_attention")
"""Those whose state dict `state_of` makes."""
