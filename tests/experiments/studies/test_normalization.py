"""normalization in a short run, and its measures against NumPy in float64."""

import json
import os
import signal
from contextlib import contextmanager

import jax
import numpy as np
import pytest

import jaxnn
from experiments.cli import main
from experiments.cli.repeat import compare
from experiments.studies.normalization import Options, networks
from experiments.studies.normalization import run as normalization
from tests.helpers.short_runs import assert_holds_everything, run

pytestmark = pytest.mark.usefixtures("quick_compilation")
SMALL = ("--layers", "3", "--width", "8", "--epochs", "2", "--seeds", "1")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run with a rate that trains and one that diverges: its folder, and what it printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(normalization, "RATES", np.array([0.125, 1e30]))
        return run(tmp_path_factory.mktemp("runs"), "normalization", *SMALL)


@pytest.mark.full
def test_folder_has_all_files(done):
    assert_holds_everything(done, "normalization.png")


@pytest.mark.full
def test_a_rate_that_diverges_is_reported_as_such(done):
    results = json.loads((done[0] / "results.json").read_text())
    assert list(results) == list(networks.KINDS)
    for result in results.values():
        assert [len(losses) for losses in result["losses"]] == [1, 1]
        assert (len(result["deviations"]), len(result["gradients"])) == (3, 4)
        assert 0 < result["losses"][0][0] < 2.5
    assert results["none"]["losses"][1] == results["none, He"]["losses"][1] == [None]


@pytest.mark.full
@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_run_is_resumed_bit_for_bit(done, tmp_path, monkeypatch, capsys):
    @contextmanager
    def interrupting(description, total):
        yield lambda done, note: os.kill(os.getpid(), signal.SIGINT) if (done, note) == (5, "batch norm") else None

    monkeypatch.setattr(normalization, "RATES", np.array([0.125, 1e30]))
    with monkeypatch.context() as patch:
        patch.setattr(normalization, "show_progress", interrupting)
        argv = ["run", "normalization", *SMALL, "--runs-dir", str(tmp_path), "--checkpoint-every", "1e-9"]
        assert main.main(argv) == 130
    (run,) = tmp_path.iterdir()
    assert main.main(["resume", str(run)]) == 0
    assert "batch norm: resumed after epoch 1" in capsys.readouterr().err
    assert compare(done[0], run).different == {}


@pytest.mark.full
def test_a_member_equals_a_single_training(monkeypatch):
    monkeypatch.setattr(normalization, "RATES", np.array([0.0625, 0.125]))
    train, dev = normalization.digits()
    options, kind = Options(layers=2, width=8, epochs=2, seeds=2), networks.KINDS["batch norm"]
    result = normalization.measure(kind, options, train, dev)

    network = jaxnn.chain(*networks.make_blocks(kind, 2, 8, 10))
    objective = jaxnn.objective(network, jaxnn.softmax_cross_entropy())
    # Batches are shared: all members have those of the first key, and so has this training of the first member.
    init_key, fit_key = jax.random.split(jax.random.key(0))
    alone = jaxnn.fit(
        *(objective, jaxnn.optimizer("sgd", 0.125), network.init(init_key, (64,))[0], train.x, train.y),
        **dict(key=fit_key, epochs=2, batch_size=128),
    )
    np.testing.assert_allclose(result.losses[1, 0], alone.history[-1]["loss"], rtol=1e-4)
    predicted = np.asarray(network.infer(alone.params, alone.stats, dev.x)).argmax(axis=1)
    assert result.accuracy[1, 0] == pytest.approx(100 * (predicted == dev.y).mean(), abs=0.3)


def normalized(z, name):
    axis = {"batch norm": 0, "layer norm": 1}.get(name)
    if axis is None:
        return z
    return (z - z.mean(axis, keepdims=True)) / np.sqrt(z.var(axis, keepdims=True) + 1e-5)


def cost(weights, x, y, name):
    """Return the mean cross-entropy, and the activations of the hidden layers, of zero biases."""
    activations = []
    for w in weights[:-1]:
        x = np.maximum(normalized(x @ w.T, name), 0)
        activations.append(x)
    z = x @ weights[-1].T
    return (np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]).mean(), activations


@pytest.mark.full
@pytest.mark.parametrize("name", networks.KINDS)
def test_start_is_that_of_numpy(name):
    """Deviations, and gradients from difference quotients of every weight."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 5)), rng.integers(0, 3, 12)
    blocks = networks.make_blocks(networks.KINDS[name], 3, 6, 3)
    with jax.enable_x64(True):
        network, loss = jaxnn.chain(*blocks), jaxnn.softmax_cross_entropy()
        params, _ = network.init(jax.random.key(0), (5,))
        weights = [np.asarray(own[0]["W"], np.float64) for own in params]
        start = networks.measure_start(blocks, params, loss, jaxnn.Batch(x, y))
    expected = [a.std() for a in cost(weights, x, y, name)[1]]
    np.testing.assert_allclose(start.deviations, expected, rtol=1e-6)
    for l, w in enumerate(weights):
        gradient = np.zeros_like(w)
        for at in np.ndindex(w.shape):
            step = np.zeros_like(w)
            step[at] = 1e-6
            above, below = (cost([*weights[:l], w + s, *weights[l + 1 :]], x, y, name)[0] for s in (step, -step))
            gradient[at] = (above - below) / 2e-6
        np.testing.assert_allclose(start.gradients[l], np.linalg.norm(gradient), rtol=1e-5, atol=1e-9)


def test_trained_rates_are_those_of_the_median_and_a_divergence_counts_as_infinite():
    losses = np.full((len(normalization.RATES), 3), 3.0)
    losses[2] = (0.1, 0.2, np.nan)
    losses[3] = (0.1, np.nan, np.nan)
    result = normalization.Result(networks.Start(np.ones(2), np.ones(3)), losses, np.full(losses.shape, 50.0))
    assert result.trained.tolist() == [normalization.RATES[2]]
    assert result.medians[[2, 3]].tolist() == [0.2, np.inf]
    assert normalization._cells(result)[2:5] == ["0.00098 to 0.00098", "1", "0.200"]


@pytest.mark.parametrize("option", ["--layers", "--width", "--epochs", "--seeds"])
def test_bad_options_are_one_line_and_leave_nothing(option, capsys, tmp_path):
    assert main.main(["run", "normalization", option, "0", "--runs-dir", str(tmp_path / "runs")]) == 2
    assert f"{option} must be at least 1, got 0" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
