"""The graph as a page, in a headless Chromium: what is seen, pointed at, opened, stepped through and moved."""

import functools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from registry import normal
from test_graph import PASSING, nested, strange

import jaxnn as nn
from jaxnn import graph
from jaxnn.graph.rendering.boxes import bars
from jaxnn.graph.rendering.page_data import shown
from jaxnn.graph.rendering.sliders import sliders
from jaxnn.graph.tracing.formulas import number

pytestmark = pytest.mark.usefixtures("quick_compilation")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def J(a, b, c):
    u = graph.name(b * c, "u")
    v = graph.name(a + u, "v")
    return 3 * v


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM)
        yield started
        started.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Opens the page of a graph, or HTML; at the end, nothing was logged, and nothing but the file was asked for."""
    context = browser.new_context(viewport={"width": 1400, "height": 800})
    said, asked = [], []

    def visit(g, **options):
        file = tmp_path / f"{len(asked)}.html"
        file.write_text(g.html(**options), encoding="utf-8")
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        assert asked.count(file.as_uri()) == 1
        return page

    yield visit
    assert said == []
    assert all(url.startswith("file:") and url.endswith(".html") for url in asked)
    assert len(asked) == len(context.pages)
    context.close()


SEEN = """() => [...document.querySelectorAll(".variable")].filter(v => v.getClientRects().length).map(v => {
  const box = v.getBoundingClientRect();
  const shown = (e) => getComputedStyle(e).visibility === "visible" ? e.textContent : null;
  return {id: +v.dataset.node, label: v.querySelector(".label").textContent.replace("▸", ""),
    value: shown(v.querySelector("b.value")), slope: shown(v.querySelector("b.slope")),
    now: v.classList.contains("now"), box: [box.left, box.top, box.right, box.bottom]};
}).sort((p, q) => p.id - q.id)"""


def seen(page):
    return page.evaluate(SEEN)


def edges_seen(page):
    """The edges drawn, by the names of their ends."""
    names = page.evaluate("data.names")
    pairs = page.evaluate(
        """[...document.querySelectorAll("path[data-source]")].map(p => [+p.dataset.source, +p.dataset.target])"""
    )
    return sorted((names[a], names[b]) for a, b in pairs)


def edges_of(g):
    return sorted((edge.source.name, edge.target.name) for edge in g.edges)


def test_what_is_seen_is_the_graph(opened):
    g = graph.trace(J)(5.0, 3.0, 2.0)
    page = opened(g)
    found = [(v["label"], v["value"], v["slope"]) for v in seen(page)]
    labels = ["a", "b", "c", "u = b * c", "v = a + u", "J = 3 * v"]
    assert found == list(zip(labels, ["5", "3", "2", "6", "11", "33"], ["3", "6", "9", "3", "3", "1"], strict=True))
    assert edges_seen(page) == edges_of(g)
    assert sorted(page.locator("svg.wires text").all_text_contents()) == ["1", "1", "2", "3", "3"]


def test_steps_forward_and_backward(opened):
    """The notes' table: values from left to right, derivatives from right to left, by the chain rule."""
    page = opened(graph.trace(J)(5.0, 3.0, 2.0))
    words = page.locator("#step")
    assert words.text_content() == "forward and backward, all steps"
    page.click("#first")
    assert words.text_content() == "before the first step"
    assert {(v["value"], v["slope"]) for v in seen(page)} == {(None, None)}
    captions = []
    for i in range(1, 13):
        page.click("#next") if i % 2 else page.keyboard.press("ArrowRight")
        captions.append(words.text_content())
        now = seen(page)
        assert [v["value"] is not None for v in now] == [k < i for k in range(6)]
        assert [v["slope"] is not None for v in now] == [k >= 12 - i for k in range(6)]
        assert [v["now"] for v in now].index(True) == (i - 1 if i <= 6 else 12 - i)
    assert captions == [
        "forward, 1 of 6: a 5",
        "forward, 2 of 6: b 3",
        "forward, 3 of 6: c 2",
        "forward, 4 of 6: u = b * c; 6",
        "forward, 5 of 6: v = a + u; 11",
        "forward, 6 of 6: J = 3 * v; 33",
        "backward, 1 of 6: dJ/dJ = 1",
        "backward, 2 of 6: dJ/dv = dJ/dJ · dJ/dv = 1 · 3 = 3",
        "backward, 3 of 6: dJ/du = dJ/dv · dv/du = 3 · 1 = 3",
        "backward, 4 of 6: dJ/dc = dJ/du · du/dc = 3 · 3 = 9",
        "backward, 5 of 6: dJ/db = dJ/du · du/db = 3 · 2 = 6",
        "backward, 6 of 6: dJ/da = dJ/dv · dv/da = 3 · 1 = 3",
    ]
    page.click("#next")
    assert words.text_content() == "forward and backward, all steps"
    page.click("#back")
    page.keyboard.press("ArrowLeft")
    assert words.text_content() == captions[-2]
    page.click("#back")
    assert words.text_content() == captions[-3]
    page.click("#last")
    assert None not in {v["slope"] for v in seen(page)}


