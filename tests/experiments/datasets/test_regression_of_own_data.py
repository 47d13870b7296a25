"""Regression on a user's file: from two commands to predicted numbers, with scikit-learn's errors."""

import csv
import io
import json

import jax
import numpy as np
import pytest
from sklearn import metrics

import jaxnn
from experiments.cli import main
from experiments.datasets.own_data import read_own_data
from experiments.datasets.tasks import Task
from experiments.networks import storage
from experiments.networks.scaled_outputs import in_units, start_at_mean
from experiments.networks.scores import baseline_scores, parts_of, scores_of
from experiments.networks.tables import table_spec
from experiments.readers.errors import InvalidFileError

FRACTIONS = 0.7, 0.15, 0.15
M = 120


@pytest.fixture
def houses(tmp_path):
    """A file of 120 houses, with prices in another notation: 154.000,50 €."""
    random = np.random.default_rng(0)
    areas, towns = random.uniform(20, 200, M).round(1), random.choice(["Ulm", "Köln", "Kiel"], M)
    prices = 1500 * areas + np.where(towns == "Köln", 60000, 0) + random.normal(0, 9000, M)
    written = [f"{price:,.2f} €".translate({ord(","): ".", ord("."): ","}) for price in prices]
    path = tmp_path / "my houses é.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("area", "town", "price"), *zip(areas, towns, written, strict=True)])
    return path, prices.round(2)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_scores_are_those_of_scikit_learn_in_the_units_of_the_file(houses, nonnegative):
    path, prices = houses
    data = read_own_data(path, "price", "", FRACTIONS, 0, task=Task(nonnegative=nonnegative))
    rows = jaxnn.split(np.arange(M), prices, FRACTIONS, seed=0)
    true = {part: batch.y for part, batch in zip(("train", "dev", "test"), rows, strict=True)}
    np.testing.assert_allclose(data.target.in_units(data.dev.y), true["dev"], rtol=1e-6)
    assert data.target.mean == pytest.approx(true["train"].mean()) and data.train.y.std() == pytest.approx(1, rel=1e-5)
    assert data.train.y.mean() == pytest.approx(
        true["train"].mean() / true["train"].std() if nonnegative else 0, abs=1e-5
    )
    predicted = {part: y + np.random.default_rng(1).normal(0, 2e4, len(y)) for part, y in true.items()}
    got = scores_of(parts_of(data), data.target, predicted)
    for part, y in true.items():
        assert got["r_squared"][part] == pytest.approx(metrics.r2_score(y, predicted[part]), rel=1e-4)
        error = metrics.mean_absolute_error(y, predicted[part])
        assert got["mean_absolute_error"][part] == pytest.approx(error, rel=1e-5)
        error = metrics.root_mean_squared_error(y, predicted[part])
        assert got["root_mean_squared_error"][part] == pytest.approx(error, rel=1e-5)
    _, mean = baseline_scores(parts_of(data), (), data.target)
    assert mean["mean_absolute_error"]["test"] == pytest.approx(
        np.abs(true["test"] - true["train"].mean()).mean(), rel=1e-5
    )


@pytest.mark.representatives("True-embedded1")
@pytest.mark.parametrize("embedded", [(), (5,)])
@pytest.mark.parametrize("nonnegative", [False, True])
def test_scale_and_shift_become_a_part_of_the_last_layer(houses, nonnegative, embedded):
    data = read_own_data(houses[0], "price", "", FRACTIONS, 0, task=Task(nonnegative=nonnegative))
    model = table_spec(4, embedded, (3, 1), output=data.output).model()
    params = model.init(jax.random.key(0))
    x = data.test.x[:, :1] * np.ones(4, np.float32)
    x = (x, np.arange(len(x)) % 5) if embedded else x
    params = start_at_mean(params, data.target)
    start = np.asarray(model.predict(params, x), np.float64)
    if nonnegative:  # also in the row whose output would be the lowest
        np.testing.assert_allclose(start, data.target.mean / data.target.scale, rtol=1e-6)
    params = jax.tree.map(lambda a: a + 0.1, params)
    raw = np.asarray(model.predict(params, x), np.float64)
    whole = np.asarray(model.predict(in_units(params, data.target), x))
    np.testing.assert_allclose(whole, data.target.in_units(raw), rtol=1e-4)
    assert whole.std() > 0 and (not nonnegative or whole.min() >= 0)


