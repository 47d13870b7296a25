"""The right gradient at a point where that of autodiff does not decide: at a kink, or where it is not a number."""

from typing import Any, NamedTuple

import numpy as np

from jaxnn.gradcheck.kinks import Nearby, nearby_gradients
from jaxnn.gradcheck.options import Options
from jaxnn.gradcheck.runner import Arrays, Runner


class Settled(NamedTuple):
    """The gradients to compare with at one point.

    Attributes:
      gradients: one for each leaf `wrt`, NaN where nothing can be compared.
      notes: (leaf, kind) -> what was found out about it, for the report.
      by_manual: whether an element of the manual gradient takes the place of autodiff's.
    """

    gradients: Arrays
    notes: dict[tuple[str, str], str]
    by_manual: bool = False


def settle(
    runner: Runner,
    options: Options,
    wide: Arrays,
    cotangents: Arrays,
    reference: Arrays,
    sizes: list[float],
    eps: float,
    given: bool,
) -> Settled:
    """Return autodiff's gradients, with the manual one where it is one of several right ones: at kinks.

    Where autodiff differentiates a branch that holds at this point alone, or gives no number, the gradients at nearby
    points decide, or difference quotients.

    Args:
      runner: runs f, its derivative and the backward.
      options: which slopes count at a kink, the tolerance and the seed.
      wide: the point, in the widest precision.
      cotangents: of y.
      reference: autodiff's gradients, float64.
      sizes: their typical sizes.
      eps: the relative error of a value of f.
      given: whether the caller gave this point.
    """
    cotangents = [dy.astype(y.dtype) for dy, y in zip(cotangents, runner.output(wide), strict=True)]
    try:
        manual = [np.asarray(h, np.float64) for h in runner.manual(wide, cotangents)]
    except Exception:  # the examination has a row for it
        return Settled(reference, {})
    if [h.shape for h in manual] != [r.shape for r in reference]:
        return Settled(reference, {})
    manual = runner.flat.domain.tangents(wide, runner.flat.wrt, manual)
    near = nearby_gradients(runner, wide, cotangents, manual, reference, sizes, options.rtol, options.seed)
    settled = Settled(reference, {}) if near is None else _by_nearby(runner, options, manual, reference, near)
    settled = _by_quotients(runner, wide, cotangents, settled, eps, options.seed, given)
    if given:
        return settled
    # Where neither is finite, at arguments that the caller did not give, such as a norm at 0, that is not a mistake.
    neither = [~np.isfinite(h) & ~np.isfinite(r) for h, r in zip(manual, reference, strict=True)]
    return settled._replace(gradients=[np.where(n, np.nan, s) for n, s in zip(neither, settled.gradients, strict=True)])


def _by_nearby(runner: Runner, options: Options, manual: Arrays, reference: Arrays, near: list[Nearby]) -> Settled:
    """Take the manual gradient where the gradients at nearby points allow it."""
    gradients, notes, by_manual = [], {}, False
    for i, h, r, found in zip(runner.flat.wrt, manual, reference, near, strict=True):
        name = runner.flat.names[i]
        kink = found.kink if options.kinks == "any" else found.kink & found.outside
        if kink.any():
            notes[name, "kink"] = _note("kink", kink, h, r, found)
        if found.smooth.any():
            notes[name, "autodiff"] = _note("autodiff", found.smooth, h, r, found)
        by_manual |= bool((kink | found.smooth).any())
        taken = np.where(kink | found.smooth, h, r)
        # Where autodiff gives no number, a wrong manual gradient is compared with the nearest slope.
        nearest = np.clip(np.where(np.isfinite(h), h, 0.0), found.low, found.high)
        nearest = np.where(found.known & ~found.infinite, nearest, np.nan)
        gradients.append(np.where(np.isfinite(taken), taken, nearest))
    return Settled(gradients, notes, by_manual)


def _by_quotients(
    runner: Runner, wide: Arrays, cotangents: Arrays, settled: Settled, eps: float, seed: int, given: bool
) -> Settled:
    """Take difference quotients where there is no number yet, and leave NaN where they have no limit."""
    if all(np.isfinite(r).all() for r in settled.gradients):
        return settled
    quotients = runner.quotient_reference(wide, cotangents, eps, seed)
    gradients, notes = [], dict(settled.notes)
    for i, r, q, error in zip(runner.flat.wrt, settled.gradients, quotients.gradients, quotients.errors, strict=True):
        name = runner.flat.names[i]
        precise = np.isfinite(q) & (error <= 1e-6 * max(np.abs(q).max(initial=0.0), 1e-300) + 1e-12)
        filled = np.where(np.isfinite(r), r, np.where(precise, q, np.nan))
        if (~np.isfinite(r) & precise).any():
            notes[name, "autodiff"] = "NaN by autodiff: compared with difference quotients"
        if given and np.isnan(filled).any():
            at = np.argwhere(np.isnan(filled))[0].tolist()
            notes[name, "infinite"] = f"f has no finite slope at {at}: nothing is compared"
        gradients.append(filled)
    return settled._replace(gradients=gradients, notes=notes)


def _note(kind: str, mask: np.ndarray, h: np.ndarray, r: np.ndarray, found: Nearby) -> str:
    at: Any = tuple(np.argwhere(mask)[0].tolist())
    where = f"at {list(at)} " if at else ""
    if kind == "kink":
        return (
            f"{where}f has a kink with slopes from {found.low[at]:.4g} to {found.high[at]:.4g}: the manual gradient "
            f"takes {h[at]:.4g}, JAX {r[at]:.4g}"
        )
    return (
        f"{where}autodiff gives {r[at]:.4g}, and {h[at]:.4g} at every point nearby, like the manual gradient: f has a "
        "branch for this point alone"
    )