def test_histograms_come_with_the_steps(opened):
    """Those of values forward, those of derivatives backward, and the box is pale until then."""
    page = opened(graph.trace(lambda x: jnp.sum(jnp.sin(x)))(normal((9,))), vary={})
    looks = """[...document.querySelectorAll(".variable")].filter((v) => v.querySelector("svg")).map((v) =>
      [...[".value", ".slope"].map((kind) => getComputedStyle(v.querySelector("svg" + kind)).visibility === "visible"),
       getComputedStyle(v.querySelector(".label")).opacity === "1"])"""
    assert page.evaluate(looks) == [[True, True, True]] * 2
    page.click("#first")
    for i in range(7):
        assert page.evaluate(looks) == [[i >= 1, i >= 6, i >= 1], [i >= 2, i >= 5, i >= 2]]
        page.click("#next")


def test_the_step_and_the_focus_are_in_sight(opened):
    """Not beyond the window's side, nor under what is told below, where there is as little room as at 400 %."""
    page = opened(graph.trace(functools.partial(chain, length=20))(0.5))
    page.set_viewport_size({"width": 640, "height": 400})

    def in_sight(place):
        left, top, right, bottom = page.locator(place).first.evaluate(
            "e => (({left, top, right, bottom}) => [left, top, right, bottom])(e.getBoundingClientRect())"
        )
        floor = page.locator("#about").evaluate("e => e.getBoundingClientRect().top")
        return left >= 0 and right <= 640 and top >= 0 and bottom <= floor

    page.click("#first")
    for _ in range(42):
        page.keyboard.press("ArrowRight")
        assert in_sight(".now")
    page.locator(".variable").last.focus()
    assert in_sight(".variable:focus")


def backward(page):
    """What the steps backward say."""
    page.click("#first")
    count = len(seen(page))
    captions = []
    for _ in range(2 * count):
        page.click("#next")
        captions.append(page.locator("#step").text_content().split(": ")[1])
    return captions[count:]


def test_steps_backward_into_a_rule_do_not_multiply_by_what_it_replaces(opened):
    """relu has the derivative 0 at 0, and max(x, 0), of which it is made, 0.5."""
    g = graph.trace(lambda x: jax.nn.relu(x * 1.0) * 2)(0.0)
    closed = ["doutput/doutput = 1", "doutput/dv2 = doutput/doutput · doutput/dv2 = 1 · 2 = 2"]
    last = ["doutput/dx = doutput/dv1 · dv1/dx = 0 · 1 = 0"]
    page = opened(g)
    assert backward(page) == [*closed, "doutput/dv1 = doutput/dv2 · dv2/dv1 = 2 · 0 = 0", *last]
    for _ in range(2):
        page.locator(".unfold:visible").click()
        assert backward(page) == [*closed, "doutput/dv1 = what v2 hands back = 0", *last]


