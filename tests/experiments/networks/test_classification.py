"""Results of each class are those of scikit-learn, and noise does not rank networks."""

import json

import numpy as np
import pytest
from sklearn import metrics
from sklearn.utils.class_weight import compute_class_weight

from experiments.datasets.class_weights import weights_of
from experiments.networks.classification import class_results, class_table, curves_of
from experiments.readers.errors import InvalidFileError
from experiments.reports import tables
from experiments.studies.ladder.report import ranking_note
from experiments.studies.ladder.results import Row, best_network, best_of

NAMES = ("a", "b,c", "d")


@pytest.fixture
def predicted():
    """Labels, and probabilities with ties."""
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 80)
    p = np.round(random.dirichlet(np.ones(3), 80) + 0.5 * np.eye(3)[y], 2)
    return y, (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


def test_of_each_class_as_in_scikit_learn(predicted):
    y, p = predicted
    labels = p.argmax(axis=1)
    got = class_results(NAMES, y, p, labels)
    np.testing.assert_array_equal(got.confusion, metrics.confusion_matrix(y, labels))
    expected = metrics.precision_recall_fscore_support(y, labels)
    for ours, theirs in zip((got.precision, got.recall, got.f1, got.support), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    for i in range(3):
        assert got.roc_auc[i] == pytest.approx(metrics.roc_auc_score(y == i, p[:, i]), rel=1e-5)
        assert got.average_precision[i] == pytest.approx(metrics.average_precision_score(y == i, p[:, i]), rel=1e-5)
        precision, recall, _ = metrics.precision_recall_curve(y == i, p[:, i])
        curves = curves_of((y == i).astype(int), p[:, i])
        there = {(round(r, 5), round(q, 5)) for r, q in zip(recall, precision, strict=True)}
        assert {(round(r, 5), round(q, 5)) for r, q in zip(curves.tpr[1:], curves.precision[1:], strict=True)} <= there
    text = tables.as_text(class_table("title", got))
    macro = metrics.f1_score(y, labels, average="macro")
    assert f"{macro:.3f}" in text.splitlines()[-1] or f"{macro:.3f}" in text.splitlines()[-2]


def test_a_class_without_examples_has_no_areas(predicted):
    y, p = predicted
    y = np.where(y == 2, 0, y)
    got = class_results(NAMES, y, p, p.argmax(axis=1))
    assert np.isnan(got.roc_auc[2]) and np.isnan(got.average_precision[2]) and got.recall[2] == 0
    assert got.as_json()["classes"]["d"]["support"] == 0 and "nan" not in tables.as_text(class_table("", got))


def test_weights_of_classes(tmp_path):
    y = np.array([0] * 30 + [1] * 8 + [2] * 2)
    balanced = compute_class_weight("balanced", classes=np.arange(3), y=y)
    np.testing.assert_allclose(weights_of(tmp_path, "balanced", NAMES, y), balanced)
    np.testing.assert_allclose(weights_of(tmp_path, 'd=2.5, "b,c=3"', NAMES, y), [1, 3, 2.5])
    for text, message in [
        ("e=2", "no class 'e': there are a, b,c, d"),
        ("a=0", "weights above 0"),
        ("a", "must be balanced or CLASS=WEIGHT"),
        ("a=1,a=2", "the class 'a' twice"),
    ]:
        with pytest.raises(InvalidFileError, match=message):
            weights_of(tmp_path, text, NAMES, y)


def row(network, dev, loss, m=40):
    scores = {"accuracy": {"train": 1.0, "dev": dev, "test": 0.5}}
    return Row("my data", network, "3-1", 4, scores, {}, {}, loss, m)


def test_within_one_dev_example_the_loss_decides(tmp_path):
    rows = [row("logistic", 38 / 40, 0.3), row("one-hidden", 38 / 40, 0.2), row("four-layers", 37 / 40, 0.1)]
    assert best_of([each.ranked for each in rows]) == 1
    noise = "logistic within one of 40 dev examples, which is noise, so the dev loss decides"
    assert ranking_note(rows) == f"my data, best on dev: one-hidden; {noise}"
    assert ranking_note(rows[1:]) == "my data, best on dev: one-hidden"
    numbers = [each._replace(scores={"r_squared": each.scores["accuracy"]}) for each in rows]
    assert ranking_note(numbers) == (
        "my data, best on dev: one-hidden; logistic with the same score, so the dev loss decides"
    )
    assert ranking_note([numbers[0]._replace(dev_loss=0.1), row("deep", 0.96, 0.9)]) == "my data, best on dev: deep"
    (tmp_path / "results.json").write_text(json.dumps([each.as_json() for each in rows]))
    assert best_network(tmp_path) == "my-data-one-hidden"
