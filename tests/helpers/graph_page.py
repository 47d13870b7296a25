"""The visible content of a graph's page in a browser."""

import pytest

_VARIABLES = """() => [...document.querySelectorAll(".variable")].filter(v => v.getClientRects().length).map(v => {
  const box = v.getBoundingClientRect();
  const shown = (e) => getComputedStyle(e).visibility === "visible" ? e.textContent : null;
  return {id: +v.dataset.node, label: v.querySelector(".label").textContent.replace("▸", ""),
    value: shown(v.querySelector("b.value")), slope: shown(v.querySelector("b.slope")),
    current: v.classList.contains("current"), box: [box.left, box.top, box.right, box.bottom]};
}).sort((p, q) => p.id - q.id)"""


def visible_variables(page):
    """The visible variables, with label, captions and bounding box."""
    return page.evaluate(_VARIABLES)


def visible_edges(page):
    """The drawn edges, by the names of their ends."""
    names = page.evaluate("data.names")
    pairs = page.evaluate(
        """[...document.querySelectorAll("path[data-source]")].map(p => [+p.dataset.source, +p.dataset.target])"""
    )
    return sorted((names[a], names[b]) for a, b in pairs)


def edges_of(g):
    return sorted((edge.source.name, edge.target.name) for edge in g.edges)


def backward_captions(page):
    """The captions of the backward steps."""
    page.click("#first")
    count = len(visible_variables(page))
    captions = []
    for _ in range(2 * count):
        page.click("#next")
        captions.append(page.locator("#step").text_content().split(": ")[1])
    return captions[count:]


def page_content(page):
    """All captions, histograms and local derivatives, and the details of the third variable."""
    page.locator(".variable").nth(2).hover()
    histograms = page.evaluate("[...document.querySelectorAll('.variable svg path')].map(p => p.getAttribute('d'))")
    local = page.locator("svg.edges text").all_text_contents()
    return (
        [(v["label"], v["value"], v["slope"]) for v in visible_variables(page)],
        histograms,
        local,
        page.text_content("#about"),
    )


def check_drawing(page):
    """Boxes do not overlap, and edges go from the right side of one to the left side of another."""
    page.click("#full")
    shown = visible_variables(page)
    for i, variable in enumerate(shown):
        left, top, right, bottom = variable["box"]
        for other in shown[:i]:
            left2, top2, right2, bottom2 = other["box"]
            assert right <= left2 or right2 <= left or bottom <= top2 or bottom2 <= top, (variable, other)
    origin = page.evaluate("(({left}) => left)(graph.getBoundingClientRect())")
    labels = page.evaluate(
        """Object.fromEntries(visibleVariables().map(v =>
             [idOf(v), v.querySelector(".label").getBoundingClientRect()]))"""
    )
    lines = page.evaluate(
        """[...document.querySelectorAll("path[data-source]")].map(p => [p.dataset.source, p.dataset.target,
             ...[0, p.getTotalLength()].map(at => p.getPointAtLength(at).x)])"""
    )
    words = page.evaluate(
        """[...document.querySelectorAll(".edges text")].map(e => e.getBoundingClientRect())
             .map(({left, top, right, bottom}) => [left, top, right, bottom])"""
    )
    for left, top, right, bottom in words:
        for box in labels.values():
            beside = right <= box["left"] or box["right"] <= left or bottom <= box["top"] or box["bottom"] <= top
            assert beside, (left, top, right, bottom, box)
    for source, target, start, end in lines:
        assert start == pytest.approx(labels[source]["right"] - origin, abs=0.1)
        assert end == pytest.approx(labels[target]["left"] - origin - 6, abs=0.1)
        assert start < end
