"""The test points: the given arguments, and arguments and cotangents made from them."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.flat_problem import FlatProblem, is_floating
from jaxnn.gradcheck.runner import Arrays, Runner


class TestPoint(NamedTuple):
    """Arguments and cotangents to check at.

    Attributes:
      name: its name in the report.
      leaves: the arguments; floating ones are float64.
      cotangents: the name in `COTANGENTS` of the cotangents of y.
      kind: "smooth", "kink" (exact zeros, ties) or "saturated".
    """

    name: str
    leaves: Arrays
    cotangents: str = "random"
    kind: str = "smooth"


def _sparse(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    kept = rng.random(shape) < 0.2
    if kept.size and not kept.any():
        kept.flat[rng.integers(kept.size)] = True
    return rng.normal(size=shape) * kept


COTANGENTS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "random": lambda rng, shape: rng.normal(size=shape),
    "negative": lambda rng, shape: -np.abs(rng.normal(size=shape)) - 0.1,
    "positive": lambda rng, shape: np.abs(rng.normal(size=shape)) + 0.1,
    "sparse": _sparse,
    "large": lambda rng, shape: 1e3 * rng.normal(size=shape),
    "ones": lambda rng, shape: np.ones(shape),
    "zero": lambda rng, shape: np.zeros(shape),
}


def make_test_points(flat: FlatProblem, seed: int) -> list[TestPoint]:
    """Return all test points at the given shapes: the given arguments with each cotangent, then changed arguments.

    Labels are not changed: leaves that hold only zeros and ones, or whose rows are distributions. Other values there
    would be outside the domain in which a gradient such as softmax(z) - y is right.
    """
    given = in_float64(flat)
    cotangents = ["random"] if flat.problem.scalar else ["random", "negative", "positive", "sparse", "large", "zero"]
    points = [TestPoint("given" if c == "random" else f"given, {c} cotangent", given, c) for c in cotangents]
    free = [i for i in flat.floating if not is_label(flat.leaves[i]) and np.isfinite(given[i]).all()]
    for name, kind, change in _CHANGES:
        rng = np.random.default_rng([seed, len(points)])
        leaves = [change(rng, leaf) if i in free else leaf for i, leaf in enumerate(given)]
        if free:
            points.append(TestPoint(name, flat.project(leaves), "random", kind))
    if any(_is_uniform_mask(leaf) for leaf in given):
        rng = np.random.default_rng([seed, 101])
        mixed = [rng.permuted(_half(leaf)) if _is_uniform_mask(leaf) else leaf for leaf in given]
        points.append(TestPoint("masks mixed", mixed))
    return points


def _is_uniform_mask(leaf: np.ndarray) -> bool:
    """Return True if a mask is all True or all False, so that a backward that ignores it may look right."""
    return leaf.dtype == bool and leaf.size > 1 and bool(leaf.all() or not leaf.any())


def _half(leaf: np.ndarray) -> np.ndarray:
    return (np.arange(leaf.size) % 2 == 0).reshape(leaf.shape)


def one_at_a_time(flat: FlatProblem, test_point: TestPoint) -> Iterator[tuple[str, TestPoint]]:
    """Yield (leaf's name, test point) with only that leaf changed, as it is and with the signs of the given leaf.

    For a test point outside the domain of f: a change of one leaf may stay inside.
    """
    given = in_float64(flat)
    for i in flat.floating:
        changed = test_point.leaves[i]
        if np.array_equal(changed, given[i]):
            continue
        for name, leaf in ((flat.names[i], changed), (f"|{flat.names[i]}|", np.copysign(changed, given[i]))):
            leaves = [leaf if j == i else other for j, other in enumerate(given)]
            yield name, test_point._replace(name=f"{test_point.name} ({name} alone)", leaves=leaves)


def make_cotangents(name: str, runner: Runner, leaves: Arrays, seed: int) -> Arrays:
    """Return the cotangents of that name, in the shapes and dtypes of y at these leaves."""
    outputs = runner.output(leaves)
    rng = np.random.default_rng([seed, sorted(COTANGENTS).index(name)])
    make = COTANGENTS["ones"] if runner.flat.problem.scalar else COTANGENTS[name]
    return [make(rng, y.shape).astype(y.dtype) for y in outputs]


def _to_signs(size: float) -> Callable[[np.random.Generator, np.ndarray], np.ndarray]:
    # Sizes differ a little, so that there are no ties.
    return lambda rng, leaf: size * rng.choice([-1.0, 1.0], leaf.shape) * rng.uniform(0.9, 1.1, leaf.shape)


_CHANGES: list[tuple[str, str, Callable[[np.random.Generator, np.ndarray], np.ndarray]]] = [
    ("scaled by 1e-3", "smooth", lambda rng, leaf: 1e-3 * leaf),
    ("scaled by 0.1", "smooth", lambda rng, leaf: 0.1 * leaf),
    ("scaled by 10", "smooth", lambda rng, leaf: 10 * leaf),
    ("scaled by 1e3", "saturated", lambda rng, leaf: 1e3 * leaf),
    ("negated", "smooth", lambda rng, leaf: -leaf),
    ("shuffled", "smooth", lambda rng, leaf: rng.permutation(leaf.ravel()).reshape(leaf.shape)),
    ("some exact zeros", "kink", lambda rng, leaf: leaf * (rng.random(leaf.shape) < 0.6)),
    ("all zeros", "kink", lambda rng, leaf: 0 * leaf),
    ("integers", "kink", lambda rng, leaf: rng.integers(-3, 4, leaf.shape).astype(np.float64)),
    ("at ±10", "saturated", _to_signs(10.0)),
    ("at ±1e4", "saturated", _to_signs(1e4)),
]


def in_float64(flat: FlatProblem) -> Arrays:
    """Return the given leaves in float64, with the rows of distributions divided by their sums."""
    wide = [leaf.astype(np.float64) if is_floating(leaf) else leaf for leaf in flat.leaves]
    return [
        leaf / leaf.sum(-1, keepdims=True) if i in flat.floating and is_distribution(flat.leaves[i]) else leaf
        for i, leaf in enumerate(wide)
    ]


def is_label(leaf: np.ndarray) -> bool:
    """Return True if a leaf looks like labels: both zeros and ones, or non-negative rows that sum to one."""
    bits = leaf.astype(np.float64)
    return bool(leaf.size > 1 and np.isin(bits, (0, 1)).all() and bits.min() != bits.max()) or is_distribution(leaf)


def is_distribution(leaf: np.ndarray) -> bool:
    """Return True if the rows of a leaf are non-negative and sum to one."""
    if not is_floating(leaf) or leaf.ndim == 0 or leaf.shape[-1] < 2 or leaf.size == 0:
        return False
    rows, eps = leaf.astype(np.float64), float(jnp.finfo(leaf.dtype).eps)
    return bool(rows.min() >= 0 and np.abs(rows.sum(-1) - 1).max() <= 4 * eps * leaf.shape[-1])
