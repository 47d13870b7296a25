"""Pictures as SVG for a page: what follows light and dark mode, and what keeps its color."""

import re

import numpy as np
from matplotlib.colors import to_hex

from experiments.reports import plots
from experiments.reports.palette import PALETTE


def drawn(figure):
    return plots.png(figure).svg.decode()


def luminance(color):
    rgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return [0.2126, 0.7152, 0.0722] @ np.where(rgb <= 0.03928, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_colors_of_lines_stand_out_in_both_modes():
    assert [one for one, _, _ in PALETTE] == [*map(to_hex, plots.COLORS)]
    assert min(contrast(light, "#ffffff") for _, light, _ in PALETTE) >= 3
    assert min(contrast(dark, "#14171c") for _, _, dark in PALETTE) >= 3


def test_axes_and_lines_follow_the_page_and_nothing_is_behind_them():
    figure, axes = plots.grid(1, 1)
    plots.draw_curves(axes[0, 0], {"a": ([1, 2], [3, 4]), "b": ([1, 2], [2, 2])}, title="t", x="epoch", y="loss")
    svg = drawn(figure)
    assert {"var(--ink)", "var(--c0)", "var(--c1)"} <= set(re.findall(r"var\(--\w+\)", svg))
    assert "prefers-color-scheme:dark" in svg
    assert "#000000" not in svg.replace("#000000;}", "")
    assert "#ffffff" not in svg  # no white sheet
    # The same figure gives the same picture.
    assert svg == drawn(figure_of_two())


def figure_of_two():
    figure, axes = plots.grid(1, 1)
    plots.draw_curves(axes[0, 0], {"a": ([1, 2], [3, 4]), "b": ([1, 2], [2, 2])}, title="t", x="epoch", y="loss")
    return figure


def test_a_line_under_another_is_wider():
    figure, axes = plots.grid(1, 2)
    x, falling = np.arange(1.0, 6), np.array([1.0, 1e-1, 1e-2, 1e-3, 1e-4])
    curves = {"a": (x, falling), "b": (x, falling * 1.01), "short": (x[:3], falling[:3]), "other": (x, falling[::-1])}
    plots.draw_curves(axes[0, 0], curves, title="t", x="epoch", y="loss", log=True)
    # Small values are the same on a linear axis and not on a logarithmic one.
    small = {"c": (x, [1, 0.5, 0.1, 1e-3, 1e-3]), "d": (x, [1, 0.5, 0.1, 1e-4, 1e-4])}
    small["one common step"] = ([1, 1.5, 2.5, 3.5, 4.5], [1, 1, 1, 1, 1])
    plots.draw_curves(axes[0, 1], small, title="t", x="epoch", y="loss")
    axes[0, 1].axhline(0.5, label="half")
    plots.png(figure)
    widths = [[line.get_linewidth() for line in panel.lines] for panel in axes.flat]
    assert widths == [[6.5, 4.0, 1.5, 1.5], [4.0, 1.5, 1.5, 1.5]]


def test_text_on_an_image_keeps_its_color():
    figure, axes = plots.grid(1, 1)
    plots.draw_confusion(axes[0, 0], np.array([[5, 0], [2, 3]]), ["a", "b"])
    plots.png(figure)
    inside = {text.get_color() for text in axes[0, 0].texts}
    outside = {axes[0, 0].xaxis.label.get_color(), axes[0, 0].get_xticklabels()[0].get_color()}
    assert inside == {"white", "black"} and outside == {"#010203"}


def test_legends_are_below_their_axes_which_keep_their_size():
    figure, axes = plots.grid(2, 2)
    names = ["a name that is longer than the axes are wide, " * 3, "b", "c"]
    for panel, n in zip(axes.flat, (1, 3, 2, 0), strict=True):
        panel.plot([1, 2], [1, 2])
        if n:
            plots.draw_curves(panel, {name: ([1, 2], [1, 2]) for name in names[:n]}, title="t", x="epoch", y="loss")
    plots.png(figure)
    figure.draw_without_rendering()
    boxes = [panel.get_window_extent() for panel in axes.flat]
    for panel, box in zip(axes.flat, boxes, strict=True):
        legend = panel.get_legend()
        if legend is None:
            continue
        around = legend.get_window_extent()
        assert around.y1 <= panel.xaxis.label.get_window_extent().y1
        assert not any(around.y0 < other.y1 and other.y0 < around.y1 for other in boxes[2:] if other.y1 < box.y0)
        assert around.y0 >= 0
    assert len({round(box.width) for box in boxes}) == 1
    assert min(box.height for box in boxes) > 200
