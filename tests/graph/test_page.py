"""The page of a graph in a browser."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import graph
from jaxnn.graph.rendering.page_data import shown
from tests.graph.test_page_sliders import chain
from tests.graph.test_pictures import PASSING, nested
from tests.graph.test_views import strange
from tests.helpers.graph_page import J, edges_of, edges_seen, seen
from tests.helpers.registry import normal

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_what_is_seen_is_the_graph(opened):
    g = graph.trace(J)(5.0, 3.0, 2.0)
    page = opened(g)
    found = [(v["label"], v["value"], v["slope"]) for v in seen(page)]
    labels = ["a", "b", "c", "u = b * c", "v = a + u", "J = 3 * v"]
    assert found == list(zip(labels, ["5", "3", "2", "6", "11", "33"], ["3", "6", "9", "3", "3", "1"], strict=True))
    assert edges_seen(page) == edges_of(g)
    assert sorted(page.locator("svg.wires text").all_text_contents()) == ["1", "1", "2", "3", "3"]


def check_drawing(page):
    """No two boxes overlap, and edges run to the right from the right side of one to the left side of another."""
    now = seen(page)
    for i, one in enumerate(now):
        left, top, right, bottom = one["box"]
        for other in now[:i]:
            left2, top2, right2, bottom2 = other["box"]
            assert right <= left2 or right2 <= left or bottom <= top2 or bottom2 <= top, (one, other)
    origin = page.evaluate("(({left}) => left)(graph.getBoundingClientRect())")
    labels = page.evaluate(
        """Object.fromEntries(seen().map(v => [idOf(v), v.querySelector(".label").getBoundingClientRect()]))"""
    )
    lines = page.evaluate(
        """[...document.querySelectorAll("path[data-source]")].map(p => [p.dataset.source, p.dataset.target,
             ...[0, p.getTotalLength()].map(at => p.getPointAtLength(at).x)])"""
    )
    words = page.evaluate(
        """[...document.querySelectorAll(".wires text")].map(e => e.getBoundingClientRect())
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


def test_local_derivatives_of_many_digits_are_beside_the_boxes(opened):
    """None of their signs is under a box."""
    f = lambda x: jax.jit(lambda x: -1.2344e-5 * x * -1.2345e-4)(x) * -3.2144e-7  # noqa: E731
    for depth in (0, 1):
        page = opened(graph.trace(f, depth=depth)(1.0))
        assert "-3.214e-07" in page.locator(".wires text").all_text_contents()
        check_drawing(page)


def test_boxes_open_and_close(opened):
    """At every depth the same variables and edges as the graph opened so deep, to the last box and back."""
    g = graph.trace(nested)(normal((3,)), 0.5)
    page = opened(g)
    depths = []
    for depth in range(6):
        there = g.opened(depth)
        assert [page.evaluate("data.names")[v["id"]] for v in seen(page)] == [node.name for node in there.nodes]
        assert edges_seen(page) == edges_of(there)
        check_drawing(page)
        depths.append(len(there.nodes))
        for button in page.locator(".unfold:visible").all()[::-1]:
            button.click()
    assert depths == sorted(depths)
    assert depths[0] + 10 < depths[-2] == depths[-1]
    assert page.locator(".unfold:visible").count() == 0
    page.locator(".fold:visible").first.click()
    assert len(seen(page)) < depths[-1]
    check_drawing(page)


def test_by_the_keyboard_boxes_open_and_close(opened):
    """The focus goes from the button that vanishes to the one that undoes it, and is seen where it is."""
    page = opened(graph.trace(lambda x: jax.jit(lambda x: jax.nn.softplus(x) * 2)(x))(0.5), vary={})
    page.locator(".unfold:visible").first.focus()
    on = "[document.activeElement.className, document.activeElement.title]"
    for _ in range(2):
        for kind, title in (("fold", "close"), ("unfold", "open")):
            page.keyboard.press("Enter")
            name, words = page.evaluate(on)
            assert (name, words.split()[0]) == (kind, title)
            assert page.locator(":focus").is_visible()


