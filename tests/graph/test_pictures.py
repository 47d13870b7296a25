"""Pictures: boxes do not overlap, and edges do not cross them."""

from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import graph
from jaxnn.graph.rendering.histograms import histogram_path
from jaxnn.graph.rendering.layout.nested import Cell, nested_layout
from tests.helpers.graph_functions import FUNCTIONS, LONG_EDGES, J, nested
from tests.helpers.registry import normal

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit])
def test_edges_of_a_composite_with_several_outputs(transform):
    """Each output has edges from its own inputs only, in nested composites too."""
    f = jax.jit(lambda x, y: transform(lambda x, y: (jnp.sin(x), jnp.cos(y), x * y))(x, y))
    g = graph.trace(lambda x, y: sum(f(x * 2, y * 3)))(1.0, 2.0)
    (composite,) = (op for op in g.operations if op.body)
    a, b = composite.inputs
    found = [(e.source, e.target) for e in g.edges if e.target in composite.outputs]
    sine, cosine, product = composite.outputs
    assert found == [(a, sine), (b, cosine), (a, product), (b, product)]


def drawn(g, kind="box"):
    """The rectangles and the texts of a picture, which must be well-formed XML."""
    root = ElementTree.fromstring(g.svg())
    space = "{http://www.w3.org/2000/svg}"
    boxes = [r for r in root.iter(f"{space}rect") if kind in r.get("class", "").split()]
    spots = [tuple(float(r.get(name)) for name in ("x", "y", "width", "height")) for r in boxes]
    return spots, ["".join(t.itertext()) for t in root.iter(f"{space}text")]


def test_svg_of_the_notes_graph():
    spots, words = drawn(graph.trace(J)(5.0, 3.0, 2.0))
    for word in ("a", "b", "c", "u = b * c", "v = a + u", "J = 3 * v", "5", "33", "9"):
        assert word in words
    assert len(spots) == 6
    a, b, c, u, v, j = (x for x, *_ in spots)
    assert b == c < a < v < j  # from left to right, a just before its use
    assert u + spots[3][2] / 2 == pytest.approx(a + spots[0][2] / 2, abs=0.2)


def test_a_histogram_starts_with_the_lowest_elements():
    """16 bars, 3 px apart, the highest of 15 px; elements that are not finite are omitted."""
    path = "M0.0 3.0h2.4v15.0h-2.4zM45.0 13.0h2.4v5.0h-2.4z"
    assert histogram_path(np.array([0.0, 1.0, 0.0, np.inf, 0.0, np.nan])) == path


def apart(one, other):
    (x, y, width, height), (x2, y2, width2, height2) = one, other
    return x + width <= x2 or x2 + width2 <= x or y + height <= y2 or y2 + height2 <= y


def within(one, other):
    (x, y, width, height), (x2, y2, width2, height2) = one, other
    return x2 < x and x + width < x2 + width2 and y2 < y and y + height < y2 + height2


@pytest.mark.representatives("softmax")
@pytest.mark.parametrize("name", ["softmax", "solve", "median"])
def test_no_boxes_overlap(name):
    spots, _ = drawn(graph.trace(FUNCTIONS[name])(normal((3, 3))))
    for i, spot in enumerate(spots):
        assert all(apart(spot, other) for other in spots[:i])


@pytest.mark.parametrize("depth", [0, 1])
def test_local_derivatives_do_not_overlap_boxes(depth):
    """A letter of 10 px is 6 px wide."""
    f = lambda x: jax.jit(lambda x: -1.2344e-5 * x * -1.2345e-4)(x) * -3.2144e-7  # noqa: E731
    g = graph.trace(f, depth=depth)(1.0)
    found = ElementTree.fromstring(g.svg()).iter("{http://www.w3.org/2000/svg}text")
    local = [t for t in found if t.get("class") == "local"]
    assert "-3.21e-07" in [t.text for t in local]
    for word in local:
        width, x, y = 6 * len(word.text), float(word.get("x")), float(word.get("y"))
        for spot in drawn(g)[0]:
            assert apart((x - width / 2, y - 8, width, 10), spot)


def test_the_local_derivative_of_a_long_edge_is_at_its_end():
    """That is beside the derivative that it is multiplied with."""
    g = graph.trace(lambda x: jnp.cos(jnp.sin(jnp.exp(x))) * x)(0.5)
    words = f"{np.cos(np.sin(np.exp(0.5))):.3g}"
    found = ElementTree.fromstring(g.svg()).iter("{http://www.w3.org/2000/svg}text")
    (at,) = (float(t.get("x")) for t in found if t.get("class") == "local" and t.text == words)
    *_, (before, _, width, _), (last, *_) = drawn(g)[0]
    assert before + width < at < last


