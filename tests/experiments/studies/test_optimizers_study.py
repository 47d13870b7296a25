"""optimizers in a short run, against closed forms."""

import json

import numpy as np
import pytest

from experiments.cli import main
from experiments.studies.optimizers import run as optimizers
from tests.helpers.short_runs import assert_holds_everything, run


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run with one optimizer and two rates: its folder, and what it printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimizers, "OPTIMIZERS", ("sgd",))
        patch.setattr(optimizers, "PATHS", ("sgd",))
        patch.setattr(optimizers, "PATH_STEPS", 5)
        patch.setattr(optimizers, "RATES", np.array([0.004, 1.0]))
        return run(tmp_path_factory.mktemp("runs"), "optimizers", "--line-steps", "40", "--network-steps", "8")


@pytest.mark.full
def test_folder_has_all_files(done):
    assert_holds_everything(done, "optimizers.png")


@pytest.mark.full
def test_round_bowl_needs_one_step_and_the_elongated_one_many(done):
    """On curvature 1 in every direction, gradient descent with rate 1 is Newton's step."""
    elongated, round_, _ = json.loads((done[0] / "results.json").read_text())
    assert round_ == {"problem": "line, x standardized", "optimizer": "sgd", "rate": 1.0, "steps": 1}
    assert elongated == {"problem": "line, x raw", "optimizer": "sgd", "rate": 0.004, "steps": None}  # 1 diverges
    assert "> 40" in done[1]


def test_goal_that_is_left_again_is_not_reached(monkeypatch):
    """On the round bowl momentum with rate 1 also makes Newton's step, and continues from there."""
    monkeypatch.setattr(optimizers, "RATES", np.array([1.0]))
    result = optimizers.minimize(optimizers.lines(10)[1], "momentum")
    assert result.costs[1] < optimizers.lines(10)[1].goal < result.costs[-1]
    assert result.reached is None


@pytest.mark.full
def test_costs_and_paths_are_those_of_the_closed_form():
    """J(v) = J* + (v - v*)ᵀ H (v - v*)/2 along v - v* := (1 - rate H)ᵗ (v - v*), H the curvature."""
    for problem, rate in zip(optimizers.lines(30), (0.004, 0.3), strict=True):
        x, y = (a[:, 0].astype(np.float64) for a in problem.data[:2])
        design = np.stack([x, np.ones_like(x)], axis=1)
        H, best = design.T @ design / len(x), np.linalg.lstsq(design, y)[0]
        assert np.mean((design @ best - y) ** 2) / 2 == pytest.approx(problem.lowest)
        away, expected = -best, []
        for _ in range(optimizers.PATH_STEPS + 1):
            expected.append(best + away)
            away = away - rate * H @ away
        path = optimizers.path(problem, "sgd", rate)
        np.testing.assert_allclose(path, expected, rtol=1e-3, atol=1e-3)
        assert optimizers._elongation(problem) == pytest.approx(np.linalg.cond(H))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(optimizers, "RATES", np.array([rate]))
            costs = optimizers.minimize(problem, "sgd").costs
        offsets = np.array(expected[:30]) - best
        np.testing.assert_allclose(costs, problem.lowest + np.einsum("ti,ij,tj->t", offsets, H, offsets) / 2, rtol=1e-3)


@pytest.mark.parametrize("option", ["--line-steps", "--network-steps"])
def test_bad_options_are_one_line_and_leave_nothing(option, capsys, tmp_path):
    assert main.main(["run", "optimizers", option, "0", "--runs-dir", str(tmp_path / "runs")]) == 2
    assert f"{option} must be at least 1, got 0" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
