"""Run the manual gradient and the reference at one test point, and compare them leaf by leaf."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.comparison import Bound, Row, Tolerance, compare
from jaxnn.gradcheck.flat_problem import is_floating
from jaxnn.gradcheck.inspection import compute_eps
from jaxnn.gradcheck.kinks import nearby_gradients
from jaxnn.gradcheck.options import Options
from jaxnn.gradcheck.overflow import overflows
from jaxnn.gradcheck.runner import Arrays, Runner
from jaxnn.gradcheck.settling import settle


class Examination(NamedTuple):
    """The results at one test point.

    Attributes:
      name: of the test point.
      kind: "smooth", "kink", "saturated", "size", "transform" or "precision".
      dtype: the precision used.
      leaves, cotangents: the inputs.
      manual: the manual gradients, in the dtypes and shapes that came back.
      reference: the reference gradients, in float64 if f runs in it, in the shapes of the leaves.
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
_SLACK = {"float32": 16.0, "bfloat16": 4.0, "float16": 4.0}
NO_DIGITS = "far out and in this precision, its formula has no digits left"
"""The text of a note on a finite error at a point that was not given."""
NOT_FINITE = "numbers inside f, or of autodiff's own gradient, are not finite in this precision here"
"""The text of a note on an error at a point and in a precision that were not given."""
_FARTHEST = "at ±1e4"
_EPS_MULTIPLE = 64


class OutsideDomainError(Exception):
    """The reference is not finite, or f does not take these arguments, so nothing can be compared here."""


