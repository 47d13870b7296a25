"""The drawing on the page: composites that expand and collapse, edges beside boxes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import graph
from jaxnn.graph.rendering.html.page_view import make_page_view
from tests.helpers.graph_functions import LONG_EDGES, chain, nested
from tests.helpers.graph_page import check_drawing, edges_of, visible_edges, visible_variables
from tests.helpers.registry import normal

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_local_derivatives_of_many_digits_do_not_overlap_boxes(open_page):
    f = lambda x: jax.jit(lambda x: -1.2344e-5 * x * -1.2345e-4)(x) * -3.2144e-7  # noqa: E731
    for depth in (0, 1):
        page = open_page(graph.trace(f, depth=depth)(1.0))
        assert "-3.214e-07" in page.locator(".edges text").all_text_contents()
        check_drawing(page)


@pytest.mark.full
def test_composites_expand_and_collapse(open_page):
    """At every depth the page has the variables and edges of the graph expanded to it."""
    g = graph.trace(nested)(normal((3,)), 0.5)
    page = open_page(g)
    depths = []
    for depth in range(6):
        expanded = g.expand(depth)
        assert [page.evaluate("data.names")[v["id"]] for v in visible_variables(page)] == [
            node.name for node in expanded.nodes
        ]
        assert visible_edges(page) == edges_of(expanded)
        check_drawing(page)
        depths.append(len(expanded.nodes))
        for button in page.locator(".expand:visible").all()[::-1]:
            button.click()
    assert depths == sorted(depths)
    assert depths[0] + 10 < depths[-2] == depths[-1]
    assert page.locator(".expand:visible").count() == 0
    page.locator(".collapse:visible").first.click()
    assert len(visible_variables(page)) < depths[-1]
    check_drawing(page)


def test_composites_expand_and_collapse_by_keyboard(open_page):
    """The focus moves from the button that disappears to the one that reverts it, and is visible."""
    page = open_page(graph.trace(lambda x: jax.jit(lambda x: jax.nn.softplus(x) * 2)(x))(0.5), vary={})
    page.locator(".expand:visible").first.focus()
    on = "[document.activeElement.className, document.activeElement.title]"
    for _ in range(2):
        for kind, title in (("collapse", "collapse"), ("expand", "expand")):
            page.keyboard.press("Enter")
            name, words = page.evaluate(on)
            assert (name, words.split()[0]) == (kind, title)
            assert page.locator(":focus").is_visible()


@pytest.mark.parametrize(("f", "args"), [(f, args) for f, *args in LONG_EDGES])
def test_edges_do_not_cross_boxes(open_page, f, args):
    """Nor frames, except those that contain one of the two ends."""
    page = open_page(graph.trace(f, depth=2)(*args), vary={})
    page.click("#full")
    crossing = page.evaluate(
        """(() => {
          const {left, top} = graph.getBoundingClientRect();
          const seen = [...graph.querySelectorAll(".variable, .expanded")].filter(isVisible);
          const boxes = seen.map((box) => box.getBoundingClientRect());
          return [...document.querySelectorAll("path[data-source]")].filter((edge) => {
            const length = edge.getTotalLength();
            const points = [...Array(101).keys()].map((i) => edge.getPointAtLength((length * i) / 100));
            return boxes.some((box) => {
              const isIn = ({x, y}) =>
                box.left + 1 < x + left && x + left < box.right - 1 && box.top < y + top && y + top < box.bottom;
              return points.some(isIn) && !isIn(points[0]) && !isIn(points.at(-1));
            });
          }).map((edge) => [edge.dataset.source, edge.dataset.target].map((id) => data.names[id]));
        })()"""
    )
    assert visible_edges(page)
    assert crossing == []


def test_the_local_derivative_of_a_long_edge_is_at_its_end(open_page):
    page = open_page(graph.trace(lambda x: jnp.cos(jnp.sin(jnp.exp(x))) * x)(0.5), vary={})
    words = f"{np.cos(np.sin(np.exp(0.5))):.4g}"
    at = page.locator(".edges text", has_text=words).bounding_box()
    before, last = (v["box"] for v in visible_variables(page)[-2:])
    assert before[2] < at["x"] + at["width"] / 2 < last[0]


@pytest.mark.full
def test_composites_are_expanded_to_the_depth_of_the_graph(open_page):
    g = graph.trace(nested, depth=2)(normal((3,)), 0.5)
    page = open_page(g)
    assert [page.evaluate("data.names")[v["id"]] for v in visible_variables(page)] == [node.name for node in g.nodes]
    frame, inside = page.evaluate(
        """(() => { const frame = document.querySelector(".composite.open > .expanded");
             const of = e => (({left, top, right, bottom}) => [left, top, right, bottom])(e.getBoundingClientRect());
             return [of(frame), visibleVariables().filter(v => frame.contains(v)).map(of)]; })()"""
    )
    assert len(inside) > 1
    for left, top, right, bottom in inside:
        assert frame[0] < left < right < frame[2]
        assert frame[1] < top < bottom < frame[3]


@pytest.mark.full
def test_layers_of_a_network_are_composites(open_page):
    model = jaxnn.mlp((5, 4, 4, 4, 4, 4, 1), "sigmoid")
    cost = jaxnn.objective(model.network, model.loss, jaxnn.l2(0.1)).value
    g = graph.trace(cost)(model.init(jax.random.key(0)), jaxnn.Batch(normal((6, 5)), np.arange(6) % 2), None)
    page = open_page(g)
    layered = g.by_layer()
    assert len(visible_variables(page)) == len(layered.nodes) < 40
    assert visible_edges(page) == edges_of(layered)
    check_drawing(page)
    page.locator(".expand:visible").nth(2).click()
    assert len(visible_variables(page)) > len(layered.nodes)
    check_drawing(page)


def test_composites_stay_collapsed_above_the_limit_of_variables():
    inner = jax.jit(lambda x: chain(x, 300))
    g = graph.trace(lambda x: jax.jit(lambda x: inner(inner(inner(inner(x)))))(x) + x)(0.5)
    assert make_page_view(g.arguments, g.operations).depth == 1
    assert g.html(vary={}).count('class="expand"') == 1
