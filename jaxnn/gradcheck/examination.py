"""Run the manual gradient and the reference at one test point, and compare them leaf by leaf."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.comparison import Row, Tolerance, compare
from jaxnn.gradcheck.kinks import nearby_gradients
from jaxnn.gradcheck.options import Options
from jaxnn.gradcheck.overflow import overflows
from jaxnn.gradcheck.references import OutsideDomainError, Reference, References, cast
from jaxnn.gradcheck.runner import Arrays, Runner


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


_SLACK = {"float32": 16.0, "bfloat16": 4.0, "float16": 4.0}
NO_DIGITS = "far out and in this precision, its formula has no digits left"
"""The text of a note on a finite error at a point that was not given."""
NOT_FINITE = "numbers inside f, or of autodiff's own gradient, are not finite in this precision here"
"""The text of a note on an error at a point and in a precision that were not given."""
_FARTHEST = "at ±1e4"


class Examiner:
    """Examines test points: runs the reference and the manual gradient in one precision, and compares them.

    Args:
      runner: runs them.
      options: the seed, the tolerance, and which slopes count at a kink.
      widest: the precision of the reference, "float64" unless f does not run in it.
      working: the precision in which the backward runs at every test point.
      own_eps: the eps of the precision that the caller works in, if it is larger than that of the arguments.

    Attributes:
      references: computes what to compare with.
      own_eps: that of the precision that the caller works in.
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
        self.references = References(runner, options, widest)
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
        reference = self.references.at(leaves, cotangents, dtype, slack, typical_size)
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

    def wrong_only_at_kinks(self, examination: Examination) -> bool:
        """Return True if, in float64, every wrong element is at a kink."""
        manual = self.references.tangents(examination.leaves, cast(examination.manual, "float64"))
        leaves, dy, reference = examination.leaves, examination.cotangents, examination.reference
        if self.runner.quotients:
            return False
        near = nearby_gradients(
            self.runner, leaves, dy, manual, reference, self.references.sizes(dy), self.options.rtol, self.seed
        )
        wrong = [k for k, row in enumerate(examination.rows) if row.status == "fail"]
        return near is not None and all(
            near[k].apart.any() and close(np.where(near[k].apart, reference[k], manual[k]), reference[k]) for k in wrong
        )

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
            wide = self.references.tangents(leaves, wide)
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


def _without_digits(row: Row) -> Row:
    """Return a note in place of a failure by a finite error, where numbers have no digits after the point."""
    if row.status == "fail" and np.isfinite(row.max_abs) and not row.text:
        return row._replace(status="note", text=NO_DIGITS)
    return row


def close(a: np.ndarray, b: np.ndarray, digits: float = 1e-9) -> bool:
    """Return True if two arrays of one shape are equal but for rounding, relative to the largest element."""
    return bool(np.isfinite(a).all() and np.abs(a - b).max(initial=0.0) <= digits * np.abs(b).max(initial=0.0))
