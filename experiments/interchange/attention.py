"""What attention and positions of other libraries have in common: matrices with an axis of heads, and a bias of keys.

The bias of the keys adds one number to all scores of a query, which their softmax does not see. So keys have no bias
here: export writes 0, and import leaves it out.
"""

from collections.abc import Mapping

import numpy as np

from experiments.interchange.layers import Placed
from experiments.interchange.tables import Joint, call, given

PARTS = ("query", "key", "value", "output")


def by_heads(names: Mapping[str, tuple[str, str]]) -> Joint:
    """Return how a format stores attention if its kernels are (n, heads, n/heads), and (heads, n/heads, n) at the end.

    Args:
      names: of kernel and bias, by the part of attention.
    """

    def there(layer: Placed) -> dict[str, np.ndarray]:
        heads, n = layer.options["heads"], layer.in_shape[-1]
        biases, arrays = {**layer.arrays, "key.b": np.zeros(n, np.float32)}, {}
        for part, (kernel, bias) in names.items():
            last = part == "output"
            arrays[kernel] = layer.arrays[f"{part}.W"].T.reshape((heads, -1, n) if last else (n, heads, -1))
            arrays[bias] = biases[f"{part}.b"].reshape((n,) if last else (heads, -1))
        return arrays

    def here(stored: Mapping[str, np.ndarray], layer: Placed) -> dict[str, np.ndarray]:
        n, arrays = layer.in_shape[-1], {}
        for part, (kernel, bias) in names.items():
            arrays |= {f"{part}.W": stored[kernel].reshape(n, n).T, f"{part}.b": stored[bias].ravel()}
        return {name: array for name, array in arrays.items() if name in layer.arrays}

    return Joint(there, here, frozenset(bias for _, bias in names.values()))


def positions_code(layer: Placed) -> str:
    """Return the expression of a layer that adds sines and cosines."""
    return call("Positions", **_offset(layer))


def learned_positions_code(layer: Placed) -> str:
    """Return the expression of a layer that adds a learned vector for each time."""
    return call("LearnedPositions", layer.options["longest"], layer.in_shape[-1], **_offset(layer))


def _offset(layer: Placed) -> dict[str, object]:
    return given(offset=(int(layer.options["offset"]), 0))
