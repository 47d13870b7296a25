"""ad_clicks: its rows and measures against formulas written again here, and a short run."""

import itertools
import json
import math

import jax
import numpy as np
import pytest

from experiments.cli import main
from experiments.studies.ad_clicks import data, networks
from experiments.studies.ad_clicks.report import area_under_roc
from experiments.studies.ad_clicks.run import predict
from tests.helpers.short_runs import run


@pytest.fixture(scope="module")
def made():
    return data.make_rows(4000, seed=3)


def test_probabilities_are_those_of_the_stated_truth(made):
    """Row by row, from hour, age and pages before they are standardized."""
    random, truth = np.random.default_rng(0), made.truth
    numbers = np.stack([random.uniform(0, 24, 50), random.uniform(16, 80, 50), random.lognormal(1, 0.8, 50)], axis=1)
    levels = np.stack([random.integers(0, each.levels, 50) for each in data.CATEGORIES], axis=1)
    got = truth.probabilities(numbers, levels)
    for row, (hour, age, pages) in enumerate(numbers):
        country, device, site, ad = levels[row]
        logit = -2.4 + truth.effects[0][country] + truth.effects[1][device]
        logit += truth.effects[2][site] + truth.effects[3][ad]
        logit += 0.7 * (truth.sites[site][0] * truth.ads[ad][0] + truth.sites[site][1] * truth.ads[ad][1])
        logit += math.cos((hour - 20) / 12 * math.pi) / 2 - 0.4 * ((age - 38) / 14) ** 2 + 0.3 * math.log(pages)
        assert got[row] == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-12)


def test_levels_follow_zipfs_law(made):
    for category, levels in zip(data.CATEGORIES, made.train.batch.x[1:], strict=True):
        p = category.frequencies()
        assert p.sum() == pytest.approx(1)
        assert p[0] / p[4] == pytest.approx(5**category.exponent)
        counts = np.bincount(levels, minlength=category.levels)
        expected, m = len(levels) * p, len(levels)
        assert len(counts) == category.levels
        assert (np.abs(counts - expected) < 6 * np.sqrt(expected * (1 - p)) + 5).all(), m


