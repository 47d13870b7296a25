"""A graph as an interactive page: static HTML, and a script that expands, collapses and animates it.

The browser lays out the boxes, nested as they are. The script expands and collapses composites, draws the edges, steps
through the evaluation, zooms, and replaces the numbers when a slider moves. It computes no numbers.
"""

import json
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from string import Template
from typing import NamedTuple

from jaxnn.graph.analysis.relevance import Plumbing, find_key_plumbing, find_unused
from jaxnn.graph.formatting import format_type
from jaxnn.graph.rendering import histograms, theme
from jaxnn.graph.rendering.html.page_view import PageView
from jaxnn.graph.rendering.html.sliders import Slider
from jaxnn.graph.rendering.labels import full_label, short_label, source_line, source_location
from jaxnn.graph.rendering.layout.nested import Cell, Layout, Waypoint, nested_layout
from jaxnn.graph.rows import Row
from jaxnn.graph.tracing.nodes import Node, Operation

_FILES = files("jaxnn.graph.rendering.html")

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
:root { $light }
@media (prefers-color-scheme: dark) { :root { $dark } }
$style</style>
</head>
<body>
<header>
<h1>Computation graph of $output</h1>
<p><span class="value">above: value</span>, <span class="slope">below: derivative of $output</span></p>
<p class="steps"><button id="first" title="go to the start">|◀</button>
<button id="back" title="previous step (left arrow key)">◀</button>
<button id="next" title="next step (right arrow key)">▶</button>
<button id="last" title="go to the end">▶|</button>
<span id="step" aria-live="polite"></span></p>
<p class="view"><button id="fit" title="the whole graph (f)">fit</button>
<button id="out" title="smaller (-)">−</button> <output id="scale">100 %</output>
<button id="in" title="larger (+)">+</button> <button id="full" title="original size (0)">100 %</button>
$switches</p>
$sliders</header>
<main tabindex="-1"><div class="stage"><div class="graph"><svg class="edges" aria-hidden="true"></svg>
$layout
</div></div></main>
<aside id="about" aria-live="polite">Hover over a variable for its value, its derivative and its line of code.</aside>
<noscript><p>JavaScript is required for edges, for numbers, and to expand and collapse boxes.</p></noscript>
<script type="application/json" id="data">$data</script>
<script>
$script</script>
</body>
</html>
""")

_SLIDER_NOTE = (
    "<p>Numbers are precomputed at each slider position, with the other arguments at their original values.</p>\n"
)


class _Hidden(NamedTuple):
    """The variables that a page hides at first.

    Attributes:
      unused: those that no output depends on.
      keys: those that only carry random keys, with where they come from.
    """

    unused: set[Node]
    keys: dict[Node, Plumbing]

    def kind(self, node: Node | None) -> str:
        """Return the class of the variable's box; empty if it is visible."""
        return "unused" if node in self.unused else "key" if node in self.keys else ""


def render_page(
    arguments: tuple[Node, ...],
    operations: tuple[Operation, ...],
    outputs: tuple[Node, ...],
    depth: int,
    output: str,
    view: PageView,
    sliders: list[Slider],
) -> str:
    """Render the page, with composites expanded to `depth` at first."""
    ids = {node: i for i, node in enumerate(view.nodes)}
    data = {
        "output": output,
        "outputs": [ids[node] for node in outputs if node in ids],
        "names": [node.name for node in view.nodes],
        "edges": [[[ids[edge.source], ids[edge.target]] for edge in edges] for edges in view.edges],
        "start": view.numbers(),
        "sliders": [slider._asdict() for slider in sliders],
    }
    # Only the order in the columns is used, so all heights are equal: the browser computes the real ones.
    hidden = _Hidden(find_unused(operations, outputs), find_key_plumbing(operations))
    data["keys"] = {
        ids[node]: [[ids[one] for one in nodes if one in ids] for nodes in key]
        for node, key in hidden.keys.items()
        if node in ids
    }
    layout = nested_layout(arguments, operations, view.depth, lambda cell: 1.0)
    return _DOCUMENT.substitute(
        output=escape(output),
        light=theme.LIGHT,
        dark=theme.DARK,
        style=_FILES.joinpath("page.css").read_text(encoding="utf-8"),
        sliders="".join(map(_slider, sliders)) + (_SLIDER_NOTE if sliders else ""),
        switches=_switches(view.nodes, hidden),
        layout=_Boxes(ids, {op: i for i, op in enumerate(view.operations)}, hidden).layout(layout, depth),
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        script=_FILES.joinpath("page.js").read_text(encoding="utf-8"),
    )


