"""regularization in a short run: compared trainings have the same points and initial weights."""

import json

import jax
import numpy as np
import optax
import pytest

import jaxnn
from experiments.cli import main
from experiments.studies.regularization import Options
from experiments.studies.regularization import run as regularization
from tests.helpers.short_runs import assert_holds_everything, run


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run: its folder and its output."""
    return run(tmp_path_factory.mktemp("runs"), "regularization", "--steps", "40", "--seeds", "2")


@pytest.mark.full
def test_folder_has_all_files(done):
    assert_holds_everything(done, "boundaries.png")


@pytest.mark.full
def test_the_table_is_that_of_the_results(done):
    folder, out = done
    results = json.loads((folder / "results.json").read_text())
    assert list(results) == list(regularization.KINDS)
    for name, result in results.items():
        assert all(len(values) == 2 for values in result.values())
        (line,) = [line for line in out.splitlines() if line.strip().startswith(f"{name} ")]
        assert f"{np.mean(result['train']):.1f}" in line and f"{np.mean(result['test']):.1f}" in line
        if name != "none":
            change = np.array(result["test"]) - results["none"]["test"]
            assert f"{change.mean():+.1f} ± {abs(change[0] - change[1]):.1f}" in line  # 2 s/√2, s = |a - b|/√2


@pytest.mark.full
def test_points_are_moons_with_wrong_labels():
    from sklearn.datasets import make_moons

    pool = regularization.moons(200, seed=0)
    assert (pool.y != make_moons(200, noise=regularization.NOISE, random_state=0)[1]).sum() == 20
    sets = [np.asarray(regularization.drawn(seed)) for seed in (0, 1)]
    assert [(weights.sum(), set(weights)) for weights in sets] == [(100, {0, 1})] * 2
    assert (sets[0] != sets[1]).any()


@pytest.mark.full
def test_member_equals_a_single_training_on_its_points():
    """Seed 1 of "L2 0.01", by `fit` on the examples themselves."""
    pool = regularization.moons(regularization.POOL, seed=0)
    population = regularization.train(Options(steps=5, seeds=2), pool, None)
    mine = np.asarray(regularization.drawn(1)) == 1
    model = jaxnn.mlp(regularization.SIZES, "relu", init="he")
    objective = jaxnn.objective(model.network, model.loss, jaxnn.l2(0.01))
    member = population.member(2 * list(regularization.KINDS).index("L2 0.01") + 1)
    start = regularization.network().init(jax.random.split(jax.random.key(1))[0])
    start = tuple(layer for i, layer in enumerate(start) if i not in (2, 5))  # without the dropout layers
    alone = jaxnn.fit(
        *(objective, optax.adam(0.01), start, pool.x[mine], pool.y[mine]), key=jax.random.key(0), epochs=5
    )
    np.testing.assert_allclose(member.losses, alone.losses, rtol=1e-4)


@pytest.mark.full
@pytest.mark.parametrize("option", [["--steps", "0"], ["--seeds", "0"], ["--learning-rate", "0"]])
def test_bad_options_are_one_line_and_leave_nothing(option, capsys, tmp_path):
    assert main.main(["run", "regularization", *option, "--runs-dir", str(tmp_path / "runs")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "runs").exists()
