"""Layers out of named arrays: the number in a name says which layer, its end whether weight or bias."""

import re
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from experiments.travel.layers import Weights

_WEIGHTS = {"weight", "kernel", "W", "0"}


def layers_by_number(
    arrays: Mapping[str, np.ndarray], pattern: str, example: str, *, transposed: bool
) -> list[Weights]:
    """The layers in the order of their numbers; one without a bias gets a bias of 0.

    Args:
      arrays: by name.
      pattern: what each whole name must be: a regular expression with the groups `kind` (of weights: weight,
        kernel, W or 0; else of a bias), `number`, and perhaps `stem`, which must be the same in all names.
      example: names that it takes, for those who gave others.
      transposed: whether the format stores weights (n_in, n_out).

    Raises:
      ValueError: other arrays than those of dense layers in a row.
    """
    found: dict[int, dict[str, np.ndarray]] = {}
    stems = {}
    for name, array in arrays.items():
        if array.ndim > 2:
            raise ValueError(
                f"{name!r} has shape {array.shape}, as a convolution's weights have: jaxnn has dense layers alone"
            )
        match = re.fullmatch(pattern, name)
        if not match:
            raise ValueError(f"{name!r} is none of the names that import knows: dense layers are called {example}")
        stems.setdefault(match.groupdict().get("stem"), name)
        kind = "W" if match["kind"] in _WEIGHTS else "b"
        _check(name, array, 2 if kind == "W" else 1)
        if found.setdefault(int(match["number"] or 0), {}).setdefault(kind, array) is not array:
            raise ValueError(f"{name!r} is there twice: each layer needs a number of its own")
    if len(stems) > 1:
        raise ValueError(f"{' and '.join(map(repr, stems.values()))} are parts of more than a row of dense layers")
    if not found:
        raise ValueError(f"there are no weights: expected arrays called {example}")
    return [_layer(number, found[number], transposed) for number in sorted(found)]


def _check(name: str, array: np.ndarray, ndim: int) -> None:
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"{name!r} is {array.dtype}, expected floats: import takes no quantised network")
    if array.ndim != ndim:
        wanted = "a matrix of weights" if ndim == 2 else "a bias for each unit"
        raise ValueError(f"{name!r} has shape {array.shape}, expected {wanted}: jaxnn has no layer of normalisation")


def _layer(number: int, arrays: dict[str, np.ndarray], transposed: bool) -> Weights:
    if "W" not in arrays:
        raise ValueError(f"layer {number} has a bias without a weight: expected both of each layer")
    W = arrays["W"].T if transposed else arrays["W"]
    return Weights(W, arrays.get("b", np.zeros(len(W), np.float32)))
