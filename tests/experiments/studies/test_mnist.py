"""mnist: a short run from files to report, its presets, and invalid files."""

import gzip
import json
import os
import signal

import jax
import numpy as np
import pytest

import jaxnn
from experiments.cli.main import main
from experiments.cli.repeat import compare
from experiments.interchange.formats import FORMATS
from experiments.networks import storage
from experiments.networks.spec import LayersSpec
from experiments.runs.folder import RunFolder
from experiments.studies.mnist import convolutional
from experiments.studies.mnist.data import find_files, read_classes, read_images
from experiments.studies.mnist.presets import PRESETS
from tests.experiments.readers.test_idx import idx
from tests.helpers.caches import own_cache
from tests.helpers.oracle import windows

pytestmark = pytest.mark.usefixtures("quick_compilation")


def digits(m, seed):
    """Return images of ten classes that can be learned: a bright block at a position per class, and noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 10, m).astype(np.uint8)
    images = rng.integers(0, 60, (m, 28, 28)).astype(np.uint8)
    for image, label in zip(images, y, strict=True):
        image[5 * (label // 5) + 8 : 5 * (label // 5) + 12, 4 * (label % 5) + 4 : 4 * (label % 5) + 8] = 250
    return images, y


def write_digits(folder, m, m_test):
    for name, n, seed in (("train", m, 0), ("t10k", m_test, 1)):
        images, labels = digits(n, seed)
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("mnist"), 600, 200)


def run(data_dir, tmp_path, *options):
    runs = tmp_path / "runs"
    status = main(
        ["run", "mnist", "--data-dir", str(data_dir), "--runs-dir", str(runs), "--no-compilation-cache", *options]
    )
    return status, next(iter(runs.iterdir()), None) if runs.exists() else None


@pytest.mark.full
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
        stored = storage.load(folder / f"seed-{seed}.safetensors")
        answers = stored.spec.model().predict(stored.params, x)
        assert float(jaxnn.metrics.error_rate(answers, y.astype(int))) == pytest.approx(error, abs=1e-6)


@pytest.mark.full
def test_diverged_seed_names_the_layer(data_dir, tmp_path, capsys):
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


@pytest.mark.full
def test_dev_opens_no_test_file(data_dir, tmp_path, capsys, monkeypatch):
    opened = []

    def read(paths, classes):
        opened.append(paths)
        return read_images(paths, classes)

    monkeypatch.setattr("experiments.studies.mnist.run.read_images", read)
    options = ("--preset", "lecun-300", "--epochs", "3", "--seeds", "1", "--dev", "--on-nan", "skip")
    status, folder = run(data_dir, tmp_path, *options)
    assert status == 0, capsys.readouterr().err
    assert [paths[0].name for paths in opened] == ["train-images-idx3-ubyte.gz"]
    results = json.loads((folder / "results.json").read_text())
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(line["dev_loss"] > 0 for line in metrics)
    assert "test_error" not in results and metrics[-1]["dev_error"] == pytest.approx(results["dev_error"][0], abs=1e-6)


def test_presets_match_their_declaration():
    of_images = {name for name, preset in PRESETS.items() if preset.model().in_shape == (28, 28, 1)}
    of_sequences = {"rows-lstm", "pixels-lstm", "permuted-lstm"}
    assert of_images == {"lenet5", "lenet5-distorted", "simard-conv", "committee"} | of_sequences
    assert all(PRESETS[name].model().in_shape == (784,) for name in PRESETS.keys() - of_images)
    assert all(str(PRESETS[name].spec) == "28x28x1-128-10" for name in of_sequences)
    assert PRESETS["lenet5"].model() == jaxnn.models.lenet()
    assert str(PRESETS["simard-conv"].spec) == "28x28x1-13x13x5-5x5x50-100-10"
    srivastava = PRESETS["srivastava-dropout"]
    assert (srivastava.input_dropout, srivastava.dropout) == (0.2, 0.5)
    assert str(PRESETS["ciresan-deformations"].spec) == "784-2500-2000-1500-1000-500-10"
    assert str(PRESETS["committee"].spec) == "28x28x1-26x26x32-24x24x32-10x10x64-8x8x64-128-10"
    assert {name for name, preset in PRESETS.items() if preset.committee} == {"committee"}
    assert {name for name, preset in PRESETS.items() if preset.seeds != 4} == {"committee"}


@pytest.mark.full
def test_committee_has_five_networks_and_reports_their_ensemble(tmp_path, capsys):
    """On few images: an epoch of all is minutes of convolutions, which are slow without optimization."""
    (tmp_path / "data").mkdir()
    data_dir = write_digits(tmp_path / "data", 40, 200)
    status, folder = run(data_dir, tmp_path, "--preset", "committee", "--epochs", "2", "--batch-size", "20")
    printed = capsys.readouterr()
    assert status == 0, printed.err
    results = json.loads((folder / "results.json").read_text())
    assert len(results["test_error"]) == 5
    assert "ensemble" in printed.out and f"{100 * results['ensemble_error']:.2f}" in printed.out

    # The ensemble is the mean of the probabilities of the stored networks.
    images, y = digits(200, 1)
    x = images.reshape(200, 28, 28, 1).astype(np.float32) / 255
    networks = [storage.load(folder / f"seed-{seed}.safetensors") for seed in range(5)]
    mean = np.mean([each.spec.model().predict_proba(each.params, x) for each in networks], axis=0)
    assert len({*results["test_error"]}) > 2  # so that it is not the error of each of them
    assert (mean.argmax(axis=1) != y).mean() == pytest.approx(results["ensemble_error"], abs=1e-6)


@pytest.mark.full
def test_gradients_with_dropout_are_checked_with_a_key(data_dir, tmp_path, capsys):
    options = ("--preset", "srivastava-dropout", "--epochs", "1", "--seeds", "1", "--batch-size", "50")
    status, folder = run(data_dir, tmp_path, *options)
    assert status == 0, capsys.readouterr().err
    assert json.loads((folder / "results.json").read_text())["gradient_difference"] < 1e-10


CONV = ("--preset", "simard-conv", "--epochs", "4", "--seeds", "2", "--batch-size", "50", "--ensemble")


@pytest.fixture(scope="module")
def convolutional_run(data_dir, tmp_path_factory):
    """A folder with the cache of programs, and an undisturbed run."""
    folder = tmp_path_factory.mktemp("convolutional")
    with own_cache(folder / "cache"):
        assert main(["run", "mnist", "--data-dir", str(data_dir), "--runs-dir", str(folder / "runs"), *CONV]) == 0
        (run,) = (folder / "runs").iterdir()
        yield run


@pytest.mark.full
def test_a_short_convolutional_run(convolutional_run, tmp_path, capsys):
    results = json.loads((convolutional_run / "results.json").read_text())
    assert len(results["test_error"]) == 2 and max(results["test_error"]) < 0.1
    assert 0 < results["gradient_difference"] < 1e-6
    pictures = {"weights.png", "maps-1.png", "maps-2.png", "saliency.png", "distorted.png", "signals.png"}
    assert pictures <= {path.name for path in convolutional_run.iterdir()}

    images, y = digits(200, 1)
    x = images.reshape(200, 28, 28, 1).astype(np.float32) / 255
    for seed, error in enumerate(results["test_error"]):
        stored = storage.load(convolutional_run / f"seed-{seed}.safetensors")
        answers = stored.spec.model().predict(stored.params, x)
        assert float(jaxnn.metrics.error_rate(answers, y.astype(int))) == pytest.approx(error, abs=1e-6)

    out = tmp_path / "f.stablehlo"
    argv = ["export", str(convolutional_run), "--network", "seed-1", "--out"]
    assert main([*argv, str(out), "--to", "stablehlo"]) == 0
    printed = capsys.readouterr().out
    assert "x is (m, 28, 28, 1) in float32: images of 28 x 28, pixels divided by 255." in printed
    predict = jax.export.deserialize(bytearray(out.read_bytes())).call
    np.testing.assert_allclose(predict(x), stored.spec.model().predict_proba(stored.params, x), rtol=1e-5, atol=1e-7)
    for form in FORMATS.keys() - {"stablehlo", "onnx"}:
        file = str(tmp_path / f"f{FORMATS[form].suffix}")
        assert main([*argv, file, "--to", form]) == 0
        like = ["--like", str(convolutional_run), "--network", "seed-1", "--runs-dir", str(tmp_path / form)]
        assert main(["import", file, "--from", form, *like]) == 0
        (back,) = (tmp_path / form).glob("*/f*.safetensors")
        jax.tree.map(np.testing.assert_array_equal, storage.load(back).params, stored.params)


@pytest.mark.full
@pytest.mark.usefixtures("interruptible")
def test_a_convolutional_run_is_resumed_bit_for_bit(convolutional_run, data_dir, tmp_path, monkeypatch, capsys):
    log = RunFolder.log

    def interrupted(self, **metrics):
        if metrics["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGINT)
        log(self, **metrics)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "log", interrupted)
        argv = ["run", "mnist", "--data-dir", str(data_dir), "--runs-dir", str(tmp_path), *CONV]
        assert main([*argv, "--checkpoint-every", "1e-9"]) == 130
    (run,) = tmp_path.iterdir()
    assert main(["resume", str(run)]) == 0
    assert "simard-conv: resumed after epoch 2" in capsys.readouterr().err
    assert compare(convolutional_run, run).different == {}


@pytest.mark.full
def test_maps_and_saliency_are_those_of_the_network():
    """Against loops of NumPy, and against differences of the network's outputs."""
    nn, random = jaxnn.nn, np.random.default_rng(0)
    layers = nn.conv(2, 3), nn.relu(), nn.conv(3, 2), nn.tanh(), nn.flatten(), nn.dense(4)
    spec, options = LayersSpec(nn.chain(*layers), (5, 5, 1)), ((1, 1), "same", (1, 1), 1)
    with jax.enable_x64(True):
        params = jax.jit(spec.model().init)(jax.random.key(0))
        x, y = random.normal(size=(3, 5, 5, 1)), np.array([3, 0, 1])
        first, second = convolutional.feature_maps(spec, params, x)
        expected = np.maximum(windows.convolution(x, params[0]["K"], params[0]["b"], *options), 0)
        np.testing.assert_allclose(first, expected, atol=1e-12)
        expected = np.tanh(windows.convolution(expected, params[2]["K"], params[2]["b"], *options))
        np.testing.assert_allclose(second, expected, atol=1e-12)

        slopes, outputs = convolutional.saliency(spec, params, x, y), jax.jit(spec.model().outputs)
        direction = 1e-5 * random.normal(size=x.shape)
        difference = (outputs(params, x + direction) - outputs(params, x - direction)) / 2
        expected = np.asarray(difference)[np.arange(3), y]
        np.testing.assert_allclose((slopes * direction).sum((1, 2, 3)), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "lecun"], "invalid choice"),
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--epochs", "0"], "--epochs must be at least 1"),
        (["--batch-size", "601"], "--batch-size must be from 1 to 600"),
        (["--learning-rate", "-1"], "learning_rate must be positive"),
        (["--seed", "-1"], "--seed must be from 0"),
    ],
)
def test_bad_options(data_dir, tmp_path, capsys, options, message):
    status, folder = run(data_dir, tmp_path, *options)
    error = capsys.readouterr().err
    assert (status, folder) == (2, None) and message in error and len(error.splitlines()) == 1


