"""initialization in a short run: the reported results, and the course's data."""

import json

import jax
import numpy as np
import pytest

import jaxnn
from experiments.cli import main
from experiments.studies.initialization import Options
from experiments.studies.initialization import run as initialization
from tests.helpers.short_runs import assert_holds_everything, run


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run: its folder and its output."""
    return run(tmp_path_factory.mktemp("runs"), "initialization", "--steps", "300", "--seeds", "2")


@pytest.mark.full
def test_folder_has_all_files(done):
    assert_holds_everything(done, "initializations.png")


@pytest.mark.full
def test_zeros_and_small_weights_learn_nothing(done):
    results = json.loads((done[0] / "results.json").read_text())
    assert list(results) == ["zeros", "small", "large", "He", "Glorot"]
    assert results["zeros"]["train_accuracy"] == results["zeros"]["test_accuracy"] == [50.0, 50.0]
    for name in ("zeros", "small"):
        np.testing.assert_allclose(results[name]["final_cost"], np.log(2), rtol=1e-5)
    assert min(results["large"]["final_cost"]) > 1 > max(results["He"]["final_cost"])


@pytest.mark.full
def test_each_initialization_has_its_deviation_and_equals_a_single_training():
    options, data = Options(steps=5, seeds=2), initialization.rings()["train"]
    population = initialization.train(options, data, None)
    model = jaxnn.mlp(initialization.SIZES, "relu", init=jax.nn.initializers.normal(10.0))
    key = jax.random.key(1)
    alone = jaxnn.fit(
        *(jaxnn.objective(model.network, model.loss), jaxnn.optimizer("sgd", 0.01), model.init(key), data.x, data.y),
        **{"key": key, "epochs": 5},
    )
    large = list(initialization.INITIALIZATIONS).index("large") * 2 + 1
    np.testing.assert_allclose(population.losses[large], alone.losses, rtol=1e-4)
    # JAX's own draw a truncated bell, so only the deviation is the same.
    for name, jaxnn_name in (("He", "he"), ("Glorot", "glorot"), ("small", "normal")):
        wide = jaxnn.nn.INITIALIZERS[jaxnn_name]()(key, (400, 200), np.float32)
        assert float(wide.std()) == pytest.approx(initialization.INITIALIZATIONS[name](400, 200), rel=0.02)


@pytest.mark.full
@pytest.mark.parametrize("option", [["--steps", "0"], ["--seeds", "0"], ["--learning-rate", "0"]])
def test_bad_options_are_one_line_and_leave_nothing(option, capsys, tmp_path):
    assert main.main(["run", "initialization", *option, "--runs-dir", str(tmp_path / "runs")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "runs").exists()