def _slider(slider: Slider) -> str:
    name = escape(slider.name)
    return (
        f'<p class="slider"><label><span>{name}</span><input type="range" min="0" max="{len(slider.values) - 1}" '
        f'value="{slider.start}" data-start="{slider.start}"></label><output></output></p>\n'
    )


def _switches(nodes: Iterable[Node], hidden: _Hidden) -> str:
    """Return a switch for each kind of variables that the page hides at first, with their number."""
    kinds = [hidden.kind(node) for node in nodes]
    texts = {"key": "keys that are split and passed on", "unused": "values that no output depends on"}
    return "\n".join(
        f'<label><input type="checkbox" data-shows="{kind}"> {text} ({kinds.count(kind)})</label>'
        for kind, text in texts.items()
        if kind in kinds
    )


class _Boxes:
    """The boxes of a page.

    Args:
      ids: the number of each variable.
      numbers: the number of each operation.
      hidden: the variables that are hidden at first.
    """

    def __init__(self, ids: dict[Node, int], numbers: dict[Operation, int], hidden: _Hidden) -> None:
        self._ids, self._numbers, self._hidden = ids, numbers, hidden

    def layout(self, layout: Layout, depth: int) -> str:
        """Return the columns of a layout, composites expanded to `depth` at first."""
        columns = ("".join(self._cell(cell, depth) for cell in column) for column in layout.columns)
        inside = "".join(f'<div class="column">{column}</div>\n' for column in columns)
        return f'<div class="layout">{inside}</div>'

    def _cell(self, cell: Cell | Waypoint, depth: int) -> str:
        if isinstance(cell, Waypoint):
            return f'<i data-of="{" ".join(str(self._ids[node]) for node in cell.nodes)}"></i>'
        op, kinds = cell.operation, {self._hidden.kind(row.node) for row in cell.rows if row.node}
        kind = kinds.pop() if len(kinds) == 1 else ""
        rows = "".join(self._variable(row, cell.layout is not None) for row in cell.rows if row.node)
        number = f" data-op={self._numbers[op]}" if op else ""
        if op is None or cell.layout is None:
            return f'<div class="{_classes("collapsed", kind)}"{number}>{rows}</div>'
        body = self.layout(cell.layout, depth - 1)
        classes = _classes("composite", "rule" * op.has_rule, "open" * (depth > 0), kind)
        title = f'aria-expanded="true" title="collapse {escape(op.name)}">▾ {escape(op.title)}'
        return (
            f'<div class="{classes}"><div class="collapsed"{number}>{rows}</div><div class="expanded">'
            f'<button class="collapse" {title}</button>{body}</div></div>'
        )

    def _variable(self, row: Row, expands: bool) -> str:
        """Return the box of a variable; the script fills in its numbers."""
        node, op = row.node, row.operation
        assert node is not None
        about = [full_label(row), format_type(node)]
        if op and op.body:
            about.append("operations: " + ", ".join(step.name for step in op.body))
        if op and op.source:
            about.append(f"{source_location(op)}: {source_line(op)}")
        size = f'width="{histograms.WIDTH:g}" height="{histograms.HEIGHT:g}"'
        above, below = (
            f'<svg class="{kind}" {size}><path/></svg>' if histograms.has_histogram(node) else ""
            for kind in ("value", "slope")
        )
        name = escape(op.name) if op else ""
        button = f'<button class="expand" aria-expanded="false" title="expand {name}">▸</button>' if expands else ""
        attributes = f'data-node="{self._ids[node]}" data-about="{escape(chr(10).join(about))}" tabindex="0"'
        return (
            f'<div class="{_classes("variable", "result" if op else "", self._hidden.kind(node))}" {attributes}>'
            f'{above}<b class="value"></b>'
            f'<span class="label">{button}{escape(short_label(row))}</span><b class="slope"></b>{below}</div>'
        )


def _classes(*names: str) -> str:
    return " ".join(filter(None, names))
