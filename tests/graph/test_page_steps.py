"""The page step by step, forward and backward."""

import functools

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from jaxnn import graph
from tests.graph.test_page_sliders import chain
from tests.helpers.graph_page import J, backward, seen
from tests.helpers.registry import normal

pytestmark = pytest.mark.usefixtures("quick_compilation")


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
