"""A run's page in a browser: on a desktop and a phone, in light and dark mode, with a pointer, and while it runs."""

import io
import itertools
from datetime import datetime

import pytest
from PIL import Image

from experiments.reports import plots, tables
from experiments.runs.curves import read_curves
from experiments.runs.folder import RunFolder
from experiments.runs.page import Progress, write_run_page
from experiments.studies.registry import find
from tests.helpers.browsers import CONTRAST, chromium, watched

EPOCHS = range(1, 31)
LINES = [
    {"network": name, "epoch": i, "loss": scale / i, "dev_loss": scale / i + 0.01 * (i - 10) ** 2, "dev_accuracy": 0.9}
    for name, scale in (("linear", 1.0), ("deep", 0.5))
    for i in EPOCHS
]
SCHEMES = [
    pytest.param(*case, id=f"{case[0]}-{case[1]}", marks=[] if case == ("dark", 390) else pytest.mark.full)
    for case in itertools.product(("light", "dark"), (1280, 390))
]
ENDS = "charts.map(({chart}) => [chart.scales.x.min, chart.scales.x.max])"


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run's folder with tables that are wider than a phone, curves, and a picture."""
    made = RunFolder.new(tmp_path_factory.mktemp("runs"), "ladder", datetime(2025, 1, 2, 3, 4, 5))
    made.write_json("config.json", {"experiment": "ladder", "command": "run ladder " * 20, "options": {"a": "b" * 300}})
    columns = ["network", *(f"measured\nquantity {i}" for i in range(8))]
    rows = [[name, *(f"{i}.25" for i in range(8))] for name in ("a network with a long name", "deep")]
    shown = tables.table("Numbers", columns, rows, 1)
    made.write_text("report.txt", tables.as_text(shown) + "a note " * 40 + "\n")
    for line in LINES:
        made.log(**line)
    figure, axes = plots.grid(1, 2)
    for panel in axes.flat:
        plots.draw_curves(panel, {"a": ([1, 2, 3], [3, 2, 1])}, title="t", x="epoch", y="loss")
    made.add_picture("plots.png", plots.png(figure), "Two plots.")
    made.add_picture("curves.png", plots.png(plots.grid(1, 1)[0]), "The curves.", shows_metrics=True)
    return made


@pytest.fixture
def open_run(browser, folder):
    """Open the page of the run in a context with these options, 1280 pixels wide and in light mode by default."""
    contexts = []

    def open_page(width=1280, color_scheme="light", **options):
        write_run_page(folder, find("ladder"))
        context = watched(browser, viewport={"width": width, "height": 800}, color_scheme=color_scheme, **options)
        contexts.append(context)
        page = context.__enter__().new_page()
        page.goto((folder.path / "report.html").as_uri())
        return page

    yield open_page
    for context in contexts:
        context.__exit__(None, None, None)


def color_at(page, x, y):
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB").getpixel((round(x), round(y)))


def corner_of(page, selector):
    """The color at the upper left of an element, and that of the page."""
    element = page.locator(selector).first
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    return color_at(page, box["x"] + 3, box["y"] + 3), color_at(page, 2, box["y"] + 3)


