"""The domain of the arguments: where test points may lie, and along which directions gradients are compared."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.leaves import replaced
from jaxnn.gradcheck.problem import GradcheckError, parameters_of
from jaxnn.gradcheck.structures import STRUCTURES, Structure
from jaxnn.validation import described

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
        self._stated: dict[str, list[int]] = {}
        if isinstance(domain, str):
            self.structures = [STRUCTURES[domain]] * len(names)
        elif isinstance(domain, Mapping):
            by_leaf = list(enumerate(zip(names, arguments, strict=True)))
            self._stated = {name: [i for i, both in by_leaf if name in both] for name in domain}
            unknown = [name for name, numbers in self._stated.items() if not numbers]
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
        with jax.enable_x64(True):  # the functions of the caller are of jnp
            return self._projected(leaves, floating)

    def displaced(self, leaves: Arrays, moved: Arrays, floating: list[int]) -> Arrays:
        """Return the leaves moved as their projections are, x + P(moved) - P(x): in the domain if x is."""
        if self._whole is None and not any(self.structures):
            return moved
        before, after = self.project(leaves, floating), self.project(moved, floating)
        return [
            leaf + (b - a) if i in floating else m
            for i, (leaf, m, a, b) in enumerate(zip(leaves, moved, before, after, strict=True))
        ]

    def _projected(self, leaves: Arrays, floating: list[int]) -> Arrays:
        projected = list(leaves)
        for i in floating:
            structure = self.structures[i]
            if structure is not None:
                projected[i] = np.asarray(structure.project(np.asarray(leaves[i], np.float64)), leaves[i].dtype)
        if self._whole is not None:
            arrays = zip(self._project_all(projected), leaves, strict=True)
            projected = [np.asarray(a, leaf.dtype) for a, leaf in arrays]
        return projected

    def check(self, names: list[str], leaves: Arrays, floating: list[int]) -> None:
        """Raise GradcheckError if the given leaves are not in the domain, or it cannot be projected into."""
        misfit = self._misfit(names, leaves, floating)
        if misfit:
            raise GradcheckError(misfit)

    def _misfit(self, names: list[str], leaves: Arrays, floating: list[int]) -> str:
        for name, numbers in self._stated.items():
            if not {*numbers} & {*floating}:
                return f"domain must name arguments of floats, got {name}, {described(leaves[numbers[0]])}"
        for i in floating:
            structure = self.structures[i]
            if structure is not None and not structure.fits(leaves[i]):
                named = next(name for name, known in STRUCTURES.items() if known is structure)
                return (
                    f"{names[i]} must be {structure.form} in the domain {named!r}, got {described(leaves[i])}: state "
                    f"which arguments are, as in domain={{'x': {named!r}}}"
                )
        try:
            projected = self.project(leaves, floating)
        except Exception as error:
            return f"domain must take the arguments, got {type(error).__name__}: {error}"
        for i in floating:
            structure, leaf = self.structures[i], np.asarray(leaves[i], np.float64)
            if projected[i].shape != leaf.shape:
                return f"domain must return {names[i]} in its shape {leaf.shape}, got {projected[i].shape}"
            named = next((name for name, known in STRUCTURES.items() if known is structure), None)
            if named and not np.allclose(projected[i], leaf, rtol=1e-5, atol=1e-7):
                return (
                    f"{names[i]} must be in the domain {named!r} that was stated, got another one: pass such an "
                    f"argument, or state which are, as in domain={{'x': {named!r}}}"
                )
        return ""

    def _called(self, function: Callable[..., Any], leaves: Arrays) -> Any:
        args = self._rebuild(leaves)
        if [p.name for p in parameters_of(function)] == ["rng"]:
            seed = int(abs(sum(float(np.nansum(leaf)) for leaf in leaves)) * 1e6) % 2**31
            returned = function(np.random.default_rng(seed))
        else:
            returned = function(*args)
        return returned if isinstance(returned, tuple | list) else (returned,)

    def tangents(self, leaves: Arrays, wrt: list[int], gradients: Arrays) -> Arrays:
        """Return the parts of the gradients of the leaves `wrt` along the directions that stay in the domain.

        For a projection P that the caller gave, these are the gradients of f(P(x)), as <g, P'(x) d> = <P'(x)' g, d>.
        """
        if self._whole is not None:
            return self._pulled_back(self._project_all, leaves, wrt, gradients)
        found = []
        for i, gradient in zip(wrt, gradients, strict=True):
            structure = self.structures[i]
            if structure is not None and structure.tangent is not None:
                gradient = structure.tangent(gradient)
            elif structure is not None:
                (gradient,) = self._pulled_back(_of_one(structure), [leaves[i]], [0], [gradient])
            found.append(gradient)
        return found

    def _pulled_back(self, project: Any, leaves: Arrays, wrt: list[int], gradients: Arrays) -> Arrays:
        """Return the gradients of f(P(x)); those of f if P cannot be differentiated, or moves the point."""

        def of_wrt(chosen):
            projected = project(replaced(leaves, wrt, chosen))
            return [projected[i] for i in wrt]

        chosen = [np.asarray(leaves[i], np.float64) for i in wrt]
        if [g.shape for g in gradients] != [c.shape for c in chosen]:
            return gradients
        with jax.enable_x64(True):
            try:
                _, pull = jax.vjp(of_wrt, [jnp.asarray(leaf) for leaf in chosen])
                pulled = pull([jnp.asarray(g, float) for g in gradients])[0]
                pulled, again = ([np.asarray(g) for g in each] for each in (pulled, pull(pulled)[0]))
            except Exception:  # it is written in NumPy, or makes arguments at random
                return gradients
        return [_along(leaf, g, p, a) for leaf, g, p, a in zip(chosen, gradients, pulled, again, strict=True)]

    def _project_all(self, leaves: list[Any]) -> list[Any]:
        assert self._whole is not None
        returned = jax.tree.leaves(self._called(self._whole, leaves))
        return [leaf for leaf in returned if hasattr(leaf, "dtype") or isinstance(leaf, float)]

    def assume(self, i: int, name: str) -> None:
        """Take leaf i to have a structure, if the caller stated none for it."""
        if self.structures[i] is None and self._whole is None:
            self.structures[i] = STRUCTURES[name]

    @property
    def has_projection(self) -> bool:
        """Return whether the caller gave a function for all arguments."""
        return self._whole is not None

    def extended(self, n: int) -> "Domain":
        """Return the domain of the same leaves and n more that may be anything."""
        other = Domain(None, [""] * (len(self.structures) + n), [""], self._rebuild)
        other.structures = [*self.structures, *[None] * n]
        return other


def _along(leaf: np.ndarray, gradient: np.ndarray, pulled: np.ndarray, again: np.ndarray) -> np.ndarray:
    """Return the part of a gradient along the directions of a projection: pulled back by it, once or twice alike.

    Where they differ by more than rounding, it has no derivative: that by eigenvalues, where two of them are equal.
    """
    symmetric = STRUCTURES["symmetric"]
    if symmetric.holds(leaf):
        return symmetric.project(gradient)
    size = np.abs(gradient).max(initial=0.0)
    return pulled if np.abs(again - pulled).max(initial=0.0) <= 0.05 * size else gradient


def _of_one(structure: Structure) -> Callable[[list[Any]], list[Any]]:
    return lambda leaves: [structure.project(leaves[0])]


def _structure(entry: Any) -> Structure | None:
    if entry is None:
        return None
    return STRUCTURES[entry] if isinstance(entry, str) else Structure(lambda a: True, entry, None)
