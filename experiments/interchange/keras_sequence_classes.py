"""What Keras' classes of sequences are here, by their configuration in an archive, and where their weights are."""

from collections.abc import Callable, Mapping
from typing import Any

from experiments.interchange.graphs import Branch, one_layer
from experiments.interchange.keras_classes import Config
from experiments.interchange.names import Modules
from jaxnn import nn

_CELLS = {"SimpleRNN": nn.simple_cell, "LSTM": nn.lstm_cell, "GRU": nn.gru_cell}


def _activation(config: Config, name: str, expected: str) -> None:
    given = config.get(name, expected)
    given = given.get("config") if isinstance(given, dict) else given
    if given != expected:
        raise ValueError(f"recurrences must have {name}={expected!r}, got {str(given)[:50]}")


def _recurrent(kind: str, config: Config) -> tuple[Any, str, bool]:
    """Return the cell, which outputs there are, and whether the last time comes first."""
    if kind not in _CELLS:
        raise ValueError(f"Bidirectional must have a layer of {', '.join(_CELLS)}, got {kind[:50]}")
    _activation(config, "activation", "tanh")
    if kind != "SimpleRNN":
        _activation(config, "recurrent_activation", "sigmoid")
    if config.get("stateful") or config.get("return_state"):
        raise ValueError(f"{kind} must have stateful=False and return_state=False, got True")
    reset = {"reset": "after" if config["reset_after"] else "before"} if kind == "GRU" else {}
    outputs = "all" if config["return_sequences"] else "last"
    return _CELLS[kind](config["units"], **reset), outputs, bool(config["go_backwards"])


def _one_direction(kind: str, config: Config, where: str, modules: Modules) -> Branch:
    cell, outputs, reverse = _recurrent(kind, config)
    if reverse and outputs == "all":
        raise ValueError(f"{kind} must have no go_backwards with return_sequences, which reverses its outputs")
    return Branch([nn.recurrent(cell, outputs, reverse)], [_of(modules, f"{where}/cell")])


def _both_directions(config: Config, where: str, modules: Modules) -> Branch:
    ahead, back = config["layer"], config.get("backward_layer") or config["layer"]
    cell, outputs, _ = _recurrent(ahead["class_name"], ahead["config"])
    other, others, _ = _recurrent(back["class_name"], back["config"])
    if (cell, outputs) != (other, others) or config.get("merge_mode") != "concat":
        raise ValueError("Bidirectional must have merge_mode='concat' and two layers alike, got others")
    paths = (f"{where}/forward_layer/cell", f"{where}/backward_layer/cell")
    return Branch([nn.bidirectional(cell, outputs)], [_of(modules, path) for path in paths])


def _attention(config: Config, kwargs: Mapping[str, Any], width: int, where: str, modules: Modules) -> Branch:
    heads, size = config["num_heads"], config["key_dim"]
    sizes = {size, config.get("value_dim") or size}
    plain = not config.get("output_shape") and not config.get("flash_attention")
    if sizes != {width // heads} or heads * size != width or not plain:
        raise ValueError(f"MultiHeadAttention must have key_dim {width}/{heads}, and no other sizes, got {size}")
    used = [name for name in ("attention_mask", "query_mask", "return_attention_scores") if kwargs.get(name)]
    if used:
        raise ValueError(f"MultiHeadAttention must be called without {used[0]}, got one")
    layer = nn.multi_head_attention(heads, causal=bool(kwargs.get("use_causal_mask")))
    return Branch([layer], [_of(modules, where)])


def _of(modules: Modules, where: str) -> Mapping[str, Any]:
    return modules.get(where, {})


def sequence_layers(
    layer: Config,
    where: str,
    shape: tuple[int, ...],
    modules: Modules,
    inside: Callable[[Config, str, tuple[int, ...]], Branch],
) -> Branch:
    """Return the layers and the arrays of one of `SEQUENCE_CLASSES`.

    Args:
      layer: its class, its configuration and how it is called.
      where: the path of its weights.
      shape: the sizes of one example before it.
      modules: the weights by path.
      inside: `inside(layer, where, shape)`, those of a layer inside of it.

    Raises:
      ValueError: if it has options that there are not here.
    """
    kind, config = layer["class_name"], layer["config"]
    if kind in _CELLS:
        return _one_direction(kind, config, where, modules)
    if kind == "Bidirectional":
        return _both_directions(config, where, modules)
    if kind == "TimeDistributed":
        at_one_time = inside(config["layer"], f"{where}/layer", shape[1:])
        return Branch([nn.each_step(one_layer(at_one_time.layers))], at_one_time.arrays)
    calls = layer.get("inbound_nodes") or [{}]
    return _attention(config, calls[0].get("kwargs", {}), shape[-1], where, modules)


SEQUENCE_CLASSES = (*_CELLS, "Bidirectional", "TimeDistributed", "MultiHeadAttention")
"""Those that `sequence_layers` reads."""
