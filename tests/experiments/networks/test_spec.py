"""Specifications of networks, and the models built from them."""

import jax
import pytest

from experiments.networks.spec import SCAN_DEPTH, SCAN_WIDTH, NetworkSpec


@pytest.mark.parametrize(
    ("hidden", "stacked"),
    [
        ([4] * SCAN_DEPTH, SCAN_DEPTH - 1),
        ([4] * (SCAN_DEPTH - 1), None),
        ([SCAN_WIDTH] * SCAN_DEPTH, SCAN_DEPTH - 1),
        ([SCAN_WIDTH + 1] * SCAN_DEPTH, None),
        ([4] * SCAN_DEPTH + [5], SCAN_DEPTH - 1),
        ([4, 5] * SCAN_DEPTH, None),
        ([], None),
    ],
)
def test_deep_narrow_networks_are_scanned(hidden, stacked):
    """The weights of equal layers are one stack (n, units, units), or each has its own array."""
    spec = NetworkSpec((9, *hidden, 2), output="softmax")
    shapes = [leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(spec.model().init, jax.random.key(0)))]
    stacks = [shape[0] for shape in shapes if len(shape) == 3]
    assert stacks == ([stacked] if stacked else [])
