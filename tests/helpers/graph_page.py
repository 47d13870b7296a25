"""What is seen of a graph's page in a browser."""

from jaxnn import graph


def J(a, b, c):
    u = graph.name(b * c, "u")
    v = graph.name(a + u, "v")
    return 3 * v


SEEN = """() => [...document.querySelectorAll(".variable")].filter(v => v.getClientRects().length).map(v => {
  const box = v.getBoundingClientRect();
  const shown = (e) => getComputedStyle(e).visibility === "visible" ? e.textContent : null;
  return {id: +v.dataset.node, label: v.querySelector(".label").textContent.replace("▸", ""),
    value: shown(v.querySelector("b.value")), slope: shown(v.querySelector("b.slope")),
    now: v.classList.contains("now"), box: [box.left, box.top, box.right, box.bottom]};
}).sort((p, q) => p.id - q.id)"""


def seen(page):
    return page.evaluate(SEEN)


def edges_seen(page):
    """The edges drawn, by the names of their ends."""
    names = page.evaluate("data.names")
    pairs = page.evaluate(
        """[...document.querySelectorAll("path[data-source]")].map(p => [+p.dataset.source, +p.dataset.target])"""
    )
    return sorted((names[a], names[b]) for a, b in pairs)


def edges_of(g):
    return sorted((edge.source.name, edge.target.name) for edge in g.edges)


def backward(page):
    """What the steps backward say."""
    page.click("#first")
    count = len(seen(page))
    captions = []
    for _ in range(2 * count):
        page.click("#next")
        captions.append(page.locator("#step").text_content().split(": ")[1])
    return captions[count:]


def told(page):
    """All that the page says, in words and in histograms, and of the variable that is pointed at."""
    page.locator(".variable").nth(2).hover()
    bars = page.evaluate("[...document.querySelectorAll('.variable svg path')].map(p => p.getAttribute('d'))")
    local = page.locator("svg.wires text").all_text_contents()
    return [(v["label"], v["value"], v["slope"]) for v in seen(page)], bars, local, page.text_content("#about")
