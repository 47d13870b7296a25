"""The page of a graph in a browser: its content, its details, its security and its colors."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import graph
from tests.helpers.graph_functions import J, unusual_graph
from tests.helpers.graph_page import check_drawing, edges_of, visible_edges, visible_variables

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_the_page_shows_the_graph(open_page):
    g = graph.trace(J)(5.0, 3.0, 2.0)
    page = open_page(g)
    found = [(v["label"], v["value"], v["slope"]) for v in visible_variables(page)]
    labels = ["a", "b", "c", "u = b * c", "v = a + u", "J = 3 * v"]
    assert found == list(zip(labels, ["5", "3", "2", "6", "11", "33"], ["3", "6", "9", "3", "3", "1"], strict=True))
    assert visible_edges(page) == edges_of(g)
    assert sorted(page.locator("svg.edges text").all_text_contents()) == ["1", "1", "2", "3", "3"]


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


@pytest.mark.full
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
