"""The page of a graph in a browser: variables, edges, composites, details."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import graph
from jaxnn.graph.rendering.html.page_view import make_page_view
from tests.helpers.graph_functions import LONG_EDGES, J, chain, nested, unusual_graph
from tests.helpers.graph_page import edges_of, visible_edges, visible_variables
from tests.helpers.registry import normal

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_the_page_shows_the_graph(open_page):
    g = graph.trace(J)(5.0, 3.0, 2.0)
    page = open_page(g)
    found = [(v["label"], v["value"], v["slope"]) for v in visible_variables(page)]
    labels = ["a", "b", "c", "u = b * c", "v = a + u", "J = 3 * v"]
    assert found == list(zip(labels, ["5", "3", "2", "6", "11", "33"], ["3", "6", "9", "3", "3", "1"], strict=True))
    assert visible_edges(page) == edges_of(g)
    assert sorted(page.locator("svg.edges text").all_text_contents()) == ["1", "1", "2", "3", "3"]


def check_drawing(page):
    """Boxes do not overlap, and edges go from the right side of one to the left side of another."""
    shown = visible_variables(page)
    for i, variable in enumerate(shown):
        left, top, right, bottom = variable["box"]
        for other in shown[:i]:
            left2, top2, right2, bottom2 = other["box"]
            assert right <= left2 or right2 <= left or bottom <= top2 or bottom2 <= top, (variable, other)
    origin = page.evaluate("(({left}) => left)(graph.getBoundingClientRect())")
    labels = page.evaluate(
        """Object.fromEntries(visibleVariables().map(v =>
             [idOf(v), v.querySelector(".label").getBoundingClientRect()]))"""
    )
    lines = page.evaluate(
        """[...document.querySelectorAll("path[data-source]")].map(p => [p.dataset.source, p.dataset.target,
             ...[0, p.getTotalLength()].map(at => p.getPointAtLength(at).x)])"""
    )
    words = page.evaluate(
        """[...document.querySelectorAll(".edges text")].map(e => e.getBoundingClientRect())
             .map(({left, top, right, bottom}) => [left, top, right, bottom])"""
    )
    for left, top, right, bottom in words:
        for box in labels.values():
            beside = right <= box["left"] or box["right"] <= left or bottom <= box["top"] or box["bottom"] <= top
            assert beside, (left, top, right, bottom, box)
    for source, target, start, end in lines:
        assert start == pytest.approx(labels[source]["right"] - origin, abs=0.1)
        assert end == pytest.approx(labels[target]["left"] - origin - 6, abs=0.1)
        assert start < end


def test_local_derivatives_of_many_digits_do_not_overlap_boxes(open_page):
    f = lambda x: jax.jit(lambda x: -1.2344e-5 * x * -1.2345e-4)(x) * -3.2144e-7  # noqa: E731
    for depth in (0, 1):
        page = open_page(graph.trace(f, depth=depth)(1.0))
        assert "-3.214e-07" in page.locator(".edges text").all_text_contents()
        check_drawing(page)


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


def test_details_of_the_variable_under_the_pointer(open_page):
    page = open_page(graph.trace(J)(5.0, 3.0, 0.1), vary={})
    page.locator(".variable", has_text="u = b * c").hover()
    what, value, slope, line = page.locator("#about").text_content().splitlines()
    assert what.split() == ["u", "=", "b", "*", "c", "f32"]
    assert value == "value: 0.3"
    assert slope == "dJ/du: 3.0"
    assert line == f'graph_functions.py:{J.__code__.co_firstlineno + 1}: u = graph.name(b * c, "u")'
    highlighted = page.evaluate(
        "[...document.querySelectorAll('path.hovered')].map(p => [p.dataset.source, p.dataset.target])"
    )
    assert highlighted == [["1", "3"], ["2", "3"], ["3", "4"]]
    page.keyboard.press("Tab")  # by keyboard too
    page.locator(".variable", has_text="J = 3").focus()
    assert page.locator("#about").text_content().startswith("J = 3 * v")


def test_details_of_arrays(open_page):
    x = np.array([[1.0, -2.0], [0.5, np.inf]], np.float32)
    page = open_page(graph.trace(lambda x: jnp.sum(jnp.tile(x, (4, 4)) * 2))(x))
    page.locator(".variable").first.hover()
    assert "[[ 1. , -2. ],\n [ 0.5,  inf]]" in page.locator("#about").text_content()
    page.locator(".variable", has_text="* 2").hover()
    assert "value: -4 .. 2, mean -0.333, 16 of 64 not finite" in page.locator("#about").text_content()


def test_unusual_values_are_rendered(open_page):
    page = open_page(unusual_graph())
    page.locator(".variable", has_text="key").first.hover()
    assert "value: random key" in page.locator("#about").text_content()
    assert "/dkey: no derivative" in page.locator("#about").text_content()
    for _ in range(40):
        if page.locator(".expand:visible").count() == 0:
            break
        page.locator(".expand:visible").last.click()
    assert page.locator(".expand:visible").count() == 0
    check_drawing(page)
    page.click("#first")
    for _ in range(2 * len(visible_variables(page)) + 1):
        page.keyboard.press("ArrowRight")
    assert page.locator("#step").text_content() == "forward and backward pass, all steps"


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


def test_names_and_lines_of_code_are_escaped(open_page):
    """They come from the caller, and may contain HTML."""
    hostile = "</script><img src=x onerror=alert(1)>&\"'`${1}"

    def f(params):
        u = graph.name(params[hostile] * 2.0, "<b>u</b>")  # </script><script>alert(2)</script>
        return u * u

    page = open_page(graph.trace(f)({hostile: 1.0}))
    assert page.locator("img").count() == 0
    assert visible_variables(page)[0]["label"].startswith("params.</script><img")
    assert visible_variables(page)[1]["label"].startswith("<b>u</b> = ")
    page.locator(".variable").nth(1).hover()
    assert "alert(2)" in page.locator("#about").text_content()


def test_the_page_can_load_and_send_nothing(browser, tmp_path):
    """Its security policy blocks every request, even of an injected script."""
    file = tmp_path / "page.html"
    file.write_text(graph.trace(J)(5.0, 3.0, 2.0).html(vary={}), encoding="utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    blocked = page.evaluate(
        """async () => {
          const blocked = [];
          addEventListener("securitypolicyviolation", (event) => blocked.push(event.effectiveDirective));
          for (const [kind, address] of [["img", "src"], ["script", "src"], ["link", "href"], ["iframe", "src"]]) {
            const element = document.createElement(kind);
            if (kind === "link") element.rel = "stylesheet";
            element[address] = "http://127.0.0.1:9/";
            document.body.append(element);
          }
          await fetch("http://127.0.0.1:9/").catch(() => {});
          await new Promise((done) => setTimeout(done, 100));
          return blocked.sort();
        }"""
    )
    assert blocked == ["connect-src", "frame-src", "img-src", "script-src-elem", "style-src-elem"]
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible_in_light_and_dark(browser, tmp_path, scheme):
    """A contrast of at least 4.5 to 1, as WCAG 2.1 requires of text."""
    file = tmp_path / "page.html"
    file.write_text(graph.trace(J)(5.0, 3.0, 2.0).html(vary={}), encoding="utf-8")
    page = browser.new_page(color_scheme=scheme)
    page.goto(file.as_uri())

    def color(selector, which):
        css = page.locator(selector).first.evaluate(f"e => getComputedStyle(e).{which}")
        return np.array([float(part) for part in css[css.index("(") + 1 : -1].split(",")[:3]]) / 255

    def luminance(rgb):
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    background = luminance(color("body", "backgroundColor"))
    assert (background > 0.5) == (scheme == "light")
    pairs = [(selector, background) for selector in ("b.value", "b.slope", "#step")]
    for selector, behind in [*pairs, (".label", luminance(color(".label", "backgroundColor")))]:
        low, high = sorted([luminance(color(selector, "color")), behind])
        assert (high + 0.05) / (low + 0.05) >= 4.5, selector
    page.keyboard.press("Tab")
    page.locator(".variable").first.focus()
    style, width = (
        page.locator(":focus").evaluate(f"e => getComputedStyle(e).outline{of}") for of in ("Style", "Width")
    )
    assert (style, width) == ("solid", "2px")
    low, high = sorted([luminance(color(":focus", "outlineColor")), background])
    assert (high + 0.05) / (low + 0.05) >= 3  # as WCAG requires of other content
    page.close()


def test_composites_stay_collapsed_above_the_limit_of_variables():
    inner = jax.jit(lambda x: chain(x, 300))
    g = graph.trace(lambda x: jax.jit(lambda x: inner(inner(inner(inner(x)))))(x) + x)(0.5)
    assert make_page_view(g.arguments, g.operations).depth == 1
    assert g.html(vary={}).count('class="expand"') == 1
