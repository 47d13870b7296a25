"""The page of each study that needs no data, in a browser on a phone and a desktop, in light and dark mode."""

import io
import itertools

import pytest
from PIL import Image

from experiments.studies import registry
from tests.helpers.browsers import CHROMIUM, CONTRAST, chromium, watched
from tests.helpers.short_runs import run

pytestmark = [
    pytest.mark.full,
    pytest.mark.usefixtures("quick_compilation"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]
SHORT = {
    "ad_clicks": ("--rows", "2000", "--epochs", "2", "--batch-size", "200"),
    "adding": ("--n-steps", "6", "--units", "8", "--epochs", "2", "--batch-size", "8"),
    "bias_variance": ("--epochs", "2", "--curve-epochs", "2"),
    "hidden_units": ("--seeds", "2", "--iterations", "20"),
    "initialization": ("--steps", "20", "--seeds", "2"),
    "ladder": ("--epochs", "2", "--no-time-steps"),
    "linear_collapse": ("--iterations", "150"),
    "normalization": ("--layers", "3", "--width", "8", "--epochs", "2", "--seeds", "1"),
    "optimizers": ("--line-steps", "40", "--network-steps", "8"),
    "parity": ("--bits", "4", "--seeds", "2", "--iterations", "20"),
    "regression": ("--seeds", "2", "--iterations", "15000", "--hidden-iterations", "100"),
    "regularization": ("--steps", "40", "--seeds", "2"),
    "vectorization": ("--examples", "40", "--features", "30", "--repeats", "1"),
}
NEED_DATA = {"catvnoncat", "mnist", "speech", "text", "translation"}


def test_every_study_is_here_or_needs_data():
    assert {*SHORT} | NEED_DATA == {*registry.NAMES}


@pytest.mark.parametrize("name", SHORT)
def test_page_of_a_study(tmp_path, name):
    folder, _ = run(tmp_path, name, *SHORT[name], "--no-compilation-cache")
    with chromium() as browser:
        for scheme, width in itertools.product(("light", "dark"), (1280, 390)):
            with watched(browser, viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
                page = context.new_page()
                page.goto((folder / "report.html").as_uri())
                assert page.evaluate("document.documentElement.scrollWidth") == width
                contrast, text = page.evaluate(CONTRAST)
                assert contrast >= 4.5, text
                assert page.locator("table").count() >= 2 and page.locator(".failure").count() == 0
                for picture in page.locator("figure img:visible").all():
                    shown = Image.open(io.BytesIO(picture.screenshot())).convert("RGB")
                    # No white sheet in the dark: the page is seen through the corner.
                    assert (max(shown.getpixel((1, 1))) < 60) == (scheme == "dark")
            assert len(context.visited) == 1
