"""Points at which f has no derivative, or none that autodiff finds: what follows from the gradients nearby.

At a kink, f has a slope on each side, and every slope between them is a subgradient: the convex hull of the limits of
the gradients at nearby points is Clarke's generalized gradient. JAX takes one point of it, or one outside of it, and a
manual gradient may take another. Where f is smooth, but autodiff differentiates a branch that holds at this point
alone, as in where(y == 0, 0, x y), the gradients nearby all agree, and not with autodiff's.

Source: Clarke, "Optimization and nonsmooth analysis", 1983, section 2.5.
"""

from typing import NamedTuple

import numpy as np

from jaxnn.gradcheck.runner import Arrays, Runner

_STEPS = (1e-7, 1e-9)
_PAIRS = 16
_MANY = 10_000
_BASES = 12


class Nearby(NamedTuple):
    """What follows from the gradients nearby for each element of one leaf: masks in its shape.

    Attributes:
      kink: the manual gradient is another one than JAX's, and lies between those on the sides of a kink.
      smooth: it is that of the points nearby, which agree with one another, and JAX's is another one.
      outside: JAX's own lies outside of those on the sides of the kink, or is not finite.
      apart: there is a kink, whether or not the manual gradient lies between its slopes.
      infinite: the gradients nearby grow as the points come nearer: the slope is infinite.
      known: f has gradients nearby.
      low, high: the least and the largest gradient nearby.
    """

    kink: np.ndarray
    smooth: np.ndarray
    outside: np.ndarray
    apart: np.ndarray
    infinite: np.ndarray
    known: np.ndarray
    low: np.ndarray
    high: np.ndarray


def nearby_gradients(
    runner: Runner,
    leaves: Arrays,
    cotangents: Arrays,
    manual: Arrays,
    reference: Arrays,
    sizes: list[float],
    rtol: float,
    seed: int,
) -> list[Nearby] | None:
    """Compare the manual gradients with JAX's at nearby points, where the two differ at this one.

    Args:
      runner: runs JAX's gradient.
      leaves: the point, float64 arrays.
      cotangents: of y at that point.
      manual: the manual gradients of the leaves `wrt`.
      reference: JAX's gradients, in the same shapes.
      sizes: their typical sizes; differences far below are rounding.
      rtol: the error that is allowed, relative to the gradients nearby.
      seed: seed of the random sides.

    Returns:
      A `Nearby` for each leaf in `wrt`, or `None` if nothing differs, or f does not run nearby.
    """
    if [h.shape for h in manual] != [r.shape for r in reference]:
        return None
    off = [
        ~(np.abs(h - r) <= 1e-9 * np.abs(np.where(np.isfinite(r), r, 0)).max(initial=max(1e-300, 1e-3 * size)))
        for h, r, size in zip(manual, reference, sizes, strict=True)
    ]
    if not any((o & (np.isfinite(h) | ~np.isfinite(r))).any() for o, h, r in zip(off, manual, reference, strict=True)):
        return None
    if is_smooth(runner, leaves, cotangents, reference, off, sizes, seed):
        return None
    wide, near = (_sampled(runner, leaves, cotangents, manual, step, seed) for step in _STEPS)
    if near is None or wide is None:
        return None
    found = [
        _compare(h, r, o, w, n, rtol) for h, r, o, w, n in zip(manual, reference, off, wide, near, strict=True)
    ]  # fmt: skip
    if not _jointly_between(runner, leaves, cotangents, manual, reference, [each.kink for each in found], rtol, seed):
        found = [each._replace(kink=np.zeros_like(each.kink)) for each in found]
    if any(each.smooth.any() for each in found) and not _is_continuous(runner, leaves, cotangents, seed):
        found = [each._replace(smooth=np.zeros_like(each.smooth)) for each in found]
    return found