class Examiner:
    """Examines test points: runs the reference and the manual gradient in one precision, and compares them.

    Args:
      runner: runs them.
      options: the seed, the tolerance, and which slopes count at a kink.
      widest: the precision of the reference, "float64" unless f does not run in it.
      working: the precision in which the backward runs at every test point.
      own_eps: the eps of the precision that the caller works in, if it is larger than that of the arguments.

    Attributes:
      notes: leaf and kind -> what was found out about it, for the report.
      given_is_smooth: whether the manual gradient is autodiff's at the given arguments, as it need not be at kinks.
    """

    def __init__(
        self,
        runner: Runner,
        options: Options,
        widest: str = "float64",
        working: str = "float64",
        own_eps: float = 0.0,
    ):
        self.runner, self.options, self.seed, self.widest = runner, options, options.seed, widest
        self.working = working
        self.notes: dict[tuple[str, str], str] = {}
        self.given_is_smooth = True
        self._typical_sizes: list[float] = []
        self._given: Arrays = []
        self._infinite: Arrays = []
        self._eps: dict[str, float] = {}
        dtypes = [runner.flat.leaves[i].dtype for i in runner.flat.wrt]
        self._own_dtypes = {str(dtype) for dtype in dtypes}
        self.own_eps = max((float(jnp.finfo(dtype).eps) for dtype in dtypes), default=0.0)
        self.own_eps = max(self.own_eps, own_eps)
        self._tolerance = Tolerance(options.rtol, options.atol, self.own_eps)

    def examine(
        self,
        name: str,
        kind: str,
        leaves: Arrays,
        cotangents: Arrays,
        dtype: str = "float64",
        typical_size: float | None = None,
    ) -> Examination:
        """Compare the gradients at leaves and cotangents given in float64, rounded to `dtype` first.

        `typical_size` takes the place of the size of the gradients at the given arguments, against which digits may be
        lost.
        """
        leaves = cast(leaves, dtype)
        try:
            y = self.runner.output(leaves)
        except Exception as error:  # for example a matrix decomposition, which has no bfloat16 version
            raise OutsideDomainError(f"f does not run in {dtype}: {type(error).__name__}") from error
        cotangents = [dy.astype(y_leaf.dtype) for dy, y_leaf in zip(cotangents, y, strict=True)]
        # In a precision and at a point that the caller did not give, a formula may be less accurate than autodiff's.
        elsewhere = kind == "precision" and not name.startswith("given,") and typical_size is None
        elsewhere = elsewhere or "large cotangent" in name
        slack = _SLACK.get(dtype, 1.0) if elsewhere else 1.0
        reference = self.reference(leaves, cotangents, dtype, slack, typical_size)
        manual = self.runner.manual(leaves, cotangents)
        # If f's value has another dtype than its arguments, arrays that f closes over decide the dtype.
        closes_over = self.runner.flat.problem.scalar and any(y_leaf.dtype != dtype for y_leaf in y)
        rows = self.rows(name, manual, reference, dtype, closes_over, leaves)
        if kind == "precision" and name.startswith(_FARTHEST):
            rows = [_without_digits(row) for row in rows]
        if dtype != self.widest and not (name.startswith("given") and dtype in self._own_dtypes):
            rows = self._within_range(rows, reference, leaves, dtype)
        return Examination(name, kind, dtype, leaves, cotangents, manual, reference.gradients, rows)

    def _within_range(self, rows: list[Row], reference: Reference, leaves: Arrays, dtype: str) -> list[Row]:
        """Return notes in place of failures where f, or its autodiff, fails itself in this precision."""
        failing = [row for row in rows if row.status == "fail" and not row.text]
        if not failing:
            return rows
        own_infinite = any(np.isinf(reference.bound(k).own_error).any() for k in range(len(rows)))
        infinite = own_infinite and all(np.isinf(row.max_abs) for row in failing)
        if not infinite and not overflows(self.runner, leaves, cast(leaves, self.widest)):
            return rows
        return [row._replace(status="note", text=NOT_FINITE) if row in failing else row for row in rows]

    def reference(
        self, leaves: Arrays, cotangents: Arrays, dtype: str, slack: float = 1.0, typical_size: float | None = None
    ) -> Reference:
        """Return the gradients in the widest precision, and the bounds, times slack, for computing them in `dtype`."""
        wide = cast(leaves, self.widest)
        y, gradients, errors = self._wide(wide, cotangents)
        given = not self._typical_sizes or _equal(wide, self._given)
        if any((np.isnan(a) if given else ~np.isfinite(a)).any() for a in y):
            raise OutsideDomainError("the value of f is not finite here")
        if not self.runner.quotients:
            eps = self._compute_eps(wide, self.widest)
            settled = settle(
                self.runner, self.options, wide, cotangents, gradients, self._sizes(cotangents), eps, given
            )
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

    def wrong_only_at_kinks(self, examination: Examination) -> bool:
        """Return True if, in float64, every wrong element is at a kink."""
        manual = self.tangents(examination.leaves, cast(examination.manual, "float64"))
        leaves, dy, reference = examination.leaves, examination.cotangents, examination.reference
        if self.runner.quotients:
            return False
        near = nearby_gradients(
            self.runner, leaves, dy, manual, reference, self._sizes(dy), self.options.rtol, self.seed
        )
        wrong = [k for k, row in enumerate(examination.rows) if row.status == "fail"]
        return near is not None and all(
            near[k].apart.any() and close(np.where(near[k].apart, reference[k], manual[k]), reference[k]) for k in wrong
        )

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
        return self._sizes(cotangents)

    def _sizes(self, cotangents: Arrays) -> list[float]:
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

    def rows(
        self,
        name: str,
        manual: Arrays,
        reference: Reference,
        dtype: str,
        closes_over: bool = False,
        leaves: Arrays | None = None,
    ) -> list[Row]:
        """Return one row per leaf in `wrt`; manual and reference must have the same shape.

        At `leaves`, only the parts along the directions of the domain are compared.

        Float64 is the checker's choice, so a manual gradient that closes over float32 data may be float32 there: its
        bound is then that of float32. Another dtype is a mistake in the precision of the arguments; in others it is
        noted.
        """
        flat, rows = self.runner.flat, []
        wide = [np.asarray(h, np.float64) for h in manual]
        if leaves is not None and [h.shape for h in wide] == [r.shape for r in reference.gradients]:
            wide = self.tangents(leaves, wide)
        for k, (i, h, r) in enumerate(zip(flat.wrt, manual, reference.gradients, strict=True)):
            leaf, given = flat.names[i], str(flat.leaves[i].dtype)
            if h.shape != r.shape:
                text = f"shape must be {r.shape}, got {h.shape}"
                rows.append(Row(name, leaf, "fail", float("inf"), float("inf"), float("inf"), 0.0, text=text))
                continue
            if not jnp.issubdtype(h.dtype, jnp.floating):
                rows.append(Row(name, leaf, "fail", text=f"dtype must be {dtype}, got {h.dtype}"))
                continue
            own = h.dtype == given and (dtype == "float64" or closes_over)
            narrower = own and dtype == "float64" and h.dtype != dtype
            eps = float(jnp.finfo(h.dtype).eps) if narrower else 0.0
            row = self._row(name, leaf, wide[k], k, reference, dtype, eps)
            if not own and h.dtype != dtype and row.status != "fail":
                text = f"dtype must be {dtype}, that of the argument, got {h.dtype}: cast the gradient"
                row = row._replace(status="fail" if dtype == given else "note", text=text)
            rows.append(row)
        return rows

    def _row(self, name: str, leaf: str, wide: np.ndarray, k: int, reference: Reference, dtype: str, eps: float) -> Row:
        """Return the row of leaf k of `wrt`: first by the bound that takes no time to compute."""
        row = Row(name, leaf, "fail")
        for bound_of in (reference.quick_bound, reference.bound):
            bound = bound_of(k)
            if eps:
                bound = bound._replace(eps=eps, rounding_shift=bound.rounding_shift * (eps / bound.eps))
            row = compare(name, leaf, wide, reference.gradients[k], bound, dtype, self._tolerance)
            if row.status == "pass":
                break
        return row

    def _wide(self, wide: Arrays, cotangents: Arrays) -> tuple[Arrays, Arrays, Arrays]:
        """Return y, the reference gradients and their errors, which only difference quotients have."""
        cotangents = [dy.astype(y.dtype) for dy, y in zip(cotangents, self.runner.output(wide), strict=True)]
        if self.runner.quotients:
            eps = self._compute_eps(wide, self.widest)
            found = self.runner.quotient_reference(wide, cotangents, eps, self.seed)
            # f may be a solver with a tolerance, whose noise the quotients do not show.
            sizes = self._sizes(cotangents)
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
            other = self.tangents(
                wide,
                cast(self.runner.perturbed_reference(wide, cotangents, multiple * eps, self.seed + run), "float64"),
            )
            distances = [np.abs(o - r) / multiple for o, r in zip(other, reference, strict=True)]
            shift = [np.fmax(s, np.where(np.isfinite(d), d, 0.0)) for s, d in zip(shift, distances, strict=True)]
        return shift

    def _compute_eps(self, leaves: Arrays, dtype: str) -> float:
        if dtype not in self._eps:
            self._eps[dtype] = compute_eps(self.runner, leaves)
        return self._eps[dtype]


