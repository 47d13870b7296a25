"""The graph at other arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import graph
from tests.helpers.graph_functions import J
from tests.helpers.registry import normal

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_with_args():
    g = graph.trace(lambda p, x: p[0]["w"] * x + p[1])([{"w": 2.0}, 1.0], 3.0)
    changed = g.with_args(**{"p[0].w": 5.0, "x": 4.0})
    assert changed["output"].value == 21.0
    assert changed["p[0].w"].derivative == 4.0
    assert g["output"].value == 7.0
    assert g.with_args(x=7).arguments[2].dtype == g.arguments[2].dtype


def test_with_args_keeps_float64_outside_of_enable_x64():
    with jax.enable_x64(True):
        g = graph.trace(lambda x: x / 3)(1.0)
    value = g.with_args(x=2.0)["output"].value
    assert value.dtype == np.float64
    assert value.item() == 2 / 3


def test_with_args_keeps_weak_types():
    """A Python scalar adopts the dtype of the array that it is combined with."""
    g = graph.trace(lambda a, x: jnp.sum(a * x))(2.0, normal((3,)).astype(jnp.bfloat16))
    changed = g.with_args(a=3.0)
    assert [node.dtype for node in changed.nodes] == [node.dtype for node in g.nodes]
    assert changed["x"].derivative.dtype == jnp.bfloat16


@pytest.mark.full
def test_with_args_keeps_depth_and_layers():
    f = lambda params, x: jnp.sum(jax.nn.softplus(params[0] * x) * params[1])  # noqa: E731
    g = graph.trace(f, depth=1)([1.0, 2.0], normal((3,)))
    assert g.with_args(**{"params[0]": 3.0}).depth == 1
    model = jaxnn.mlp((2, 3, 1))
    cost = jaxnn.objective(model.network, model.loss).value
    args = model.init(jax.random.key(0)), jaxnn.Batch(normal((4, 2)), np.arange(4) % 2), None
    layered = graph.trace(cost)(*args).by_layer()
    same = layered.with_args(**{"batch.x": normal((4, 2)) * 2})
    assert [op.name for op in same.operations] == [op.name for op in layered.operations]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: g.with_args(d=1.0), "argument must be one of a, b, c, got 'd'"),
        (lambda g: g.with_args(u=1.0), "argument must be one of a, b, c, got 'u'"),
        (lambda g: g.with_args(a=[1.0, 2.0]), r"a must have the shape \(\), got \(2,\)"),
    ],
)
def test_invalid_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(graph.trace(J)(5.0, 3.0, 2.0))
