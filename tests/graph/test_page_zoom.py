"""The page of a graph: fit to the window, zoomed and dragged; keys folded, and unused variables hidden."""

import jax
import jax.numpy as jnp
import pytest

import jaxnn
from jaxnn import graph
from jaxnn.graph.analysis.relevance import find_key_plumbing, find_unused
from tests.helpers.graph_functions import chain
from tests.helpers.graph_page import check_drawing, visible_edges, visible_variables
from tests.helpers.registry import normal

pytestmark = pytest.mark.usefixtures("quick_compilation")
FIT = """(() => {
  const [a, b] = [graph, main].map((element) => element.getBoundingClientRect());
  return a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom;
})()"""


def noisy(x, key):
    """A function of a key that is split, with two values that no output depends on."""
    first, second = jax.random.split(key)
    h = graph.name(jnp.sin(x), "h")
    graph.name(jnp.cos(graph.name(h * 2, "unused")), "last")
    drawn = graph.name(jax.random.normal(first), "drawn")
    return h * drawn + jax.random.uniform(second)


@jax.jit
def with_an_unused_result(x):
    return jnp.sin(x), jnp.exp(jnp.cos(x))


def shown(page):
    names = page.evaluate("data.names")
    return [names[variable["id"]] for variable in visible_variables(page)]


@pytest.mark.parametrize("make_key", [jax.random.key, jax.random.PRNGKey], ids=["typed", "of two words"])
def test_keys_are_folded_and_unused_variables_hidden(open_page, make_key):
    page = open_page(graph.trace(noisy)(0.5, make_key(0)), vary={})
    folded = shown(page)
    assert {"x", "key", "h", "drawn", "noisy"} <= set(folded) and not {"unused", "last"} & set(folded)
    # Numbers are drawn from `key`, and the keys between are not there.
    edges = visible_edges(page)
    assert [target for source, target in edges if source == "key"].count("drawn") == 1
    assert len([1 for source, _ in edges if source == "key"]) == 2
    check_drawing(page)
    page.locator("[data-shows=unused]").check()
    assert set(shown(page)) - set(folded) == {"unused", "last"}
    assert ("h", "unused") in visible_edges(page) and ("unused", "last") in visible_edges(page)
    page.locator("[data-shows=key]").check()
    assert len(shown(page)) >= len(folded) + 2 + 3
    assert len([1 for source, _ in visible_edges(page) if source == "key"]) == 1
    check_drawing(page)
    for kind in ("unused", "key"):
        page.locator(f"[data-shows={kind}]").uncheck()
    assert shown(page) == folded and visible_edges(page) == edges


def test_a_graph_without_keys_and_unused_variables_has_no_switches(open_page):
    page = open_page(graph.trace(lambda x: jnp.sin(x) * 2)(0.5))
    assert page.locator("[data-shows]").count() == 0


def test_unused_results_are_found_in_composites_too():
    g = graph.trace(lambda x: with_an_unused_result(x)[0] * 2)(0.5)
    unused = find_unused(g.operations, g.outputs)
    assert len(unused) == 2  # cos and exp
    assert not unused & {g["x"], *g.outputs}
    (composite,) = [op for op in g.operations if op.body]
    assert {op.name for op in composite.body if op.outputs[0] in unused} == {"cos", "exp"}


def test_values_that_steer_a_loop_are_not_unused():
    g = graph.trace(lambda x: jax.lax.while_loop(lambda x: x < 10.0, lambda x: 2 * x, x), depth=3)(1.0)
    assert not find_unused(g.operations, g.outputs)


@pytest.mark.full
def test_keys_of_a_network_with_dropout_are_plumbing():
    model = jaxnn.mlp((2, 4, 4, 1), dropout_rate=0.5)
    cost = jaxnn.objective(model.network, model.loss).value
    batch = jaxnn.Batch(normal((3, 2)), jnp.arange(3) % 2)
    g = graph.trace(lambda params, key: cost(params, batch, key))(model.init(jax.random.key(1)), jax.random.key(0))
    plumbing = find_key_plumbing(g.operations)
    assert plumbing
    for node, (roots, through) in plumbing.items():
        if node.kind == "constant":  # the numbers of the layers
            assert (roots, through, node.dtype) == ((), (), jnp.uint32)
        else:
            assert jnp.issubdtype(node.dtype, jax.dtypes.prng_key) or node.dtype == jnp.uint32
            assert {root.name for root in roots} == {"key"} and through[-1] is node
    # The masks are drawn, not carried.
    assert not [node for node in plumbing if node.dtype == bool or node.inexact]


@pytest.mark.full
def test_a_large_graph_fits_the_window_and_zooms_around_the_pointer(open_page):
    page = open_page(graph.trace(lambda x: chain(x, 30))(0.5), vary={})
    assert page.evaluate("scale") == 0.6  # legible at first
    page.click("#fit")
    small = page.evaluate("scale")
    assert small < 0.6 and page.evaluate(FIT)
    assert page.locator("#scale").inner_text() == f"{100 * small:.0f} %"
    box = page.locator(".variable .label").nth(10)
    before = box.bounding_box()
    x, y = before["x"] + before["width"] / 2, before["y"] + before["height"] / 2
    page.mouse.move(x, y)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    page.wait_for_function(f"scale > {2 * small}")
    after = box.bounding_box()
    assert after["x"] + after["width"] / 2 == pytest.approx(x, abs=3)
    # Dragging moves the graph by as much.
    page.mouse.move(x, y + 40)
    page.mouse.down()
    page.mouse.move(x - 70, y + 40)
    page.mouse.up()
    assert box.bounding_box()["x"] == pytest.approx(after["x"] - 70, abs=2)
    page.keyboard.press("0")
    assert page.evaluate("scale") == 1
    check_drawing(page)
    page.keyboard.press("f")
    assert page.evaluate(FIT)


@pytest.mark.full
def test_the_page_has_the_width_of_a_phone(open_page):
    page = open_page(graph.trace(lambda x: chain(x, 30))(0.5))
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("main").bounding_box()["height"] > 200
