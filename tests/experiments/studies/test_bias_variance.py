"""bias_variance in a short run: the diagnosis finds the fault of each network."""

import json

import numpy as np
import pytest

from experiments.cli import main
from experiments.studies.bias_variance import run as bias_variance


@pytest.mark.full
def test_moved_images():
    digits = bias_variance.load(0)
    before, after = (part.x.reshape(-1, 8, 8) for part in (digits.dev, bias_variance.moved(digits.dev)))
    np.testing.assert_array_equal(after[:, :, 2:], before[:, :, :6])
    assert not after[:, :, :2].any()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    argv = ["run", "bias_variance", "--epochs", "20", "--curve-epochs", "30", "--runs-dir", str(runs)]
    assert main.main(argv) == 0
    (folder,) = runs.iterdir()
    for picture in ("learning_curves.png", "reliability.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    return json.loads((folder / "results.json").read_text()), (folder / "report.txt").read_text()


@pytest.mark.full
def test_each_diagnosis_names_what_was_done(results):
    small, short, few, moved, good, chosen = results[0]["trainings"]
    assert small["found"][0] == short["found"][0] == "bias"
    assert few["found"][0] == "variance"
    assert moved["found"][0] == "mismatch"
    assert "dev_overfitting" in chosen["found"] and chosen["dev_error"] < chosen["train_error"]
    assert not any("dev_overfitting" in other["found"] for other in (small, short, few, moved, good))
    assert max(good["bias"], good["variance"]) < 0.06 < few["variance"] < small["bias"]
    assert good["ece"] < few["ece"]


@pytest.mark.full
def test_report_has_gaps_and_next_steps(results):
    trainings, text = results[0]["trainings"], results[1]
    for training in trainings:
        assert f"{100 * training['bias']:.1f} ± {100 * training['noise']['bias']:.1f}" in text
        assert all(step in text for step in training["next_steps"])


@pytest.mark.full
def test_learning_curves_fall_on_dev(results):
    curve = results[0]["learning_curve"]
    assert all(dev[-1] < dev[0] for dev in curve["dev"])
    # The small network's errors have met where the large one's have not begun to.
    (small, large) = (dev[-1] - train[-1] for train, dev in zip(curve["train"], curve["dev"], strict=True))
    assert curve["train"][1][0] == 0 and abs(small) < 0.02 + abs(large)
