"""A graph as a page that answers: HTML that is written once, and a script that shows and hides what is there.

The browser lays the boxes out, nested as they are. The script opens and closes them, draws the edges, steps through the
evaluation, and puts the numbers of another value of an argument in place: it has no arithmetic of its own.
"""

import json
from html import escape
from importlib.resources import files
from string import Template

from jaxnn.graph.rendering.boxes import (
    BARS_HEIGHT,
    BARS_WIDTH,
    ON_DARK,
    ON_WHITE,
    code,
    full_label,
    has_bars,
    label,
    place,
)
from jaxnn.graph.rendering.levels import Item, Level, Passage, level
from jaxnn.graph.rendering.page_data import Shown
from jaxnn.graph.rendering.sliders import Slider
from jaxnn.graph.rendering.view import Row
from jaxnn.graph.tracing.formulas import type_of
from jaxnn.graph.tracing.nodes import Node, Operation

_HERE = files("jaxnn.graph.rendering")

_DOCUMENT = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Computation graph of $output</title>
<style>
:root { $on_white }
@media (prefers-color-scheme: dark) { :root { $on_dark } }
$style</style>
</head>
<body>
<header>
<h1>Computation graph of $output</h1>
<p><span class="value">above: the value</span>, <span class="slope">below: d$output/d of it</span></p>
<p class="steps"><button id="first" title="before the first step">|◀</button>
<button id="back" title="a step back: left arrow key">◀</button>
<button id="next" title="a step on: right arrow key">▶</button>
<button id="last" title="after the last step">▶|</button>
<span id="step" aria-live="polite"></span></p>
$sliders</header>
<main tabindex="-1"><div class="graph"><svg class="wires" aria-hidden="true"></svg>
$level
</div></main>
<aside id="about" aria-live="polite">Point at a variable.</aside>
<noscript><p>Without its script, the page has no edges, and its boxes stay as they are.</p></noscript>
<script type="application/json" id="data">$data</script>
<script>
$script</script>
</body>
</html>
""")


def page(
    arguments: tuple[Node, ...],
    operations: tuple[Operation, ...],
    outputs: tuple[Node, ...],
    depth: int,
    output: str,
    here: Shown,
    sliders: list[Slider],
) -> str:
    """The page of variables of any shapes, with boxes `depth` levels deep open at first."""
    ids = {node: i for i, node in enumerate(here.nodes)}
    data = {
        "output": output,
        "outputs": [ids[node] for node in outputs if node in ids],
        "names": [node.name for node in here.nodes],
        "edges": [[[ids[edge.source], ids[edge.target]] for edge in edges] for edges in here.edges],
        "start": here.numbers(),
        "sliders": [slider._asdict() for slider in sliders],
    }
    # All of one height: the browser finds the real ones, and what is taken from here is the order in columns.
    tree = level(arguments, operations, here.depth, lambda piece: 1.0)
    return _DOCUMENT.substitute(
        output=escape(output),
        on_white=ON_WHITE,
        on_dark=ON_DARK,
        style=_HERE.joinpath("page.css").read_text(encoding="utf-8"),
        sliders="".join(map(_range, sliders)) + (_ONE_AT_A_TIME if sliders else ""),
        level=_level(tree, ids, {op: i for i, op in enumerate(here.operations)}, depth),
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        script=_HERE.joinpath("page.js").read_text(encoding="utf-8"),
    )


_ONE_AT_A_TIME = (
    "<p>The numbers were computed beforehand at each place of a slider, the other arguments as given.</p>\n"
)


def _range(slider: Slider) -> str:
    name = escape(slider.name)
    return (
        f'<p class="slider"><label><span>{name}</span><input type="range" min="0" max="{len(slider.values) - 1}" '
        f'value="{slider.start}" data-start="{slider.start}"></label><output></output></p>\n'
    )


def _level(level: Level, ids: dict[Node, int], numbers: dict[Operation, int], depth: int) -> str:
    columns = ("".join(_piece(piece, ids, numbers, depth) for piece in column) for column in level.columns)
    return '<div class="level">' + "".join(f'<div class="column">{column}</div>\n' for column in columns) + "</div>"


def _piece(piece: Item | Passage, ids: dict[Node, int], numbers: dict[Operation, int], depth: int) -> str:
    if isinstance(piece, Passage):
        return f'<i data-of="{" ".join(str(ids[node]) for node in piece.nodes)}"></i>'
    op = piece.operation
    closed = "".join(_variable(row, ids[row.node], piece.level is not None) for row in piece.rows if row.node)
    closed = f'<div class="closed"{f" data-op={numbers[op]}" if op else ""}>{closed}</div>'
    if op is None or piece.level is None:
        return closed
    opened = _level(piece.level, ids, numbers, depth - 1)
    kinds = ["box"] + ["rule"] * op.has_rule + ["open"] * (depth > 0)
    title = f'aria-expanded="true" title="close {escape(op.name)}">▾ {escape(op.title)}'
    return (
        f'<div class="{" ".join(kinds)}">{closed}<div class="opened">'
        f'<button class="fold" {title}</button>{opened}</div></div>'
    )


def _variable(row: Row, number: int, opens: bool) -> str:
    """The box of a variable of any shape; its figures are put in by the script."""
    node, op = row.node, row.operation
    about = [full_label(row), type_of(node)]
    if op and op.inside:
        about.append("inside: " + ", ".join(step.name for step in op.inside))
    if op and op.source:
        about.append(f"{place(op)}: {code(op)}")
    size = f'width="{BARS_WIDTH:g}" height="{BARS_HEIGHT:g}"'
    above, below = (
        f'<svg class="{kind}" {size}><path/></svg>' if has_bars(node) else "" for kind in ("value", "slope")
    )
    name = escape(op.name) if op else ""
    button = f'<button class="unfold" aria-expanded="false" title="open {name}">▸</button>' if opens else ""
    attributes = f'data-node="{number}" data-about="{escape(chr(10).join(about))}" tabindex="0"'
    return (
        f'<div class="variable{" result" if op else ""}" {attributes}>{above}<b class="value"></b>'
        f'<span class="label">{button}{escape(label(row))}</span><b class="slope"></b>{below}</div>'
    )
