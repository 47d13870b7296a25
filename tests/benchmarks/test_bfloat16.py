"""The bfloat16 benchmark trains every precision from the same seed, on synthetic data."""

import json
import re
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import jaxnn
from scripts.benchmarks import bfloat16
from scripts.benchmarks.speed.workloads import Data, mnist


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A small network, and synthetic data of two parts."""
    monkeypatch.setenv("JAXNN_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 512)
    made = Data((rng.random((10, 784))[y] + rng.random((512, 784)) - 1).astype(np.float32), y.astype(np.int32), False)
    monkeypatch.setattr(bfloat16, "SIZES", (784, 16, 10))
    monkeypatch.setattr(bfloat16, "RATE", 0.01)
    monkeypatch.setattr(bfloat16, "mnist", lambda part, m: made)
    return made


@pytest.mark.full
def test_all_precisions_learn_and_are_reported(small, tmp_path, capsys, no_rank_promotion_rule):
    arguments = ["--examples", "512", "--epochs", "8", "--seeds", "1", "--json", str(tmp_path / "found.json")]
    assert bfloat16.main(arguments) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert set(found) == set(bfloat16.DTYPES) and min(accuracy for (accuracy,) in found.values()) > 0.9
    said = capsys.readouterr().out
    assert "synthetic data" in said and f"{found['bfloat16'][0]:.2%}" in said


@pytest.mark.full
def test_the_network_is_computed_in_half_precision_on_params_in_float32(small, monkeypatch, no_rank_promotion_rule):
    seen = []

    def spy(objective, optimizer, params, x, y, **options):
        program = str(jax.make_jaxpr(objective.value_and_grad)(params, jaxnn.Batch(x, y)))
        halves = sorted(set(re.findall(r"\bb?f16\b", program)))
        scaled = jaxnn.optim.loss_scale(optimizer.init(params)) is not None
        seen.append((halves, scaled, {leaf.dtype.name for leaf in jax.tree.leaves(params)}))
        return SimpleNamespace(params=params)

    monkeypatch.setattr(bfloat16.jaxnn, "fit", spy)
    for dtype in bfloat16.DTYPES:
        bfloat16.train(dtype, 0, small, small, epochs=1)
    expected = [([], False), (["bf16"], False), (["f16"], False), (["f16"], True)]
    assert seen == [(*one, {"float32"}) for one in expected]


def test_made_parts_are_alike_and_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXNN_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("scripts.benchmarks.speed.workloads._made", lambda m, n, classes, seed: made(m))

    def made(m):
        return Data(np.arange(m)[:, None], np.arange(m), False)

    train, test = mnist("train", 60_000), mnist("t10k", 10_000)
    assert not set(train.y) & set(test.y) and len(test.y) == 10_000 and not train.real


@pytest.mark.parametrize("arguments", [["--examples", "10"], ["--epochs", "0"], ["--seeds", "0"]])
def test_invalid_options_are_rejected(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        bfloat16.main(arguments)
    assert stop.value.code == 2
    assert "--examples must be from 128 to 60000" in capsys.readouterr().err
