"""Fixtures: a headless browser, and pages in it."""

import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM)
        yield started
        started.close()


@pytest.fixture
def open_page(browser, tmp_path):
    """Open the page of a graph; at the end, check that it logged nothing and requested nothing but its file."""
    context = browser.new_context(viewport={"width": 1400, "height": 800})
    logged, requested = [], []

    def open_graph(g, **options):
        file = tmp_path / f"{len(requested)}.html"
        file.write_text(g.html(**options), encoding="utf-8")
        page = context.new_page()
        page.on("console", lambda message: logged.append(message.text))
        page.on("pageerror", lambda error: logged.append(str(error)))
        page.on("dialog", lambda dialog: logged.append(dialog.message))
        page.on("request", lambda request: requested.append(request.url))
        page.goto(file.as_uri())
        assert requested.count(file.as_uri()) == 1
        return page

    yield open_graph
    assert logged == []
    assert all(url.startswith("file:") and url.endswith(".html") for url in requested)
    assert len(requested) == len(context.pages)
    context.close()
