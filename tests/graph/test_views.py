"""A graph as text, page and networkx graph, and what raises."""

import functools
import sys
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import graph
from jaxnn.graph.tracing.formulas import short
from tests.helpers.graph_oracle import J, equal, thrice
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


def test_all_elements_are_said_to_be_one_number_where_all_are():
    assert short(np.full(4, 2.0)) == "all 2"
    assert short(np.array([2.0, 2.0, 2.0, np.nan])) == "2 .. 2, mean 2, 1 of 4 not finite"


def test_thousands_of_primitives_are_summarised():
    def f(x):
        for _ in range(300):
            x = jnp.sin(x) * 1.01
        return x

    g = graph.trace(f)(1.0)
    lines = g.text().splitlines()
    assert len(lines) == 202
    assert "... 401 more" in g.text()
    with pytest.raises(ValueError, match="too many for a picture"):
        g.svg()
    assert "<svg" not in g._repr_html_()
    equal(g["x"].derivative, jax.grad(f)(1.0), 1e-4)


def test_networkx():
    networkx = pytest.importorskip("networkx")
    found = graph.trace(J)(5.0, 3.0, 2.0).to_networkx()
    assert networkx.ancestors(found, "J") == set("abcuv")
    assert found.nodes["u"]["derivative"].item() == 3
    assert found.edges["b", "u"]["local"].item() == 2


def test_networkx_is_asked_for_where_it_is_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(ValueError, match="pip install networkx"):
        graph.trace(J)(5.0, 3.0, 2.0).to_networkx()


@functools.cache
def strange():
    """The graph of random keys, half precision, nothing at all, complex numbers, and a print inside."""

    def f(key, x, empty):
        jax.debug.print("", ordered=False)
        z = jnp.fft.fft(x.astype("float32"))
        return jnp.abs(z).sum() * jax.random.uniform(key) + empty.sum()

    return graph.trace(f)(jax.random.key(0), normal((5,), jnp.bfloat16), jnp.zeros((0, 3)))


@pytest.mark.parametrize("depth", [0, 9])
def test_what_cannot_be_shown_does_not_break(depth):
    opened = strange().opened(depth)
    assert opened.text()
    assert opened.dot()
    ElementTree.fromstring(opened.svg())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: graph.trace(J)(5, 3, 2), r"no argument has a derivative \(a: int32.*5.0 in place of 5"),
        (lambda: graph.trace(lambda: 1.0)(), "no arguments"),
        (lambda: graph.trace(jnp.sin)(jnp.ones(2)), r"must be a scalar, got \(2,\): pass cotangent="),
        (lambda: graph.trace(lambda x: (x, x))(1.0), r"must be a scalar, got \(\), \(\)"),
        (lambda: graph.trace(lambda x: x > 0)(1.0), "of bool, which has no derivative"),
        (lambda: graph.trace(lambda x: x if x > 0 else -x)(1.0), "cannot be traced.*lax.cond"),
        (lambda: graph.trace(lambda x: float(x))(1.0), "cannot be traced"),
        (lambda: graph.trace(lambda x: x[x > 0].sum())(jnp.ones(3)), "cannot be traced: .* jnp.where"),
        (lambda: graph.trace(lambda x: "text")(1.0), "cannot be traced"),
        (lambda: graph.trace(lambda x, how: x)(1.0, "relu"), "argument how is a str: expected arrays.*partial"),
        (lambda: graph.trace(jnp.sin, cotangent=jnp.ones(3))(1.0), r"structure and shapes of the output: \(\)"),
        (lambda: graph.trace(jnp.sin, depth=-1), "depth must be a whole number from 0"),
        (lambda: graph.trace(jnp.sin, depth="all"), "depth must be a whole number"),
        (lambda: graph.trace(lambda x: np.sin(x))(1.0), "cannot be traced: .*use jax.numpy in place"),
        (lambda: graph.trace(jnp.sin, limit=0), "limit from 1"),
        (
            lambda: graph.trace(lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), "float32"), x))(1.0),
            "pure_callback at .*test_views.py:[0-9]+ has no derivative",
        ),
    ],
)
def test_bad_questions(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_tracing_twice_compiles_nothing_new(x64):
    """The derivative of an operation is compiled once, not once a graph."""
    from jaxnn.graph.tracing.derivatives import _vjp

    f = lambda x: jnp.sin(jax.nn.relu(x) * jnp.exp(x)).sum()  # noqa: E731
    graph.trace(f)(normal((3,), "float64"))
    before = _vjp._cache_size()
    graph.trace(lambda x: jnp.sin(jnp.exp(x) * 2).sum())(normal((3,), "float64"))
    assert _vjp._cache_size() == before + 1  # times a number is new


def test_a_rule_is_not_compiled_in_each_trace():
    """To JAX it is a new one in each."""
    from jaxnn.graph.tracing.derivatives import _vjp

    f = lambda x: thrice(jax.nn.relu(x)).sum()  # noqa: E731
    graph.trace(f)(normal((3,)))
    before = _vjp._cache_size()
    graph.trace(f)(normal((3,)))
    assert _vjp._cache_size() == before


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda g: g[0], "no variable is called 0: there are a, b, output$"),
        (lambda g: g["z"], "no variable is called 'z': there are a, b, output$"),
        (lambda g: g.at(z=1.0), "no argument is called 'z': there are a, b$"),
        (lambda g: g.at(a="x"), "an argument of float32 takes numbers, got 'x'"),
        (lambda g: g.at(a=None), "an argument of float32 takes numbers, got None"),
        (lambda g: g.at(a=1j), "an argument of float32 takes numbers, got 1j"),
        (lambda g: g.opened("all"), "depth must be a whole number from 0, got 'all'"),
        (lambda g: g.opened(-1), "depth must be a whole number from 0, got -1"),
        (lambda g: g.html(vary="a"), "vary is 'a', expected values by argument"),
    ],
)
def test_what_a_graph_cannot_be_asked_is_told(ask, message):
    with pytest.raises(ValueError, match=message):
        ask(graph.trace(lambda a, b: a * b)(5.0, 3.0))
