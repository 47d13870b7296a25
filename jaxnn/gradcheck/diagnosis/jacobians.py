"""Mistakes with the Jacobian of an array that has the shape of the leaf: its diagonal alone, or the identity."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.diagnosis.wrong_leaf import WrongLeaf, manual_gradient
from jaxnn.gradcheck.examination import Examination
from jaxnn.gradcheck.report import Diagnosis
from jaxnn.gradcheck.runner import Arrays, precision

_MOST_ELEMENTS = 1024


def diagonal_alone(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain a gradient dy diag(J), where the Jacobian J has other entries too."""
    runner, k, n = leaf.runner, leaf.k, leaf.reference.size
    if not leaf.single_output or n > _MOST_ELEMENTS or _is_elementwise(leaf):
        return None

    def diagonal(leaves, basis):
        return jnp.diagonal(jax.vmap(lambda dy: runner.autodiff(leaves, [dy])[1][k].ravel())(basis))

    compiled = runner.jit(diagonal)

    def predict(e: Examination) -> np.ndarray | None:
        dy = e.cotangents[0]
        try:
            with precision(e.leaves):
                entries = compiled(e.leaves, np.eye(n, dtype=dy.dtype).reshape(n, *dy.shape))
        except Exception:  # a function that cannot be mapped
            return None
        return dy * np.asarray(entries, np.float64).reshape(dy.shape)

    if leaf.manual.shape == leaf.reference.shape and leaf.explained_by(predict):
        text = "it is dy times the diagonal of the Jacobian: each output depends on other elements of the argument too"
        return Diagnosis("diagonal alone", leaf.name, text)
    return None


def straight_through(leaf: WrongLeaf) -> Diagnosis | None:
    """Explain a gradient that is dy where f is elementwise and not the identity; at steps, where it is not zero."""
    if not leaf.single_output or leaf.manual.shape != leaf.reference.shape or not leaf.manual.any():
        return None
    step = not any(e.reference[leaf.k].any() for e in leaf.smooth)

    def passed(e: Examination) -> np.ndarray:
        return np.where(manual_gradient(e, leaf.k) != 0, e.cotangents[0], 0) if step else e.cotangents[0]

    if not (step or _is_elementwise(leaf)) or not leaf.explained_by(passed):
        return None
    slope = "0" if step else "not 1"
    text = f"it is dy, as if f were the identity, but the slope is {slope}: if that is meant, state instead=lambda x: x"
    return Diagnosis("straight-through", leaf.name, text)


def _is_elementwise(leaf: WrongLeaf) -> bool:
    """Return True if the right gradient is dy times the same numbers for every dy at the same arguments."""
    groups: dict[bytes, list[Examination]] = {}
    for e in leaf.smooth:
        if e.cotangents[0].all():
            groups.setdefault(_key(e.leaves), []).append(e)
    several = [group for group in groups.values() if len(group) > 1]
    for group in several:
        slopes = [e.reference[leaf.k] / e.cotangents[0] for e in group]
        size = max(np.abs(slope).max(initial=0.0) for slope in slopes)
        if any(np.abs(slope - slopes[0]).max(initial=0.0) > 1e-9 * size for slope in slopes[1:]):
            return False
    return bool(several)


def _key(leaves: Arrays) -> bytes:
    return b"".join(leaf.tobytes() for leaf in leaves)
