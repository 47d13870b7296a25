"""Compare the manual gradient under JAX's transformations with the reference of each sample alone."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.comparison import Bound, Row
from jaxnn.gradcheck.examination import Examination, Examiner, OutsideDomainError, Reference
from jaxnn.gradcheck.points import TestPoint, is_label, make_cotangents
from jaxnn.gradcheck.runner import Arrays, first_line


def transformed(examiner: Examiner, given: TestPoint, seed: int) -> Iterator[Examination | Row]:
    """Yield the examinations under vmap (over each argument, over all, twice) and scan."""
    runner, flat = examiner.runner, examiner.runner.flat
    if runner.untraceable is not None:
        text = (
            f"the backward does not compile ({type(runner.untraceable).__name__}), so it ran in Python: use jnp.where for "
            "`if`, jnp or jax.pure_callback for NumPy"
        )
        yield Row("jit", "all", "note", text=text)
        return
    samples = _samples(examiner, given, seed)
    if samples is None:
        yield Row("under vmap and scan", "all", "skip", text="the reference is not finite near the given arguments")
        return
    leaves, cotangents = samples

    def one_by_one(axes):
        taken = []
        for k in range(3):
            at = [leaf[k] if axis == 0 else leaf[0] for leaf, axis in zip(leaves, axes, strict=True)]
            dy = [c[k] for c in cotangents]
            taken.append(examiner.reference(at, dy, "float64"))
        return taken

    def report(name, transform, axes, stacked_leaves, stacked_cotangents, shape=lambda a: a):
        taken = one_by_one(axes)
        try:
            manual = runner.manual_under(transform, stacked_leaves, stacked_cotangents)
        except Exception as error:
            return Row(name, "all", "note", text=f"the backward raised {type(error).__name__}: {first_line(error)}")
        reference = Reference(
            [shape(np.stack([each.gradients[j] for each in taken])) for j in range(len(flat.wrt))],
            lambda k: _widest([each.bound(k) for each in taken]),
            lambda k: _widest([each.quick_bound(k) for each in taken]),
        )
        rows = examiner.rows(name, manual, reference, "float64")
        return Examination(name, "transform", "float64", leaves, cotangents, manual, reference.gradients, rows)

    everything = [0 if i in flat.floating else None for i in range(len(leaves))]
    arguments = sorted({flat.argument[i] for i in flat.floating})
    for argument in arguments[:6] if len(arguments) > 1 else []:
        axes = [0 if axis == 0 and flat.argument[i] == argument else None for i, axis in enumerate(everything)]
        mixed = [leaf if axis == 0 else leaf[0] for leaf, axis in zip(leaves, axes, strict=True)]
        name = f"vmap over {flat.problem.names[argument]}"
        yield report(name, lambda manual, axes=axes: jax.vmap(manual, (axes, 0)), axes, mixed, cotangents)
    mixed = [leaf if axis == 0 else leaf[0] for leaf, axis in zip(leaves, everything, strict=True)]
    yield report("vmap over all", lambda manual: jax.vmap(manual, (everything, 0)), everything, mixed, cotangents)
    twice = [np.stack([m, m[::-1]]) if axis == 0 else m for m, axis in zip(mixed, everything, strict=True)]
    yield report(
        "vmap of vmap",
        lambda manual: jax.vmap(jax.vmap(manual, (everything, 0)), (everything, 0)),
        everything,
        twice,
        [np.stack([c, c[::-1]]) for c in cotangents],
        shape=lambda r: np.stack([r, r[::-1]]),
    )

    def scanned(manual):
        def step(carry, xs):
            stacked, dy = xs
            rest = iter(stacked)
            at = [next(rest) if axis == 0 else jnp.asarray(m) for m, axis in zip(mixed, everything, strict=True)]
            return carry, manual(at, dy)

        def run(stacked, cotangents):
            mapped = [s for s, axis in zip(stacked, everything, strict=True) if axis == 0]
            return jax.lax.scan(step, 0, (mapped, cotangents))[1]

        return run

    yield report("scan", scanned, everything, mixed, cotangents)


def _widest(bounds: list[Bound]) -> Bound:
    return bounds[0]._replace(
        rounding_shift=np.max([bound.rounding_shift for bound in bounds], axis=0),
        reference_error=np.max([bound.reference_error for bound in bounds], axis=0),
    )


def _samples(examiner: Examiner, given: TestPoint, seed: int) -> tuple[Arrays, Arrays] | None:
    """Return three samples near the given arguments, and a cotangent for each, stacked on a new leading axis."""
    runner, flat = examiner.runner, examiner.runner.flat
    stretch = (1.0, 0.9, 1.1)
    leaves = [
        np.stack([leaf * s if i in flat.floating and not is_label(leaf) else leaf for s in stretch])
        for i, leaf in enumerate(given.leaves)
    ]
    samples = [flat.project([leaf[k] for leaf in leaves]) for k in range(3)]
    leaves = [np.stack([sample[i] for sample in samples]) for i in range(len(leaves))]
    cotangents = [make_cotangents(given.cotangents, runner, given.leaves, seed + k) for k in range(3)]
    stacked = [np.stack([c[j] for c in cotangents]) for j in range(len(cotangents[0]))]
    try:
        for k in range(3):
            at = [leaf[k] for leaf in leaves]
            examiner.reference(at, [c[k] for c in stacked], "float64")
    except OutsideDomainError:
        return None
    return leaves, stacked
