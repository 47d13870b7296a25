"""The gradients that a manual gradient is compared with at a test point, and how far from them rounding may lead."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.comparison import Bound
from jaxnn.gradcheck.flat_problem import is_floating
from jaxnn.gradcheck.inspection import compute_eps
from jaxnn.gradcheck.options import Options
from jaxnn.gradcheck.runner import Arrays, Runner
from jaxnn.gradcheck.settling import settle


class Reference(NamedTuple):
    """The gradients to compare with at one point.

    Attributes:
      gradients: one for each leaf `wrt`, in its shape.
      bound: k -> the bound for the leaf number k of them, with the effect of rounding; it takes time to compute.
      quick_bound: k -> a smaller bound, which takes none.
    """

    gradients: Arrays
    bound: Callable[[int], Bound]
    quick_bound: Callable[[int], Bound]


_RUNS = 4
_EPS_MULTIPLE = 64


class OutsideDomainError(Exception):
    """The reference is not finite, or f does not take these arguments, so nothing can be compared here."""


class References:
    """Computes references by autodiff, or by difference quotients, in the widest precision.

    Args:
      runner: runs them.
      options: the seed, the tolerance, and which slopes count at a kink.
      widest: the precision of the references, "float64" unless f does not run in it.

    Attributes:
      notes: leaf and kind -> what was found out about it, for the report.
      given_is_smooth: whether the manual gradient is autodiff's at the given arguments, as it need not be at kinks.
    """

    def __init__(self, runner: Runner, options: Options, widest: str):
        self.runner, self.options, self.widest = runner, options, widest
        self.notes: dict[tuple[str, str], str] = {}
        self.given_is_smooth = True
        self._typical_sizes: list[float] = []
        self._given: Arrays = []
        self._infinite: Arrays = []
        self._eps: dict[str, float] = {}

    def at(
        self, leaves: Arrays, cotangents: Arrays, dtype: str, slack: float = 1.0, typical_size: float | None = None
    ) -> Reference:
        """Return the gradients in the widest precision, and the bounds, times slack, for computing them in `dtype`."""
        wide = cast(leaves, self.widest)
        gradients, errors = self._gradients(wide, cotangents)
        eps = self._compute_eps(leaves, dtype)
        sizes = self._typical_size(gradients, cotangents)
        sizes = sizes if typical_size is None else [typical_size] * len(sizes)
        terms = sum(a.size for a in (*wide, *cotangents))
        found: dict[str, Arrays] = {}

        def bound(k: int) -> Bound:
            if not found:
                found["shift"] = self._rounding_shift(wide, cotangents, gradients, eps)
                found["own"] = self._own_error(leaves, cotangents, gradients, dtype)
            return quick_bound(k)._replace(rounding_shift=found["shift"][k], own_error=found["own"][k])

        def quick_bound(k: int) -> Bound:
            return Bound(
                eps=eps,
                rounding_shift=np.zeros(gradients[k].shape),
                own_error=np.zeros(()),
                terms=terms / max(gradients[k].size, 1),
                tiny=float(jnp.finfo(dtype).tiny),
                typical_size=sizes[k],
                reference_error=errors[k],
                slack=slack,
                cotangent=_largest(cotangents),
            )

        return Reference(gradients, bound, quick_bound)

    def _gradients(self, wide: Arrays, cotangents: Arrays) -> tuple[Arrays, Arrays]:
        """Return the gradients, at kinks the slopes that count, and their errors.

        An element that is not finite at the given arguments is not compared there: NaN.
        """
        y, gradients, errors = self._wide(wide, cotangents)
        given = not self._typical_sizes or _equal(wide, self._given)
        if any((np.isnan(a) if given else ~np.isfinite(a)).any() for a in y):
            raise OutsideDomainError("the value of f is not finite here")
        if not self.runner.quotients:
            eps = self._compute_eps(wide, self.widest)
            settled = settle(self.runner, self.options, wide, cotangents, gradients, self.sizes(cotangents), eps, given)
            gradients = settled.gradients
            self.given_is_smooth &= not (given and settled.by_manual)
            self.notes = settled.notes | self.notes
        self._given = self._given or wide
        if given and self._infinite:
            gradients = [np.where(mask, np.nan, g) for mask, g in zip(self._infinite, gradients, strict=True)]
        finite = [np.isfinite(g).all() for g in gradients]
        if not (any(np.isfinite(g).any() for g in gradients) if given else all(finite)):
            raise OutsideDomainError("the reference is not finite here")
        if not self._typical_sizes:
            self._infinite = [~np.isfinite(g) for g in gradients]
        return gradients, errors

    def tangents(self, leaves: Arrays, gradients: Arrays) -> Arrays:
        """Return the parts of the gradients of the leaves `wrt` along the directions of the domain."""
        return self.runner.flat.domain.tangents(leaves, self.runner.flat.wrt, gradients)

    def _typical_size(self, reference: Arrays, cotangents: Arrays) -> list[float]:
        """Return the size of each leaf's gradient at the given arguments, in proportion to the size of the cotangent.

        The first call must be at the given arguments. A common formula may lose digits where the gradient vanishes,
        as a (dy - Σ dy a) of a softmax does if it is saturated; compared with the typical size of the gradient, that
        loss is rounding.
        """
        if not self._typical_sizes:
            dy = _largest(cotangents)
            self._typical_sizes = [np.abs(r[np.isfinite(r)]).max(initial=0.0) / (dy or 1.0) for r in reference]
        return self.sizes(cotangents)

    def sizes(self, cotangents: Arrays) -> list[float]:
        """Return the typical sizes for these cotangents, zeros before the given arguments were examined."""
        dy = _largest(cotangents)
        return [size * dy for size in self._typical_sizes] or [0.0] * len(self.runner.flat.wrt)

    def _own_error(self, leaves: Arrays, cotangents: Arrays, reference: Arrays, dtype: str) -> Arrays:
        """Return the error of JAX's derivative in this precision, a number per leaf; inf where it is not finite."""
        if dtype == self.widest:
            return [np.zeros(()) for _ in reference]
        if self.runner.quotients:  # they have too few digits in this precision
            return [np.asarray(25 * float(jnp.finfo(dtype).eps) * np.abs(r).max(initial=0.0)) for r in reference]
        try:
            y, gradients = self.runner.reference(leaves, cotangents)
        except Exception as error:
            raise OutsideDomainError(f"f does not run in {dtype}: {type(error).__name__}") from error
        if not all(np.isfinite(a.astype(np.float64)).all() for a in y):
            raise OutsideDomainError(f"the function's value is beyond the range of {dtype}")
        own = self.tangents(leaves, [g.astype(np.float64) for g in gradients])
        return [_distance(g, r) for g, r in zip(own, reference, strict=True)]

    def _wide(self, wide: Arrays, cotangents: Arrays) -> tuple[Arrays, Arrays, Arrays]:
        """Return y, the reference gradients and their errors, which only difference quotients have."""
        cotangents = [dy.astype(y.dtype) for dy, y in zip(cotangents, self.runner.output(wide), strict=True)]
        if self.runner.quotients:
            eps = self._compute_eps(wide, self.widest)
            found = self.runner.quotient_reference(wide, cotangents, eps, self.options.seed)
            # f may be a solver with a tolerance, whose noise the quotients do not show.
            sizes = self.sizes(cotangents)
            errors = [
                np.maximum(e, 1e-6 * max(float(np.abs(g).max(initial=0.0)), 0.01 * size))
                for e, g, size in zip(found.errors, found.gradients, sizes, strict=True)
            ]
            return cast(self.runner.f(wide), "float64"), self.tangents(wide, found.gradients), errors
        y, gradients = self.runner.reference(wide, cotangents)
        gradients = self.tangents(wide, cast(gradients, "float64"))
        return cast(y, "float64"), gradients, [np.zeros(()) for _ in gradients]

    def _rounding_shift(self, wide: Arrays, cotangents: Arrays, reference: Arrays, eps: float) -> Arrays:
        """Return how far rounding errors of eps shift each element of the reference: the largest of a few runs."""
        # In float64 an error of eps is itself rounded: apply a multiple of eps, and divide its effect.
        multiple = _EPS_MULTIPLE if eps == np.finfo(np.float64).eps else 1
        cotangents = [dy.astype(y.dtype) for dy, y in zip(cotangents, self.runner.output(wide), strict=True)]
        shift = [np.zeros(r.shape) for r in reference]
        if self.runner.quotients:
            return shift
        for run in range(_RUNS):
            shifted = self.runner.perturbed_reference(wide, cotangents, multiple * eps, self.options.seed + run)
            other = self.tangents(wide, cast(shifted, "float64"))
            distances = [np.abs(o - r) / multiple for o, r in zip(other, reference, strict=True)]
            shift = [np.fmax(s, np.where(np.isfinite(d), d, 0.0)) for s, d in zip(shift, distances, strict=True)]
        return shift

    def _compute_eps(self, leaves: Arrays, dtype: str) -> float:
        if dtype not in self._eps:
            self._eps[dtype] = compute_eps(self.runner, leaves)
        return self._eps[dtype]


def _equal(a: Arrays, b: Arrays) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def _largest(cotangents: Arrays) -> float:
    return max((float(np.abs(c.astype(np.float64)).max(initial=0.0)) for c in cotangents), default=0.0)


def cast(leaves: Arrays, dtype: str) -> Arrays:
    """Return the leaves with the floating ones in this dtype."""
    return [leaf.astype(dtype) if is_floating(leaf) else leaf for leaf in leaves]


def _distance(own: np.ndarray, reference: np.ndarray) -> Any:
    """Return the leaf's largest distance of JAX's derivative in low precision; inf at elements that are not finite."""
    distance = np.abs(own - reference)
    finite = np.isfinite(own)
    return np.where(finite, distance[finite].max(initial=0.0), np.inf)
