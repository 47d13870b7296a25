"""Kinks: where f has no derivative but a slope on each side, any slope between these is a subgradient.

The gradients at points nearby, on all sides of a kink, are what the slopes there lie between: the convex hull of their
limits is Clarke's generalized gradient. JAX takes one point of it, and a hand may take another.

Source: Clarke, "Optimization and nonsmooth analysis", 1983, section 2.5.
"""

import numpy as np

from jaxnn.gradcheck.runner import Arrays, Runner

_STEP = 1e-6
_PAIRS = 4


def subgradient(
    runner: Runner, leaves: Arrays, cotangents: Arrays, hand: Arrays, reference: Arrays, seed: int
) -> Arrays:
    """Where the hand's gradients are not JAX's, and lie between those on the sides of a kink.

    Args:
      runner: runs JAX's gradient.
      leaves: the point, float64, of any shapes.
      cotangents: of y there.
      hand: the hand's gradients there, of the asked leaves.
      reference: JAX's.
      seed: of the random sides.

    Returns:
      A mask for each asked leaf, in its shape.
    """
    nowhere = [np.zeros(r.shape, bool) for r in reference]
    if [h.shape for h in hand] != [r.shape for r in reference]:
        return nowhere
    off = [np.abs(h - r) > 1e-9 * np.abs(r).max(initial=1e-300) for h, r in zip(hand, reference, strict=True)]
    if not any(o.any() for o in off):
        return nowhere
    near = _nearby(runner, leaves, cotangents, hand, seed)
    if near is None:
        return nowhere
    near = [np.concatenate([n, r[None]]) for n, r in zip(near, reference, strict=True)]
    low, high = [np.min(n, axis=0) for n in near], [np.max(n, axis=0) for n in near]
    masks = []
    for h, o, least, most in zip(hand, off, low, high, strict=True):
        slack = 1e-3 * (most - least)
        kink = most - least > 1e-3 * np.maximum(np.abs(least), np.abs(most))
        masks.append(o & kink & (least - slack <= h) & (h <= most + slack))
    return masks if _together(hand, reference, near, masks) else nowhere


def _nearby(runner: Runner, leaves: Arrays, cotangents: Arrays, hand: Arrays, seed: int) -> Arrays | None:
    """JAX's gradients at points beside this one, each leaf (points, ...); `None` where one is not finite.

    The points lie on both sides of it, by steps of which no two are equal, so that ties are broken: first all elements
    on one side, then each on the side whose slope is nearer to the hand's, then on sides at random.
    """
    asked = [np.asarray(leaves[i], np.float64) for i in runner.flat.asked]
    largest = [min(1.0, float(np.abs(leaf).max(initial=0.0)) or 1.0) for leaf in asked]
    rng = np.random.default_rng([seed, 303])
    signs, found = [np.ones(leaf.shape) for leaf in asked], []
    for pair in range(_PAIRS):
        if pair == 1:
            plus, minus = found
            signs = [np.where(np.abs(p - h) < np.abs(m - h), 1, -1) for p, m, h in zip(plus, minus, hand, strict=True)]
        elif pair > 1:
            signs = [rng.choice([-1.0, 1.0], leaf.shape) for leaf in asked]
        steps = [
            _STEP * np.maximum(np.abs(leaf), size) * rng.uniform(0.5, 1.0, leaf.shape) * sign
            for leaf, size, sign in zip(asked, largest, signs, strict=True)
        ]
        for side in (1, -1):
            moved = list(leaves)
            for i, leaf, step in zip(runner.flat.asked, asked, steps, strict=True):
                moved[i] = leaf + side * step
            found.append([np.asarray(g, np.float64) for g in runner.reference(moved, cotangents)[1]])
    near = [np.stack(each) for each in zip(*found, strict=True)]
    return near if all(np.isfinite(n).all() for n in near) else None


def _together(hand: Arrays, reference: Arrays, near: Arrays, masks: Arrays) -> bool:
    """Whether the hand's elements in the masks lie between all at once too, along the direction in which it is off.

    Of a maximum's two equal largest elements each may have the slope 1, but not both.
    """
    parts = [
        (np.sign(h - r)[m], h[m], n[:, m]) for h, r, n, m in zip(hand, reference, near, masks, strict=True) if m.any()
    ]
    by_hand = sum(float(d @ h) for d, h, _ in parts)
    sides = sum((n @ d for d, _, n in parts), np.zeros(1))
    slack = 1e-3 * sum(float(np.abs(n).max(axis=0).sum()) for _, _, n in parts)
    return bool(sides.min() - slack <= by_hand <= sides.max() + slack)
