"""Trainings against scikit-learn's own: from the same start, on the same data, in float64."""

import numpy as np
import pytest
import sklearn.linear_model
import sklearn.neural_network
from sklearn.datasets import load_diabetes, load_digits

from jaxnn.sklearn import LogisticRegression, MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = (a[:120] for a in load_digits(return_X_y=True))
X = X / 16


def distance(one, other):
    pairs = zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True)
    return max(abs(a - b).max() for a, b in pairs)


# Adam divides by √v̂ + ε, scikit-learn's by √v + ε before the correction: they agree for a tiny ε.
SOLVERS = [
    dict(solver="sgd", learning_rate_init=0.1),
    dict(solver="sgd", learning_rate_init=0.1, nesterovs_momentum=False, momentum=0.5, activation="logistic"),
    dict(solver="adam", epsilon=1e-30, activation="tanh", alpha=0.1),
    dict(solver="lbfgs", activation="identity", alpha=1.0),
    dict(solver="sgd", learning_rate_init=0.05, batch_size=30, shuffle=False),  # four equal batches
]


@pytest.mark.representatives("ten-sgd-0.1", "several-adam-1e-30-tanh-0.1", "two-lbfgs-identity-1.0")
@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: "-".join(map(str, s.values())))
@pytest.mark.parametrize("labels", [Y, Y > 4, np.stack([Y > 4, Y % 2], 1).astype(int)], ids=["ten", "two", "several"])
def test_classifier_takes_the_steps_of_scikit_learn(solver, labels):
    options = dict(hidden_layer_sizes=(9, 6), max_iter=12, tol=0, random_state=3) | solver
    ours = MLPClassifier(**options).fit(X, labels)
    theirs = sklearn.neural_network.MLPClassifier(**options).fit(X, labels)
    assert distance(ours, theirs) < 1e-11
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-11)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-12)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    for name in ("n_iter_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_", "t_"):
        if hasattr(theirs, name) and not (name == "t_" and solver["solver"] == "lbfgs"):
            assert getattr(ours, name) == getattr(theirs, name)
    if solver["solver"] != "lbfgs":
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-11)


@pytest.mark.parametrize("solver", [SOLVERS[0], dict(solver="lbfgs")], ids=["sgd", "lbfgs"])
def test_regressor_takes_the_steps_of_scikit_learn(solver):
    x, y = (a[:150] for a in load_diabetes(return_X_y=True))
    options = dict(hidden_layer_sizes=(7,), max_iter=12, tol=0, random_state=3) | solver
    ours, theirs = MLPRegressor(**options), sklearn.neural_network.MLPRegressor(**options)
    ours.fit(10 * x, y / 100), theirs.fit(10 * x, y / 100)
    assert distance(ours, theirs) < 1e-11
    assert ours.score(10 * x, y / 100) == pytest.approx(theirs.score(10 * x, y / 100), rel=1e-10)


def test_training_ends_when_scikit_learns_does():
    options = dict(hidden_layer_sizes=(9,), solver="sgd", learning_rate_init=0.2, tol=1e-2, random_state=1)
    ours = MLPClassifier(n_iter_no_change=3, **options).fit(X, Y)
    theirs = sklearn.neural_network.MLPClassifier(n_iter_no_change=3, **options).fit(X, Y)
    assert 5 < ours.n_iter_ == theirs.n_iter_ < 200
    assert ours.best_loss_ == pytest.approx(theirs.best_loss_, rel=1e-10)


@pytest.mark.full
def test_early_stopping_holds_out_the_examples_of_scikit_learn():
    options = dict(hidden_layer_sizes=(9,), solver="sgd", learning_rate_init=0.2, random_state=1, early_stopping=True)
    ours = MLPClassifier(n_iter_no_change=4, validation_fraction=0.3, **options).fit(X, Y)
    theirs = sklearn.neural_network.MLPClassifier(n_iter_no_change=4, validation_fraction=0.3, **options).fit(X, Y)
    assert ours.validation_scores_ == pytest.approx(theirs.validation_scores_)
    assert ours.best_validation_score_ == theirs.best_validation_score_ and ours.best_loss_ is None
    assert distance(ours, theirs) < 1e-10  # those of the best epoch


@pytest.mark.representatives("balanced-two")
@pytest.mark.parametrize("labels", [Y, np.where(Y > 4, "high", "low")], ids=["ten", "two"])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_logistic_regression_has_the_optimum_of_scikit_learn(labels, class_weight):
    weight = np.random.default_rng(0).uniform(0.5, 2, len(X))
    options = dict(C=0.3, tol=1e-7, max_iter=1000, class_weight=class_weight)
    ours = LogisticRegression(**options).fit(X, labels, weight)
    theirs = sklearn.linear_model.LogisticRegression(**options).fit(X, labels, weight)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-5)
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X), atol=1e-4)
    assert ours.n_iter_.shape == (1,) and ours.classes_.tolist() == theirs.classes_.tolist()


def test_weights_are_those_of_scikit_learn():
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    options = dict(hidden_layer_sizes=(9,), solver="lbfgs", max_iter=10, random_state=3, alpha=0.5)
    counted = weight > 0
    ours = MLPClassifier(**options).fit(X, Y, weight)
    theirs = sklearn.neural_network.MLPClassifier(**options).fit(X[counted], Y[counted], weight[counted])
    assert distance(ours, theirs) < 1e-10
