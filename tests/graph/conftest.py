"""A browser, and pages opened in it."""

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
def opened(browser, tmp_path):
    """Opens the page of a graph, or HTML; at the end, nothing was logged, and nothing but the file was asked for."""
    context = browser.new_context(viewport={"width": 1400, "height": 800})
    said, asked = [], []

    def visit(g, **options):
        file = tmp_path / f"{len(asked)}.html"
        file.write_text(g.html(**options), encoding="utf-8")
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        assert asked.count(file.as_uri()) == 1
        return page

    yield visit
    assert said == []
    assert all(url.startswith("file:") and url.endswith(".html") for url in asked)
    assert len(asked) == len(context.pages)
    context.close()