def test_steps_backward_work_out_no_sum_that_has_an_array_in_it(opened):
    g = graph.trace(lambda x: x * 2 + jnp.sum(lax.broadcast(x, (3,))))(1.0)
    told = "doutput/dx = doutput/dv1 · dv1/dx + what v2 hands back = 5"
    assert told in backward(opened(g))


def test_steps_backward_start_at_each_output(opened):
    twice = lambda x: (lambda y: (y, y * 3))(x * 2)  # noqa: E731
    assert backward(opened(graph.trace(lambda x: twice(x)[0])(1.0)))[:2] == [
        "doutput/dv1 = 0",
        "doutput/doutput = what it starts with + doutput/dv1 · dv1/doutput = 1",
    ]
    assert backward(opened(graph.trace(twice, cotangent=(10.0, 1.0))(1.0)))[:2] == [
        "doutput/dv2 = 1",
        "doutput/dv1 = what it starts with + doutput/dv2 · dv2/dv1 = 13",
    ]
    turned = graph.trace(lambda x: twice(x)[::-1], cotangent=(1.0, 10.0))(1.0)
    assert backward(opened(turned))[1] == "doutput/dv1 = what it starts with + doutput/dv2 · dv2/dv1 = 13"


def test_sliders_show_the_graph_at_their_values(opened):
    """Against the notes' formula, and, to the last digit, against a graph traced there; the others are as given."""
    given = {"a": 5.0, "b": 3.0, "c": 2.0}
    page = opened(graph.trace(J)(*given.values()))
    for i, name in enumerate(given):
        slider = page.locator(".slider input").nth(i)
        slider.press("End")
        for value in np.linspace(2 * given[name], 0, 41)[:3].tolist():
            assert float(page.locator(".slider output").nth(i).text_content()) == pytest.approx(value)
            at = given | {name: value}
            there = graph.trace(J)(*at.values()).nodes
            found = [(v["value"], v["slope"]) for v in seen(page)]
            assert found == [(number(node.value), number(node.derivative)) for node in there]
            a, b, c = at.values()
            values = [float(value) for value, _ in found]
            np.testing.assert_allclose(values, [a, b, c, b * c, a + b * c, 3 * (a + b * c)], rtol=1e-5)
            np.testing.assert_allclose([float(slope) for _, slope in found], [3, 3 * c, 3 * b, 3, 3, 1], rtol=1e-5)
            slider.press("ArrowLeft")
    assert page.locator(".slider output").all_text_contents()[:2] == ["5", "3"]


def told(page):
    """All that the page says, in words and in histograms, and of the variable that is pointed at."""
    page.locator(".variable").nth(2).hover()
    bars = page.evaluate("[...document.querySelectorAll('.variable svg path')].map(p => p.getAttribute('d'))")
    local = page.locator("svg.wires text").all_text_contents()
    return [(v["label"], v["value"], v["slope"]) for v in seen(page)], bars, local, page.text_content("#about")


def test_at_a_place_of_a_slider_the_page_is_that_of_the_graph_there(opened):
    g = graph.trace(lambda a, x: jnp.sum(jnp.tanh(a * x)) * a * a)(2.0, normal((6,)))
    page, there = opened(g, vary={"a": [3.0]}), opened(g.at(a=3.0), vary={"a": [2.0]})
    drawn = [bars(array) for array in (g["x"].value, g["x"].derivative)]
    assert drawn[0] != drawn[1]
    variable = page.locator(".variable").filter(has=page.get_by_text("x", exact=True))
    assert [variable.locator(f".{which} path").get_attribute("d") for which in ("value", "slope")] == drawn
    before = told(page)
    page.locator(".slider input").press("End")
    assert told(page) == told(there)
    assert all(was != now for was, now in zip(before, told(page), strict=True))


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_an_argument_that_is_not_finite_has_no_slider(opened, value):
    page = opened(graph.trace(lambda a, b: a * b)(value, 2.0))
    assert page.locator(".slider span").all_text_contents() == ["b"]
    assert [v["value"] for v in seen(page)] == [str(value), "2", str(value)]


