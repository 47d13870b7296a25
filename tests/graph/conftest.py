"""Fixtures: a headless browser, and pages of graphs in it."""

import pytest

from tests.helpers.browsers import chromium, watched


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def open_page(browser, tmp_path):
    """Open the page of a graph; at the end, check that it logged nothing and requested nothing but its file."""
    with watched(browser, viewport={"width": 1400, "height": 800}) as context:

        def open_graph(g, **options):
            file = tmp_path / f"{len(context.visited)}.html"
            file.write_text(g.html(**options), encoding="utf-8")
            page = context.new_page()
            page.goto(file.as_uri())
            assert context.visited.count(file.as_uri()) == 1
            return page

        yield open_graph
        assert len(context.visited) == len(context.pages)