@pytest.mark.parametrize(("scheme", "width"), SCHEMES)
def test_page_is_readable(open_run, scheme, width):
    page = open_run(width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    contrast, text = page.evaluate(CONTRAST)
    assert contrast >= 4.5, text
    picture, around = corner_of(page, "figure img")
    assert picture == around
    assert (max(around) < 60) == (scheme == "dark")
    table = page.locator(".scroll.numbers")
    assert (table.evaluate("e => e.scrollWidth > e.clientWidth")) == (width == 390)
    # The names of the rows stay where they are while the numbers scroll.
    before = page.locator("tbody th").first.bounding_box()["x"]
    table.evaluate("e => e.scrollBy(200, 0)")
    assert page.locator("tbody th").first.bounding_box()["x"] == before


def test_values_are_shown_where_the_pointer_is(open_run):
    page = open_run()
    loss = page.locator(".chart").nth(0)
    assert loss.locator(".u-legend .u-value").all_text_contents() == [
        "",
        *("last 0.03333, best 0.03333 at 30", "last 4.033, best 0.1 at 10"),
        *("last 0.01667, best 0.01667 at 30", "last 4.017, best 0.05 at 10"),
    ]
    at = page.evaluate("charts[0].chart.valToPos(10, 'x')")
    loss.locator(".u-over").hover(position={"x": at + 1, "y": 20})
    assert loss.locator(".u-legend .u-value").all_text_contents() == ["10", "0.1", "0.1", "0.05", "0.05"]
    # The other panel follows, and so do the arrow keys.
    assert page.locator(".chart").nth(1).locator(".u-legend .u-value").all_text_contents() == ["10", "0.9", "0.9"]
    loss.locator(".u-over").press("ArrowRight")
    assert loss.locator(".u-legend .u-value").first.text_content() == "11"


def test_zoom_changes_the_axis_and_a_double_click_resets_it(open_run):
    page = open_run()
    assert page.evaluate(ENDS) == [[1, 30], [1, 30]]
    over = page.locator(".chart .u-over").first
    left, right = (page.evaluate(f"charts[0].chart.valToPos({x}, 'x')") for x in (10, 20))
    over.hover(position={"x": left, "y": 50})
    page.mouse.down()
    over.hover(position={"x": right, "y": 52})
    page.mouse.up()
    (low, high), other = page.evaluate(ENDS)
    assert 9.5 <= low <= 10.5 and 19.5 <= high <= 20.5
    page.reload()  # the same after the page is loaded again
    assert page.evaluate(ENDS)[0] == [low, high]
    page.locator(".chart .u-over").first.dblclick(position={"x": 100, "y": 50})
    assert page.evaluate(ENDS) == [[1, 30], [1, 30]]


@pytest.mark.full
def test_smoothing_and_log_scale_change_what_is_drawn(open_run):
    page = open_run()
    values = "charts[0].chart.data[1]"
    assert page.evaluate(values) == pytest.approx([1 / i for i in EPOCHS], rel=1e-5)
    page.locator("#smoothing").fill("0.5")
    expected, total = 0.0, 0.0
    for i, found in zip(EPOCHS, page.evaluate(values), strict=True):
        expected, total = expected / 2 + 0.5 / i, total / 2 + 0.5
        assert found == pytest.approx(expected / total, rel=1e-5)
    scale = "charts[0].chart.scales.y.distr"
    before = page.evaluate(scale)
    page.locator(".log").first.click()
    assert {before, page.evaluate(scale)} == {1, 3}


def test_epochs_are_whole_numbers_and_colors_are_those_of_the_network(open_run):
    page = open_run()
    page.locator(".log").nth(1).uncheck()
    ticks = page.evaluate("charts.map(({chart}) => chart.axes[0]._values)")
    assert all(value == str(int(value)) for panel in ticks for value in panel)
    loss, accuracy = page.evaluate("page.map(({lines}) => lines.map(({name, color, dash}) => [name, color, dash]))")
    assert loss == [["linear: loss", 0, 0], ["linear: dev loss", 0, 1], ["deep: loss", 1, 0], ["deep: dev loss", 1, 1]]
    # Two equal curves are both visible: the one above is narrower.
    assert accuracy == [["linear", 0, 1], ["deep (same as linear)", 1, 1]]
    assert page.evaluate("charts[1].chart.series.map(({width}) => width)")[1:] == [5, 2]


@pytest.mark.full
def test_no_legend_covers_a_curve(open_run):
    page = open_run(390)
    for chart in page.locator(".chart").all():
        plot, legend = chart.locator(".u-over").bounding_box(), chart.locator(".u-legend").bounding_box()
        assert legend["y"] >= plot["y"] + plot["height"]


@pytest.mark.full
def test_a_finger_points_and_the_page_still_scrolls(open_run):
    page = open_run(390, has_touch=True)
    over = page.locator(".chart .u-over").first
    over.scroll_into_view_if_needed()
    over.tap(position={"x": page.evaluate("charts[0].chart.valToPos(10, 'x')"), "y": 30})
    assert page.locator(".chart .u-legend .u-value").first.text_content() == "10"
    assert over.evaluate("e => getComputedStyle(e).touchAction") == "pan-y"


@pytest.mark.full
def test_without_javascript_the_pictures_and_tables_stay(open_run):
    assert [image.is_visible() for image in open_run().locator("figure img").all()] == [True, False]
    page = open_run(java_script_enabled=False)
    assert [image.is_visible() for image in page.locator("figure img").all()] == [True, True]
    assert page.locator("table").first.is_visible()
    assert page.get_by_text("The curves are drawn by JavaScript").is_visible()


@pytest.mark.full
def test_page_of_a_run_in_progress_follows_it_and_ends_with_it(browser, folder):
    study, file = find("ladder"), folder.path / "report.html"

    def write(n):
        write_run_page(folder, study, progress=Progress(read_curves(LINES[:n])), resume="run resume here")

    write(5)
    with watched(browser, viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        page.clock.install(time=datetime.now())
        page.goto(file.as_uri())
        assert "This run is in progress." in page.locator("#running").inner_text()
        assert page.evaluate(ENDS)[0] == [1, 5]
        page.evaluate("charts[0].chart.setScale('x', {min: 2, max: 4})")
        write(9)
        with page.expect_navigation():
            page.clock.run_for(4100)
        assert page.evaluate("charts[0].chart.data[0].length") == 9
        assert page.evaluate(ENDS)[0] == [2, 4]  # the reader's zoom stays
        assert not page.get_by_text("run resume here").is_visible()
        write_run_page(folder, study)
        with page.expect_navigation():
            page.clock.run_for(4100)
        assert page.locator("#running").count() == 0 and page.locator(".caption").inner_text() == "Numbers"
        visited = len(context.visited)
        page.clock.run_for(60_000)
        assert len(context.visited) == visited


@pytest.mark.full
def test_page_of_a_run_that_was_stopped_without_a_message_has_the_command(browser, folder):
    progress = Progress(read_curves(LINES[:5]))
    write_run_page(folder, find("ladder"), progress=progress, resume="run resume here")
    with watched(browser) as context:
        page = context.new_page()
        page.clock.install(time=datetime.now())
        page.goto((folder.path / "report.html").as_uri())
        page.mouse.move(5, 5)
        page.evaluate(
            "setInterval(() => dispatchEvent(new Event('input')), 1000)"
        )  # a busy reader: it is not loaded again
        page.clock.run_for(200_000)
        assert page.get_by_text("No news for 3 minutes.").is_visible()
        assert page.get_by_text("run resume here").is_visible()
