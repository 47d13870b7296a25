"""Evidence: what hand and reference gave in one situation, and the rows that follow from it."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.comparison import Bound, Row, compare
from jaxnn.gradcheck.inspection import compute_eps
from jaxnn.gradcheck.kinks import subgradient
from jaxnn.gradcheck.problem import is_floating
from jaxnn.gradcheck.runner import Arrays, Runner


class Evidence(NamedTuple):
    """One situation as it came out.

    Attributes:
      name: of the situation.
      kind: "smooth", "kink", "saturated", "size", "transform" or "precision".
      dtype: the precision it was run in.
      leaves, cotangents: what went in.
      hand: the hand's gradients as they came, in their dtypes and shapes.
      reference: the float64 reference, in the shapes of the leaves.
      rows: one per asked leaf.
      size: (old, new) of the axis that was resized, where one was.
    """

    name: str
    kind: str
    dtype: str
    leaves: Arrays
    cotangents: Arrays
    hand: Arrays
    reference: Arrays
    rows: list[Row]
    size: tuple[int, int] | None = None

    @property
    def failed(self) -> bool:
        """Whether any leaf failed (whatever the shapes)."""
        return any(row.status == "fail" for row in self.rows)


_RUNS = 4
_MANY = 64


class OutsideDomainError(Exception):
    """The reference is not finite, or f does not take these arguments: nothing can be said here."""


class Examiner:
    """Takes evidence: runs reference and hand on arrays of any shapes, in one precision, and compares them."""

    def __init__(self, runner: Runner, seed: int):
        self.runner, self.seed = runner, seed
        self.at_kinks: dict[str, str] = {}
        self._usual: list[float] = []
        self._eps: dict[str, float] = {}

    def examine(self, name: str, kind: str, leaves: Arrays, cotangents: Arrays, dtype: str = "float64") -> Evidence:
        """Evidence at leaves and cotangents given in float64 (any shapes), rounded to `dtype` first."""
        leaves = _cast(leaves, dtype)
        wide = _cast(leaves, "float64")
        try:
            y = self.runner.output(leaves)
        except Exception as error:  # a decomposition that knows no bfloat16, say
            raise OutsideDomainError(f"f does not run in {dtype}: {type(error).__name__}") from error
        cotangents = [dy.astype(y_leaf.dtype) for dy, y_leaf in zip(cotangents, y, strict=True)]
        reference, bounds = self.reference(leaves, wide, cotangents, dtype)
        hand = self.runner.hand(leaves, cotangents)
        # Where f's own value has another dtype than its arguments, what it closes over decides.
        closes_over = self.runner.flat.problem.scalar and any(y_leaf.dtype != dtype for y_leaf in y)
        rows = self.rows(name, hand, reference, bounds, dtype, closes_over)
        return Evidence(name, kind, dtype, leaves, cotangents, hand, reference, rows)

    def at_kinks_alone(self, evidence: Evidence) -> bool:
        """Whether, in float64, all that is wrong lies between the slopes on the sides of a kink (any shapes)."""
        hand, reference = _cast(evidence.hand, "float64"), evidence.reference
        masks = subgradient(self.runner, evidence.leaves, evidence.cotangents, hand, reference, self.seed)
        wrong = [k for k, row in enumerate(evidence.rows) if row.status == "fail"]
        return bool(wrong) and all(
            masks[k].any() and np.allclose(np.where(masks[k], reference[k], hand[k]), reference[k], rtol=1e-9, atol=0)
            for k in wrong
        )

    def reference(self, leaves: Arrays, wide: Arrays, cotangents: Arrays, dtype: str) -> tuple[Arrays, list[Bound]]:
        """The float64 gradients at `wide`, and the bounds for a computation of them in `dtype` (any shapes)."""
        y, reference = self._wide(wide, cotangents)
        if not all(np.isfinite(a).all() for a in (*y, *reference)):
            raise OutsideDomainError("the reference is not finite here")
        moved = self._moved(wide, cotangents, reference, self._compute_eps(leaves, dtype))
        own = [np.zeros(()) for _ in reference]
        if dtype != "float64":
            own = self._own_error(leaves, cotangents, reference, dtype)
        terms = sum(a.size for a in (*wide, *cotangents))
        tiny = float(jnp.finfo(dtype).tiny)
        eps = self._compute_eps(leaves, dtype)
        usual = self._usual_size(reference, cotangents)
        bounds = [
            Bound(eps, m, o, terms / max(r.size, 1), tiny, u)
            for m, o, r, u in zip(moved, own, reference, usual, strict=True)
        ]
        return self._with_subgradient(wide, cotangents, reference), bounds

    def _with_subgradient(self, wide: Arrays, cotangents: Arrays, reference: Arrays) -> Arrays:
        """The reference, which is the hand's choice at a kink where the problem leaves it one."""
        if not self.runner.flat.problem.subgradient:
            return reference
        cotangents = [dy.astype(y.dtype) for dy, y in zip(cotangents, self.runner.output(wide), strict=True)]
        hand = _cast(self.runner.hand(wide, cotangents), "float64")
        masks = subgradient(self.runner, wide, cotangents, hand, reference, self.seed)
        for i, h, r, mask in zip(self.runner.flat.asked, hand, reference, masks, strict=True):
            for index in np.argwhere(mask)[:1]:
                place = tuple(index.tolist())
                text = (
                    f"at {list(place)} the hand takes {h[place]:.4g}, JAX {r[place]:.4g}: both lie between the slopes"
                )
                self.at_kinks.setdefault(self.runner.flat.names[i], text)
        return [np.where(mask, h, r) if mask.any() else r for h, r, mask in zip(hand, reference, masks, strict=True)]

    def _usual_size(self, reference: Arrays, cotangents: Arrays) -> list[float]:
        """How large each leaf's gradient is at the given arguments, which come first, per size of the cotangent.

        A form in common use may lose digits where the gradient vanishes, as a softmax's a (dy - Σ dy a) does where it
        is saturated; beside the gradient's usual size, the loss is rounding.
        """
        dy = max((np.abs(c.astype(np.float64)).max(initial=0.0) for c in cotangents), default=0.0)
        if not self._usual:
            self._usual = [np.abs(r).max(initial=0.0) / (dy or 1.0) for r in reference]
        return [usual * dy for usual in self._usual]

    def _own_error(self, leaves: Arrays, cotangents: Arrays, reference: Arrays, dtype: str) -> Arrays:
        """How far JAX's derivative in this precision is off: a number per leaf, inf at elements that are not finite."""
        try:
            y, gradients = self.runner.reference(leaves, cotangents)
        except Exception as error:
            raise OutsideDomainError(f"f does not run in {dtype}: {type(error).__name__}") from error
        if not all(np.isfinite(a.astype(np.float64)).all() for a in y):
            raise OutsideDomainError(f"the function's value is beyond the range of {dtype}")
        return [_distance(g.astype(np.float64), r) for g, r in zip(gradients, reference, strict=True)]

    def rows(
        self, name: str, hand: Arrays, reference: Arrays, bounds: list[Bound], dtype: str, closes_over: bool = False
    ) -> list[Row]:
        """One row per asked leaf: hand and reference of any shapes, which must be the same.

        Float64 is the checker's choice. A hand that closes over float32 data may give float32 there, as far as that
        goes.
        """
        flat, rows = self.runner.flat, []
        for i, h, r, bound in zip(flat.asked, hand, reference, bounds, strict=True):
            if h.shape != r.shape:
                text = f"shape {h.shape}, expected {r.shape}"
                rows.append(Row(name, flat.names[i], "fail", float("inf"), float("inf"), float("inf"), 0.0, text=text))
            elif not jnp.issubdtype(h.dtype, jnp.floating):
                rows.append(Row(name, flat.names[i], "fail", text=f"dtype {h.dtype}, expected {dtype}"))
            else:
                own = h.dtype == flat.leaves[i].dtype and (dtype == "float64" or closes_over)
                if own and dtype == "float64":
                    eps = float(jnp.finfo(h.dtype).eps)
                    bound = bound._replace(eps=eps, moved=bound.moved * (eps / bound.eps))
                row = compare(name, flat.names[i], h.astype(np.float64), r, bound, dtype)
                right = own or h.dtype == dtype
                rows.append(row if right else row._replace(status="fail", text=_dtype_text(h.dtype, dtype)))
        return rows

    def _wide(self, wide: Arrays, cotangents: Arrays) -> tuple[Arrays, Arrays]:
        cotangents = [dy.astype(y.dtype) for dy, y in zip(cotangents, self.runner.output(wide), strict=True)]
        y, gradients = self.runner.reference(wide, cotangents)
        return _cast(y, "float64"), _cast(gradients, "float64")

    def _moved(self, wide: Arrays, cotangents: Arrays, reference: Arrays, eps: float) -> Arrays:
        """By how much rounding errors of eps move each element of the reference: the largest of a few runs."""
        # In float64 an error of eps is itself rounded: one of many eps is made, and its effect divided.
        many = _MANY if eps == np.finfo(np.float64).eps else 1
        cotangents = [dy.astype(y.dtype) for dy, y in zip(cotangents, self.runner.output(wide), strict=True)]
        moved = [np.zeros(r.shape) for r in reference]
        for run in range(_RUNS):
            other = self.runner.moved(wide, cotangents, many * eps, self.seed + run)
            distances = [np.abs(o.astype(np.float64) - r) / many for o, r in zip(other, reference, strict=True)]
            moved = [np.fmax(m, np.where(np.isfinite(d), d, 0.0)) for m, d in zip(moved, distances, strict=True)]
        return moved

    def _compute_eps(self, leaves: Arrays, dtype: str) -> float:
        if dtype not in self._eps:
            self._eps[dtype] = compute_eps(self.runner.flat, leaves)
        return self._eps[dtype]


def _cast(leaves: Arrays, dtype: str) -> Arrays:
    return [leaf.astype(dtype) if is_floating(leaf) else leaf for leaf in leaves]


def _distance(own: np.ndarray, reference: np.ndarray) -> Any:
    """How far JAX's derivative in low precision is off: the leaf's largest distance, inf where it is not finite."""
    distance = np.abs(own - reference)
    finite = np.isfinite(own)
    return np.where(finite, distance[finite].max(initial=0.0), np.inf)


def _dtype_text(got: Any, expected: str) -> str:
    return f"dtype {got}, expected {expected}, that of the argument: a jax.custom_vjp would refuse it"
