"""Lists of leaves in which some are replaced, and derivatives with respect to these."""

from collections.abc import Callable, Sequence
from typing import Any

import jax


def replaced(leaves: Sequence[Any], numbers: Sequence[int], values: Sequence[Any]) -> list[Any]:
    """Return the leaves with `values` in place of those with these numbers."""
    full = list(leaves)
    for i, value in zip(numbers, values, strict=True):
        full[i] = value
    return full


def vjp_of_leaves(
    f: Callable[[list[Any]], Any], leaves: Sequence[Any], numbers: Sequence[int], cotangents: Any
) -> tuple[Any, list[Any]]:
    """Return `f(leaves)` and its gradients with respect to the leaves with these numbers, by autodiff."""
    y, pullback = jax.vjp(lambda chosen: f(replaced(leaves, numbers, chosen)), [leaves[i] for i in numbers])
    return y, pullback(cotangents)[0]