# ------------------------------------------------------------------ names and data sets


def write_set(folder, pattern, labels=None, pack=bytes):
    """Write the four files, with names of a pattern, each image with its index in the first pixel."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.arange(20, dtype=np.uint8) % 10 if labels is None else np.asarray(labels, np.uint8)
    images = np.zeros((len(labels), 28, 28), np.uint8)
    images[:, 0, 0] = np.arange(len(labels)) % 256
    for part in ("train", "t10k"):
        for what, array in (("images", images), ("labels", labels)):
            name = pattern.format(part=part, what=what, k=array.ndim)
            (folder / name).write_bytes(pack(idx(array)))


def assert_read(found, m=20):
    for part in ("train", "test"):
        batch = read_images(found[part])
        np.testing.assert_array_equal(batch.x[:, 0], np.float32(np.arange(m)) / np.float32(255))
        assert batch.y.tolist() == [i % 10 for i in range(m)]


@pytest.mark.parametrize(
    "pattern",
    [
        "{part}-{what}-idx{k}-ubyte",
        "{part}-{what}.idx{k}-ubyte",
        "{part}-{what}.idx{k}-ubyte.gz",
        "{part}-{what}-idx{k}-ubyte (1).gz",
        "{part}-{what}-idx{k}-ubyte(2)",
        "{part}-{what}-idx{k}-ubyte.GZ",
        "emnist-digits-{part}-{what}-idx{k}-ubyte.gz",
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("upper", [False, True])
def test_files_by_any_of_their_usual_names(tmp_path, pattern, pack, upper):
    write_set(tmp_path, pattern, pack=pack)
    for path in tmp_path.iterdir() if upper else []:
        path.rename(path.with_name(path.name.upper()))
    assert_read(find_files(tmp_path))


@pytest.mark.parametrize("below", ["MNIST/raw", "mnist", "mnist/raw", "raw", "gzip", "mnist/MNIST/raw"])
def test_files_in_the_folders_of_others(tmp_path, monkeypatch, below):
    write_set(tmp_path / below, "{part}-{what}-idx{k}-ubyte")
    assert_read(find_files(tmp_path))
    monkeypatch.setenv("JAXNN_DATA", str(tmp_path))
    assert_read(find_files(None))


def test_fashion_mnist_is_read_where_it_is_named(tmp_path):
    write_set(tmp_path / "FashionMNIST" / "raw", "{part}-{what}-idx{k}-ubyte")
    with pytest.raises(ValueError, match=r"FashionMNIST/raw has them: give it as --data-dir"):
        find_files(tmp_path)
    assert_read(find_files(tmp_path / "FashionMNIST"))
    assert_read(find_files(tmp_path / "FashionMNIST" / "raw"))


def test_published_name_is_preferred_to_a_copy_and_folders_are_ignored(tmp_path):
    write_set(tmp_path, "{part}-{what}-idx{k}-ubyte (1).gz", pack=lambda data: b"half a download")
    write_set(tmp_path, "{part}-{what}.idx{k}-ubyte")
    (tmp_path / "train-images-idx3-ubyte").mkdir()
    assert_read(find_files(tmp_path))


def test_packed_and_unpacked_side_by_side(tmp_path):
    write_set(tmp_path, "{part}-{what}-idx{k}-ubyte")
    write_set(tmp_path, "{part}-{what}-idx{k}-ubyte.gz", pack=gzip.compress)
    assert_read(find_files(tmp_path))
    assert find_files(tmp_path / "t10k-labels-idx1-ubyte") == find_files(tmp_path)


def test_emnist_s_folder_has_several_data_sets(tmp_path):
    for name, labels in (("letters", np.arange(52) % 26 + 1), ("balanced", np.arange(47)), ("byclass", np.arange(62))):
        write_set(tmp_path / "gzip", f"emnist-{name}-{{part}}-{{what}}-idx{{k}}-ubyte.gz", labels, gzip.compress)
    with pytest.raises(
        ValueError, match=r"has emnist-balanced, emnist-byclass, emnist-letters: name one, as in --data"
    ):
        find_files(tmp_path)
    expected = {"letters": (26, "A", "Z"), "balanced": (47, "0", "t"), "byclass": (62, "0", "z")}
    for name, (k, first, last) in expected.items():
        found = find_files(tmp_path / "gzip" / f"emnist-{name}")
        assert find_files(tmp_path / "gzip" / f"emnist-{name}-train-images-idx3-ubyte.gz") == found
        classes = read_classes(found["train"])
        assert (len(classes.names), classes.names[0], classes.names[-1]) == (k, first, last)
        assert read_images(found["test"], classes).y.tolist() == [
            i % k for i in range(len(read_images(found["test"]).y))
        ]


def test_keras_npz(tmp_path):
    x, y = np.zeros((20, 28, 28), np.uint8), np.arange(20) % 10
    x[:, 0, 0] = np.arange(20)
    np.savez_compressed(tmp_path / "mnist.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    found = find_files(tmp_path)
    assert_read(found)
    assert found["train"].files == (tmp_path / "mnist.npz",)
    assert_read(find_files(tmp_path / "mnist.npz"))
    np.savez_compressed(tmp_path / "mnist.npz", x_train=x / 255, y_train=y, x_test=x, y_test=y)
    with pytest.raises(ValueError, match=r"x_train is float64 \(20, 28, 28\), expected integers 0 to 255 of 3 axes"):
        read_images(found["train"])


def test_classes_of_a_part_are_those_of_training(tmp_path):
    write_set(tmp_path, "{part}-{what}-idx{k}-ubyte", np.arange(26) + 1)
    found = find_files(tmp_path)
    classes = read_classes(found["train"])
    found["test"].labels.write_bytes(idx(np.full(26, 2, np.uint8)))
    assert set(read_images(found["test"], classes).y) == {1}
    found["test"].labels.write_bytes(idx(np.zeros(26, np.uint8)))
    with pytest.raises(ValueError, match="holds labels down to 0, expected 1 to 26, as in training"):
        read_images(found["test"], classes)
    found["train"].labels.write_bytes(idx(np.full(26, 101, np.uint8)))
    with pytest.raises(ValueError, match="holds labels up to 101, expected the digits 0 to 9, or labels up to 100"):
        read_classes(found["train"])


@pytest.mark.full
def test_emnist_letters_can_be_trained(tmp_path, capsys):
    rng = np.random.default_rng(0)
    write_set(tmp_path / "data", "{part}-{what}-idx{k}-ubyte", rng.integers(1, 27, 300))
    status, folder = run(tmp_path / "data", tmp_path, "--preset", "lecun-300", "--epochs", "1", "--seeds", "1")
    printed = capsys.readouterr()
    assert status == 0, printed.err
    assert "784-300-26" in printed.out and "on MNIST's ten digits" in printed.out
    assert storage.load(folder / "seed-0.safetensors").classes[-1] == "Z"


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
        ("train-images-idx3-ubyte.gz", b"no gzip", "starts with 6e 6f 20 67, expected 00 00 08 03"),
        ("train-images-idx3-ubyte.gz", b"\x1f\x8bno gzip", "is not a gzip file, or damaged"),
    ],
)  # fmt: skip
def test_bad_files_leave_nothing_behind(data_dir, tmp_path, capsys, name, data, message):
    status, folder = run(change(data_dir, tmp_path, name, data), tmp_path)
    error = capsys.readouterr().err
    assert (status, folder) == (2, None) and message in error and len(error.splitlines()) == 1
