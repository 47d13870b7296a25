"""Plots: the content of their axes."""

import struct

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from experiments.networks.signal_plots import draw_signals
from experiments.networks.signals import Signal
from experiments.reports import plots


def sizes(figure):
    """Return the size of a PNG, which must be valid and not too large."""
    data = plots.png(figure)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    assert 100 <= width <= 2500 and 100 <= height <= 2500
    return width, height


def shown(figure):
    return [panel for panel in figure.axes if panel.get_visible() and panel.images]


def texts(axes):
    return {text.get_position(): text.get_text() for text in axes.texts}


def curves(**kwargs):
    figure, axes = plots.grid(1, 1)
    given = {"a": ([1, 2, 3], [0.5, 0.25, 0.25]), "b": ([1, 2, 3], [float("nan"), 0.5, 0.75])}
    plots.draw_curves(axes[0, 0], given, title="t", x="epoch", y="loss", **kwargs)
    sizes(figure)
    return axes[0, 0]


@pytest.mark.parametrize(("best", "points"), [("min", [(2, 0.25), (2, 0.5)]), ("max", [(1, 0.5), (3, 0.75)])])
def test_the_best_epoch_is_marked_where_it_first_was(best, points):
    axes = curves(best=best)
    marked = [tuple(np.ravel(line.get_xydata())) for line in axes.lines if line.get_marker() == "o"]
    assert marked == points
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == [f"{name}: best {y:.4g} at {x}" for name, (x, y) in zip("ab", points, strict=True)]


def test_curves_are_the_given_numbers():
    axes = curves()
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [(1, 0.5), (2, 0.25), (3, 0.25)])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    assert all(tick == int(tick) for tick in axes.get_xticks())
    assert axes.lines[0].get_color() != axes.lines[1].get_color()


def test_a_curve_without_any_number_has_no_best():
    figure, axes = plots.grid(1, 1)
    nothing = {"a": ([1], [float("nan")]), "none": ([], [])}
    plots.draw_curves(axes[0, 0], nothing, title="t", x="epoch", y="loss", best="min")
    sizes(figure)
    assert len(axes[0, 0].lines) == 2


def test_colors_also_differ_in_lightness():
    """Color-blind readers distinguish the first three by lightness."""
    lightness = sorted(np.dot(to_rgb(color), (0.2126, 0.7152, 0.0722)) for color in plots.COLORS[:3])
    assert min(np.diff(lightness)) > 0.1


def test_a_confusion_matrix_has_rows_of_true_classes_and_its_counts():
    figure, axes = plots.grid(1, 1)
    matrix = np.array([[9, 1, 0], [0, 0, 0], [3, 0, 5]])
    plots.draw_confusion(axes[0, 0], matrix, ["first", "second", "third"])
    sizes(figure)
    # Column right, row down; no text where nothing was counted.
    assert texts(axes[0, 0]) == {(0, 0): "9", (1, 0): "1", (0, 2): "3", (2, 2): "5"}
    np.testing.assert_allclose(axes[0, 0].images[0].get_array(), [[0.9, 0.1, 0], [0, 0, 0], [3 / 8, 0, 5 / 8]])
    assert (axes[0, 0].get_xlabel(), axes[0, 0].get_ylabel()) == ("predicted", "true")
    assert [label.get_text() for label in axes[0, 0].get_yticklabels()] == ["first", "second", "third"]


def test_counts_can_be_read_on_their_shade():
    figure, axes = plots.grid(1, 1)
    plots.draw_confusion(axes[0, 0], np.array([[90, 10, 0], [40, 60, 0], [30, 35, 35]]), "abc")
    image = axes[0, 0].images[0]
    for (column, row), text in {t.get_position(): t for t in axes[0, 0].texts}.items():
        shade = image.cmap(image.norm(image.get_array()[row, column]))[:3]
        light, dark = (np.dot(np.array(to_rgb(c)) ** 2.2, (0.2126, 0.7152, 0.0722)) for c in (shade, text.get_color()))
        light, dark = max(light, dark), min(light, dark)
        assert (light + 0.05) / (dark + 0.05) > 4.4  # WCAG asks for 4.5


def mistakes(**kwargs):
    images = np.arange(5 * 6).reshape(5, 2, 3) / 30
    true, predicted = np.array([0, 1, 2, 0, 1]), np.array([0, 2, 1, 1, 0])
    probabilities = np.array([[0.9, 0.1, 0], [0, 0.3, 0.7], [0, 0.8, 0.2], [0.05, 0.95, 0], [0.6, 0.4, 0]])
    return images, plots.draw_mistakes(images, true, predicted, probabilities, **kwargs)


