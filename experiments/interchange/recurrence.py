"""The gates of recurrent cells, whose order, signs and biases differ between libraries.

| cell | here | PyTorch | Flax | Keras | ONNX |
|---|---|---|---|---|---|
| `lstm_cell` | f i o g | i f g o | one array each, i f g o | i f g o | i o f g |
| `gru_cell` | r z g | r z g | one array each, r z n | z r g | z r g |

The candidate g is n in PyTorch and Flax, c in ONNX and in Keras' LSTM, h in its GRU. The update gate z of `gru_cell` is
1 - z elsewhere, which is the same gate with the signs of its weights and its bias changed, since σ(-x) = 1 - σ(x): so
no number is rounded. PyTorch, ONNX and Keras' GRU have a second bias, beside W_a. Both are added, so here they are
one, their sum, but for the candidate of a GRU whose reset gate comes after the product, which has both here too.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from experiments.interchange.layers import Placed
from experiments.interchange.tables import Joint

_GATES = {"simple_cell": "g", "lstm_cell": "fiog", "gru_cell": "rzg"}
"""The order of the gates here."""
_CHANGED = {"gru_cell": "z"}
"""Gates that are 1 minus those elsewhere."""


class Gates(NamedTuple):
    """The arrays of a cell by gate, in the order of a format.

    Attributes:
      W_x: (gates, n, n_in).
      W_a: (gates, n, n).
      b: (gates, n), beside W_x.
      b_a: (gates, n), beside W_a.
    """

    W_x: np.ndarray
    W_a: np.ndarray
    b: np.ndarray
    b_a: np.ndarray


def directions(layer: Placed) -> tuple[Placed, ...]:
    """Return the recurrences of a layer: itself, or those forward and backward in time."""
    return tuple(part[0] for part in layer.parts) or (layer,)


def resets_after(layer: Placed) -> bool:
    """Return whether a cell is a GRU whose reset gate comes after the product with W_a."""
    return layer.options.get("reset") == "after"


def check_reset(layer: Placed, library: str) -> None:
    """Raise ValueError if a GRU has its reset gate before the product, which the library lacks."""
    if layer.options.get("reset", "after") != "after":
        raise ValueError(f"gru_cell must have reset='after' for {library}, got 'before': keras and onnx have both")


def gates_of(layer: Placed, order: str) -> Gates:
    """Return the arrays of a recurrence by gate, in another order, such as "ifgo"."""
    here, arrays = _GATES[layer.options["cell"]], layer.arrays
    split = {name: np.asarray(arrays[name]).reshape(len(here), layer.options["n"], -1) for name in ("W_x", "W_a", "b")}
    index, signs = [here.index(gate) for gate in order], _signs(layer, order)
    W_x, W_a, b = (signs * a[index] for a in split.values())
    b_a = np.zeros_like(b[..., 0])
    if resets_after(layer):
        b_a[order.index("g")] = arrays["b_a"]
    return Gates(W_x, W_a, b[..., 0], b_a)


def arrays_of_gates(gates: Gates, layer: Placed, order: str) -> dict[str, np.ndarray]:
    """Return the arrays of a recurrence here from those by gate in another order."""
    here, signs = _GATES[layer.options["cell"]], _signs(layer, order)
    b, g = gates.b + gates.b_a, order.index("g")
    last = {}
    if resets_after(layer):
        b[g], last = gates.b[g], {"b_a": gates.b_a[g]}
    index = [order.index(gate) for gate in here]
    W_x, W_a, b = ((signs * a)[index] for a in (gates.W_x, gates.W_a, b[..., None]))
    n = layer.options["n"]
    return {"W_x": W_x.reshape(-1, W_x.shape[-1]), "W_a": W_a.reshape(-1, n), "b": b.ravel(), **last}


def _signs(layer: Placed, order: str) -> np.ndarray:
    changed = _CHANGED.get(layer.options["cell"], "")
    return np.array([-1 if gate in changed else 1 for gate in order], np.float32)[:, None, None]


def joint(
    orders: Mapping[str, str],
    named: Callable[[Gates, Placed], dict[str, np.ndarray]],
    gates: Callable[[Mapping[str, np.ndarray], Placed], Gates],
    may_lack: frozenset[str],
) -> Joint:
    """Return how a format stores recurrences.

    Args:
      orders: the order of its gates by cell.
      named: makes its named arrays of the gates.
      gates: makes the gates of its named arrays.
      may_lack: the names of arrays that a file may lack.
    """
    orders = {"simple_cell": "g", **orders}

    def there(layer: Placed) -> dict[str, np.ndarray]:
        return named(gates_of(layer, orders[layer.options["cell"]]), layer)

    def here(stored: Mapping[str, np.ndarray], layer: Placed) -> dict[str, np.ndarray]:
        return arrays_of_gates(gates(stored, layer), layer, orders[layer.options["cell"]])

    return Joint(there, here, may_lack)