def test_what_is_told_follows_the_slider_into_a_closed_box(opened):
    page = opened(graph.trace(lambda a: jax.nn.silu(a) + 1, depth=1)(2.0), vary={"a": [4.0]})
    page.locator(".variable:visible", has_text="logistic").hover()
    page.locator(".fold").press("Enter")
    page.locator(".slider input").press("End")
    assert "value: 0.98201376\n" in page.locator("#about").text_content()


def test_values_to_slide_over_are_the_callers(opened):
    page = opened(graph.trace(J)(5.0, 3.0, 2.0), vary={"b": [10.0, -1.0]})
    slider = page.locator(".slider input")
    slider.press("Home")
    assert seen(page)[1]["value"] == "-1"
    slider.press("ArrowRight")
    assert seen(page)[1]["value"] == "3"
    slider.press("End")
    assert seen(page)[1]["value"] == "10"


def test_nothing_moves_when_figures_grow(opened):
    page = opened(graph.trace(J)(5.0, 3.0, 2.0), vary={"b": [3.0, 123456.0]})
    before = [v["box"] for v in seen(page)]
    page.locator(".slider input").press("End")
    assert seen(page)[5]["value"] == "740751"
    assert [v["box"] for v in seen(page)] == before


@pytest.mark.parametrize("other", [lambda x: x * x * 2, lambda x: x * 3, lambda x: 2 * x])
def test_where_another_way_is_taken_the_page_says_so(opened, other):
    """Of other operations, or of the same ones on other numbers, or in another order."""
    g = graph.trace(lambda x: lax.cond(x > 0, lambda x: x * 2, other, x), depth=1)(1.0)
    page = opened(g, vary={"x": [-1.0]})
    before = seen(page)
    page.locator(".slider input").press("Home")
    assert "-1: here the function takes another way" in page.locator(".slider output").text_content()
    assert seen(page) == before


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
    assert line == f'test_graph_page.py:{J.__code__.co_firstlineno + 1}: u = graph.name(b * c, "u")'
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
    model = nn.mlp((5, 4, 4, 4, 4, 4, 1), "sigmoid")
    cost = nn.objective(model.network, model.loss, nn.l2(0.1)).value
    g = graph.trace(cost)(model.init(jax.random.key(0)), nn.Batch(normal((6, 5)), np.arange(6) % 2), None)
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


def test_at_is_the_graph_of_other_arguments():
    g = graph.trace(lambda p, x: p[0]["w"] * x + p[1])([{"w": 2.0}, 1.0], 3.0)
    there = g.at(**{"p[0].w": 5.0, "x": 4.0})
    assert there["output"].value == 21.0
    assert there["p[0].w"].derivative == 4.0
    assert g["output"].value == 7.0
    assert g.at(x=7).arguments[2].dtype == g.arguments[2].dtype


def test_at_keeps_doubles_wherever_it_is_asked():
    with jax.enable_x64(True):
        g = graph.trace(lambda x: x / 3)(1.0)
    there = g.at(x=2.0)["output"].value
    assert there.dtype == np.float64
    assert there.item() == 2 / 3


def test_places_of_a_slider_are_numbers_of_the_arguments_dtype(opened):
    page = opened(graph.trace(J)(0.1, 3.0, 2.0), vary={"a": [0.1, 0.2]})
    assert page.locator(".slider input").get_attribute("max") == "1"


def test_at_keeps_what_is_weakly_typed():
    """A number of Python takes the dtype of the array it meets, and so it does at other values."""
    g = graph.trace(lambda a, x: jnp.sum(a * x))(2.0, normal((3,)).astype(jnp.bfloat16))
    there = g.at(a=3.0)
    assert [node.dtype for node in there.nodes] == [node.dtype for node in g.nodes]
    assert there["x"].derivative.dtype == jnp.bfloat16


