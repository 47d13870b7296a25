"""Compare the manual gradient under JAX's transformations with the reference of each sample alone."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.comparison import Bound, Row
from jaxnn.gradcheck.examination import Examination, Examiner
from jaxnn.gradcheck.points import TestPoint, is_label, make_cotangents
from jaxnn.gradcheck.references import OutsideDomainError, Reference
from jaxnn.gradcheck.runner import Arrays, raised

_SAMPLES = 3
_MOST_ARGUMENTS = 6
Manual = Callable[[Any, Any], Any]


class Transformed(NamedTuple):
    """One transformation of the backward.

    Attributes:
      name: of the test point.
      transform: the backward -> the transformed one, of stacked leaves and cotangents.
      axes: for each leaf, 0 if it has an axis of samples, else `None`.
      leaves, cotangents: its arguments.
      shape: reference gradients, stacked -> as the transformed backward arranges them.
    """

    name: str
    transform: Callable[[Manual], Manual]
    axes: list[int | None]
    leaves: Arrays
    cotangents: Arrays
    shape: Callable[[np.ndarray], np.ndarray] = lambda stacked: stacked


def transformed(examiner: Examiner, given: TestPoint, seed: int) -> Iterator[Examination | Row]:
    """Yield the examinations under vmap (over each argument, over all, twice) and scan."""
    runner = examiner.runner
    if runner.untraceable is not None:
        text = (
            f"the backward does not compile ({type(runner.untraceable).__name__}), so it ran in Python: use jnp.where "
            "for `if`, jnp or jax.pure_callback for NumPy"
        )
        yield Row("jit", "all", "note", text=text)
        return
    samples = _samples(examiner, given, seed)
    if samples is None:
        yield Row("under vmap and scan", "all", "skip", text="the reference is not finite near the given arguments")
        return
    every = _transformations(examiner, *samples)
    together = _run_together(examiner, every)
    references: dict[tuple[int | None, ...], list[tuple[Reference, Arrays]]] = {}
    for k, one in enumerate(every):
        try:
            manual = together[k] if together else runner.manual_under(one.transform, one.leaves, one.cotangents)
        except Exception as error:
            yield Row(one.name, "all", "note", text=raised(error, "the backward raised {}"))
            continue
        axes = tuple(one.axes)
        if axes not in references:
            references[axes] = _one_by_one(examiner, one.axes, *samples)
        yield _examined(examiner, one, manual, references[axes], *samples)


def _run_together(examiner: Examiner, every: list[Transformed]) -> list[Arrays] | None:
    """Return the gradients of all of them, from one program, or `None` if one of them raises."""

    def all_of(manual):
        def run(leaves, cotangents):
            return [
                one.transform(manual)(at, dy) for one, at, dy in zip(every, leaves, cotangents, strict=True)
            ]  # fmt: skip

        return run

    try:
        leaves, cotangents = [one.leaves for one in every], [one.cotangents for one in every]
        return [*map(list, examiner.runner.manual_under(all_of, leaves, cotangents))]
    except Exception:  # each is tried alone
        return None


def _one_by_one(
    examiner: Examiner, axes: list[int | None], leaves: Arrays, cotangents: Arrays
) -> list[tuple[Reference, Arrays]]:
    """Return, for each sample alone, the reference, and the gradients that the transformed backward must return."""
    domain = examiner.runner.flat.domain
    found = []
    for k in range(_SAMPLES):
        at = [leaf[k] if axis == 0 else leaf[0] for leaf, axis in zip(leaves, axes, strict=True)]
        dy = [c[k] for c in cotangents]
        reference = examiner.references.at(at, dy, examiner.working)
        # In a domain, the backward of one sample has more parts than the reference.
        free = any(domain.structures) or domain.has_projection
        found.append((reference, examiner.runner.manual(at, dy) if free else reference.gradients))
    return found


def _examined(
    examiner: Examiner,
    one: Transformed,
    manual: Arrays,
    alone: list[tuple[Reference, Arrays]],
    leaves: Arrays,
    cotangents: Arrays,
) -> Examination:
    """Compare with the gradients of each sample alone."""
    taken, gradients = zip(*alone, strict=True)
    reference = Reference(
        [one.shape(np.stack(each)) for each in zip(*gradients, strict=True)],
        lambda k: _widest([each.bound(k) for each in taken]),
        lambda k: _widest([each.quick_bound(k) for each in taken]),
    )
    rows = examiner.rows(one.name, manual, reference, examiner.working)
    return Examination(one.name, "transform", examiner.working, leaves, cotangents, manual, reference.gradients, rows)


def _widest(bounds: list[Bound]) -> Bound:
    return bounds[0]._replace(
        rounding_shift=np.max([bound.rounding_shift for bound in bounds], axis=0),
        own_error=np.max([bound.own_error for bound in bounds], axis=0),
        reference_error=np.max([bound.reference_error for bound in bounds], axis=0),
    )


def _transformations(examiner: Examiner, leaves: Arrays, cotangents: Arrays) -> list[Transformed]:
    flat = examiner.runner.flat
    everything = [0 if i in flat.floating else None for i in range(len(leaves))]

    def mixed(axes):
        return [leaf if axis == 0 else leaf[0] for leaf, axis in zip(leaves, axes, strict=True)]

    found = []
    arguments = sorted({flat.argument[i] for i in flat.floating})
    for argument in arguments[:_MOST_ARGUMENTS] if len(arguments) > 1 else []:
        axes = [0 if axis == 0 and flat.argument[i] == argument else None for i, axis in enumerate(everything)]
        name = f"vmap over {flat.problem.names[argument]}"
        found.append(Transformed(name, _vmap(axes), axes, mixed(axes), cotangents))
    found.append(Transformed("vmap over all", _vmap(everything), everything, mixed(everything), cotangents))
    twice = [np.stack([m, m[::-1]]) if a == 0 else m for m, a in zip(mixed(everything), everything, strict=True)]
    found.append(
        Transformed(
            "vmap of vmap",
            lambda manual: jax.vmap(jax.vmap(manual, (everything, 0)), (everything, 0)),
            everything,
            twice,
            [np.stack([c, c[::-1]]) for c in cotangents],
            lambda stacked: np.stack([stacked, stacked[::-1]]),
        )
    )
    return [*found, Transformed("scan", _scan(everything), everything, mixed(everything), cotangents)]


def _vmap(axes: list[int | None]) -> Callable[[Manual], Manual]:
    return lambda manual: jax.vmap(manual, (axes, 0))


def _scan(axes: list[int | None]) -> Callable[[Manual], Manual]:
    """Run the backward in a scan over samples. What is not scanned over is an array of JAX, as in a user's scan."""

    def transform(manual):
        def run(stacked, cotangents):
            def step(carry, xs):
                own, dy = xs
                rest = iter(own)
                at = [next(rest) if axis == 0 else jnp.asarray(s) for s, axis in zip(stacked, axes, strict=True)]
                return carry, manual(at, dy)

            mapped = [s for s, axis in zip(stacked, axes, strict=True) if axis == 0]
            return jax.lax.scan(step, 0, (mapped, cotangents))[1]

        return run

    return transform


def _samples(examiner: Examiner, given: TestPoint, seed: int) -> tuple[Arrays, Arrays] | None:
    """Return three samples near the given arguments, and a cotangent for each, stacked on a new leading axis."""
    runner, flat = examiner.runner, examiner.runner.flat
    samples = [
        flat.project(
            [leaf * s if i in flat.floating and not is_label(leaf) else leaf for i, leaf in enumerate(given.leaves)]
        )
        for s in (1.0, 0.9, 1.1)
    ]
    cotangents = [make_cotangents(given.cotangents, runner, given.leaves, seed + k) for k in range(_SAMPLES)]
    try:
        for at, dy in zip(samples, cotangents, strict=True):
            if not all(np.isfinite(g).all() for g in examiner.references.at(at, dy, examiner.working).gradients):
                return None
    except OutsideDomainError:
        return None
    return [np.stack(each) for each in zip(*samples, strict=True)], [
        np.stack(each) for each in zip(*cotangents, strict=True)
    ]
