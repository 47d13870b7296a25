"""ladder in a short run, and its gradient check, which must be able to fail."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from experiments.cli import main
from experiments.cli.parsing import parse
from experiments.networks import storage
from experiments.networks.spec import NetworkSpec
from experiments.runs import proof, timing
from experiments.runs.folder import RunError
from experiments.studies.ladder import Options
from experiments.studies.ladder import run as ladder
from experiments.studies.ladder.data import load_datasets
from tests.helpers.pages import read
from tests.helpers.short_runs import run

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def tiny():
    """One small network per data set, and short measurements."""
    with pytest.MonkeyPatch.context() as patch:
        specs = {30: NetworkSpec((30, 4, 1)), 64: NetworkSpec((64, 4, 10), output="softmax")}
        patch.setattr(ladder, "baseline_specs", lambda data: {"one-hidden": specs[data.train.x.shape[1]]})
        patch.setattr(timing, "_SECONDS_PER_ROUND", 1e-3)
        patch.setattr(timing, "_ROUNDS", 2)
        yield


@pytest.fixture(scope="module")
def done(tiny, tmp_path_factory):
    """A run: its folder and its output."""
    return run(tmp_path_factory.mktemp("runs"), "ladder", "--epochs", "4")


@pytest.mark.parametrize(
    ("argv", "timed"),
    [
        ([], True),
        (["--no-time-steps"], False),
        (["--data", "own.csv"], False),
        (["--data=own.csv"], False),
        (["--data", "own.csv", "--time-steps"], True),
    ],
    ids=str,
)
def test_steps_are_not_timed_on_own_data_by_default(argv, timed):
    assert parse(Options, argv, prog="run ladder", description="").time_steps is timed


@pytest.mark.full
def test_folder_has_all_files(done):
    folder, out = done
    assert {path.name for path in folder.iterdir()} == {
        *("config.json", "metrics.jsonl", "report.txt", "report.html", "results.json", "timings.txt", "curves.png"),
        *("breast-cancer-one-hidden.safetensors", "digits-one-hidden.safetensors"),
        *("digits-confusion.png", "digits-mistakes.png", "digits-weights-one-hidden.png", "digits-signals.png"),
    }
    assert f"results in {folder}" in out
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.full
def test_the_page_shows_the_report_and_every_picture(done):
    folder, _ = done
    config = json.loads((folder / "config.json").read_text())
    found = read((folder / "report.html").read_text())
    words = (folder / "report.txt").read_text().replace("─", "").split()
    assert [word for word in words if word not in found.text] == []
    assert config["command"] in found.text
    assert len(found.all("img")) == len([*folder.glob("*.png")])
    assert all(image["src"].startswith("data:image/svg+xml;base64,") for image in found.all("img"))


@pytest.mark.full
def test_config_records_the_run_and_its_environment(done):
    config = json.loads((done[0] / "config.json").read_text())
    assert config["experiment"] == "ladder"
    assert config["options"]["epochs"] == 4
    assert config["command"].startswith("python -m experiments run ladder --epochs 4")
    assert set(config["versions"]) >= {"jaxnn", "source", "python", "jax", "jaxlib", "optax", "numpy", "scikit-learn"}
    assert config["device"]["platform"] == jax.default_backend()


@pytest.mark.full
def test_metrics_have_a_line_per_report(done):
    lines = [json.loads(line) for line in (done[0] / "metrics.jsonl").read_text().splitlines()]
    assert [(line["data"], line["epoch"]) for line in lines] == [
        (data, epoch) for data in ("breast cancer", "digits") for epoch in (1, 2, 3, 4)
    ]
    assert all({"loss", "dev_loss", "train_accuracy", "dev_accuracy", "step"} <= set(line) for line in lines)
    assert not any("test_accuracy" in line for line in lines)


@pytest.mark.full
def test_the_table_is_printed_and_kept(done):
    folder, out = done
    results = json.loads((folder / "results.json").read_text())
    text = (folder / "report.txt").read_text()
    for row in results:
        for content in (text, out):
            assert row["sizes"] in content
            assert f"{100 * row['accuracy']['test']:.2f}" in content
        assert max(row["difference"].values()) < 1e-10
        assert row["accuracy"].keys() == {"train", "dev", "test"}


@pytest.mark.full
def test_times_are_printed_and_kept_apart(done):
    folder, out = done
    lines = (folder / "timings.txt").read_text().splitlines()
    for data in ("breast cancer", "digits"):
        (line,) = [line for line in lines if data in line]
        assert len(line.split()) == len(data.split()) + 5 and line in out
    assert "of it to trace and compile" in lines[-1] and lines[-1] in out
    assert "steps" not in (folder / "report.txt").read_text()


@pytest.mark.full
def test_stored_networks_give_the_reported_accuracy(done):
    folder, _ = done
    rows = json.loads((folder / "results.json").read_text())
    for data, row in zip(load_datasets(0), rows, strict=True):
        stored = storage.load(folder / f"{data.name.replace(' ', '-')}-one-hidden.safetensors")
        labels = stored.spec.model().predict(stored.params, data.test.x)
        assert float(jaxnn.accuracy(labels, data.test.y)) == pytest.approx(row["accuracy"]["test"])
        np.testing.assert_array_equal(stored.standardizer.mean, data.standardizer.mean)
        assert stored.classes == data.classes


def test_data_are_standardized_with_training_statistics_and_stratified():
    for data in load_datasets(0):
        np.testing.assert_allclose(data.train.x.mean(axis=0), 0, atol=1e-4)
        assert np.abs(data.dev.x.mean(axis=0)).max() > 1e-3
        shares = [np.bincount(part.y) / len(part.y) for part in (data.train, data.dev, data.test)]
        np.testing.assert_allclose(shares[1], shares[0], atol=0.02)
        np.testing.assert_allclose(shares[2], shares[0], atol=0.02)


@pytest.mark.full
def test_predict_rejects_a_run_without_images(done, capsys, tmp_path):
    assert main.main(["predict", str(done[0]), str(tmp_path / "a.png")]) == 2
    assert "must be a run of catvnoncat" in capsys.readouterr().err


@pytest.mark.full
def test_a_wrong_backward_fails_the_run(tiny, monkeypatch, capsys, tmp_path):
    # The notes' own slip: dz = W'dz * g(z), with g in the place of g'.
    wrong = jaxnn.stateless(jaxnn.functional.relu_forward, lambda a, da: da * a)
    monkeypatch.setitem(jaxnn.nn.ACTIVATIONS, "relu", lambda: wrong)
    assert main.main(["run", "ladder", "--epochs", "1", "--runs-dir", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "the hand-derived gradient of 0/" in err
    assert "a backward is wrong" in err


@pytest.mark.full
def test_training_practice_by_options(tiny, tmp_path, monkeypatch, capsys):
    """The arguments of `fit`: a schedule that ends at 0, max-norm, early stopping, and skipped updates."""
    fits = []
    real = jaxnn.fit

    def fit(*args, **kwargs):
        fits.append((kwargs["early_stopping"], real(*args, **kwargs)))
        return fits[-1][1]

    monkeypatch.setattr(jaxnn, "fit", fit)
    options = "--schedule cosine --warmup 3 --clip-norm 1 --max-norm 0.5 --patience 2 --epochs 6"
    options += " --optimizer momentum --on-nan skip --no-time-steps"
    argv = ["run", "ladder", "--runs-dir", str(tmp_path / "runs"), "--learning-rate", "0.1", *options.split()]
    assert main.main(argv) == 0
    skipped = "updates skipped because their loss or gradient was not finite: none"
    assert skipped in capsys.readouterr().out
    (folder,) = (tmp_path / "runs").iterdir()
    assert skipped in (folder / "report.txt").read_text()
    for rule, result in fits:
        assert result.history[-1]["skipped"] == 0
        assert rule == jaxnn.EarlyStopping("dev_accuracy", 2, mode="max")
        best = max(entry["dev_accuracy"] for entry in result.history)
        assert {entry["epoch"]: entry for entry in result.history}[result.best_epoch]["dev_accuracy"] == best
        rows = np.linalg.norm(result.params[0]["W"], axis=1)
        assert rows.max() == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "--schedule linear",
            "must be one of the schedules ['constant', 'cosine', 'inverse', 'step'], got 'linear'",
        ),
        ("--warmup -1", "warmup must be a whole number of at least 0, got -1"),
        ("--clip-norm 0", "clip_norm must be positive"),
        ("--max-norm -1", "limit must be positive and finite, got -1.0"),
        ("--patience 0", "patience must be a whole number of at least 1, got 0"),
    ],
)
def test_invalid_training_options_leave_nothing(option, message, tmp_path, capsys):
    assert main.main(["run", "ladder", "--runs-dir", str(tmp_path / "runs"), *option.split()]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "runs").exists()


@pytest.mark.full
def test_diverged_run_stores_the_params_before(tiny, capsys, tmp_path):
    argv = ["run", "ladder", "--epochs", "3", "--optimizer", "sgd", "--learning-rate", "1e30"]
    assert main.main([*argv, "--runs-dir", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert re.search(r"diverged at step \d+: the \w+ of (layer \d of \d \()?params\[.* overflowed first", err)
    (folder,) = tmp_path.iterdir()
    stored = storage.load(folder / "breast-cancer-one-hidden.safetensors")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(stored.params))


@pytest.mark.representatives("nan")
@pytest.mark.parametrize("factor", [1 + 1e-5, float("nan"), 0.0])
def test_the_proof_fails_where_the_gradients_differ(factor):
    model = jaxnn.logistic_regression(3)
    right = jaxnn.objective(model.network, model.loss)

    def scaled(params, batch, key=None):
        value_and_stats, grads = right.value_and_grad(params, batch, key)
        return value_and_stats, jax.tree.map(lambda g: g * factor, grads)

    batch = jaxnn.Batch(np.eye(3, dtype=np.float32), np.array([0, 1, 1]))
    params = model.init(jax.random.key(0))
    assert proof.make_proof("right", right)(params, batch) < 1e-12
    with pytest.raises(RunError, match="wrong: the hand-derived gradient"):
        proof.make_proof("wrong", right._replace(value_and_grad=scaled))(params, batch)


def test_zero_gradient_must_be_zero_in_both():
    zero, tiny = {"W": jnp.zeros(2)}, {"W": jnp.array([0.0, 1e-20])}
    assert proof.gradient_difference(zero, zero) == (0.0, "W")
    assert proof.gradient_difference(tiny, zero) == (float("inf"), "W")
