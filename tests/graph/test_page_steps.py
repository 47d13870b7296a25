"""The page step by step, forward and backward."""

import functools

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from jaxnn import graph
from tests.helpers.graph_functions import J, chain
from tests.helpers.graph_page import backward_captions, visible_variables
from tests.helpers.registry import normal

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_steps_forward_and_backward_captions(open_page):
    """Values from left to right, derivatives from right to left, by the chain rule."""
    page = open_page(graph.trace(J)(5.0, 3.0, 2.0))
    caption = page.locator("#step")
    assert caption.text_content() == "forward and backward pass, all steps"
    page.click("#first")
    assert caption.text_content() == "before the first step"
    assert {(v["value"], v["slope"]) for v in visible_variables(page)} == {(None, None)}
    captions = []
    for i in range(1, 13):
        page.click("#next") if i % 2 else page.keyboard.press("ArrowRight")
        captions.append(caption.text_content())
        shown = visible_variables(page)
        assert [v["value"] is not None for v in shown] == [k < i for k in range(6)]
        assert [v["slope"] is not None for v in shown] == [k >= 12 - i for k in range(6)]
        assert [v["current"] for v in shown].index(True) == (i - 1 if i <= 6 else 12 - i)
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
    assert caption.text_content() == "forward and backward pass, all steps"
    page.click("#back")
    page.keyboard.press("ArrowLeft")
    assert caption.text_content() == captions[-2]
    page.click("#back")
    assert caption.text_content() == captions[-3]
    page.click("#last")
    assert None not in {v["slope"] for v in visible_variables(page)}


def test_histograms_appear_with_the_steps(open_page):
    """Those of values forward, those of derivatives backward; a box is pale before its forward step."""
    page = open_page(graph.trace(lambda x: jnp.sum(jnp.sin(x)))(normal((9,))), vary={})
    looks = """[...document.querySelectorAll(".variable")].filter((v) => v.querySelector("svg")).map((v) =>
      [...[".value", ".slope"].map((kind) => getComputedStyle(v.querySelector("svg" + kind)).visibility === "visible"),
       getComputedStyle(v.querySelector(".label")).opacity === "1"])"""
    assert page.evaluate(looks) == [[True, True, True]] * 2
    page.click("#first")
    for i in range(7):
        assert page.evaluate(looks) == [[i >= 1, i >= 6, i >= 1], [i >= 2, i >= 5, i >= 2]]
        page.click("#next")


def test_the_current_step_and_the_focus_are_in_view(open_page):
    """Inside the window and above the details, in a window as small as at 400 % zoom."""
    page = open_page(graph.trace(functools.partial(chain, length=20))(0.5))
    page.set_viewport_size({"width": 640, "height": 400})

    def in_view(selector):
        left, top, right, bottom = page.locator(selector).first.evaluate(
            "e => (({left, top, right, bottom}) => [left, top, right, bottom])(e.getBoundingClientRect())"
        )
        floor = page.locator("#about").evaluate("e => e.getBoundingClientRect().top")
        return left >= 0 and right <= 640 and top >= 0 and bottom <= floor

    page.click("#first")
    for _ in range(42):
        page.keyboard.press("ArrowRight")
        assert in_view(".current")
    page.locator(".variable").last.focus()
    assert in_view(".variable:focus")


def test_backward_steps_into_a_rule_omit_the_local_derivatives_of_its_body(open_page):
    """relu has the derivative 0 at 0, and max(x, 0) in its body has 0.5."""
    g = graph.trace(lambda x: jax.nn.relu(x * 1.0) * 2)(0.0)
    first = ["doutput/doutput = 1", "doutput/dv2 = doutput/doutput · doutput/dv2 = 1 · 2 = 2"]
    last = ["doutput/dx = doutput/dv1 · dv1/dx = 0 · 1 = 0"]
    page = open_page(g)
    assert backward_captions(page) == [*first, "doutput/dv1 = doutput/dv2 · dv2/dv1 = 2 · 0 = 0", *last]
    for _ in range(2):
        page.locator(".expand:visible").click()
        assert backward_captions(page) == [*first, "doutput/dv1 = term through v2 = 0", *last]


def test_backward_steps_do_not_evaluate_sums_with_arrays(open_page):
    g = graph.trace(lambda x: x * 2 + jnp.sum(lax.broadcast(x, (3,))))(1.0)
    caption = "doutput/dx = doutput/dv1 · dv1/dx + term through v2 = 5"
    assert caption in backward_captions(open_page(g))


@pytest.mark.full
def test_backward_steps_start_at_each_output(open_page):
    twice = lambda x: (lambda y: (y, y * 3))(x * 2)  # noqa: E731
    page = open_page(graph.trace(lambda x: twice(x)[0])(1.0))
    page.locator("[data-shows=unused]").check()
    assert backward_captions(page)[:2] == [
        "doutput/dv1 = 0",
        "doutput/doutput = cotangent + doutput/dv1 · dv1/doutput = 1",
    ]
    assert backward_captions(open_page(graph.trace(twice, cotangent=(10.0, 1.0))(1.0)))[:2] == [
        "doutput/dv2 = 1",
        "doutput/dv1 = cotangent + doutput/dv2 · dv2/dv1 = 13",
    ]
    turned = graph.trace(lambda x: twice(x)[::-1], cotangent=(1.0, 10.0))(1.0)
    assert backward_captions(open_page(turned))[1] == "doutput/dv1 = cotangent + doutput/dv2 · dv2/dv1 = 13"
