"""Find layers in named arrays: a name contains the number of its layer, and ends in weight or bias or the like."""

import re
from collections.abc import Iterable, Mapping

import jax.numpy as jnp
import numpy as np

from experiments.interchange.layers import Weights

_WEIGHTS = {"weight", "kernel", "W", "0"}
_OF_TRAINING = re.compile(
    r"(optimizer|optim|opt_state|lr_scheduler|scheduler)[./].*|(.*[./])?(rngs|seed_generator)[./].*"
)
"""Names of training state and random numbers, which are not part of the network."""


def layers_by_number(
    arrays: Mapping[str, np.ndarray], pattern: str, example: str, *, transposed: bool
) -> list[Weights]:
    """Return the layers in the order of the numbers in their names; one without a bias gets a bias of 0.

    Args:
      arrays: the arrays by name. Those of an optimizer or of random numbers are ignored.
      pattern: the regular expression of names, with the groups `kind` (weight, kernel, W or 0 for weights, otherwise
        a bias) and `layer`, the layer's name.
      example: valid names, for the error message.
      transposed: whether the format stores weights (n_in, n_out).

    Raises:
      ValueError: if there are other arrays than those of a sequence of dense layers.
    """
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        if _OF_TRAINING.fullmatch(name):
            continue
        if array.ndim > 2:
            raise ValueError(f"{name!r} has shape {array.shape}, like a convolution, expected dense layers only")
        match = re.fullmatch(pattern, name)
        if not match:
            raise ValueError(f"{name!r} must be the name of a dense layer's array, such as {example}")
        kind = "W" if match["kind"] in _WEIGHTS else "b"
        _check(name, array, 2 if kind == "W" else 1)
        layers.setdefault(match["layer"] or "", {})[kind] = array
    if not layers:
        raise ValueError(f"there are no weights: expected arrays called {example}")
    return [_layer(name, layers[name], transposed) for name in _in_order(list(layers))]


def _in_order(layers: list[str]) -> list[str]:
    """Return the names ordered by number: fc1, fc2; layers.0.linear, layers.1.linear; 0, 2; and nested 0.0, 0.2, 1.

    A single layer needs no number.
    """
    parts = {layer: re.split(r"(\d+)", layer) for layer in layers}
    # Group names that differ only in their numbers and, if nested, in the count of numbers at their end.
    kinds = {
        (words[0], *(() if set(words[1:-1]) <= {"."} and not words[-1] else words[1:])): layer
        for layer, words in ((layer, part[::2]) for layer, part in parts.items())
    }
    if len(layers) > 1 and not all(len(part) > 1 for part in parts.values()):
        raise ValueError(f"{_some(layers)} have no numbers to order the layers by")
    if len(kinds) > 1:
        raise ValueError(f"{_some(kinds.values())} are not parts of a single sequence of dense layers")
    numbered: dict[tuple[int, ...], str] = {}
    for layer in layers:
        other = numbered.setdefault(tuple(map(int, parts[layer][1::2])), layer)
        if other != layer:
            raise ValueError(f"{_some([other, layer])} have the same number, so one layer occurs twice")
    return [numbered[numbers] for numbers in sorted(numbered)]


def _some(names: Iterable[str]) -> str:
    return " and ".join(map(repr, sorted(names)[:2]))


def _check(name: str, array: np.ndarray, ndim: int) -> None:
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"{name!r} is {array.dtype}, expected floats: quantized networks cannot be imported")
    if array.ndim != ndim:
        wanted = "a matrix of weights" if ndim == 2 else "a bias for each unit"
        raise ValueError(f"{name!r} has shape {array.shape}, expected {wanted}: is it of a normalization layer?")


def _layer(name: str, arrays: dict[str, np.ndarray], transposed: bool) -> Weights:
    if "W" not in arrays:
        named = f"layer {name}" if name else "the layer"
        raise ValueError(f"{named} has a bias without weights: expected both for each layer")
    W = arrays["W"].T if transposed else arrays["W"]
    return Weights(*(np.asarray(array, np.float32) for array in (W, arrays.get("b", np.zeros(len(W))))))