def _without_digits(row: Row) -> Row:
    """Return a note in place of a failure by a finite error, where numbers have no digits after the point."""
    if row.status == "fail" and np.isfinite(row.max_abs) and not row.text:
        return row._replace(status="note", text=NO_DIGITS)
    return row


def _equal(a: Arrays, b: Arrays) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def _largest(cotangents: Arrays) -> float:
    return max((float(np.abs(c.astype(np.float64)).max(initial=0.0)) for c in cotangents), default=0.0)


def close(a: np.ndarray, b: np.ndarray, digits: float = 1e-9) -> bool:
    """Return True if two arrays of one shape are equal but for rounding, relative to the largest element."""
    return bool(np.isfinite(a).all() and np.abs(a - b).max(initial=0.0) <= digits * np.abs(b).max(initial=0.0))


def cast(leaves: Arrays, dtype: str) -> Arrays:
    """Return the leaves with the floating ones in this dtype."""
    return [leaf.astype(dtype) if is_floating(leaf) else leaf for leaf in leaves]


def _distance(own: np.ndarray, reference: np.ndarray) -> Any:
    """Return the leaf's largest distance of JAX's derivative in low precision; inf at elements that are not finite."""
    distance = np.abs(own - reference)
    finite = np.isfinite(own)
    return np.where(finite, distance[finite].max(initial=0.0), np.inf)
