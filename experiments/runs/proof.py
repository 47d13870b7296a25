"""Check a run's hand-derived gradients against `jax.grad`, on the run's own data."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import jaxnn
from experiments.runs.folder import RunError

BOUND = 1e-6
"""An upper bound of the difference that rounding explains. A wrong formula causes an error of percents.

The gradients are computed in float64, on the params and data of the float32 training. Summing 12 288 terms in another
order changes the sum by 1e-14 of their size. Near an optimum the terms cancel, but with float32 params at least 1e-7 of
them remains, so two correct gradients differ by at most 1e-7 of that. In float32 the remainder would be mostly
rounding, and two correct gradients could differ by percents."""

_FLOOR = 1e-8

DEFINITION = "max |hand - jax.grad| / max |jax.grad| of the worst array, on the training data"

Proof = Callable[[Any, jaxnn.Batch], float]


def make_proof(name: str, objective: jaxnn.Objective, key: jax.Array | None = None) -> Proof:
    """Return `prove(params, batch) -> difference`, which raises `RunError` if the two gradients differ.

    The two are compiled separately, so that the compiler cannot merge one into the other.

    Args:
      name: the network, for the message.
      objective: whose gradients are compared.
      key: the random key of both, for a network with dropout: the same units are dropped.
    """
    hand = jax.jit(objective.value_and_grad)
    auto = jax.jit(jaxnn.train.gradients_by(objective, "auto"))

    def prove(params, batch):
        with jax.enable_x64(True):
            wide = jax.tree.map(_float64, jax.device_get((params, batch)))
            difference, leaf = gradient_difference(hand(*wide, key)[1], auto(*wide, key)[1])
        # "not <=" instead of ">", since a difference of NaN must fail too.
        if not difference <= BOUND:
            raise RunError(
                f"{name}: the hand-derived gradient of {leaf} differs from jax.grad by {difference:.2g} of its largest "
                f"element, but rounding explains at most {BOUND:g}: a backward is wrong"
            )
        return difference

    return prove


def gradient_difference(hand: Any, auto: Any) -> tuple[float, str]:
    """Return the largest difference over all arrays, relative to each array's largest element, and that array's name.

    The scale of an array is at least `_FLOOR` times that of the largest: with exactly balanced classes, an untrained
    network's gradient with respect to the last bias is 0 up to rounding.
    """
    leaves = jax.tree_util.tree_flatten_with_path(jax.device_get(auto))[0]
    floor = _FLOOR * max(np.abs(expected).max() for _, expected in leaves)
    worst = (-1.0, "")
    for (path, expected), got in zip(leaves, jax.tree.leaves(jax.device_get(hand)), strict=True):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        worst = max(worst, (_relative(got, expected, floor), name), key=_nan_is_largest)
    return worst


def _relative(got: np.ndarray, expected: np.ndarray, floor: float) -> float:
    if got.shape != expected.shape:
        return float("nan")
    difference, scale = np.abs(got - expected).max(), max(np.abs(expected).max(), floor)
    if scale == 0:
        # Exactly 0, if all units are dead: both must be 0.
        return 0.0 if difference == 0 else float("inf")
    return float(difference / scale)


def _nan_is_largest(entry: tuple[float, str]) -> float:
    return float("inf") if np.isnan(entry[0]) else entry[0]


def _float64(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if np.issubdtype(array.dtype, np.floating) else array
