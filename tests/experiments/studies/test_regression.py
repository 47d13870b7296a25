"""regression in a short run, against ridge regression by the normal equations."""

import json

import numpy as np
import pytest

from experiments.cli import main
from experiments.studies.regression import run as regression


def test_target_is_scaled_but_not_centered():
    data = regression.load(0)
    assert [len(part.y) for part in data[:3]] == [265, 89, 88]
    np.testing.assert_allclose([data.train.x.mean(axis=0), data.train.x.std(axis=0) - 1], 0, atol=1e-12)
    assert data.train.y.min() > 0
    np.testing.assert_allclose(data.train.y.std(), 1)


@pytest.mark.full
def test_short_run(tmp_path, capsys):
    argv = ["run", "regression", "--seeds", "2", "--iterations", "15000", "--hidden-iterations", "100"]
    assert main.main([*argv, "--runs-dir", str(tmp_path)]) == 0
    (folder,) = tmp_path.iterdir()
    results = json.loads((folder / "results.json").read_text())
    networks = results["networks"]
    # Ridge by the normal equations, of centerd data.
    data = regression.load(0)
    mean, m, errors = data.train.y.mean(), len(data.train.y), []
    for strength in regression.STRENGTHS:
        gram = data.train.x.T @ data.train.x + m * strength * np.eye(10)
        w = np.linalg.solve(gram, data.train.x.T @ (data.train.y - mean))
        errors.append(data.scale * np.sqrt(np.mean((data.dev.x @ w + mean - data.dev.y) ** 2)))
    for name in ("ridge, closed form", "linear output"):
        np.testing.assert_allclose(networks[name]["dev_by_strength"], errors, rtol=1e-9)
    assert results["to_ridge"] < 1e-10
    assert results["change_from_zeros"] == 0
    assert networks["mean of the training set"]["train"] > networks["linear output"]["train"]
    assert all(networks[name]["smallest"] >= 0 for name in networks if "ReLU" in name)
    assert f"{networks['linear output']['test']:.2f}" in capsys.readouterr().out
