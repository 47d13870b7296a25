"""A headless browser, and contexts in it that watch what pages do."""

import contextlib
import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextlib.contextmanager
def chromium():
    """A started browser; without one installed, the test is skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM)
        yield started
        started.close()


@contextlib.contextmanager
def watched(browser, **options):
    """A context of the browser; at the end, check that its pages logged nothing and requested nothing but files.

    Its attribute `visited` is the files that were requested.
    """
    context = browser.new_context(**options)
    logged, context.visited = [], []

    def watch(page):
        page.on("console", lambda message: logged.append(message.text))
        page.on("pageerror", lambda error: logged.append(str(error)))
        page.on("dialog", lambda dialog: logged.append(dialog.message))
        page.on("request", lambda request: request.url.startswith("data:") or context.visited.append(request.url))

    context.on("page", watch)
    yield context
    assert logged == []
    assert all(url.startswith("file:") and url.endswith(".html") for url in context.visited)
    context.close()
