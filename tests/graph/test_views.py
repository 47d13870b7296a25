"""A graph as text, DOT, HTML and networkx graph, and invalid arguments."""

import sys
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxnn import graph
from jaxnn.graph.formatting import format_array
from tests.helpers.graph_functions import J, thrice, unusual_graph
from tests.helpers.graph_oracle import equal
from tests.helpers.registry import normal

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_text_and_html():
    g = graph.trace(J)(5.0, 3.0, 2.0)
    assert g.text().splitlines()[4].split()[:6] == ["u", "b", "*", "c", "f32", "6"]
    assert g.svg() in g._repr_html_()
    assert "b * c" in g._repr_html_().split("<details>")[1]
    hostile = graph.trace(lambda p: graph.name(p["\0\x1b[2J"] * 2, '<script>"&\n\ud800') + 1)({"\0\x1b[2J": 1.0})
    assert "<script>" not in hostile._repr_html_()
    ElementTree.fromstring(hostile.svg())
    assert hostile.text().count("\n") == 3
    assert "\x1b" not in hostile.text() + hostile.dot()


def test_an_array_of_equal_elements_is_formatted_as_one_number():
    assert format_array(np.full(4, 2.0)) == "all 2"
    assert format_array(np.array([2.0, 2.0, 2.0, np.nan])) == "2 .. 2, mean 2, 1 of 4 not finite"


@pytest.mark.full
def test_long_tables_are_truncated():
    def f(x):
        for _ in range(300):
            x = jnp.sin(x) * 1.01
        return x

    g = graph.trace(f)(1.0)
    lines = g.text().splitlines()
    assert len(lines) == 202
    assert "... 401 more" in g.text()
    with pytest.raises(ValueError, match=r"at most 300 variables, got 601: use by_layer\(\)"):
        g.svg()
    assert "<svg" not in g._repr_html_()
    equal(g["x"].derivative, jax.grad(f)(1.0), 1e-4)


NOTES_DOT = """\
digraph "J" {
rankdir=LR; node [shape=box, style=rounded, fontname=monospace];
n0 [label="a\\nf32: 5\\ndJ/d = 3"];
n1 [label="b\\nf32: 3\\ndJ/d = 6"];
n2 [label="c\\nf32: 2\\ndJ/d = 9"];
n3 [label="u = b * c\\nf32: 6\\ndJ/d = 3"];
n4 [label="v = a + u\\nf32: 11\\ndJ/d = 3"];
n5 [label="J = 3 * v\\nf32: 33\\ndJ/d = 1"];
n1 -> n3 [label="2"];
n2 -> n3 [label="3"];
n0 -> n4 [label="1"];
n3 -> n4 [label="1"];
n4 -> n5 [label="3"];
}
"""


def test_dot():
    assert graph.trace(J)(5.0, 3.0, 2.0).dot() == NOTES_DOT
    x = normal((3,))
    expanded = graph.trace(lambda x: lax.scan(lambda c, t: (c * t, None), 1.0, x)[0] + x[0], depth=2)(x).dot()
    assert expanded.count("subgraph") == 4
    assert expanded.count("{") == expanded.count("}") == 5


def test_networkx():
    networkx = pytest.importorskip("networkx")
    found = graph.trace(J)(5.0, 3.0, 2.0).to_networkx()
    assert networkx.ancestors(found, "J") == set("abcuv")
    assert found.nodes["u"]["derivative"].item() == 3
    assert found.edges["b", "u"]["local"].item() == 2


def test_networkx_must_be_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(ValueError, match="pip install networkx"):
        graph.trace(J)(5.0, 3.0, 2.0).to_networkx()


@pytest.mark.parametrize("depth", [0, 9])
def test_unusual_values_are_rendered(depth):
    g = unusual_graph().expand(depth)
    assert g.text()
    assert g.dot()
    ElementTree.fromstring(g.svg())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: graph.trace(J)(5, 3, 2), r"an argument must be floating, got a: int32.*: pass 5.0 instead of 5"),
        (
            lambda: graph.trace(lambda: 1.0)(),
            "an argument must be floating, got no arguments",
        ),
        (lambda: graph.trace(jnp.sin)(jnp.ones(2)), r"must be a scalar, got \(2,\): pass cotangent="),
        (lambda: graph.trace(lambda x: (x, x))(1.0), r"must be a scalar, got \(\), \(\)"),
        (lambda: graph.trace(lambda x: x > 0)(1.0), "must be floating to have a derivative, got bool"),
        (lambda: graph.trace(lambda x: x if x > 0 else -x)(1.0), "cannot be traced.*lax.cond"),
        (lambda: graph.trace(lambda x: float(x))(1.0), "cannot be traced"),
        (lambda: graph.trace(lambda x: x[x > 0].sum())(jnp.ones(3)), "cannot be traced: .* jnp.where"),
        (lambda: graph.trace(lambda x: "text")(1.0), "cannot be traced"),
        (lambda: graph.trace(lambda x, how: x)(1.0, "relu"), "argument how must be an array, got str: .*partial"),
        (
            lambda: graph.trace(jnp.sin, cotangent=jnp.ones(3))(1.0),
            r"shapes of the output, \(\), got \(3,\)",
        ),
        (lambda: graph.trace(lambda x: np.sin(x))(1.0), "cannot be traced: .*use jax.numpy instead of numpy"),
        (
            lambda: graph.trace(lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), "float32"), x))(1.0),
            "pure_callback at .*test_views.py:[0-9]+ has no derivative",
        ),
    ],
)
def test_invalid_traces(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_tracing_twice_compiles_nothing_new(x64):
    """The derivative of an operation is compiled once, not once a graph."""
    from jaxnn.graph.tracing.backward_pass import equation_vjp

    f = lambda x: jnp.sin(jax.nn.relu(x) * jnp.exp(x)).sum()  # noqa: E731
    graph.trace(f)(normal((3,), "float64"))
    before = equation_vjp._cache_size()
    graph.trace(lambda x: jnp.sin(jnp.exp(x) * 2).sum())(normal((3,), "float64"))
    assert equation_vjp._cache_size() == before + 1  # times a literal is new


def test_a_rule_is_not_compiled_in_each_trace():
    """JAX makes a new rule object in each."""
    from jaxnn.graph.tracing.backward_pass import equation_vjp

    f = lambda x: thrice(jax.nn.relu(x)).sum()  # noqa: E731
    graph.trace(f)(normal((3,)))
    before = equation_vjp._cache_size()
    graph.trace(f)(normal((3,)))
    assert equation_vjp._cache_size() == before


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: g[0], "variable must be one of a, b, output, got 0$"),
        (lambda g: g["z"], "variable must be one of a, b, output, got 'z'$"),
        (lambda g: g.with_args(z=1.0), "argument must be one of a, b, got 'z'$"),
        (lambda g: g.with_args(a="x"), "a must be a value for float32, got 'x'"),
        (lambda g: g.with_args(a=None), "a must be a value for float32, got None"),
        (lambda g: g.with_args(a=1j), "a must be a value for float32, got 1j"),
        (lambda g: g.html(vary="a"), "vary must be a dict of values by argument, .*, got 'a'"),
    ],
)
def test_invalid_arguments_of_a_graph(call, message):
    with pytest.raises(ValueError, match=message):
        call(graph.trace(lambda a, b: a * b)(5.0, 3.0))