def _compare(h: np.ndarray, r: np.ndarray, off: np.ndarray, wide: np.ndarray, near: np.ndarray, rtol: float) -> Nearby:
    """Return what gradients (points, ...) at two distances imply for the manual h and JAX's r."""
    known = np.isfinite(near).sum(0) >= 2
    low, high = (np.where(known, side(np.where(np.isfinite(near), near, fill), axis=0), 0.0)
                 for side, fill in ((np.min, np.inf), (np.max, -np.inf)))  # fmt: skip
    size = np.maximum(np.abs(low), np.abs(high))
    largest = size.max(initial=0.0)
    spread = high - low
    # A kink's slopes stay apart as the points come nearer; those of a smooth function come together.
    finite = np.where(np.isfinite(wide), wide, np.where(np.isfinite(near), near, 0.0))
    persists = spread > 0.5 * (finite.max(0) - finite.min(0))
    kink = known & persists & (spread > 1e-3 * size) & (spread > (1e-6 + rtol) * largest)
    infinite = known & (np.abs(np.stack([low, high])).max(0) > 3 * np.abs(finite).max(0))
    slack = np.where(kink, 1e-3 * spread, 1e-6 * size + 1e-9 * largest)
    allowed = slack + rtol * largest
    inside = (low - allowed <= h) & (h <= high + allowed)
    jax_inside = np.isfinite(r) & (low - slack <= r) & (r <= high + slack)
    smooth = off & known & ~kink & inside & ~jax_inside & (spread <= 1e-6 * size + (1e-9 + rtol) * largest)
    return Nearby(off & kink & inside, smooth, ~jax_inside, off & kink, infinite, known, low, high)


def _steps(runner: Runner, leaves: Arrays, step: float, rng: np.random.Generator) -> Arrays:
    """Return a positive step for each element of the leaves `wrt`, no two equal, so that ties are broken."""
    chosen = [np.asarray(leaves[i], np.float64) for i in runner.flat.wrt]
    sizes = [np.abs(np.where(np.isfinite(leaf), leaf, 0.0)) for leaf in chosen]
    sizes = [np.where(size > 0, size, min(1.0, float(size.max(initial=0.0)) or 1.0)) for size in sizes]
    return [step * size * rng.uniform(0.5, 1.0, size.shape) for size in sizes]


def gradients_nearby(runner: Runner, leaves: Arrays, cotangents: Arrays, steps: Arrays) -> Arrays | None:
    """Return JAX's gradients in float64, with steps from the leaves `wrt`; `None` if f does not run there."""
    moved = runner.flat.moved(leaves, steps)
    try:
        gradients = runner.reference(moved, cotangents)[1]
    except Exception:
        return None
    wide = [np.asarray(g, np.float64) for g in gradients]
    return runner.flat.domain.tangents(moved, runner.flat.wrt, wide)


def _sampled(
    runner: Runner, leaves: Arrays, cotangents: Arrays, manual: Arrays, step: float, seed: int
) -> Arrays | None:
    """Return JAX's gradients at nearby points, each leaf (points, ...), or `None` if f does not run there.

    The points lie on both sides: first all elements on one side, then each on the side whose slope is nearer to the
    manual gradient, then each in the direction in which that exceeds the mean so far, then on random sides.
    """
    rng = np.random.default_rng([seed, 303])
    signs, gradients = [np.ones(leaves[i].shape) for i in runner.flat.wrt], []
    many = sum(sign.size for sign in signs) > _MANY
    for pair in range(3 if many else _PAIRS):
        if pair == 1:
            plus, minus = gradients
            sides = zip(plus, minus, manual, strict=True)
            signs = [np.where(np.abs(p - h) < np.abs(m - h), 1, -1) for p, m, h in sides]
        elif pair == 2:
            means = [np.mean(each, axis=0) for each in zip(*gradients, strict=True)]
            signs = [np.where(h > mean, 1, -1) for h, mean in zip(manual, means, strict=True)]
        elif pair > 2:
            signs = [rng.choice([-1.0, 1.0], sign.shape) for sign in signs]
        steps = _steps(runner, leaves, step, rng)
        for side in (1, -1):
            moves = [side * sign * size for sign, size in zip(signs, steps, strict=True)]
            at = gradients_nearby(runner, leaves, cotangents, moves)
            if at is None:
                return None
            gradients.append(at)
    return [np.stack(each) for each in zip(*gradients, strict=True)]


