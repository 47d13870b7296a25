"""The visible content of a graph's page in a browser."""

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