def test_clicks_are_drawn_with_their_probabilities_and_numbers_are_standardized(made):
    p, y = made.train.probabilities, made.train.batch.y
    assert abs(y.mean() - p.mean()) < 5 * math.sqrt((p * (1 - p)).sum()) / len(p)
    assert np.corrcoef(p, y)[0, 1] > 0.2
    numbers = made.train.batch.x[0].astype(np.float64)  # float32 would lose digits in the sums
    np.testing.assert_allclose(numbers.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(numbers.std(axis=0), 1, atol=1e-6)
    assert [len(part.batch.y) for part in made[1:]] == [4000, 200, 200]
    assert [column.dtype for column in made.train.batch.x] == [np.float32, *[np.int32] * 4]


def test_a_seed_determines_the_rows(made):
    same, other = data.make_rows(4000, seed=3), data.make_rows(4000, seed=4)
    assert all(map(np.array_equal, jax.tree.leaves(made), jax.tree.leaves(same)))
    assert not np.array_equal(made.truth.sites, other.truth.sites)


def test_entropy_and_divergence_are_expected_log_losses():
    """Summed over both outcomes; at q = p, nothing is above the best, and elsewhere everything is."""
    random = np.random.default_rng(0)
    p, q = random.uniform(0.01, 0.99, (2, 200))
    expected = -(p * np.log(q) + (1 - p) * np.log(1 - q))
    np.testing.assert_allclose(data.entropy(p) + data.divergence(p, q).mean(), expected.mean(), rtol=1e-12)
    np.testing.assert_allclose(data.divergence(p, p), 0, atol=1e-15)
    assert (data.divergence(p, q) > 0).all()


def test_area_under_roc_counts_pairs():
    random = np.random.default_rng(1)
    y, p = random.integers(0, 2, 40), random.integers(0, 6, 40) / 6
    pairs = [(a > b) + (a == b) / 2 for a, b in itertools.product(p[y == 1], p[y == 0])]
    assert area_under_roc(y, p) == pytest.approx(np.mean(pairs))
    assert math.isnan(area_under_roc(np.zeros(3), p[:3]))


@pytest.mark.full
def test_embeddings_are_a_factor_of_the_weights_of_one_hot_inputs(made):
    """W one_hot(i) with W = V Eᵀ is V E_i: the two networks are one function if E and V are such factors."""
    _, one_hot, embeddings = networks.candidates()
    params = jax.jit(lambda key: embeddings.network.init(key, networks.IN_SHAPE)[0])(jax.random.key(0))
    tables, V, start = params[0][1:], params[2]["W"], len(data.NUMBERS)
    parts = [V[:, :start]]
    for table in tables:
        n = table["E"].shape[1]
        parts.append(V[:, start : start + n] @ table["E"].T)
        start += n
    like = jax.jit(lambda key: one_hot.network.init(key, networks.IN_SHAPE)[0])(jax.random.key(1))

    wide = (like[0], like[1], {"W": np.concatenate(parts, axis=1), "b": params[2]["b"]}, *params[3:])
    x = made.test.batch.x
    np.testing.assert_allclose(
        predict(one_hot.network, wide, x), predict(embeddings.network, params, x), rtol=1e-4, atol=1e-6
    )


def test_bytes_of_a_row_are_those_of_its_arrays(made):
    one_hot, _, embeddings = networks.candidates()
    m = len(made.train.batch.y)
    assert embeddings.row_bytes * m == sum(column.nbytes for column in made.train.batch.x)
    params = jax.eval_shape(lambda: one_hot.network.init(jax.random.key(0), networks.IN_SHAPE)[0])
    assert one_hot.row_bytes == 4 * params[-1]["W"].shape[1]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    argv = ["ad_clicks", "--rows", "2000", "--epochs", "2", "--batch-size", "200"]
    return run(tmp_path_factory.mktemp("runs"), *argv)


@pytest.mark.full
def test_folder_has_all_files(done):
    folder, out = done
    assert {path.name for path in folder.iterdir()} == {
        *("config.json", "metrics.jsonl", "report.txt", "report.html", "results.json", "timings.txt", "comparison.png"),
    }
    assert (folder / "report.txt").read_text().strip() in "\n".join(line.rstrip() for line in out.splitlines())


@pytest.mark.full
def test_results_are_consistent_with_the_truth(done):
    """Above the best is positive, and is what the log loss shows, up to the chance of 100 clicks."""
    results = json.loads((done[0] / "results.json").read_text())
    truth = results["best_possible"]
    test = data.make_rows(2000, seed=0).test
    assert truth["expected"] == pytest.approx(data.entropy(test.probabilities))
    deviation = np.sqrt((test.probabilities * (1 - test.probabilities)).mean() / 100) * 5
    for network in results["networks"]:
        assert network["above_best"] > 0
        assert abs(network["log_loss"] - truth["log_loss"] - network["above_best"]) < deviation
    assert [network["params"] for network in results["networks"]][0] == 3 + 150 + 6 + 3000 + 1000 + 1
    assert "milliseconds of a training step" in done[1]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--rows", "100"], "--rows must be at least 200, got 100"),
        (["--rows", "1000"], "--batch-size must be from 1 to 1000, the rows, got 1024"),
        (["--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["--seed", "-1"], "--seed must be from 0 to"),
        (["--learning-rate", "-1"], "got -1"),
        (["--l2", "-1"], "got -1"),
    ],
)
def test_bad_options_are_one_line_and_leave_nothing(argv, message, capsys, tmp_path):
    assert main.main(["run", "ad_clicks", *argv, "--runs-dir", str(tmp_path / "runs")]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert not (tmp_path / "runs").exists()
