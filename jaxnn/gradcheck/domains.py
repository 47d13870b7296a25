"""The domain of the arguments: where test points may lie, and along which directions gradients are compared."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jaxnn.gradcheck.problem import GradcheckError, parameters_of
from jaxnn.gradcheck.structures import STRUCTURES, Structure

Arrays = list[np.ndarray]


class Domain:
    """Projects arguments into their domain, and gradients on its directions.

    Args:
      domain: as the caller stated it, or `None`.
      names: the names of the leaves.
      arguments: for each leaf, the name of its argument.
      rebuild: leaves -> the tuple of arguments.

    Attributes:
      structures: the structure of each leaf, `None` if it may be anything.
    """

    def __init__(
        self, domain: Any, names: list[str], arguments: list[str], rebuild: Callable[[Arrays], tuple[Any, ...]]
    ):
        self._rebuild, self._whole = rebuild, None
        self.structures: list[Structure | None] = [None] * len(names)
        if isinstance(domain, str):
            self.structures = [STRUCTURES[domain]] * len(names)
        elif isinstance(domain, Mapping):
            unknown = [name for name in domain if name not in (*names, *arguments)]
            if unknown:
                raise GradcheckError(
                    f"domain must name arguments, {', '.join(dict.fromkeys(arguments))}, got {unknown[0]}"
                )
            stated = [domain.get(name, domain.get(argument)) for name, argument in zip(names, arguments, strict=True)]
            self.structures = [_structure(entry) for entry in stated]
        elif domain is not None:
            self._whole = domain

    def project(self, leaves: Arrays, floating: list[int]) -> Arrays:
        """Return the leaves in the domain; those that are there stay as they are."""
        projected = list(leaves)
        for i in floating:
            structure = self.structures[i]
            if structure is not None:
                projected[i] = np.asarray(structure.project(np.asarray(leaves[i], np.float64)), leaves[i].dtype)
        if self._whole is not None:
            returned = jax.tree.leaves(self._called(self._whole, projected))
            arrays = [leaf for leaf in returned if hasattr(leaf, "dtype") or isinstance(leaf, float)]
            if len(arrays) == len(leaves):
                projected = [np.asarray(a, leaf.dtype) for a, leaf in zip(arrays, leaves, strict=True)]
        return projected

    def _called(self, function: Callable[..., Any], leaves: Arrays) -> Any:
        args = self._rebuild(leaves)
        if [p.name for p in parameters_of(function)] == ["rng"]:
            seed = int(abs(sum(float(np.nansum(leaf)) for leaf in leaves)) * 1e6) % 2**31
            returned = function(np.random.default_rng(seed))
        else:
            returned = function(*args)
        return returned if isinstance(returned, tuple | list) else (returned,)

    def tangent(self, i: int, gradient: np.ndarray) -> np.ndarray:
        """Return the part of a gradient of leaf i along the directions that stay in the domain."""
        structure = self.structures[i]
        return gradient if structure is None else structure.tangent(gradient)

    def assume(self, i: int, name: str) -> None:
        """Take leaf i to have a structure, if the caller stated none for it."""
        if self.structures[i] is None and self._whole is None:
            self.structures[i] = STRUCTURES[name]

    def extended(self, n: int) -> "Domain":
        """Return the domain of the same leaves and n more that may be anything."""
        other = Domain(None, [""] * (len(self.structures) + n), [""], self._rebuild)
        other.structures = [*self.structures, *[None] * n]
        return other


def _structure(entry: Any) -> Structure | None:
    if entry is None:
        return None
    return STRUCTURES[entry] if isinstance(entry, str) else Structure(lambda a: True, entry)
