"""Sliders of the page."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxnn import graph
from jaxnn.graph.formatting import format_scalar
from jaxnn.graph.rendering.histograms import histogram_path
from jaxnn.graph.rendering.html.page_view import make_page_view
from jaxnn.graph.rendering.html.sliders import make_sliders
from tests.helpers.graph_functions import J
from tests.helpers.graph_page import page_content, visible_variables
from tests.helpers.registry import normal

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_sliders_show_the_graph_at_their_values(open_page):
    """They agree with the formula, and exactly with a graph traced there; the other arguments are unchanged."""
    given = {"a": 5.0, "b": 3.0, "c": 2.0}
    page = open_page(graph.trace(J)(*given.values()))
    for i, name in enumerate(given):
        slider = page.locator(".slider input").nth(i)
        slider.press("End")
        for value in np.linspace(2 * given[name], 0, 41)[:3].tolist():
            assert float(page.locator(".slider output").nth(i).text_content()) == pytest.approx(value)
            at = given | {name: value}
            nodes = graph.trace(J)(*at.values()).nodes
            found = [(v["value"], v["slope"]) for v in visible_variables(page)]
            assert found == [(format_scalar(node.value), format_scalar(node.derivative)) for node in nodes]
            a, b, c = at.values()
            values = [float(value) for value, _ in found]
            np.testing.assert_allclose(values, [a, b, c, b * c, a + b * c, 3 * (a + b * c)], rtol=1e-5)
            np.testing.assert_allclose([float(slope) for _, slope in found], [3, 3 * c, 3 * b, 3, 3, 1], rtol=1e-5)
            slider.press("ArrowLeft")
    assert page.locator(".slider output").all_text_contents()[:2] == ["5", "3"]


def test_at_a_slider_position_the_page_is_that_of_the_graph_there(open_page):
    g = graph.trace(lambda a, x: jnp.sum(jnp.tanh(a * x)) * a * a)(2.0, normal((6,)))
    page, expected = open_page(g, vary={"a": [3.0]}), open_page(g.with_args(a=3.0), vary={"a": [2.0]})
    drawn = [histogram_path(array) for array in (g["x"].value, g["x"].derivative)]
    assert drawn[0] != drawn[1]
    variable = page.locator(".variable").filter(has=page.get_by_text("x", exact=True))
    assert [variable.locator(f".{which} path").get_attribute("d") for which in ("value", "slope")] == drawn
    before = page_content(page)
    page.locator(".slider input").press("End")
    assert page_content(page) == page_content(expected)
    assert all(was != now for was, now in zip(before, page_content(page), strict=True))


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_an_argument_that_is_not_finite_has_no_slider(open_page, value):
    page = open_page(graph.trace(lambda a, b: a * b)(value, 2.0))
    assert page.locator(".slider span").all_text_contents() == ["b"]
    assert [v["value"] for v in visible_variables(page)] == [str(value), "2", str(value)]


def test_details_of_a_variable_in_a_collapsed_composite_follow_the_slider(open_page):
    page = open_page(graph.trace(lambda a: jax.nn.silu(a) + 1, depth=1)(2.0), vary={"a": [4.0]})
    page.locator(".variable:visible", has_text="logistic").hover()
    page.locator(".collapse").press("Enter")
    page.locator(".slider input").press("End")
    assert "value: 0.98201376\n" in page.locator("#about").text_content()


def test_slider_values_of_the_caller(open_page):
    page = open_page(graph.trace(J)(5.0, 3.0, 2.0), vary={"b": [10.0, -1.0]})
    slider = page.locator(".slider input")
    slider.press("Home")
    assert visible_variables(page)[1]["value"] == "-1"
    slider.press("ArrowRight")
    assert visible_variables(page)[1]["value"] == "3"
    slider.press("End")
    assert visible_variables(page)[1]["value"] == "10"


def test_nothing_moves_when_captions_grow(open_page):
    page = open_page(graph.trace(J)(5.0, 3.0, 2.0), vary={"b": [3.0, 123456.0]})
    before = [v["box"] for v in visible_variables(page)]
    page.locator(".slider input").press("End")
    assert visible_variables(page)[5]["value"] == "740751"
    assert [v["box"] for v in visible_variables(page)] == before


@pytest.mark.parametrize("other", [lambda x: x * x * 2, lambda x: x * 3, lambda x: 2 * x])
def test_a_different_branch_leaves_the_numbers_unchanged(open_page, other):
    """With other operations, or the same ones on other numbers, or in another order."""
    g = graph.trace(lambda x: lax.cond(x > 0, lambda x: x * 2, other, x), depth=1)(1.0)
    page = open_page(g, vary={"x": [-1.0]})
    before = visible_variables(page)
    page.locator(".slider input").press("Home")
    assert (
        "-1: the function takes a different branch here; the numbers are unchanged"
        in page.locator(".slider output").text_content()
    )
    assert visible_variables(page) == before


def test_slider_values_have_the_dtype_of_the_argument(open_page):
    page = open_page(graph.trace(J)(0.1, 3.0, 2.0), vary={"a": [0.1, 0.2]})
    assert page.locator(".slider input").get_attribute("max") == "1"


def many(x):
    for _ in range(1001):
        x = x * 1.01
    return x


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: g.html(vary={"u": [1.0]}), r"vary must name finite floating scalar arguments \(a, b, c\), got 'u'"),
        (lambda g: g.html(vary={"a": [1.0, np.nan]}), r"vary\['a'\] must be a list of finite values"),
        (lambda g: g.html(vary={"a": [1e39]}), r"vary\['a'\] must be a list of finite values"),
        (lambda g: g.html(vary={"a": 3.0}), r"vary\['a'\] must be a list of finite values, got 3.0"),
        (
            lambda g: graph.trace(jnp.sum)(normal((3,))).html(vary={"a": [1.0]}),
            r"vary must name .* \(there are no such arguments\), got 'a'",
        ),
        (lambda g: graph.trace(many)(1.0).html(), "a page must have at most 1000 variables, got 1002"),
    ],
)
def test_invalid_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(graph.trace(J)(5.0, 3.0, 2.0))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_an_argument_that_is_not_finite_has_no_other_values(value):
    """And the page is written: graphs are for finding such values."""
    g = graph.trace(lambda a, b: a * b)(value, 3.0)

    def view_at(name, value):
        changed = g.with_args(**{name: value})
        return make_page_view(changed.arguments, changed.operations)

    found = make_sliders(g.arguments, make_page_view(g.arguments, g.operations), view_at, 1)
    assert all(len(slider.values) == 1 for slider in found if slider.name == "a")
    assert [len(slider.values) for slider in found if slider.name == "b"] == [41]
    assert g.html()


@pytest.mark.parametrize(("cost", "positions"), [(3, 41), (100, 41), (500, 9), (1666, 3), (1667, 0)])
def test_the_default_number_of_slider_values(cost, positions):
    """At most 5000 operations, and an odd number of values, with the original one in the middle."""
    g = graph.trace(jnp.sin)(0.5)
    view = make_page_view(g.arguments, g.operations)
    found = make_sliders(g.arguments, view, lambda name, value: view, cost)
    assert [(slider.start, len(slider.values)) for slider in found] == [(positions // 2, positions)] * (positions > 0)
    assert all(slider.values[slider.start] == 0.5 for slider in found)


@pytest.mark.parametrize(("value", "ends"), [(0.0, (-1, 1)), (-0.25, (-0.5, 0)), (3.0, (0, 6))])
def test_default_slider_values_are_from_zero_to_twice_the_original(value, ends):
    """Around zero, from -1 to 1."""
    g = graph.trace(jnp.sin)(value)
    view = make_page_view(g.arguments, g.operations)
    (slider,) = make_sliders(g.arguments, view, lambda name, value: view, 3)
    np.testing.assert_allclose(slider.values, np.linspace(*ends, 41), atol=1e-15)
