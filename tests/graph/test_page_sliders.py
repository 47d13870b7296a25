"""The page at other values of its arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxnn
from jaxnn import graph
from jaxnn.graph.rendering.boxes import bars
from jaxnn.graph.rendering.page_data import shown
from jaxnn.graph.rendering.sliders import sliders
from jaxnn.graph.tracing.formulas import number
from tests.helpers.graph_page import J, seen, told
from tests.helpers.registry import normal

pytestmark = pytest.mark.usefixtures("quick_compilation")


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
    model = jaxnn.mlp((2, 3, 1))
    cost = jaxnn.objective(model.network, model.loss).value
    args = model.init(jax.random.key(0)), jaxnn.Batch(normal((4, 2)), np.arange(4) % 2), None
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
