"""Kinks: points at which f has no derivative but a slope on each side. Every slope between them is a subgradient.

The slopes are bounded by the gradients at nearby points on all sides of the kink: the convex hull of their limits is
Clarke's generalized gradient. JAX takes one point of it, and a manual gradient may take another.

Source: Clarke, "Optimization and nonsmooth analysis", 1983, section 2.5.
"""

import numpy as np

from jaxnn.gradcheck.runner import Arrays, Runner

_STEP = 1e-6
_PAIRS = 4


def subgradient_masks(
    runner: Runner, leaves: Arrays, cotangents: Arrays, manual: Arrays, reference: Arrays, seed: int
) -> Arrays:
    """Mark the elements at which the manual gradient differs from JAX's but lies between those on the sides of a kink.

    Args:
      runner: runs JAX's gradient.
      leaves: the point, float64 arrays.
      cotangents: of y at that point.
      manual: the manual gradients of the leaves `wrt`.
      reference: JAX's gradients, in the same shapes.
      seed: seed of the random sides.

    Returns:
      A mask for each leaf in `wrt`, in its shape.
    """
    nowhere = [np.zeros(r.shape, bool) for r in reference]
    if [h.shape for h in manual] != [r.shape for r in reference]:
        return nowhere
    off = [np.abs(h - r) > 1e-9 * np.abs(r).max(initial=1e-300) for h, r in zip(manual, reference, strict=True)]
    if not any(o.any() for o in off):
        return nowhere
    near = _nearby(runner, leaves, cotangents, manual, seed)
    if near is None:
        return nowhere
    near = [np.concatenate([n, r[None]]) for n, r in zip(near, reference, strict=True)]
    low, high = [np.min(n, axis=0) for n in near], [np.max(n, axis=0) for n in near]
    masks = []
    for h, o, least, most in zip(manual, off, low, high, strict=True):
        slack = 1e-3 * (most - least)
        kink = most - least > 1e-3 * np.maximum(np.abs(least), np.abs(most))
        masks.append(o & kink & (least - slack <= h) & (h <= most + slack))
    return masks if _jointly_between(manual, reference, near, masks) else nowhere


def _nearby(runner: Runner, leaves: Arrays, cotangents: Arrays, manual: Arrays, seed: int) -> Arrays | None:
    """Return JAX's gradients at nearby points, each leaf (points, ...), or `None` if one is not finite.

    The points lie on both sides, by steps no two of which are equal, so that ties are broken: first all elements on one
    side, then each on the side whose slope is nearer to the manual gradient, then on random sides.
    """
    chosen = [np.asarray(leaves[i], np.float64) for i in runner.flat.wrt]
    largest = [min(1.0, float(np.abs(leaf).max(initial=0.0)) or 1.0) for leaf in chosen]
    rng = np.random.default_rng([seed, 303])
    signs, gradients = [np.ones(leaf.shape) for leaf in chosen], []
    for pair in range(_PAIRS):
        if pair == 1:
            plus, minus = gradients
            sides = zip(plus, minus, manual, strict=True)
            signs = [np.where(np.abs(p - h) < np.abs(m - h), 1, -1) for p, m, h in sides]
        elif pair > 1:
            signs = [rng.choice([-1.0, 1.0], leaf.shape) for leaf in chosen]
        steps = [
            _STEP * np.maximum(np.abs(leaf), size) * rng.uniform(0.5, 1.0, leaf.shape) * sign
            for leaf, size, sign in zip(chosen, largest, signs, strict=True)
        ]
        for side in (1, -1):
            nearby = list(leaves)
            for i, leaf, step in zip(runner.flat.wrt, chosen, steps, strict=True):
                nearby[i] = leaf + side * step
            gradients.append([np.asarray(g, np.float64) for g in runner.reference(nearby, cotangents)[1]])
    near = [np.stack(each) for each in zip(*gradients, strict=True)]
    return near if all(np.isfinite(n).all() for n in near) else None


def _jointly_between(manual: Arrays, reference: Arrays, near: Arrays, masks: Arrays) -> bool:
    """Return True if the masked elements, taken together, lie between those of the nearby points.

    Measured along the direction in which the manual gradient is off. Each of two equal largest elements of a maximum
    may have slope 1, but not both at once.
    """
    parts = [
        (np.sign(h - r)[m], h[m], n[:, m]) for h, r, n, m in zip(manual, reference, near, masks, strict=True) if m.any()
    ]
    by_manual = sum(float(d @ h) for d, h, _ in parts)
    sides = sum((n @ d for d, _, n in parts), np.zeros(1))
    slack = 1e-3 * sum(float(np.abs(n).max(axis=0).sum()) for _, _, n in parts)
    return bool(sides.min() - slack <= by_manual <= sides.max() + slack)
