"""The situations that a gradient is checked in: the given arguments, and arguments and cotangents made from them."""

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.problem import Flat, is_floating
from jaxnn.gradcheck.runner import Arrays, Runner


class Situation(NamedTuple):
    """A point to check at.

    Attributes:
      name: for the report.
      leaves: arguments, in float64 where they are floating.
      cotangents: what y's cotangent is to be, by a name in `COTANGENTS`.
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


def situations(flat: Flat, seed: int) -> list[Situation]:
    """All of them at the shapes given: first the arguments as they are, with each cotangent, then changed ones.

    Labels are left alone: leaves that hold just zeros and ones, or whose rows are distributions. Any other value there
    would be outside the domain in which a gradient such as softmax(z) - y is right.
    """
    given = in_float64(flat)
    cotangents = ["random"] if flat.problem.scalar else ["random", "negative", "positive", "sparse", "large", "zero"]
    found = [Situation("given" if c == "random" else f"given, {c} cotangent", given, c) for c in cotangents]
    free = [i for i in flat.floating if not is_label(flat.leaves[i])]
    for name, kind, change in _CHANGES:
        rng = np.random.default_rng([seed, len(found)])
        leaves = [change(rng, leaf) if i in free else leaf for i, leaf in enumerate(given)]
        if free:
            found.append(Situation(name, leaves, "random", kind))
    if any(_is_uniform_mask(leaf) for leaf in given):
        rng = np.random.default_rng([seed, 101])
        mixed = [rng.permuted(_half(leaf)) if _is_uniform_mask(leaf) else leaf for leaf in given]
        found.append(Situation("masks mixed", mixed))
    return found


def _is_uniform_mask(leaf: np.ndarray) -> bool:
    """Whether a mask lets everything through, or nothing, so that a backward which forgets it would look right."""
    return leaf.dtype == bool and leaf.size > 1 and bool(leaf.all() or not leaf.any())


def _half(leaf: np.ndarray) -> np.ndarray:
    return (np.arange(leaf.size) % 2 == 0).reshape(leaf.shape)


def one_at_a_time(flat: Flat, situation: Situation) -> Iterator[tuple[str, Situation]]:
    """The same change made to one leaf alone, and the sign-keeping form of it: (leaf's name, situation), any shapes.

    For a situation outside the domain as a whole: one leaf may be free to move where all together are not.
    """
    given = in_float64(flat)
    for i in flat.floating:
        changed = situation.leaves[i]
        if np.array_equal(changed, given[i]):
            continue
        for name, leaf in ((flat.names[i], changed), (f"|{flat.names[i]}|", np.copysign(changed, given[i]))):
            leaves = [leaf if j == i else other for j, other in enumerate(given)]
            yield name, situation._replace(name=f"{situation.name} ({name} alone)", leaves=leaves)


def make_cotangents(name: str, runner: Runner, leaves: Arrays, seed: int) -> Arrays:
    """Cotangents of that name for the leaves of y at these leaves, in y's shapes and dtypes."""
    outputs = runner.output(leaves)
    rng = np.random.default_rng([seed, sorted(COTANGENTS).index(name)])
    make = COTANGENTS["ones"] if runner.flat.problem.scalar else COTANGENTS[name]
    return [make(rng, y.shape).astype(y.dtype) for y in outputs]


def _to_signs(size: float) -> Callable[[np.random.Generator, np.ndarray], np.ndarray]:
    # Not all of one size: ties are a matter of their own.
    return lambda rng, leaf: size * rng.choice([-1.0, 1.0], leaf.shape) * rng.uniform(0.9, 1.1, leaf.shape)


_CHANGES: list[tuple[str, str, Callable[[np.random.Generator, np.ndarray], np.ndarray]]] = [
    ("scaled by 1e-3", "smooth", lambda rng, leaf: 1e-3 * leaf),
    ("scaled by 0.1", "smooth", lambda rng, leaf: 0.1 * leaf),
    ("scaled by 10", "smooth", lambda rng, leaf: 10 * leaf),
    ("scaled by 1e3", "saturated", lambda rng, leaf: 1e3 * leaf),
    ("sign turned", "smooth", lambda rng, leaf: -leaf),
    ("shuffled", "smooth", lambda rng, leaf: rng.permutation(leaf.ravel()).reshape(leaf.shape)),
    ("some exact zeros", "kink", lambda rng, leaf: leaf * (rng.random(leaf.shape) < 0.6)),
    ("all zeros", "kink", lambda rng, leaf: 0 * leaf),
    ("whole numbers", "kink", lambda rng, leaf: rng.integers(-3, 4, leaf.shape).astype(np.float64)),
    ("at ±10", "saturated", _to_signs(10.0)),
    ("at ±1e4", "saturated", _to_signs(1e4)),
]


def in_float64(flat: Flat) -> Arrays:
    """The given leaves (any shapes) in float64. Distributions are made to sum to one as they do in exact numbers."""
    wide = [leaf.astype(np.float64) if is_floating(leaf) else leaf for leaf in flat.leaves]
    return [
        leaf / leaf.sum(-1, keepdims=True) if i in flat.floating and _is_distribution(flat.leaves[i]) else leaf
        for i, leaf in enumerate(wide)
    ]


def is_label(leaf: np.ndarray) -> bool:
    """Whether a leaf, of any shape, looks like labels: zeros and ones, both, or non-negative rows that sum to one."""
    bits = leaf.astype(np.float64)
    return leaf.size > 1 and np.isin(bits, (0, 1)).all() and bits.min() != bits.max() or _is_distribution(leaf)


def _is_distribution(leaf: np.ndarray) -> bool:
    if not is_floating(leaf) or leaf.ndim == 0 or leaf.shape[-1] < 2 or leaf.size == 0:
        return False
    rows, eps = leaf.astype(np.float64), float(jnp.finfo(leaf.dtype).eps)
    return bool(rows.min() >= 0 and np.abs(rows.sum(-1) - 1).max() <= 4 * eps * leaf.shape[-1])


class Resized(NamedTuple):
    """The leaves with every axis of one size (all of them, or the leading ones) brought to another."""

    old: int
    new: int
    leaves: Arrays


def resized(
    runner: Runner,
    leaves: Arrays,
    old: int,
    new: int,
    *,
    leading: bool,
    together: bool = False,
    seed: int = 0,
    noise: float = 0.1,
) -> Resized | None:
    """The leaves (arrays of any shapes) at another size, or `None` where f does not take them so.

    Axes of size `old` (the leading ones, or all) are cut or grown to `new`, in as few leaves as f needs to
    take them, or where they go `together`, in as many. Grown rows repeat the others, a little changed where they
    are not labels.
    """
    chosen = _resizable(runner, leaves, old, leading, together)
    if chosen is None:
        return None
    if leading and any(_may_index(leaves[i], old, new) for i in range(len(leaves)) if i not in chosen):
        return None
    rng = np.random.default_rng([seed, new])
    changed = _with_size(leaves, chosen, old, new, leading)
    for i in chosen:
        if is_floating(leaves[i]) and not is_label(leaves[i]):
            changed[i] = (changed[i] * (1 + noise * rng.normal(size=changed[i].shape))).astype(leaves[i].dtype)
        elif _is_distribution(leaves[i]) and not _is_distribution(changed[i]):
            return None  # it was the classes' axis, and what is left is no label
    try:
        runner.output(changed)
    except Exception:  # whatever f says of a shape it was not made for
        return None
    return Resized(old, new, changed)


def _may_index(leaf: np.ndarray, old: int, new: int) -> bool:
    """Whether whole numbers look like places on an axis of `old`, some of which are gone when it is cut to `new`."""
    whole = np.issubdtype(leaf.dtype, np.integer) and leaf.size > 0
    return bool(whole and new <= leaf.max() < old)


def _resizable(runner: Runner, leaves: Arrays, old: int, leading: bool, together: bool) -> tuple[int, ...] | None:
    """The smallest set of leaves, or the largest, whose axes of this size f lets grow: y must grow, or keep its shape.

    A size that nothing else has is tried, since an axis of 1 would be broadcast where it does not belong.
    """
    new = max(size for leaf in leaves for size in (*leaf.shape, 1)) + 1
    candidates = [i for i, leaf in enumerate(leaves) if _axes(leaf, old, leading)]
    before = [y.shape for y in runner.output(leaves)]
    sizes = range(1, len(candidates) + 1) if len(candidates) <= _MOST_LEAVES else (1, len(candidates))
    sizes = reversed(sizes) if together else sizes
    for subset in itertools.chain.from_iterable(itertools.combinations(candidates, n) for n in sizes):
        try:
            after = [y.shape for y in runner.output(_with_size(leaves, subset, old, new, leading))]
        except Exception:  # whatever f says of a shape it was not made for
            continue
        grown = [tuple(new if s == old and (a == 0 or not leading) else s for a, s in enumerate(y)) for y in before]
        if after in (before, grown) or not leading and _grew(before, after, old, new):
            return subset
    return None


_MOST_LEAVES = 6


def _grew(before: list[tuple[int, ...]], after: list[tuple[int, ...]], old: int, new: int) -> bool:
    return all(
        len(b) == len(a) and all(s == t or (s, t) == (old, new) for s, t in zip(b, a, strict=True))
        for b, a in zip(before, after, strict=True)
    )


def _axes(leaf: np.ndarray, size: int, leading: bool) -> list[int]:
    return [a for a in range(leaf.ndim) if leaf.shape[a] == size and (a == 0 or not leading)]


def _with_size(leaves: Arrays, chosen: tuple[int, ...], old: int, new: int, leading: bool) -> Arrays:
    changed = list(leaves)
    for i in chosen:
        for axis in _axes(leaves[i], old, leading):
            changed[i] = np.take(changed[i], np.arange(new) % old, axis)
    return changed
