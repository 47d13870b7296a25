"""Names of variables, constants, and the lines of code that operations come from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import graph
from jaxnn.graph.tracing.nodes import leaf_operations
from tests.helpers.graph_oracle import equal
from tests.helpers.registry import normal

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_names():
    """Names appear in the graph only: under jit, grad and vmap they change nothing."""

    def f(x):
        u = graph.name({"a": x * 2, "b": x + 1}, "u")
        return graph.name(u["a"] * u["b"], "w").sum()

    x = normal((3,))
    g = graph.trace(f)(x)
    assert [node.name for node in g.nodes] == ["x", "u", "u_2", "w", "f"]
    plain = ((2 * x) * (x + 1)).sum()
    equal(jax.jit(f)(x), plain)
    equal(jax.grad(f)(x), 4 * x + 2)
    equal(jax.vmap(lambda x: f(x[None]))(x).sum(), plain)
    assert [node.name for node in graph.trace(jax.jit(f))(x).nodes] == ["x", "u", "u_2", "w", "f"]
    for wrong in ("", 3):
        with pytest.raises(ValueError, match="label must be a non-empty string, such as 'u', got"):
            graph.name(x, wrong)
    with pytest.raises(ValueError, match="variable must be one of x, u, u_2, w, f, got 'U'"):
        g["U"]


def test_names_of_arguments_are_their_paths():
    params = [{"W": jnp.ones((2, 2)), "b": (jnp.ones(2),)}]
    g = graph.trace(lambda params, *rest: (params[0]["W"] @ params[0]["b"][0] * rest[1]).sum())(params, 1, 2.0)
    assert [node.name for node in g.arguments] == ["params[0].W", "params[0].b[0]", "rest[0]", "rest[1]"]


def test_names_are_unique():
    """Even if labels are equal: names index the graph and are the nodes for networkx."""

    def f(params, x):
        u = [graph.name(x * i, label) for i, label in enumerate(["u", "u", "u_2", "x", "x"])]
        return sum(u) * params["a.b"] * params["a"]["b"]

    g = graph.trace(f)({"a.b": 2.0, "a": {"b": 3.0}}, 1.0)
    names = [node.name for node in g.nodes]
    assert names[:8] == ["params.a.b", "params.a.b_2", "x", "u", "u_2", "u_2_2", "x_2", "x_3"]
    assert len(set(names)) == len(names)
    assert g["params.a.b_2"].value == 2.0


def test_constants_are_folded():
    table = jnp.arange(3.0)
    g = graph.trace(lambda x: (x * jnp.sin(jnp.full(3, 2.0)) + jnp.exp(table)).sum() * (1 + np.pi))(normal((3,)))
    assert [op.name for op in g.operations] == ["mul", "add", "reduce_sum", "mul"]
    assert [node.kind for node in g.nodes].count("constant") == 1  # exp(table); sin(full) is a literal
    assert "0.909297" in g.text()


def test_source_lines_are_the_callers():
    def f(x):
        y = jax.nn.relu(x)
        return jnp.exp(y)

    first = f.__code__.co_firstlineno
    sources = [op.source for op in graph.trace(f)(1.0).operations]
    assert sources == [f"{__file__}:{first + 1}", f"{__file__}:{first + 2}"]
    (_, inner, _, _) = (jax.nn.relu(2.0), *graph.trace(f)(2.0).expand(9).rows[2:5])
    assert inner.operation.source == f"{__file__}:{first + 1}"  # in the body of JAX's relu too


def test_source_lines_are_the_callers_if_jax_caches_the_trace():
    """As for softplus, with the frames of its first caller."""

    def f(x):
        y = jax.nn.softplus(x)
        return jax.nn.softplus(y)

    first = f.__code__.co_firstlineno
    for i, op in enumerate(graph.trace(f)(1.0).operations):
        assert {op.source, *(step.source for step in leaf_operations(op.body))} == {f"{__file__}:{first + 1 + i}"}
