"""What is assumed about arguments for which the caller stated no domain, because the given ones have it."""

import numpy as np

from jaxnn.gradcheck.examination import Examination
from jaxnn.gradcheck.flat_problem import FlatProblem
from jaxnn.gradcheck.points import make_cotangents
from jaxnn.gradcheck.preconditions import Setting
from jaxnn.gradcheck.runner import Arrays, Runner
from jaxnn.gradcheck.structures import STRUCTURES, structures_of


def assume_symmetry(runner: Runner, given: Arrays, seed: int) -> list[str]:
    """Take a symmetric matrix as symmetric if f does not change when it is transposed; return what was assumed.

    Such an f depends on the symmetric part, so its gradient is free up to an antisymmetric one.
    """
    flat, assumed = runner.flat, []
    for i in flat.wrt:
        if flat.domain.structures[i] is not None or not STRUCTURES["symmetric"].holds(given[i]):
            continue
        if _depends_on_symmetric_part(runner, given, i, seed):
            flat.domain.assume(i, "symmetric")
            assumed.append(
                f"{flat.names[i]} is symmetric, as given: its gradient is compared up to an antisymmetric part"
            )
    return assumed


def _depends_on_symmetric_part(runner: Runner, given: Arrays, i: int, seed: int) -> bool:
    """Return whether f is the same at a matrix that is not symmetric and at its symmetric part."""
    rng = np.random.default_rng([seed, 404])
    shift = 1e-3 * np.abs(given[i]).max(initial=0.0) * rng.normal(size=given[i].shape)
    moved = [leaf + shift if j == i else leaf for j, leaf in enumerate(given)]
    symmetric = [STRUCTURES["symmetric"].project(leaf) if j == i else leaf for j, leaf in enumerate(moved)]
    turned = [np.swapaxes(leaf, -1, -2) if j == i else leaf for j, leaf in enumerate(moved)]
    try:
        cotangents = make_cotangents("random", runner, given, seed)
        values = [runner.reference(at, cotangents)[0] for at in (moved, symmetric, turned)]
    except Exception:  # f does not run there
        return False
    size = max((np.abs(y).max(initial=0.0) for y in values[0]), default=0.0)
    return all(
        np.isfinite(a).all() and np.abs(a - b).max(initial=0.0) <= 1e-9 * max(size, 1e-300)
        for other in values[1:]
        for a, b in zip(values[0], other, strict=True)
    )


def left_domain(
    flat: FlatProblem, examination: Examination, before: list[Examination], setting: Setting
) -> Examination:
    """Return the examination with notes in place of failures where a gradient is NaN outside of the likely domain.

    The given arguments have a structure, such as being positive; this point lacks it, and the manual gradient is NaN
    here and at a point of ordinary size. A gradient that overflows far out is no such case.
    """
    if not examination.failed or examination.kind == "transform" or examination.name.startswith("given"):
        return examination
    lost = _lost(flat, examination)
    earlier = any(e.kind == "smooth" and any(_is_domain_note(row.text) for row in e.rows) for e in before)
    ordinary = examination.kind == "smooth" and "1e" not in examination.name
    if not lost or not (ordinary or earlier) or not _all_nan(examination):
        return examination
    name, structure = lost
    text = (
        f"the manual gradient is NaN where {name} is not {structure}, as it was given; if it always is, state "
        f"domain={{{name!r}: {structure!r}}}"
    )
    rows = [row._replace(status="note", text=text) if row.status == "fail" else row for row in examination.rows]
    return examination._replace(rows=rows)


def _is_domain_note(text: str) -> bool:
    return text.startswith("the manual gradient is NaN where")


def _lost(flat: FlatProblem, examination: Examination) -> tuple[str, str] | None:
    """Return the name of an argument and of a structure that it has as given, and lacks at this point."""
    for i in flat.floating:
        given = structures_of(flat.leaves[i].astype(np.float64))
        here = structures_of(examination.leaves[i].astype(np.float64))
        for structure in reversed(given):
            if structure not in here:
                return flat.names[i], structure
    return None


def _all_nan(examination: Examination) -> bool:
    """Return whether every wrong element is NaN."""
    for h, r, row in zip(examination.manual, examination.reference, examination.rows, strict=True):
        if row.status != "fail":
            continue
        if h.shape != r.shape:
            return False
        wide = h.astype(np.float64)
        wrong = ~(np.abs(wide - r) <= 1e-6 * max(np.abs(r).max(initial=0.0), 1e-300))
        if not np.isnan(wide[wrong]).all():
            return False
    return True
