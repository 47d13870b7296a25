"""Layers found in a graph, and how gradients flow through them."""

import functools
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import graph
from tests.helpers.graph_oracle import equal
from tests.helpers.registry import normal

pytestmark = pytest.mark.usefixtures("quick_compilation")


MODEL = jaxnn.mlp((5, 4, 4, 4, 4, 4, 1), "sigmoid")


COST = jaxnn.objective(MODEL.network, MODEL.loss, jaxnn.l2(0.1)).value


def of_a_batch():
    """The arguments of `COST`."""
    return MODEL.init(jax.random.key(0)), jaxnn.Batch(normal((6, 5)), np.arange(6) % 2), None


@functools.cache
def six_layers():
    return graph.trace(COST)(*of_a_batch())


@pytest.mark.full
def test_derivatives_of_a_network_of_six_layers():
    g = six_layers()
    grads, _ = jax.jit(jax.grad(COST, has_aux=True))(*of_a_batch())
    for i in range(0, 12, 2):
        for name in "Wb":
            equal(g[f"params[{i}].{name}"].derivative, grads[i][name])


@pytest.mark.full
def test_six_layers_fit_a_page():
    g = six_layers()
    names = [f"params[{i}]" for i in range(0, 12, 2)]
    assert [layer.name for layer in g.layers] == [*names, "batch.y"]
    assert [[p.name for p in layer.parameters] for layer in g.layers][:6] == [[f"{n}.W", f"{n}.b"] for n in names]
    assert len(g.nodes) > 60 > 40 > len(g.by_layer().nodes)
    root = ElementTree.fromstring(g.svg())
    width, height = (float(root.get(name)) for name in ("width", "height"))
    # A page in landscape format, readable at 1800 pixels across.
    assert width < 1800
    assert height < 1800 / 2**0.5
    assert g.by_layer().by_layer().dot() == g.by_layer().dot()
    # The variables between layers are variables of the whole graph.
    assert {node.name for node in g.by_layer().nodes} <= {node.name for node in g.nodes}


@pytest.mark.full
def test_flow_is_the_size_of_the_gradients():
    g = six_layers()
    flow = g.flow()
    assert [row.layer for row in flow] == [f"params[{i}]" for i in range(0, 12, 2)]
    by = np.concatenate([np.ravel(g[f"params[2].{name}"].derivative) for name in "Wb"])
    np.testing.assert_allclose(flow[1].parameters, np.sqrt((by**2).mean()), rtol=1e-6)
    assert flow[-1].ratio == 1
    assert str(flow).count("\n") == 6


@pytest.mark.parametrize(("scale", "flag"), [(0.1, "vanishing"), (1.0, ""), (10.0, "exploding")])
def test_flow_flags(scale, flag):
    """Nine linear layers, each times `scale`: gradients are scale^l."""

    def f(params, x):
        for layer in params:
            x = x @ layer["W"]
        return x.sum()

    flow = graph.trace(f)([{"W": scale * jnp.eye(3)}] * 9, normal((4, 3)))
    rows = flow.flow()
    assert rows[0].flag == flag
    assert rows[-1].flag == ""
    np.testing.assert_allclose([row.gradient for row in rows], [scale ** (8 - i) for i in range(9)], rtol=1e-5)


@pytest.mark.parametrize(
    ("ratio", "flag"),
    [(1 / 1001, "vanishing"), (1 / 999, ""), (0.01, ""), (100.0, ""), (999.0, ""), (1001.0, "exploding")],
)
def test_flow_flags_factors_above_a_thousand(ratio, flag):
    """The last layer multiplies by `ratio`, and its backward pass does so to the gradient."""
    g = graph.trace(lambda params, x: (params[0]["w"] * x * params[1]["w"]).sum())(
        [{"w": 1.0}, {"w": ratio}], normal((3,))
    )
    assert [row.flag for row in g.flow()] == [flag, ""]