def test_at_keeps_depth_and_layers():
    f = lambda params, x: jnp.sum(jax.nn.softplus(params[0] * x) * params[1])  # noqa: E731
    g = graph.trace(f, depth=1)([1.0, 2.0], normal((3,)))
    assert g.at(**{"params[0]": 3.0}).depth == 1
    model = nn.mlp((2, 3, 1))
    cost = nn.objective(model.network, model.loss).value
    args = model.init(jax.random.key(0)), nn.Batch(normal((4, 2)), np.arange(4) % 2), None
    layered = graph.trace(cost)(*args).by_layer()
    same = layered.at(**{"batch.x": normal((4, 2)) * 2})
    assert [op.name for op in same.operations] == [op.name for op in layered.operations]


def many(x):
    for _ in range(1001):
        x = x * 1.01
    return x


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: g.at(d=1.0), "no argument is called 'd'"),
        (lambda g: g.at(u=1.0), "no argument is called 'u'"),
        (lambda g: g.at(a=[1.0, 2.0]), r"a has the shape \(\), got \(2,\)"),
        (lambda g: g.html(vary={"u": [1.0]}), r"'u' cannot vary: .* \(a, b, c\)"),
        (lambda g: g.html(vary={"a": [1.0, np.nan]}), "a can vary over a list of finite values"),
        (lambda g: g.html(vary={"a": [1e39]}), "a can vary over a list of finite values"),
        (lambda g: g.html(vary={"a": 3.0}), "a can vary over a list of finite values, got 3.0"),
        (lambda g: graph.trace(jnp.sum)(normal((3,))).html(vary={"a": [1.0]}), r"scalar \(none\)"),
        (lambda g: graph.trace(many)(1.0).html(), "1002 variables are too many for a page"),
    ],
)
def test_bad_questions(call, message):
    with pytest.raises(ValueError, match=message):
        call(graph.trace(J)(5.0, 3.0, 2.0))


def chain(x, length):
    for _ in range(length):
        x = jnp.sin(x)
    return x


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_an_argument_that_is_not_finite_has_no_other_values(value):
    """And the page is written: what is not finite is what graphs are asked about."""
    g = graph.trace(lambda a, b: a * b)(value, 3.0)
    found = sliders(
        g.arguments, shown(g.arguments, g.operations), lambda name, value: g.at(**{name: value})._shown(), 1
    )
    assert all(len(slider.values) == 1 for slider in found if slider.name == "a")
    assert [len(slider.values) for slider in found if slider.name == "b"] == [41]
    assert g.html()


@pytest.mark.parametrize(("cost", "places"), [(3, 41), (100, 41), (500, 9), (1666, 3), (1667, 0)])
def test_a_table_is_no_larger_than_can_be_waited_for(cost, places):
    """5 000 operations, and an odd number of places, so that what was given is in the middle."""
    there = graph.trace(jnp.sin)(0.5)
    here = shown(there.arguments, there.operations)
    found = sliders(there.arguments, here, lambda name, value: here, cost)
    assert [(slider.start, len(slider.values)) for slider in found] == [(places // 2, places)] * (places > 0)
    assert all(slider.values[slider.start] == 0.5 for slider in found)


@pytest.mark.parametrize(("value", "ends"), [(0.0, (-1, 1)), (-0.25, (-0.5, 0)), (3.0, (0, 6))])
def test_sliders_go_as_far_to_both_sides_as_to_zero(value, ends):
    """At zero, where that is nowhere, by one."""
    there = graph.trace(jnp.sin)(value)
    here = shown(there.arguments, there.operations)
    (slider,) = sliders(there.arguments, here, lambda name, value: here, 3)
    np.testing.assert_allclose(slider.values, np.linspace(*ends, 41), atol=1e-15)


def test_boxes_stay_closed_where_there_is_no_room():
    inner = jax.jit(functools.partial(chain, length=300))
    there = graph.trace(lambda x: jax.jit(lambda x: inner(inner(inner(inner(x)))))(x) + x)(0.5)
    assert shown(there.arguments, there.operations).depth == 1
    assert there.html(vary={}).count('class="unfold"') == 1
