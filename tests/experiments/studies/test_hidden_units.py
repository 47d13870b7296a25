"""hidden_units: the flower data, and a short run."""

import json

import numpy as np
import pytest

from experiments.cli import main
from experiments.studies.hidden_units import run as hidden_units


def test_a_flower_has_eight_petals_of_two_classes():
    flower = hidden_units.flower(1)
    assert flower.x.shape == (400, 2) and np.bincount(flower.y).tolist() == [200, 200]
    angle = np.arctan2(*flower.x.T) % (2 * np.pi)
    radius = np.hypot(*flower.x.T)
    # |4 sin 4θ| has eight petals, of height 4; the noise on it has deviation 0.2.
    assert 3.8 < radius.max() < 4.8
    assert 0.1 < abs(radius - abs(4 * np.sin(4 * angle))).mean() < 0.2
    np.testing.assert_array_equal(flower.x, hidden_units.flower(1).x)
    assert not np.array_equal(flower.x, hidden_units.flower(2).x)


@pytest.mark.full
def test_short_run(tmp_path, capsys):
    argv = ["run", "hidden_units", "--seeds", "2", "--iterations", "400", "--runs-dir", str(tmp_path)]
    assert main.main(argv) == 0
    (folder,) = tmp_path.iterdir()
    results = json.loads((folder / "results.json").read_text())
    assert [result["network"] for result in results] == [
        "logistic regression",
        *(f"{width} hidden" for width in (1, 2, 3, 4, 5, 20, 50)),
    ]
    median = {result["network"]: np.median(result["train"]) for result in results}
    # A line cannot do it, and the more units can, also in few steps.
    assert median["logistic regression"] < 0.6 < median["20 hidden"]
    out = capsys.readouterr().out
    assert f"{100 * median['20 hidden']:.1f} (" in out
    assert (folder / "boundaries.png").read_bytes().startswith(b"\x89PNG")