def test_the_worst_mistakes_come_first_and_right_answers_not_at_all():
    images, figure = mistakes(classes=("x", "y", "z"))
    sizes(figure)
    for panel, i in zip(shown(figure), [3, 2, 1, 4], strict=True):
        np.testing.assert_array_equal(panel.images[0].get_array(), images[i])
    titles = [panel.get_title() for panel in shown(figure)]
    assert titles[:2] == ["predicted y: 95 %\ntrue x: 5 %", "predicted y: 80 %\ntrue z: 20 %"]


def test_sheet_has_at_most_the_given_number_of_mistakes():
    _, figure = mistakes(most=2)
    titles = [panel.get_title() for panel in shown(figure)]
    assert titles == ["predicted 1: 95 %\ntrue 0: 5 %", "predicted 1: 80 %\ntrue 2: 20 %"]


def test_sheet_without_mistakes_has_a_note():
    figure = plots.draw_mistakes(np.zeros((1, 2, 2)), np.array([1]), np.array([1]), np.array([[0.0, 1.0]]))
    sizes(figure)
    assert not shown(figure)
    assert [text.get_text() for text in figure.texts] == ["no mistakes"]


@pytest.mark.parametrize("n", [1, 20])
def test_weights_are_an_image_each_on_one_scale(n):
    weights = np.random.default_rng(0).normal(size=(n, 10, 40))
    figure = plots.draw_weight_images(weights)
    sizes(figure)
    for panel, image in zip(shown(figure), weights, strict=True):
        np.testing.assert_array_equal(panel.images[0].get_array(), image)
    ((low, high),) = {panel.images[0].get_clim() for panel in shown(figure)}
    assert low == -high
    assert (np.abs(weights) > high).mean() == pytest.approx(0.01)


def test_color_weights_are_gray_if_they_are_zero():
    weights = np.zeros((2, 5, 5, 3))
    weights[0, 0, 0] = [2.0, -2.0, 0.0]
    figure = plots.draw_weight_images(weights, titles=("a", "b"))
    sizes(figure)
    first, second = shown(figure)
    np.testing.assert_array_equal(second.images[0].get_array(), np.full((5, 5, 3), 0.5))
    np.testing.assert_array_equal(first.images[0].get_array()[0, 0], [1.0, 0.0, 0.5])
    assert [first.get_title(), second.get_title()] == ["a", "b"]


def counted(axes):
    return sum(bar.get_height() for bar in axes.patches)


def test_signals_show_dead_units_and_vanished_gradients():
    values = np.array([[0.0, 1.0, 0.0, -2.0], [0.0, 0.0, 3.0, 4.0]])  # the first of four units is dead
    gradients = np.array([[0.0, 1e-6, -1e-6, 1e-4], [0.0, 0.0, 1e-30, 1e-6]])
    figure = draw_signals([Signal("a1", values, gradients), Signal("z2", np.ones((2, 1)), np.full((2, 1), 0.1))])
    sizes(figure)
    left, right, _, last = figure.axes
    assert left.get_title() == "a1: 50 % are 0; 1 of 4 units dead"
    assert right.get_title() == "dJ/da1: 38 % are 0, median of the rest 1.0e-06"
    assert (counted(left), counted(right)) == (4, 5)
    assert right.get_xlim() == last.get_xlim()  # one scale for all layers
    assert right.get_xscale() == "log"
    assert [line.get_xdata()[0] for line in (right.lines[0], last.lines[0])] == pytest.approx([1e-6, 0.1])
    assert right.patches[0].get_height() == 1  # 1e-30, far below


def test_signals_that_are_all_zero_are_drawn():
    figure = draw_signals([Signal("a1", np.zeros((2, 3)), np.zeros((2, 3)))])
    sizes(figure)
    assert [axes.get_title() for axes in figure.axes] == ["a1: 100 % are 0; 3 of 3 units dead", "dJ/da1: 100 % are 0"]


def test_a_decision_boundary_is_where_the_score_is_a_half():
    figure, axes = plots.grid(1, 1)
    x, y = np.array([[-1.0, 0.0], [3.0, 2.0], [0.5, 1.0]]), np.array([0, 1, 1])
    plots.draw_decision_boundary(axes[0, 0], lambda points: 1 / (1 + np.exp(1 - points[:, 0])), x, y, title="t")
    sizes(figure)
    *_, line, points = axes[0, 0].collections
    np.testing.assert_allclose(line.get_paths()[0].vertices[:, 0], 1.0, atol=1e-4)
    np.testing.assert_array_equal(points.get_offsets(), x)
    np.testing.assert_array_equal(points.get_array(), y)
