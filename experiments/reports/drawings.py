"""Draw a figure as an SVG picture that follows the page: without a background, in colors for light and dark mode."""

import io
import re

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.spines import Spine
from matplotlib.text import Text

from experiments.reports.palette import PALETTE

_INK = "#010203"
"""What follows the color of the page's text; the drawing has no other color like it."""
_VARIABLES = {_INK: ("--ink", "#16191d", "#e6e9ee")} | {
    drawn: (f"--c{i}", light, dark) for i, (drawn, light, dark) in enumerate(PALETTE)
}


def page_svg(figure: Figure) -> bytes:
    """Return the figure as an SVG picture; what is black in it becomes the color of the page's text.

    Black stays black on an image, a filled contour or a box. The figure is changed, so save it in other formats before.
    """
    figure.set_layout_engine("none")  # all is in its place since the figure was saved before
    for artist in figure.findobj():
        _follow_page(artist)
    file = io.StringIO()
    # Without a salt the names in the file differ each time.
    with matplotlib.rc_context({"svg.hashsalt": "jaxnn"}):
        figure.savefig(file, format="svg", transparent=True, dpi=144, metadata={"Date": None, "Creator": None})
    svg = re.sub("#[0-9a-f]{6}", lambda found: _in_css(found[0]), file.getvalue())
    svg = re.sub(r'(?<= d=")[^"]+', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)
    return svg.replace("<defs>", f"<style>{_style()}</style>\n<defs>", 1).encode()


def _in_css(color: str) -> str:
    return f"var({_VARIABLES[color][0]})" if color in _VARIABLES else color


def _style() -> str:
    light, dark = ("".join(f"{name}:{colors[i]};" for name, *colors in _VARIABLES.values()) for i in range(2))
    return f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"


def _follow_page(artist: Artist) -> None:
    if _is_on_paint(artist):
        return
    if isinstance(artist, ContourSet) and artist.filled:
        artist.set_rasterized(True)  # as shapes it takes hundreds of kilobytes
    elif isinstance(artist, Text | Line2D) and same_color(artist.get_color(), "black"):
        artist.set_color(_INK)
    elif isinstance(artist, Spine) and same_color(artist.get_edgecolor(), "black"):
        artist.set_edgecolor(_INK)
    if isinstance(artist, Line2D) and same_color(artist.get_markeredgecolor(), "black"):  # of ticks
        artist.set_markeredgecolor(_INK)


def _is_on_paint(artist: Artist) -> bool:
    """Return whether the artist is drawn on an image, a filled contour or a box."""
    axes = artist.axes
    if isinstance(artist, Text) and artist.get_bbox_patch() is not None:
        return True
    if not isinstance(axes, Axes) or artist not in (*axes.lines, *axes.texts):
        return False
    filled = (one for one in axes.collections if isinstance(one, ContourSet) and one.filled)
    return bool(axes.images) or any(filled)