def is_smooth(
    runner: Runner,
    leaves: Arrays,
    cotangents: Arrays,
    reference: Arrays,
    where: Arrays,
    sizes: list[float],
    seed: int,
    tolerance: float = 1e-9,
) -> bool:
    """Return True if JAX's gradients on either side of a point are those at it, in the elements of the masks `where`.

    Unequal steps to one side break every tie, and those to the other break it in another way. Differences far below
    the typical `sizes` are rounding; `tolerance` is relative to the largest gradient.
    """
    steps = _steps(runner, leaves, _STEPS[1], np.random.default_rng([seed, 306]))
    for side in (1, -1):
        at = gradients_nearby(runner, leaves, cotangents, [side * step for step in steps])
        if at is None:
            return False
        for a, r, mask, typical in zip(at, reference, where, sizes, strict=True):
            size = max(np.abs(r).max(initial=0.0), 1e-3 * typical)
            if not (np.abs(a - r)[mask] <= 1e-6 * np.abs(r)[mask] + tolerance * size).all():
                return False
    return True


def _jointly_between(
    runner: Runner,
    leaves: Arrays,
    cotangents: Arrays,
    manual: Arrays,
    reference: Arrays,
    masks: Arrays,
    rtol: float,
    seed: int,
) -> bool:
    """Return True if the masked elements, taken together, lie between the slopes on the sides of the kinks.

    Each of two equal largest elements of a maximum may have slope 1, but not both at once: along (1, 1), it has slope 1
    on both sides. Measured for each output alone, since one may bend upwards and another downwards.
    """
    if not any(mask.any() for mask in masks):
        return True
    rng = np.random.default_rng([seed, 305])
    off = [np.where(m, np.sign(h - np.nan_to_num(r)), 0.0) for h, r, m in zip(manual, reference, masks, strict=True)]
    ones = [mask.astype(np.float64) for mask in masks]
    others = [[m * rng.uniform(0.5, 1.0, m.shape) * rng.choice([-1.0, 1.0], m.shape) for m in masks] for _ in range(2)]
    return all(_is_between(runner, leaves, cotangents, manual, d, rtol, rng) for d in (off, ones, *others))


def _is_between(
    runner: Runner,
    leaves: Arrays,
    cotangents: Arrays,
    manual: Arrays,
    direction: Arrays,
    rtol: float,
    rng: np.random.Generator,
) -> bool:
    """Return True if <manual, direction> lies between the slopes of f along that direction at points nearby."""
    sizes = [max(float(np.abs(leaves[i]).max(initial=0.0)), 1e-3) for i in runner.flat.wrt]
    direction = [d * size for d, size in zip(direction, sizes, strict=True)]
    slopes = []
    for base in range(_BASES):
        away = [
            (base > 0) * _STEPS[0] * size * rng.normal(size=d.shape) for d, size in zip(direction, sizes, strict=True)
        ]
        here = runner.f(runner.flat.moved(leaves, away))
        for step in (0.1 * _STEPS[0], -0.1 * _STEPS[0]):
            there = runner.f(runner.flat.moved(leaves, [a + step * d for a, d in zip(away, direction, strict=True)]))
            slopes.append([
                (y.astype(np.float64) - y0.astype(np.float64)) / step * dy
                for y, y0, dy in zip(there, here, cotangents, strict=True)
            ])  # fmt: skip
    least = [np.min(each, axis=0) for each in zip(*slopes, strict=True)]
    most = [np.max(each, axis=0) for each in zip(*slopes, strict=True)]
    low, high = sum(float(a.sum()) for a in least), sum(float(a.sum()) for a in most)
    size = sum(float(np.maximum(np.abs(a), np.abs(b)).sum()) for a, b in zip(least, most, strict=True))
    claimed = sum(float((h * d)[d != 0].sum()) for h, d in zip(manual, direction, strict=True))
    if not np.isfinite([low, high, claimed]).all():
        return True
    slack = (1e-5 + rtol) * size
    return low - slack <= claimed <= high + slack


def _is_continuous(runner: Runner, leaves: Arrays, cotangents: Arrays, seed: int) -> bool:
    """Return True if f does not jump at this point, so that the gradients nearby are those at it."""
    here = runner.f(leaves)
    jumps = []
    for step in _STEPS:
        there = runner.f(runner.flat.moved(leaves, _steps(runner, leaves, step, np.random.default_rng([seed, 304]))))
        jumps.append(
            max((float(np.abs(a - b).max(initial=0.0)) for a, b in zip(here, there, strict=True)), default=0.0)
        )
    size = max((float(np.abs(y).max(initial=0.0)) for y in here), default=0.0)
    return bool(jumps[1] <= 0.5 * jumps[0] + 1e-13 * size)
