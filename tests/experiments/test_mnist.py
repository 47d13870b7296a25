"""The mnist experiment: its short form from files to report, its presets, and files that are not right."""

import gzip
import json

import numpy as np
import pytest

import jaxnn
from experiments import network_file
from experiments.cli import main
from experiments.mnist.data import read_images
from experiments.mnist.presets import PRESETS
from tests.experiments.test_idx import idx

pytestmark = pytest.mark.usefixtures("quick_compilation")


def digits(m, seed):
    """Images of which a network can learn ten classes: a bright block at the class's place, and noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 10, m).astype(np.uint8)
    images = rng.integers(0, 60, (m, 28, 28)).astype(np.uint8)
    for image, label in zip(images, y, strict=True):
        image[5 * (label // 5) + 8 : 5 * (label // 5) + 12, 4 * (label % 5) + 4 : 4 * (label % 5) + 8] = 250
    return images, y


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mnist")
    for name, m, seed in (("train", 600, 0), ("t10k", 200, 1)):
        images, labels = digits(m, seed)
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder


def run(data_dir, tmp_path, *options):
    runs = tmp_path / "runs"
    status = main(
        ["run", "mnist", "--data-dir", str(data_dir), "--runs-dir", str(runs), "--no-compilation-cache", *options]
    )
    return status, next(iter(runs.iterdir()), None) if runs.exists() else None


def test_a_short_run(data_dir, tmp_path, capsys):
    options = ("--preset", "simard-elastic", "--epochs", "8", "--seeds", "2", "--batch-size", "50", "--ensemble")
    status, folder = run(data_dir, tmp_path, *options)
    printed = capsys.readouterr()
    assert status == 0, printed.err
    results = json.loads((folder / "results.json").read_text())
    assert len(results["test_error"]) == 2 and max(results["test_error"]) < 0.2
    assert 0 < results["gradient_difference"] < 1e-6
    assert f"{100 * results['ensemble_error']:.2f}" in printed.out and "0.70" in printed.out
    assert "Simard, Steinkraus and Platt 2003" in (folder / "report.txt").read_text()
    pictures = {"curves.png", "confusion.png", "mistakes.png", "weights.png", "signals.png", "distorted.png"}
    assert pictures <= {path.name for path in folder.iterdir()}
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 8

    # The stored networks are those that were measured.
    images, y = digits(200, 1)
    x = images.reshape(200, -1).astype(np.float32) / 255
    for seed, error in enumerate(results["test_error"]):
        stored = network_file.load(folder / f"seed-{seed}.safetensors")
        answers = stored.spec.model().classify(stored.params, x)
        assert float(jaxnn.error_rate(answers, y.astype(int))) == pytest.approx(error, abs=1e-6)


def test_a_start_that_diverges_says_in_which_layer(data_dir, tmp_path, capsys):
    options = (
        "--preset",
        "lecun-300",
        "--epochs",
        "1",
        "--seeds",
        "1",
        "--learning-rate",
        "1e30",
        "--batch-size",
        "50",
    )
    status, folder = run(data_dir, tmp_path, *options)
    error = capsys.readouterr().err
    assert status == 1 and "lecun-300 diverged at step " in error and "overflowed first" in error
    assert "try a smaller --learning-rate" in error and (folder / "seed-0.safetensors").exists()


def test_dev_opens_no_test_file(data_dir, tmp_path, capsys, monkeypatch):
    opened = []

    def read(paths):
        opened.append(paths)
        return read_images(paths)

    monkeypatch.setattr("experiments.mnist.run.read_images", read)
    options = ("--preset", "lecun-300", "--epochs", "3", "--seeds", "1", "--dev", "--on-nan", "skip")
    status, folder = run(data_dir, tmp_path, *options)
    assert status == 0, capsys.readouterr().err
    assert [paths[0].name for paths in opened] == ["train-images-idx3-ubyte.gz"]
    results = json.loads((folder / "results.json").read_text())
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert "test_error" not in results and metrics[-1]["dev_error"] == pytest.approx(results["dev_error"][0], abs=1e-6)


def test_presets_are_what_they_say():
    assert all(preset.model().in_shape == (784,) for preset in PRESETS.values())
    srivastava = PRESETS["srivastava-dropout"]
    assert (srivastava.input_dropout, srivastava.dropout) == (0.2, 0.5)
    assert str(PRESETS["ciresan-deformations"].spec) == "784-2500-2000-1500-1000-500-10"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "lecun"], "invalid choice"),
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--epochs", "0"], "--epochs must be at least 1"),
        (["--batch-size", "601"], "--batch-size must be 1 to 600"),
        (["--learning-rate", "-1"], "learning rate must be positive"),
        (["--seed", "-1"], "--seed must be from 0"),
    ],
)
def test_bad_options(data_dir, tmp_path, capsys, options, message):
    status, folder = run(data_dir, tmp_path, *options)
    error = capsys.readouterr().err
    assert (status, folder) == (2, None) and message in error and len(error.splitlines()) == 1


def change(data_dir, tmp_path, name, data):
    folder = tmp_path / "damaged"
    folder.mkdir()
    for path in data_dir.iterdir():
        if not path.name.startswith(name):
            (folder / path.name).write_bytes(path.read_bytes())
    if data is not None:
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t10k-labels-idx1-ubyte", None, "no folder has the four files"),
        ("train-images-idx3-ubyte", idx(np.zeros((600, 32, 32), np.uint8)), "expected (m, 28, 28)"),
        ("train-labels-idx1-ubyte", idx(np.zeros(599, np.uint8)), "599 labels for the 600 images"),
        ("t10k-labels-idx1-ubyte", idx(np.full(200, 10, np.uint8)), "labels up to 10, expected the digits"),
        ("t10k-images-idx3-ubyte", idx(np.zeros((0, 28, 28), np.uint8)), "m above 0"),
        ("train-images-idx3-ubyte.gz", b"no gzip", "no gzip file, or a damaged one"),
    ],
)  # fmt: skip
def test_bad_files_leave_nothing_behind(data_dir, tmp_path, capsys, name, data, message):
    status, folder = run(change(data_dir, tmp_path, name, data), tmp_path)
    error = capsys.readouterr().err
    assert (status, folder) == (2, None) and message in error and len(error.splitlines()) == 1
