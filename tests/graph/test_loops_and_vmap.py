"""Loops and `jax.vmap` as composites."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxnn import graph
from jaxnn.graph.tracing.nodes import leaf_operations
from tests.helpers.graph_oracle import check, equal
from tests.helpers.registry import normal

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_scan_expands_to_its_steps():
    """A recurrence under `scan`, in a Python loop, and by hand: the same derivative with respect to every state."""

    def step(h, x):
        return graph.name(jnp.tanh(0.5 * h + x), "h"), h

    def scanned(start, xs):
        return lax.scan(step, start, xs)[0]

    def looped(start, xs):
        h = start
        for i in range(4):
            h, _ = step(h, xs[i])
        return h

    xs = normal((4,))
    scan, loop = (graph.trace(f)(0.3, xs) for f in (scanned, looped))
    states = [0.3]
    for x in np.asarray(xs):
        states.append(np.tanh(0.5 * states[-1] + x))
    slope, slopes = 1.0, [1.0]
    for h in reversed(states[1:]):
        slope *= 0.5 * (1 - h**2)
        slopes.append(slope)
    for i, name in enumerate(["h", "h_2", "h_3", "h_4"]):
        for g in (scan, loop):
            equal(g[name].value, states[i + 1])
            equal(g[name].derivative, slopes[3 - i])
    equal(scan.arguments[0].derivative, slopes[4])
    assert [row.operation.name for row in scan.expand(1).rows if row.operation][:1] == ["scan"]
    assert sum(row.node is None for row in scan.expand(2).rows) == 5  # the scan and its four steps
    assert len(scan.nodes) < len(scan.expand(1).nodes) < len(scan.expand(2).nodes)


def test_while_has_the_derivative_of_its_steps():
    """Unlike in JAX: x is doubled until it is at least 100, here 7 times."""

    def f(x):
        return lax.while_loop(lambda s: s[0] < 100, lambda s: (2 * s[0], s[1] + 1), (x, 0))[0] ** 2

    g = graph.trace(f)(1.0)
    assert g["x"].derivative.item() == 2 * 128 * 128
    with pytest.raises(ValueError, match="raise `limit`"):
        graph.trace(f, limit=5)(1.0)


@pytest.mark.full
def test_vmap_is_a_composite_of_the_operations_on_the_batch():
    """Nested, in a scope, and under `jax.grad`; with the derivatives of the function without composites."""

    def f(x, w):
        y = jax.vmap(lambda t: jnp.sin(t) * w)(x)
        with jax.named_scope("layer"):
            y = jnp.cos(y)
            y = jax.vmap(lambda t: jax.vmap(jnp.tanh)(t[None])[0] + t)(y)
        return jax.vmap(jax.grad(lambda t: t**3))(y).sum()

    x = normal((3,))
    g = graph.trace(f)(x, 2.0)
    assert [op.name for op in g.operations] == ["vmap", "cos", "vmap", "vmap", "reduce_sum"]
    assert [op.scope for op in g.operations] == ["", "layer", "layer", "", ""]
    equal(g["x"].derivative, jax.grad(f)(x, 2.0))
    equal(g["w"].derivative, jax.grad(f, 1)(x, 2.0))
    assert [node.name for node in g.nodes] == ["x", "w", "v1", "v2", "v3", "v4", "f"]
    nested = g.operations[2]
    assert [op.name for op in nested.body] == ["broadcast_in_dim", "vmap", "squeeze", "add"]
    assert [node.name for node in nested.inputs] == ["v2"]
    equal(g["v3"].value, jnp.tanh(g["v2"].value) + g["v2"].value)
    assert g.expand(1).text().count("[vmap]") == 3
    assert g.expand(2).text().count("[vmap]") == 4


def test_outputs_of_a_vmap_are_outputs_of_its_composite():
    """Also if only the caller uses them; nested."""
    x = normal((3, 2))
    g = graph.trace(jax.vmap(jax.vmap(lambda t: jnp.sin(t) * t + 2)), cotangent=jnp.ones((3, 2)))(x)
    (outer,) = g.operations
    (inner,) = outer.body
    assert [op.name for op in inner.body] == ["sin", "mul", "add"]
    assert outer.outputs == inner.outputs == g.outputs
    assert outer.inputs == inner.inputs == g.arguments
    assert outer.source == inner.source == inner.body[0].source != ""
    equal(g.arguments[0].derivative, np.cos(x) * x + np.sin(x))


def test_scopes_around_a_vmap_and_inside():
    """A scope called vmap is not a vmap; scopes of the mapped function stay inside."""

    def one(t):
        with jax.named_scope("within"), jax.named_scope("deeper"):
            return jnp.sin(t)

    def f(x):
        with jax.named_scope("around\x1b"):
            y = jax.vmap(jax.vmap(jax.grad(one)))(x)
        with jax.named_scope("vmap"):
            return jnp.cos(y).sum()

    outer, *others = graph.trace(f)(normal((3, 2))).operations
    assert [op.name for op in others] == ["cos", "reduce_sum"]
    assert [op.scope for op in others] == ["vmap"] * 2
    (inner,) = outer.body
    assert [op.scope for op in (outer, inner)] == ["around\ufffd", ""]
    assert {op.scope for op in inner.body} == {"within/deeper"}  # without names from jax.grad


def test_layers_are_found_under_vmap():
    """A network of one example, mapped over the batch."""

    def network(params, x):
        for W, b in params:
            x = jnp.tanh(W @ x + b)
        return x.sum()

    params = [(normal((4, 3)), normal((4,))), (normal((2, 4)), normal((2,)))]
    g = graph.trace(lambda params, x: jax.vmap(network, (None, 0))(params, x).mean())(params, normal((5, 3)))
    assert [op.name for op in g.operations][0] == "vmap"
    assert [layer.name for layer in g.layers] == ["params[0]", "params[1]"]
    assert [op.name for op in g.by_layer().operations] == ["params[0]", "params[1]"]
    assert [row.layer for row in g.flow()] == ["params[0]", "params[1]"]


@pytest.mark.full
def test_a_long_loop_is_not_unrolled_and_is_correct():
    xs = normal((300,)) / 10
    g = check(lambda x: lax.scan(lambda c, t: (c * 0.99 + t, None), x, xs)[0] ** 2, 1.0)
    collapsed = graph.trace(lambda x: lax.scan(lambda c, t: (c * 0.99 + t, None), x, xs)[0] ** 2, limit=100)(1.0)
    assert not collapsed.operations[0].body
    nested = graph.trace(lambda x: lax.fori_loop(0, 50, lambda i, c: lax.fori_loop(0, 60, lambda j, c: c * x, c), x))
    inner = [op for op in leaf_operations(nested(0.999).operations) if op.name == "scan"]
    assert len(inner) == 50
    equal(nested(0.999)["x"].derivative, 3001 * 0.999**3000, 1e-3)
    assert g.operations[0].body
    equal(collapsed["x"].derivative, g["x"].derivative)