@pytest.mark.full
@pytest.mark.parametrize("study", ["ladder", "sweep"])
def test_two_commands_from_a_file_to_predicted_numbers(houses, study, tmp_path, capsys):
    path, prices = houses
    argv = {
        "ladder": ["run", "ladder", "--data", str(path), "--learning-rate", "0.03"],
        "sweep": ["sweep", str(path), "--learning-rate", "0.003,0.03", "--seed", "0"],
    }[study]
    common = ["--label", "price", "--nonnegative", "--epochs", "40", "--runs-dir", str(tmp_path / "runs")]
    assert main.main([*argv, *common]) == 0
    out = capsys.readouterr().out
    (run,) = (tmp_path / "runs").iterdir()
    assert "price: the target of regression" in out and "the mean" in out and "predictions at least 0" in out
    assert [*run.glob("*residuals.png")]
    rows = [",".join(line.split(",")[:2]) for line in path.read_text().splitlines()]
    (tmp_path / "new.csv").write_text("\n".join(rows))
    assert main.main(["predict", str(run), str(path)]) == 0
    printed, notes = capsys.readouterr()
    assert main.main(["predict", str(run), str(tmp_path / "new.csv")]) == 0
    assert capsys.readouterr().out == printed
    table = [*csv.DictReader(io.StringIO(printed))]
    predicted = np.array([float(row["price"]) for row in table])
    assert (predicted >= 0).all()
    r2 = metrics.r2_score(prices, predicted)
    assert r2 > 0.8 and f"R² {r2:.4f}" in notes
    name = "best" if study == "sweep" else notes.split("by ")[1].split(", ")[0]
    saved = jaxnn.load(run / f"{name}.safetensors")
    areas = [float(line.split(",")[0]) for line in rows[1:]]
    towns = [line.split(",")[1] for line in rows[1:]]
    levels = json.loads((run / "encoder.json").read_text())["columns"][1]["levels"]
    x = np.column_stack([areas, *(np.array(towns) == level for level in levels)])
    np.testing.assert_allclose(np.asarray(saved.predict_proba(x)).reshape(-1), predicted, rtol=1e-4)
    stored = storage.load(run / f"{name}.safetensors")
    assert stored.spec.output == "relu" and stored.classes == ()


@pytest.mark.full
@pytest.mark.parametrize("seed", [0, 1])
def test_numbers_that_are_mostly_zero_are_learned(tmp_path, seed, capsys):
    x = np.random.default_rng(1).normal(size=(600, 3))
    y = np.maximum(0, x @ [1, 2, -1] - 2)
    rows = "".join(f"{','.join(map(str, row))}\n" for row in np.column_stack([x, y]).tolist())
    (tmp_path / "rain.csv").write_text(f"a,b,c,y\n{rows}")
    argv = ["run", "ladder", "--data", str(tmp_path / "rain.csv"), "--label", "y", "--nonnegative"]
    argv += ["--epochs", "30", "--seed", str(seed), "--runs-dir", str(tmp_path / "runs")]
    assert main.main(argv) == 0 and (y == 0).mean() > 0.7
    (results,) = (tmp_path / "runs").glob("*/results.json")
    assert min(row["r_squared"]["train"] for row in json.loads(results.read_text())[1:]) > 0.95


def test_a_target_that_is_constant_in_training_or_too_fine_for_float32(tmp_path):
    path = tmp_path / "a.csv"
    a = np.random.default_rng(0).normal(size=40)
    train = jaxnn.split(np.arange(40), np.zeros(40), FRACTIONS, seed=0)[0].x
    for y, message in [
        (np.isin(np.arange(40), train) * 2 + 1.5, "every training row"),
        (1.7e9 + np.arange(40), "too little for float32: subtract a number from the column"),
    ]:
        path.write_text("a,y\n" + "".join(f"{one},{two}\n" for one, two in zip(a, y, strict=True)))
        with pytest.raises(InvalidFileError, match=message):
            read_own_data(path, "y", "", FRACTIONS, 0, task=Task("regression"))
