"""vectorization: the four gradients against finite differences, and a short run."""

import json

import numpy as np
import pytest

from experiments.cli import main
from experiments.studies.vectorization import gradients
from experiments.studies.vectorization import run as vectorization


@pytest.mark.parametrize("way", ["double_loop", "example_loop", "vectorized", "compiled"])
def test_each_is_the_slope_of_the_cost(way, x64):
    w, b, x, y = vectorization._numbers(7, 3)

    def cost(w, b):
        z = x @ w + b
        return np.mean(np.logaddexp(0, z) - y * z)

    h = 1e-6
    slopes = [(cost(w + h * e, b) - cost(w - h * e, b)) / (2 * h) for e in np.eye(3)]
    slopes.append((cost(w, b + h) - cost(w, b - h)) / (2 * h))
    computed = getattr(gradients, way)(w, b, x, y)
    computed = vectorization._as_array(computed() if way == "compiled" else computed)
    np.testing.assert_allclose(computed, slopes, rtol=1e-7, atol=1e-9)


def test_short_run(tmp_path, capsys):
    argv = ["run", "vectorization", "--examples", "40", "--features", "30", "--repeats", "1"]
    assert main.main([*argv, "--runs-dir", str(tmp_path)]) == 0
    (folder,) = tmp_path.iterdir()
    results = json.loads((folder / "results.json").read_text())
    assert len(results["differences"]) == 4
    assert max(results["differences"].values()) < 1e-12
    out = capsys.readouterr().out
    assert out.count("arrays, jaxnn compiled") == 2
    (line,) = [line for line in (folder / "timings.txt").read_text().splitlines() if "jaxnn compiled" in line]
    assert line in out and float(line.split()[-2]) > 0 and line.split()[-1] == "1.0"


def test_a_wrong_gradient_fails_the_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(vectorization, "vectorized", lambda w, b, x, y: (x.T @ (x @ w) / len(y), 0.0))
    argv = ["run", "vectorization", "--examples", "4", "--features", "3", "--repeats", "1"]
    assert main.main([*argv, "--runs-dir", str(tmp_path)]) == 1
    assert "the gradients differ by" in capsys.readouterr().err
