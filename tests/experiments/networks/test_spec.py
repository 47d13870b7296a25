"""Specifications of networks, and the models built from them."""

import jax
import pytest

import jaxnn
from experiments.networks.spec import SCAN_DEPTH, SCAN_WIDTH, LayersSpec, NetworkSpec


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


def test_sizes_of_any_layers_are_those_after_weights():
    spec = LayersSpec(jaxnn.models.lenet((28, 28, 1), 10).network, (28, 28, 1))
    assert str(spec) == "28x28x1-28x28x6-10x10x16-120-84-10"
    assert (spec.n_outputs, spec.depth, spec.width, spec.kind) == (10, 5, 28 * 28 * 6, "softmax")
    assert spec.n_params == 61_706  # LeNet-5 with all connections
    assert spec.model() == jaxnn.models.lenet()


def test_both_specifications_describe_a_dense_network_alike():
    dense = NetworkSpec((5, 4, 3), "tanh", "linear")
    layers = LayersSpec(jaxnn.mlp((5, 4, 3), "tanh", output="linear").network, (5,), "linear")
    for name in ("in_shape", "n_outputs", "depth", "width", "n_params", "output"):
        assert getattr(dense, name) == getattr(layers, name)
    assert str(dense) == str(layers) == "5-4-3"
    assert LayersSpec(jaxnn.dense(3), (5,)).shapes == ((5,), (3,))  # not a chain
