"""A gradient that is a constant times the right one: which constant, and where it comes from."""

import dataclasses

import jax
import numpy as np

from jaxnn.gradcheck.diagnosis.mutation_sites import divisors
from jaxnn.gradcheck.diagnosis.wrong_leaf import WrongLeaf, manual_gradient
from jaxnn.gradcheck.flat_problem import FlatProblem, is_floating
from jaxnn.gradcheck.inspection import trace
from jaxnn.gradcheck.points import in_float64, make_cotangents
from jaxnn.gradcheck.report import Diagnosis
from jaxnn.gradcheck.resizing import resized
from jaxnn.gradcheck.runner import Arrays, Runner
from jaxnn.jaxprs import consts_of, equations


def zero(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain a gradient that is zero at every test point, although the reference is not."""
    if leaf.manual.any() or not leaf.reference.any():
        return None
    if any(manual_gradient(e, leaf.k).any() for e in leaf.smooth):
        return None
    return Diagnosis("zero", leaf.name, "the gradient is zero everywhere, and should not be")


def opposite_sign(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain a gradient that is the negative of the right one at every smooth test point."""
    c = _constant_factor(leaf)
    if c is not None and abs(c + 1) < 1e-6:
        return Diagnosis("sign", leaf.name, "the gradient has the opposite sign")
    return None


def scale_factor(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain a gradient that is c times the right one at every smooth test point."""
    c = _constant_factor(leaf)
    if c is None:
        return None
    m = _batch_size_behind(leaf, c)
    if m is not None:
        if c > 1:
            return Diagnosis("missing 1/m", leaf.name, f"it is {m} times the gradient, and m = {m}: divide by m")
        return Diagnosis("1/m twice", leaf.name, f"it is 1/{m} of the gradient, and m = {m}: divide by m only once")
    n = _averaged_terms_behind(leaf, c)
    if n is not None:
        text = f"it is {n:g} times the gradient, and a mean over {n:g} terms is taken: divide by {n:g}"
        return Diagnosis("sum for mean", leaf.name, text)
    number = _number_behind(leaf, c)
    if number == "unknown":
        return None
    if number:
        text = f"it is {number} times the gradient, and {number.removeprefix('1/')} is an argument"
        return Diagnosis("factor of an argument", leaf.name, text)
    return Diagnosis("constant factor", leaf.name, f"it is {c:.6g} times the gradient everywhere")


def _constant_factor(leaf: WrongLeaf) -> float | None:
    """Return c if the gradient is c times the right one at every smooth test point, and c is neither 0 nor 1."""
    # Where the gradient nearly vanishes, as in a saturated softmax, the ratio is noise.
    size = np.abs(leaf.reference).max(initial=0.0)
    usable = [e for e in leaf.smooth if np.abs(e.reference[leaf.k]).max(initial=0.0) > 1e-5 * size]
    ratios = [r for e in usable if (r := _ratio(manual_gradient(e, leaf.k), e.reference[leaf.k])) is not None]
    if len(ratios) < max(2, len(usable)):
        return None
    c = float(np.median(ratios))
    if c == 0 or abs(c - 1) < 1e-6 or max(abs(r - c) for r in ratios) > 1e-6 * abs(c):
        return None
    return c


def _ratio(manual: np.ndarray, reference: np.ndarray) -> float | None:
    if manual.shape != reference.shape or not np.isfinite(manual).all():
        return None
    square = float((reference * reference).sum())
    c = float((manual * reference).sum()) / square if square > 0 else 0.0
    return c if np.abs(manual - c * reference).max() <= 1e-7 * max(abs(c), 1e-30) * np.abs(reference).max() else None


def _batch_size_behind(leaf: WrongLeaf, c: float) -> int | None:
    """Return the batch size m, if c is m or 1/m and changes with the batch size, or f divides by a closed-over one."""
    m = c if c > 1 else 1 / c
    if abs(m - round(m)) > 1e-5 * m or round(m) < 2:
        return None
    m, expected = round(m), lambda size: size if c > 1 else 1 / size
    if m not in {a.shape[0] for a in (*leaf.failed.leaves, *leaf.failed.cotangents) if a.ndim}:
        return m if m in _closed_over_sizes(leaf) and any(n % m == 0 for n in _divisors(leaf)) else None
    others = [(e, e.size[1]) for e in leaf.examinations if e.size is not None and e.size[0] == m]
    ratios = [(new, _ratio(manual_gradient(e, leaf.k), e.reference[leaf.k])) for e, new in others]
    if not ratios:
        grown = [resized(leaf.runner, leaf.failed.leaves, m, new, leading=True) for new in (m + 1, m - 1)]
        ratios = [(each.new, _ratio_at(leaf, each.leaves)) for each in grown if each is not None]
    if not ratios:
        return m if any(n % m == 0 for n in _divisors(leaf)) else None
    if any(r is None or abs(r - expected(new)) > 1e-5 * expected(new) for new, r in ratios if r != 0):
        return None
    return m


def _closed_over_sizes(leaf: WrongLeaf) -> set[int]:
    """Return the leading sizes of the arrays that f closes over."""
    closed = trace(leaf.runner.flat, leaf.failed.leaves)
    if closed is None:
        return set()
    arrays = [*closed.consts, *(a for equation in equations(closed.jaxpr) for a in consts_of(equation))]
    return {np.shape(a)[0] for a in arrays if np.ndim(a)}


def _divisors(leaf: WrongLeaf) -> set[int]:
    """Return the whole numbers by which f divides."""
    closed = trace(leaf.runner.flat, leaf.failed.leaves)
    return divisors(closed.jaxpr) if closed is not None else set()


def _averaged_terms_behind(leaf: WrongLeaf, c: float) -> float | None:
    """Return c if it is the number of averaged terms: an axis's size, verified by resizing it, or inputs per output."""
    if c < 2 - 1e-6 or abs(c - round(c)) > 1e-5 * c:
        return None
    n, failed = round(c), leaf.failed
    if n in {size for a in failed.leaves for size in a.shape}:
        for new in (n - 1, n + 1):
            other = resized(leaf.runner, failed.leaves, n, new, leading=False) if new > 0 else None
            if other is None:
                continue
            ratio = _ratio_at(leaf, other.leaves)
            if ratio is not None:
                return n if abs(ratio - new) <= 1e-5 * new else None
    # Windows: n inputs per output, in a function that divides by n.
    outputs = sum(dy.size for dy in failed.cotangents)
    inputs = failed.leaves[leaf.runner.flat.wrt[leaf.k]].size
    return n if n > 2 and outputs and inputs == n * outputs and n in _divisors(leaf) else None


def _number_behind(leaf: WrongLeaf, c: float) -> str:
    """Return the whole number among the arguments, or 1 over it, that c is, or "".

    Without a check at another number, which f may not take, it is "unknown".
    """
    flat = leaf.runner.flat
    leaves = [(flat.names[j], a) for j, a in enumerate(leaf.failed.leaves) if a.ndim == 0 and not is_floating(a)]
    paths = jax.tree_util.tree_flatten_with_path(flat.problem.args)[0]
    numbers = [
        (flat.problem.names[path[0].idx] + jax.tree_util.keystr(path[1:]), value)
        for path, value in paths
        if isinstance(value, int) and not isinstance(value, bool)
    ]
    for name, value in [*leaves, *numbers]:
        for power in (1, -1):
            if abs(value) < 2 or abs(c - float(value) ** power) > 1e-6 * abs(c):
                continue
            other = int(value) + 1
            ratio = _ratio_with(leaf, name, other)
            if ratio is None:
                return "unknown"
            if abs(ratio - float(other) ** power) <= 1e-6 * abs(ratio):
                return name if power == 1 else f"1/{name}"
    return ""


def _ratio_with(leaf: WrongLeaf, name: str, number: int) -> float | None:
    """Return the factor with another whole number for an argument, `None` without one."""
    problem = leaf.runner.flat.problem

    def changed(path, value):
        own = problem.names[path[0].idx] + jax.tree_util.keystr(path[1:])
        return (number if isinstance(value, int) else np.asarray(number, value.dtype)) if own == name else value

    try:
        args = jax.tree_util.tree_map_with_path(changed, problem.args)
        runner = Runner(FlatProblem(dataclasses.replace(problem, args=args)))
        leaves = in_float64(runner.flat)
        return _ratio_at(leaf, leaves, runner)
    except Exception:  # f does not take this number
        return None


def _ratio_at(leaf: WrongLeaf, leaves: Arrays, runner: Runner | None = None) -> float | None:
    runner = runner or leaf.runner
    cotangents = make_cotangents("random", runner, leaves, 0)
    try:
        manual = runner.manual(leaves, cotangents)[leaf.k].astype(np.float64)
    except ValueError:
        return None
    return _ratio(manual, runner.reference(leaves, cotangents)[1][leaf.k])
