"""Compare autodiff with finite differences; if the manual gradient failed, find out which of the two is right."""

import numpy as np

from jaxnn.gradcheck.comparison import Row
from jaxnn.gradcheck.examination import Examination
from jaxnn.gradcheck.finite_differences import (
    Line,
    Slope,
    coordinates,
    direction_of_difference,
    directional_derivative,
    random_direction,
)
from jaxnn.gradcheck.inspection import compute_eps, stops_gradients
from jaxnn.gradcheck.kinks import gradients_nearby
from jaxnn.gradcheck.runner import Arrays, Runner


class WrongAutodiffError(Exception):
    """Autodiff of f is not the derivative of f: finite differences agree with the manual gradient."""


_SMALL = 40
"""Number of elements up to which every coordinate direction is checked."""


def adjudicate(runner: Runner, examinations: list[Examination], seed: int, observations: list[str]) -> list[Row]:
    """Check autodiff itself by finite differences.

    If the manual gradient agrees with autodiff, return rows on autodiff. If not, append to `observations` which of the
    two agrees with finite differences, and return a row only if that is the manual gradient.
    """
    usable = ("transform", "precision")
    smooth = [e for e in examinations if e.dtype == "float64" and e.kind not in usable]
    if runner.quotients:
        return []
    if not smooth:
        text = "autodiff is compared with finite differences in float64, and nothing was in this precision"
        return [Row("numerical derivative", "all", "skip", text=text)]
    failed = next((e for e in smooth if e.failed and _same_shapes(e) and _finite(e)), None)
    if failed is None:
        return [] if any(e.failed for e in smooth) else _autodiff_is_numerical(runner, smooth[0], seed)
    return _adjudicate_failure(runner, failed, observations)


def _autodiff_is_numerical(runner: Runner, given: Examination, seed: int) -> list[Row]:
    eps = compute_eps(runner, given.leaves)
    directions = [("a random direction", random_direction(runner, given.leaves, seed + k)) for k in range(2)]
    if sum(given.leaves[i].size for i in runner.flat.wrt) <= _SMALL:
        directions += coordinates(runner, given.leaves)
    rows = []
    for name, direction in directions:
        line = Line(runner, given.leaves, given.cotangents, direction, eps)
        claimed, scale = directional_derivative(given.reference, direction)
        slope = line.slope()
        if not slope.known or not np.isfinite(claimed) or slope.agrees(claimed, scale):
            continue
        if stops_gradients(runner.flat, given.leaves):
            text = (
                f"f stops gradients: autodiff gives {claimed:.4g}, and is meant; finite differences {slope.value:.4g}"
            )
            return [Row("numerical derivative", name, "note", text=text)]
        sides = _nearby(runner, given, direction)
        if slope.at_kink() or (sides and _is_between(claimed, sides, slope, scale)):
            text = f"a kink with one-sided slopes {slope.left:.4g} and {slope.right:.4g}; autodiff gives {claimed:.4g}"
            rows.append(Row("numerical derivative", name, "note", text=text))
        elif sides and all(slope.agrees(side, scale) for side in sides):
            text = (
                f"manual gradient and autodiff give {claimed:.6g}, finite differences {slope.value:.6g}, and so does "
                "autodiff at the points nearby: f has a branch for this point alone, whose derivative is not that of f"
            )
            rows.append(Row("numerical derivative", name, "fail", text=text))
            break
        else:
            text = (
                f"autodiff gives {claimed:.6g}, finite differences {slope.value:.6g} ± {slope.error:.1g}: f contains a "
                "stop_gradient, a rounding or a wrong derivative rule, or is too noisy"
            )
            rows.append(Row("numerical derivative", name, "undecided", text=text))
            break
    if not rows:
        name, direction = directions[0]
        line = Line(runner, given.leaves, given.cotangents, direction, eps)
        order = line.taylor_order(directional_derivative(given.reference, direction)[0])
        text = "no Taylor remainder" if np.isinf(order) else f"Taylor remainder of order {order:.2f}"
        rows.append(Row("numerical derivative", "all", "pass", text=f"{len(directions)} directions; {text}"))
    return rows


def _nearby(runner: Runner, given: Examination, direction: Arrays) -> tuple[float, float] | None:
    """Return autodiff's derivatives along a direction, at points very near on both sides; `None` if f is not there."""
    found = []
    for side in (-1e-7, 1e-7):
        gradients = gradients_nearby(runner, given.leaves, given.cotangents, [side * d for d in direction])
        if gradients is None:
            return None
        found.append(directional_derivative(gradients, direction)[0])
    return (found[0], found[1]) if np.isfinite(found).all() else None


def _is_between(claimed: float, sides: tuple[float, float], slope: Slope, scale: float) -> bool:
    """Return True if there is a kink: the derivative jumps, its mean is that of the differences, and it was claimed."""
    low, high = sorted(sides)
    slack = 1e-3 * (high - low)
    jumps = high - low > 10 * slope.error + 1e-6 * scale
    return jumps and slope.agrees((low + high) / 2, scale) and low - slack <= claimed <= high + slack


def _adjudicate_failure(runner: Runner, failed: Examination, observations: list[str]) -> list[Row]:
    """Compare manual gradient and autodiff with finite differences, along the direction in which they differ most."""
    manual = [h.astype(np.float64) for h in failed.manual]
    difference = [h - r for h, r in zip(manual, failed.reference, strict=True)]
    if not any(d.any() for d in difference):  # only the dtype differs
        return []
    direction = direction_of_difference(runner, failed.leaves, difference)
    line = Line(runner, failed.leaves, failed.cotangents, direction, compute_eps(runner, failed.leaves))
    slope = line.slope()
    by_manual, _ = directional_derivative([np.nan_to_num(h) for h in manual], direction)
    by_jax, scale = directional_derivative(failed.reference, direction)
    values = f"at {failed.name!r}, along the largest difference: manual {by_manual:.6g}, autodiff {by_jax:.6g}"
    if slope.at_kink():
        observations.append(
            f"{values}; it is a kink with one-sided slopes {slope.left:.6g} and {slope.right:.6g}: no derivative "
            "exists there, and JAX's slope is the reference"
        )
    elif slope.agrees(by_jax, scale):
        orders = [_order(line.taylor_order(claimed)) for claimed in (by_manual, by_jax)]
        observations.append(
            f"{values}; finite differences give {slope.value:.6g}, like autodiff; order of the Taylor remainder: "
            f"manual {orders[0]}, autodiff {orders[1]} (2 or more is right, 1 is wrong)"
        )
    elif slope.agrees(by_manual, scale) and not runner.flat.problem.meant:
        if not stops_gradients(runner.flat, failed.leaves):
            raise WrongAutodiffError
        text = (
            f"{values}, finite differences {slope.value:.6g}: they agree with the manual gradient, so autodiff of f is "
            "not the derivative of f; look for a stop_gradient, a rounding or a custom rule inside f; if its "
            "gradient is meant, state it by the option instead"
        )
        return [Row("autodiff and finite differences", "all", "undecided", text=text)]
    else:
        observations.append(f"{values}, finite differences {slope.value:.6g} ± {slope.error:.1g}: too noisy to decide")
    return []


def _order(order: float) -> str:
    return "inf, as there is no remainder" if np.isinf(order) else f"{order:.2f}"


def _finite(examination: Examination) -> bool:
    return all(np.isfinite(h.astype(np.float64)).all() for h in examination.manual)


def _same_shapes(examination: Examination) -> bool:
    return all(h.shape == r.shape for h, r in zip(examination.manual, examination.reference, strict=True))