def test_expanded_rules_are_marked():
    """The body is the plain function, which does not show where the derivative comes from."""
    expanded = graph.trace(lambda x: jax.nn.relu(x) * 2, depth=1)(0.0)
    assert "[relu (custom rule)]" in expanded.text()
    assert "relu (custom rule)" in drawn(expanded)[1]
    assert 'label="relu (custom rule)"' in expanded.dot()
    plain = graph.trace(lambda x: jax.nn.silu(x) * 2, depth=1)(0.0)
    assert "[silu]" in plain.text()


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("used", [True, False])
def test_a_constant_that_a_composite_returns(depth, used):
    def f(x):
        y, t = jax.jit(lambda x: (x * 2, np.arange(3.0)))(x)
        return (y * t if used else y).sum()

    g = graph.trace(f, depth=depth)(jnp.ones(3))
    assert len(drawn(g)[0]) == len(g.nodes) == (5 if used else 3)
    assert g.html().count("data-node=") >= len(g.nodes)
    assert "y" not in g.text().split()


def test_a_picture_shows_how_many_elements_are_not_finite():
    g = graph.trace(lambda x: jnp.log(x).sum())(jnp.array([1.0, -1.0, 0.0, 2.0, 3.0]))
    assert "f32[5], 2 not finite" in drawn(g)[1]


@pytest.mark.representatives("1", "2")
@pytest.mark.parametrize("depth", [0, 1, 2, 4])
def test_expanded_composites_are_frames_around_their_bodies(depth):
    """Each variable is in the frames of its parents, and outside of all others; frames do not intersect."""
    g = graph.trace(nested, depth=depth)(normal((3,)), 0.5)
    rows = g.rows
    spots, frames = drawn(g)[0], drawn(g, "frame")[0]
    assert len(frames) == sum(row.node is None for row in rows)
    assert (depth > 0) == bool(frames)
    for spot, row in zip(spots, [row for row in rows if row.node is not None], strict=True):
        assert sum(within(spot, frame) for frame in frames) == len(row.parents)
        assert all(within(spot, frame) or apart(spot, frame) for frame in frames)
    for i, frame in enumerate(frames):
        assert all(apart(frame, other) or within(frame, other) or within(other, frame) for other in frames[:i])


def along(d):
    """Points of a path, close to each other."""
    start, *curves = [np.array(part.split(), float).reshape(-1, 2) for part in d[1:].split("C")]
    t, (point,) = np.linspace(0, 1, 21)[:, None], start
    for a, b, c in curves:
        yield from (1 - t) ** 3 * point + 3 * (1 - t) ** 2 * t * a + 3 * (1 - t) * t**2 * b + t**3 * c
        point = c


@pytest.mark.representatives(
    "<lambda>-args3-0",
    "<lambda>-args3-1",
    "early_output_late_input-args4-0",
    "early_output_late_input-args4-1",
    "early_output_late_input-args4-2",
    "outputs_used_later-args0-2",
    "used_at_both_ends-args2-0",
    "used_at_both_ends-args2-1",
    "used_at_both_ends-args2-2",
    "used_at_both_ends-args2-4",
)
@pytest.mark.parametrize("depth", [0, 1, 2, 4])
@pytest.mark.parametrize(("f", "args"), [(f, args) for f, *args in LONG_EDGES])
def test_edges_do_not_cross_boxes(f, args, depth):
    """Nor frames, except those that contain one of the two ends."""
    g = graph.trace(f, depth=depth)(*args)
    root = ElementTree.fromstring(g.svg())
    paths = [p.get("d") for p in root.iter("{http://www.w3.org/2000/svg}path") if p.get("class") is None]
    lines = [np.array([*along(d)]) for d in paths]
    assert len(lines) == len(g.edges)
    for left, top, width, height in drawn(g)[0] + drawn(g, "frame")[0]:
        for line in lines:
            # Coordinates have one decimal, so an edge starts at the side of its box up to rounding.
            inside = ((line > (left + 0.2, top)) & (line < (left + width - 0.2, top + height))).all(1)
            assert not inside.any() or inside[0] or inside[-1]


def variables_in(layout):
    """The variables that a layout shows, all composites expanded."""
    cells = [cell for column in layout.columns for cell in column if isinstance(cell, Cell)]
    inner = [node for cell in cells if cell.layout is not None for node in variables_in(cell.layout)]
    return inner + [row.node for cell in cells if cell.layout is None for row in cell.rows]


@pytest.mark.parametrize("depth", [0, 1])
def test_each_variable_has_one_cell(depth):
    """Also one that a composite returns twice, returns unchanged or takes twice, and a constant; a literal has none."""
    table = jnp.arange(3.0)
    composite = jax.jit(lambda x, y, z: (lambda w: (w, w, x, 1.5, z))(x * y * z))
    g = graph.trace(lambda x: sum(map(jnp.sum, composite(x, x, table))) + (x * table).sum(), depth=depth)(normal((3,)))
    layout = nested_layout(g.arguments, g.operations, depth, lambda cell: 1.0)
    assert sorted(node.name for node in variables_in(layout)) == sorted(node.name for node in g.nodes)
