"""What difference quotients and the Taylor remainder say: of autodiff where all is well, of both where they differ."""

import numpy as np

from jaxnn.gradcheck.comparison import Row
from jaxnn.gradcheck.examination import Evidence
from jaxnn.gradcheck.finite_differences import Line, along, coordinates, random_direction, toward
from jaxnn.gradcheck.inspection import compute_eps
from jaxnn.gradcheck.runner import Runner

_SMALL = 40
"""Elements up to which every coordinate gets its own difference quotient."""


def numerically(runner: Runner, evidence: list[Evidence], seed: int, observations: list[str]) -> list[Row]:
    """Rows on autodiff (leaves of any shapes) where all is well; where not, observations on hand and autodiff."""
    smooth = [e for e in evidence if e.dtype == "float64" and e.kind not in ("transform", "precision")]
    if not smooth:
        return []
    failed = next((e for e in smooth if e.failed and _same_shapes(e) and _finite(e)), None)
    if failed is None:
        return [] if any(e.failed for e in smooth) else _autodiff_is_numerical(runner, smooth[0], seed)
    return _adjudicate(runner, failed, observations)


def _autodiff_is_numerical(runner: Runner, given: Evidence, seed: int) -> list[Row]:
    eps = compute_eps(runner.flat, given.leaves)
    directions = [("a random direction", random_direction(runner, given.leaves, seed + k)) for k in range(2)]
    if sum(given.leaves[i].size for i in runner.flat.asked) <= _SMALL:
        directions += coordinates(runner, given.leaves)
    rows = []
    for name, direction in directions:
        line = Line(runner, given.leaves, given.cotangents, direction, eps)
        claimed, scale = along(given.reference, direction)
        slope = line.slope()
        if slope.agrees(claimed, scale):
            continue
        if slope.at_kink():
            text = f"a kink: slopes {slope.left:.4g} and {slope.right:.4g} on its sides, {claimed:.4g} is taken"
            rows.append(Row("numerical derivative", name, "note", text=text))
        else:
            text = (
                f"autodiff says {claimed:.6g}, difference quotients {slope.value:.6g} ± {slope.error:.1g}: f hides a "
                "stop_gradient, a rounding or a rule that is wrong, or is too noisy to tell"
            )
            rows.append(Row("numerical derivative", name, "undecided", text=text))
            break
    if not rows:
        name, direction = directions[0]
        line = Line(runner, given.leaves, given.cotangents, direction, eps)
        order = line.taylor_order(along(given.reference, direction)[0])
        text = "exact: no remainder" if np.isinf(order) else f"Taylor remainder of order {order:.2f}"
        rows.append(Row("numerical derivative", "all", "pass", text=f"{len(directions)} directions; {text}"))
    return rows


def _adjudicate(runner: Runner, failed: Evidence, observations: list[str]) -> list[Row]:
    """Hand and autodiff differ at a point: along the direction of their difference, whom do the others believe?"""
    hand = [h.astype(np.float64) for h in failed.hand]
    difference = [h - r for h, r in zip(hand, failed.reference, strict=True)]
    if not any(d.any() for d in difference):  # it is the dtype alone that differs
        return []
    direction = toward(runner, failed.leaves, difference)
    line = Line(runner, failed.leaves, failed.cotangents, direction, compute_eps(runner.flat, failed.leaves))
    slope = line.slope()
    by_hand, _ = along([np.nan_to_num(h) for h in hand], direction)
    by_jax, scale = along(failed.reference, direction)
    said = f"at {failed.name!r}, along the largest difference: hand {by_hand:.6g}, autodiff {by_jax:.6g}"
    if slope.at_kink():
        observations.append(
            f"{said}; it is a kink, with slopes {slope.left:.6g} and {slope.right:.6g} on its sides: no derivative "
            "exists there, and JAX's choice is the reference"
        )
    elif slope.agrees(by_jax, scale):
        orders = [_order(line.taylor_order(claimed)) for claimed in (by_hand, by_jax)]
        observations.append(
            f"{said}; difference quotients say {slope.value:.6g}, as autodiff does; order of the Taylor remainder "
            f"{orders[0]} for the hand, {orders[1]} for autodiff (2 is right, 1 is wrong)"
        )
    elif slope.agrees(by_hand, scale):
        text = (
            f"{said}, difference quotients {slope.value:.6g}: they agree with the hand, so autodiff of f is not the "
            "derivative of f; look for a stop_gradient, a rounding or a custom rule inside f"
        )
        return [Row("witnesses disagree", "all", "undecided", text=text)]
    else:
        observations.append(f"{said}, difference quotients {slope.value:.6g} ± {slope.error:.1g}: too noisy to decide")
    return []


def _order(order: float) -> str:
    return "none left" if np.isinf(order) else f"{order:.2f}"


def _finite(evidence: Evidence) -> bool:
    return all(np.isfinite(h.astype(np.float64)).all() for h in evidence.hand)


def _same_shapes(evidence: Evidence) -> bool:
    return all(h.shape == r.shape for h, r in zip(evidence.hand, evidence.reference, strict=True))
