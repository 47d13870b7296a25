"""A run folder that the first version of the experiments wrote is still read, and a newer format is refused plainly."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import jaxnn
from experiments.cli import main
from experiments.networks.storage import load, load_from_run
from experiments.studies.ladder.data import load_datasets

OLD_RUN = Path(__file__).parent / "old_run"
"""Of the ladder with --epochs 2, by the commit that first had experiments; pictures and the digits are left out."""


@pytest.mark.parametrize("name", ["logistic", "one-hidden"])
def test_its_networks_have_the_accuracy_that_it_reported(name):
    _, network = load_from_run(OLD_RUN, f"breast-cancer-{name}")
    (reported,) = [
        row["accuracy"]
        for row in json.loads((OLD_RUN / "results.json").read_text())
        if (row["data"], row["network"]) == ("breast cancer", name)
    ]
    data = load_datasets(0)[0]
    np.testing.assert_array_equal(network.standardizer.mean, data.standardizer.mean)
    for part in ("dev", "test", "train"):
        batch = getattr(data, part)
        labels = network.spec.model().classify(network.params, batch.x)
        assert float(jaxnn.accuracy(labels, batch.y)) == pytest.approx(reported[part], abs=1e-6)


def test_it_can_be_exported(capsys, tmp_path):
    out = tmp_path / "old.npz"
    assert main.main(["export", str(OLD_RUN), "--to", "npz", "--out", str(out)]) == 0
    assert "breast-cancer-one-hidden, 30-32-1 (relu, binary)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("2", "newer jaxnn, in version 2 of its format; this one reads versions up to 1: update jaxnn"),
        ("0", "damaged: format_version is '0'"),
        ("1.0", "damaged: format_version is '1.0'"),
        ("", "damaged: format_version is ''"),
    ],
)
def test_a_version_that_is_not_known_is_refused(tmp_path, version, message):
    path = Path(shutil.copy(OLD_RUN / "breast-cancer-logistic.safetensors", tmp_path))
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    save_file(load_file(path), path, metadata | {"format_version": version})
    with pytest.raises(ValueError, match=message):
        load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"standardizer/std": None},
        {"standardizer/mean": np.zeros(3, np.float32)},
        {"standardizer/std": np.zeros(30, np.float32)},
        {"standardizer/mean": np.full(30, np.nan, np.float32)},
    ],
)
def test_a_standardizer_that_does_not_fit_is_refused(tmp_path, change):
    path = Path(shutil.copy(OLD_RUN / "breast-cancer-logistic.safetensors", tmp_path))
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    tensors = load_file(path) | change
    save_file({name: array for name, array in tensors.items() if array is not None}, path, metadata)
    with pytest.raises(ValueError, match="is damaged: its standardizer"):
        load(path)