@pytest.mark.parametrize(("f", "args"), [(f, args) for f, *args in PASSING])
def test_edges_run_beside_boxes(opened, f, args):
    """And beside frames, but those that one of the two ends is in."""
    page = opened(graph.trace(f, depth=2)(*args), vary={})
    through = page.evaluate(
        """(() => {
          const {left, top} = graph.getBoundingClientRect();
          const seen = [...graph.querySelectorAll(".variable, .opened")].filter(isSeen);
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
    assert edges_seen(page)
    assert through == []


def test_the_local_derivative_of_a_long_edge_is_where_it_comes_in(opened):
    page = opened(graph.trace(lambda x: jnp.cos(jnp.sin(jnp.exp(x))) * x)(0.5), vary={})
    words = f"{np.cos(np.sin(np.exp(0.5))):.4g}"
    at = page.locator(".wires text", has_text=words).bounding_box()
    before, last = (v["box"] for v in seen(page)[-2:])
    assert before[2] < at["x"] + at["width"] / 2 < last[0]


def test_boxes_are_open_as_deep_as_the_graph_is(opened):
    g = graph.trace(nested, depth=2)(normal((3,)), 0.5)
    page = opened(g)
    assert [page.evaluate("data.names")[v["id"]] for v in seen(page)] == [node.name for node in g.nodes]
    frame, inside = page.evaluate(
        """(() => { const frame = document.querySelector(".box.open > .opened");
             const of = e => (({left, top, right, bottom}) => [left, top, right, bottom])(e.getBoundingClientRect());
             return [of(frame), seen().filter(v => frame.contains(v)).map(of)]; })()"""
    )
    assert len(inside) > 1
    for left, top, right, bottom in inside:
        assert frame[0] < left < right < frame[2]
        assert frame[1] < top < bottom < frame[3]


def test_a_variable_that_is_pointed_at_tells_all(opened):
    page = opened(graph.trace(J)(5.0, 3.0, 0.1), vary={})
    page.locator(".variable", has_text="u = b * c").hover()
    what, value, slope, line = page.locator("#about").text_content().splitlines()
    assert what.split() == ["u", "=", "b", "*", "c", "f32"]
    assert value == "value: 0.3"
    assert slope == "dJ/du: 3.0"
    assert line == f'graph_page.py:{J.__code__.co_firstlineno + 1}: u = graph.name(b * c, "u")'
    lit = page.evaluate("[...document.querySelectorAll('path.near')].map(p => [p.dataset.source, p.dataset.target])")
    assert lit == [["1", "3"], ["2", "3"], ["3", "4"]]
    page.keyboard.press("Tab")  # by the keyboard too
    page.locator(".variable", has_text="J = 3").focus()
    assert page.locator("#about").text_content().startswith("J = 3 * v")


def test_arrays_are_told_in_numbers(opened):
    x = np.array([[1.0, -2.0], [0.5, np.inf]], np.float32)
    page = opened(graph.trace(lambda x: jnp.sum(jnp.tile(x, (4, 4)) * 2))(x))
    page.locator(".variable").first.hover()
    assert "[[ 1. , -2. ],\n [ 0.5,  inf]]" in page.locator("#about").text_content()
    page.locator(".variable", has_text="* 2").hover()
    assert "value: -4 .. 2, mean -0.333, 16 of 64 not finite" in page.locator("#about").text_content()


def test_what_cannot_be_shown_does_not_break(opened):
    page = opened(strange())
    page.locator(".variable", has_text="key").first.hover()
    assert "value: random key" in page.locator("#about").text_content()
    assert "/dkey: none" in page.locator("#about").text_content()
    for _ in range(40):
        if page.locator(".unfold:visible").count() == 0:
            break
        page.locator(".unfold:visible").last.click()
    assert page.locator(".unfold:visible").count() == 0
    check_drawing(page)
    page.click("#first")
    for _ in range(2 * len(seen(page)) + 1):
        page.keyboard.press("ArrowRight")
    assert page.locator("#step").text_content() == "forward and backward, all steps"


def test_layers_are_boxes_of_a_network(opened):
    model = jaxnn.mlp((5, 4, 4, 4, 4, 4, 1), "sigmoid")
    cost = jaxnn.objective(model.network, model.loss, jaxnn.l2(0.1)).value
    g = graph.trace(cost)(model.init(jax.random.key(0)), jaxnn.Batch(normal((6, 5)), np.arange(6) % 2), None)
    page = opened(g)
    there = g.by_layer()
    assert len(seen(page)) == len(there.nodes) < 40
    assert edges_seen(page) == edges_of(there)
    check_drawing(page)
    page.locator(".unfold:visible").nth(2).click()
    assert len(seen(page)) > len(there.nodes)
    check_drawing(page)


def test_what_is_not_html_stays_text(opened):
    """Names and lines of code are the caller's, and may hold anything."""
    hostile = "</script><img src=x onerror=alert(1)>&\"'`${1}"

    def f(params):
        u = graph.name(params[hostile] * 2.0, "<b>u</b>")  # </script><script>alert(2)</script>
        return u * u

    page = opened(graph.trace(f)({hostile: 1.0}))
    assert page.locator("img").count() == 0
    assert seen(page)[0]["label"].startswith("params.</script><img")
    assert seen(page)[1]["label"].startswith("<b>u</b> = ")
    page.locator(".variable").nth(1).hover()
    assert "alert(2)" in page.locator("#about").text_content()


def test_a_page_has_no_way_out(browser, tmp_path):
    """Whatever script there were in it: its policy lets it load nothing and send nothing."""
    file = tmp_path / "page.html"
    file.write_text(graph.trace(J)(5.0, 3.0, 2.0).html(vary={}), encoding="utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    refused = page.evaluate(
        """async () => {
          const refused = [];
          addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
          for (const [kind, address] of [["img", "src"], ["script", "src"], ["link", "href"], ["iframe", "src"]]) {
            const element = document.createElement(kind);
            if (kind === "link") element.rel = "stylesheet";
            element[address] = "http://127.0.0.1:9/";
            document.body.append(element);
          }
          await fetch("http://127.0.0.1:9/").catch(() => {});
          await new Promise((done) => setTimeout(done, 100));
          return refused.sort();
        }"""
    )
    assert refused == ["connect-src", "frame-src", "img-src", "script-src-elem", "style-src-elem"]
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_are_legible_on_white_and_on_dark(browser, tmp_path, scheme):
    """A contrast of 4.5 to 1 at least, as WCAG 2.1 asks of text."""
    file = tmp_path / "page.html"
    file.write_text(graph.trace(J)(5.0, 3.0, 2.0).html(vary={}), encoding="utf-8")
    page = browser.new_page(color_scheme=scheme)
    page.goto(file.as_uri())

    def color(place, which):
        words = page.locator(place).first.evaluate(f"e => getComputedStyle(e).{which}")
        return np.array([float(part) for part in words[words.index("(") + 1 : -1].split(",")[:3]]) / 255

    def luminance(rgb):
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    behind = luminance(color("body", "backgroundColor"))
    assert (behind > 0.5) == (scheme == "light")
    pairs = [(place, behind) for place in ("b.value", "b.slope", "#step")]
    for place, back in [*pairs, (".label", luminance(color(".label", "backgroundColor")))]:
        low, high = sorted([luminance(color(place, "color")), back])
        assert (high + 0.05) / (low + 0.05) >= 4.5, place
    page.keyboard.press("Tab")
    page.locator(".variable").first.focus()
    style, width = (
        page.locator(":focus").evaluate(f"e => getComputedStyle(e).outline{of}") for of in ("Style", "Width")
    )
    assert (style, width) == ("solid", "2px")
    low, high = sorted([luminance(color(":focus", "outlineColor")), behind])
    assert (high + 0.05) / (low + 0.05) >= 3  # as it asks of what is no text
    page.close()


def test_boxes_stay_closed_where_there_is_no_room():
    inner = jax.jit(functools.partial(chain, length=300))
    there = graph.trace(lambda x: jax.jit(lambda x: inner(inner(inner(inner(x)))))(x) + x)(0.5)
    assert shown(there.arguments, there.operations).depth == 1
    assert there.html(vary={}).count('class="unfold"') == 1
