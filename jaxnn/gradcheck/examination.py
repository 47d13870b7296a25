"""Run the manual gradient and the reference at one test point, and compare them leaf by leaf."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.comparison import Bound, Row, compare
from jaxnn.gradcheck.flat_problem import is_floating
from jaxnn.gradcheck.inspection import compute_eps
from jaxnn.gradcheck.kinks import subgradient_masks
from jaxnn.gradcheck.runner import Arrays, Runner


class Examination(NamedTuple):
    """The results at one test point.

    Attributes:
      name: of the test point.
      kind: "smooth", "kink", "saturated", "size", "transform" or "precision".
      dtype: the precision used.
      leaves, cotangents: the inputs.
      manual: the manual gradients, in the dtypes and shapes that came back.
      reference: the float64 reference gradients, in the shapes of the leaves.
      rows: one per leaf in `wrt`.
      size: (old, new) size of the axis that was resized, if one was.
    """

    name: str
    kind: str
    dtype: str
    leaves: Arrays
    cotangents: Arrays
    manual: Arrays
    reference: Arrays
    rows: list[Row]
    size: tuple[int, int] | None = None

    @property
    def failed(self) -> bool:
        """Return True if any leaf failed."""
        return any(row.status == "fail" for row in self.rows)


_RUNS = 4
_EPS_MULTIPLE = 64


class OutsideDomainError(Exception):
    """The reference is not finite, or f does not take these arguments, so nothing can be compared here."""


class Examiner:
    """Examines test points: runs the reference and the manual gradient in one precision, and compares them."""

    def __init__(self, runner: Runner, seed: int):
        self.runner, self.seed = runner, seed
        self.subgradient_notes: dict[str, str] = {}
        self._typical_sizes: list[float] = []
        self._eps: dict[str, float] = {}

    def examine(self, name: str, kind: str, leaves: Arrays, cotangents: Arrays, dtype: str = "float64") -> Examination:
        """Compare the gradients at leaves and cotangents given in float64, rounded to `dtype` first."""
        leaves = _cast(leaves, dtype)
        wide = _cast(leaves, "float64")
        try:
            y = self.runner.output(leaves)
        except Exception as error:  # for example a matrix decomposition, which has no bfloat16 version
            raise OutsideDomainError(f"f does not run in {dtype}: {type(error).__name__}") from error
        cotangents = [dy.astype(y_leaf.dtype) for dy, y_leaf in zip(cotangents, y, strict=True)]
        reference, bounds = self.reference(leaves, wide, cotangents, dtype)
        manual = self.runner.manual(leaves, cotangents)
        # If f's value has another dtype than its arguments, arrays that f closes over decide the dtype.
        closes_over = self.runner.flat.problem.scalar and any(y_leaf.dtype != dtype for y_leaf in y)
        rows = self.rows(name, manual, reference, bounds, dtype, closes_over)
        return Examination(name, kind, dtype, leaves, cotangents, manual, reference, rows)

    def wrong_only_at_kinks(self, examination: Examination) -> bool:
        """Return True if, in float64, every wrong element lies between the slopes on the sides of a kink."""
        manual, reference = _cast(examination.manual, "float64"), examination.reference
        masks = subgradient_masks(self.runner, examination.leaves, examination.cotangents, manual, reference, self.seed)
        wrong = [k for k, row in enumerate(examination.rows) if row.status == "fail"]
        return bool(wrong) and all(
            masks[k].any() and np.allclose(np.where(masks[k], reference[k], manual[k]), reference[k], rtol=1e-9, atol=0)
            for k in wrong
        )

    def reference(self, leaves: Arrays, wide: Arrays, cotangents: Arrays, dtype: str) -> tuple[Arrays, list[Bound]]:
        """Return the float64 gradients at `wide`, and the bounds for computing them in `dtype`."""
        y, reference = self._wide(wide, cotangents)
        if not all(np.isfinite(a).all() for a in (*y, *reference)):
            raise OutsideDomainError("the reference is not finite here")
        shifts = self._rounding_shift(wide, cotangents, reference, self._compute_eps(leaves, dtype))
        own = [np.zeros(()) for _ in reference]
        if dtype != "float64":
            own = self._own_error(leaves, cotangents, reference, dtype)
        terms = sum(a.size for a in (*wide, *cotangents))
        tiny = float(jnp.finfo(dtype).tiny)
        eps = self._compute_eps(leaves, dtype)
        sizes = self._typical_size(reference, cotangents)
        bounds = [
            Bound(eps, shift, error, terms / max(r.size, 1), tiny, size)
            for shift, error, r, size in zip(shifts, own, reference, sizes, strict=True)
        ]
        return self._with_subgradient(wide, cotangents, reference), bounds

    def _with_subgradient(self, wide: Arrays, cotangents: Arrays, reference: Arrays) -> Arrays:
        """Return the reference; at a kink it is the manual gradient, if the problem accepts subgradients."""
        if not self.runner.flat.problem.subgradient:
            return reference
        cotangents = [dy.astype(y.dtype) for dy, y in zip(cotangents, self.runner.output(wide), strict=True)]
        manual = _cast(self.runner.manual(wide, cotangents), "float64")
        masks = subgradient_masks(self.runner, wide, cotangents, manual, reference, self.seed)
        for i, h, r, mask in zip(self.runner.flat.wrt, manual, reference, masks, strict=True):
            for index in np.argwhere(mask)[:1]:
                at = tuple(index.tolist())
                text = (
                    f"at {list(at)} the manual gradient is {h[at]:.4g}, JAX's {r[at]:.4g}: both lie between the slopes"
                )
                self.subgradient_notes.setdefault(self.runner.flat.names[i], text)
        return [np.where(mask, h, r) if mask.any() else r for h, r, mask in zip(manual, reference, masks, strict=True)]

    def _typical_size(self, reference: Arrays, cotangents: Arrays) -> list[float]:
        """Return the size of each leaf's gradient at the given arguments, in proportion to the size of the cotangent.

        The first call must be at the given arguments. A common formula may lose digits where the gradient vanishes,
        as a (dy - Σ dy a) of a softmax does if it is saturated; compared with the typical size of the gradient, that
        loss is rounding.
        """
        dy = max((np.abs(c.astype(np.float64)).max(initial=0.0) for c in cotangents), default=0.0)
        if not self._typical_sizes:
            self._typical_sizes = [np.abs(r).max(initial=0.0) / (dy or 1.0) for r in reference]
        return [size * dy for size in self._typical_sizes]

    def _own_error(self, leaves: Arrays, cotangents: Arrays, reference: Arrays, dtype: str) -> Arrays:
        """Return the error of JAX's derivative in this precision, a number per leaf; inf where it is not finite."""
        try:
            y, gradients = self.runner.reference(leaves, cotangents)
        except Exception as error:
            raise OutsideDomainError(f"f does not run in {dtype}: {type(error).__name__}") from error
        if not all(np.isfinite(a.astype(np.float64)).all() for a in y):
            raise OutsideDomainError(f"the function's value is beyond the range of {dtype}")
        return [_distance(g.astype(np.float64), r) for g, r in zip(gradients, reference, strict=True)]

    def rows(
        self, name: str, manual: Arrays, reference: Arrays, bounds: list[Bound], dtype: str, closes_over: bool = False
    ) -> list[Row]:
        """Return one row per leaf in `wrt`; manual and reference must have the same shape.

        Float64 is the checker's choice, so a manual gradient that closes over float32 data may be float32 there: its
        bound is then that of float32.
        """
        flat, rows = self.runner.flat, []
        for i, h, r, bound in zip(flat.wrt, manual, reference, bounds, strict=True):
            if h.shape != r.shape:
                text = f"shape must be {r.shape}, got {h.shape}"
                rows.append(Row(name, flat.names[i], "fail", float("inf"), float("inf"), float("inf"), 0.0, text=text))
            elif not jnp.issubdtype(h.dtype, jnp.floating):
                rows.append(Row(name, flat.names[i], "fail", text=f"dtype must be {dtype}, got {h.dtype}"))
            else:
                own = h.dtype == flat.leaves[i].dtype and (dtype == "float64" or closes_over)
                if own and dtype == "float64":
                    eps = float(jnp.finfo(h.dtype).eps)
                    bound = bound._replace(eps=eps, rounding_shift=bound.rounding_shift * (eps / bound.eps))
                row = compare(name, flat.names[i], h.astype(np.float64), r, bound, dtype)
                right = own or h.dtype == dtype
                rows.append(row if right else row._replace(status="fail", text=_dtype_text(h.dtype, dtype)))
        return rows

    def _wide(self, wide: Arrays, cotangents: Arrays) -> tuple[Arrays, Arrays]:
        cotangents = [dy.astype(y.dtype) for dy, y in zip(cotangents, self.runner.output(wide), strict=True)]
        y, gradients = self.runner.reference(wide, cotangents)
        return _cast(y, "float64"), _cast(gradients, "float64")

    def _rounding_shift(self, wide: Arrays, cotangents: Arrays, reference: Arrays, eps: float) -> Arrays:
        """Return how far rounding errors of eps shift each element of the reference: the largest of a few runs."""
        # In float64 an error of eps is itself rounded: apply a multiple of eps, and divide its effect.
        multiple = _EPS_MULTIPLE if eps == np.finfo(np.float64).eps else 1
        cotangents = [dy.astype(y.dtype) for dy, y in zip(cotangents, self.runner.output(wide), strict=True)]
        shift = [np.zeros(r.shape) for r in reference]
        for run in range(_RUNS):
            other = self.runner.perturbed_reference(wide, cotangents, multiple * eps, self.seed + run)
            distances = [np.abs(o.astype(np.float64) - r) / multiple for o, r in zip(other, reference, strict=True)]
            shift = [np.fmax(s, np.where(np.isfinite(d), d, 0.0)) for s, d in zip(shift, distances, strict=True)]
        return shift

    def _compute_eps(self, leaves: Arrays, dtype: str) -> float:
        if dtype not in self._eps:
            self._eps[dtype] = compute_eps(self.runner.flat, leaves)
        return self._eps[dtype]


def _cast(leaves: Arrays, dtype: str) -> Arrays:
    return [leaf.astype(dtype) if is_floating(leaf) else leaf for leaf in leaves]


def _distance(own: np.ndarray, reference: np.ndarray) -> Any:
    """Return the leaf's largest distance of JAX's derivative in low precision; inf at elements that are not finite."""
    distance = np.abs(own - reference)
    finite = np.isfinite(own)
    return np.where(finite, distance[finite].max(initial=0.0), np.inf)


def _dtype_text(got: Any, expected: str) -> str:
    return f"dtype must be {expected}, that of the argument, got {got}: jax.custom_vjp would raise an error"