def test_flow_measures_the_largest_output_of_a_layer():
    def f(params, x):
        a = params[0]["w"] * x
        parts = a[:2] * 3, a * 3, a[3:] * 3
        return sum((part * params[1]["w"]).sum() for part in parts)

    x = normal((9,))
    first, _ = graph.trace(f)([{"w": 2.0}, {"w": 1.0}], x).flow()
    np.testing.assert_allclose(first.activation, np.sqrt((36 * x**2).mean()), rtol=1e-6)


def test_flow_flags_a_network_with_zero_gradient():
    f = lambda params, x, y: jax.nn.relu(x @ params[0]["W"] @ params[1]["W"] - y).sum()  # noqa: E731
    g = graph.trace(f)([{"W": jnp.eye(3)}] * 2, normal((4, 3)), 100.0)
    assert [row.flag for row in g.flow()] == ["vanishing"] * 2


@pytest.mark.parametrize("transform", [jax.jit, jax.checkpoint, lambda f: jax.jit(jax.checkpoint(f))])
def test_layers_of_a_transformed_network(transform):
    """They are those of the network without the transformation."""

    def network(params, x):
        for layer in params:
            x = jnp.tanh(layer["W"] @ x)
        return x

    def scoped(params, x):
        for i in range(2):
            with jax.named_scope(f"layer{i}"):
                x = jnp.tanh(params * x)
        return x

    def flow(network, params):
        return graph.trace(lambda params, x: (network(params, x) ** 2).sum())(params, normal((3, 5))).flow()

    params = [{"W": normal((3, 3), seed=i)} for i in range(4)]
    assert flow(transform(network), params) == flow(network, params)
    g = graph.trace(lambda x, w: (transform(scoped)(w, x) ** 2).sum())(normal((3,)), 0.5)
    assert [layer.name for layer in g.layers] == ["layer0", "layer1"]
    assert "layer1" in g.by_layer().text()


def test_layers_of_a_network_under_vmap():
    """One example at a time, mapped over a batch: the layers are those of the parameters."""

    def f(params, x):
        for layer in params:
            x = jnp.tanh(layer["W"] @ x)
        return x.sum()

    params = [{"W": normal((3, 3), seed=i)} for i in range(4)]
    g = graph.trace(lambda params, x: jax.vmap(f, (None, 0))(params, x).sum())(params, normal((5, 3)))
    assert [row.layer for row in g.flow()] == [f"params[{i}]" for i in range(4)]


def test_layers_by_named_scope_and_none_without():
    def f(x, w):
        for i in range(3):
            with jax.named_scope(f"layer{i}"):
                x = jnp.tanh(w * x)
        return x.sum()

    g = graph.trace(f)(normal((3,)), 0.5)
    assert [layer.name for layer in g.layers] == ["layer0", "layer1", "layer2"]
    mapped = graph.trace(lambda x, w: jax.vmap(lambda row: f(row, w))(x).sum())(normal((2, 3)), 0.5)
    assert [layer.name for layer in mapped.layers] == ["layer0", "layer1", "layer2"]
    plain = graph.trace(jnp.sin)(1.0)
    for method in (plain.flow, plain.by_layer):
        with pytest.raises(ValueError, match="the graph has no layers"):
            method()


@pytest.mark.full
def test_an_operation_belongs_to_the_layer_that_computes_it():
    """Layer normalization begins before it takes its params: what is normalized is not the dense layer's output."""
    network = jaxnn.chain(jaxnn.dense(4), jaxnn.chain(jaxnn.nn.layer_norm(), jaxnn.tanh()), jaxnn.dense(1))
    params, _ = network.init(jax.random.key(0), (3,))
    x = normal((5, 3))
    g = graph.trace(jaxnn.objective(network, jaxnn.squared_error()).value)(params, jaxnn.Batch(x, np.zeros(5)), None)
    assert [layer.name for layer in g.layers] == ["params[0]", "params[1][0]", "params[2]", "batch.y"]
    z = x @ params[0]["W"].T + params[0]["b"][None]
    a = jnp.tanh(jax.nn.standardize(z))
    np.testing.assert_allclose(
        [row.activation for row in g.flow()][:2], [jnp.sqrt((v**2).mean()) for v in (z, a)], 1e-4
    )
