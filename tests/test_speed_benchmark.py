"""The speed benchmark measures what it says: the judge of losses, the entries it can run anywhere, the table."""

import jax
import numpy as np
import pytest

import jaxnn
from scripts.benchmarks.speed import measure
from scripts.benchmarks.speed.roofline import Limits, share
from scripts.benchmarks.speed.workloads import WORKLOADS, load, mean_loss, prepare

TINY = WORKLOADS["tiny"]


@pytest.mark.parametrize("name", ["tiny", "mnist", "course", "deep-64"])
def test_judge_agrees_with_jaxnn(name):
    workload = WORKLOADS[name]
    model = jaxnn.mlp(workload.sizes, workload.activation, output=workload.output)
    params = model.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, workload.sizes[0])).astype(np.float32)
    y = rng.integers(0, 2, 8).astype(np.int32)
    value = jaxnn.objective(model.network, model.loss).value(params, jaxnn.Batch(x, y))
    arrays = [np.asarray(a) for a in jaxnn.params_to_arrays(model.network, params)]
    np.testing.assert_allclose(mean_loss(workload, arrays, x, y), value, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in WORKLOADS if name != "mnist"])  # too large to make in a test
def test_data_have_the_shapes_of_the_workload(name, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXNN_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    workload = WORKLOADS[name]
    real = prepare(workload, tmp_path)
    x, y = load(tmp_path)
    assert real == (workload.data not in ("cats", "mnist"))  # made ones stand in where there are no files
    assert x.shape == (len(y), workload.sizes[0]) and x.dtype == np.float32
    assert workload.batch is None or workload.steps * workload.batch % len(y) == 0  # whole epochs
    assert y.min() >= 0 and y.max() < max(2, workload.sizes[-1])


@pytest.mark.parametrize("module", ["jaxnn_fit", "jaxnn_auto", "raw", "with_numpy", "with_stax", "with_sklearn"])
def test_entries_learn(module, tmp_path, no_rank_promotion_rule):
    """Each by its own code, a short training; the laps are all told."""
    prepare(TINY, tmp_path)
    x, y = load(tmp_path)
    short, laps = TINY._replace(laps=3, steps=320), []
    entry = __import__(f"scripts.benchmarks.speed.peers.{module}", fromlist=["train"])
    arrays = entry.train(short, x, y, lambda: laps.append(1))
    assert len(laps) == 3
    assert mean_loss(short, arrays, x, y) < 0.5


def test_an_entry_runs_in_its_own_process_and_is_judged(tmp_path):
    prepare(TINY, tmp_path)
    run = measure.run("NumPy", TINY, "tiny", tmp_path, timeout=100)
    assert run.whole > TINY.laps * (TINY.steps - 1) * run.step * 0.5
    assert run.loss <= TINY.target and run.peak > 2**20
    said = measure.run("NumPy", TINY._replace(target=0.0), "tiny", tmp_path, timeout=100)
    assert said.startswith("reached a loss of")


def test_what_is_not_installed_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(measure.PEERS, "nothing", ("nothing", "no_such_package"))
    assert measure.run("nothing", TINY, "tiny", tmp_path, timeout=1) == "not installed"
    monkeypatch.setitem(measure.PEERS, "broken", ("no_such_module", "numpy"))
    assert measure.run("broken", TINY, "tiny", tmp_path, timeout=60).startswith("failed: ModuleNotFoundError")
    assert "not done after" in measure.run("NumPy", TINY, "tiny", tmp_path, timeout=0.01)


def test_table_tells_ratios_to_the_fastest():
    fast, slow = measure.Run(1.0, 0.1, 0.001, 2**20, 0.1), measure.Run(2.0, 0.2, 0.003, 2**21, 0.1)
    text = measure.table("tiny", {"a": fast, "b": slow, "c": "not installed"}, True, Limits(1e9, 1e9, 1e9))
    lines = {line.split()[0]: line.split() for line in text.splitlines()[2:]}
    assert lines["a"][3] == "1.00" and lines["b"][3] == "2.00"
    assert "3.00" in lines["b"] and lines["c"][1:] == ["not", "installed"]
    against = measure.table("tiny", {"a": fast, "b": slow}, True, Limits(1e9, 1e9, 1e9), "b")
    assert "0.50" in against and "0.33" in against
    assert measure.medians([fast, slow, slow]) == slow
    assert measure.medians([fast, "failed"]) == "failed"


def test_floor_counts_the_products():
    """Full batch logistic regression: two products of 2 m n operations; reading is the larger need."""
    text = share(WORKLOADS["logistic"], Limits(1e12, 1e9, 1e9), 0.1)
    assert "1e+07 operations" in text and "by reading" in text


@pytest.mark.parametrize("arguments", [["--repeats", "0"], ["--peer", "Nobody"], ["--workload", "none"]])
def test_bad_options_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        measure.main(arguments)
    assert stop.value.code == 2
    assert "error" in capsys.readouterr().err
