"""The search against GridSearchCV over the same estimators, which trains them one by one."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import sklearn.linear_model
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, GroupKFold, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import jaxnn.sklearn.populations
from jaxnn.sklearn import LogisticRegression, MLPClassifier, MLPRegressor, PopulationSearchCV

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
NETWORK = MLPClassifier((6,), max_iter=40, random_state=5)
GRID = {"learning_rate_init": [3e-3, 3e-2], "alpha": [1e-4, 1.0], "hidden_layer_sizes": [(4,), (9,)]}


def of_scores(results):
    return {name: values for name, values in results.items() if "_time" not in name and not name.startswith("param")}


def assert_same(ours, theirs, atol):
    """The same layout; scores as of trainings that agree up to rounding."""
    assert [*ours] == [*theirs]
    assert ours["params"] == theirs["params"]
    for name in theirs:
        if name.startswith("param_"):
            assert ours[name].tolist() == theirs[name].tolist() and ours[name].dtype == theirs[name].dtype
    for name, values in of_scores(theirs).items():
        np.testing.assert_allclose(ours[name], values, atol=atol, err_msg=name)


@pytest.mark.full
def test_members_are_what_single_fits_are():
    """With one batch per epoch; the log of the likelihood shows differences that an accuracy hides."""
    options = dict(cv=3, scoring=["neg_log_loss", "accuracy"], refit="neg_log_loss", return_train_score=True)
    ours = PopulationSearchCV(NETWORK, GRID, **options).fit(X, Y)
    theirs = GridSearchCV(NETWORK, GRID, **options).fit(X, Y)
    assert_same(ours.cv_results_, theirs.cv_results_, atol=1e-9)
    assert ours.n_populations_ == 1 and ours.n_splits_ == 3
    assert ours.best_params_ == theirs.best_params_ and ours.best_index_ == theirs.best_index_
    assert ours.best_score_ == pytest.approx(theirs.best_score_, abs=1e-9)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-12)
    assert ours.score(X, Y) == pytest.approx(theirs.score(X, Y))
    assert ours.classes_.tolist() == [0, 1, 2] and ours.n_features_in_ == 4


@pytest.mark.full
def test_members_end_when_single_fits_do():
    network = NETWORK.set_params(max_iter=200, tol=1e-2, n_iter_no_change=3)
    search = PopulationSearchCV(network, GRID, cv=3, refit=False)
    ended = []
    with pytest.MonkeyPatch.context() as patch:
        made = jaxnn.sklearn.populations._estimators
        patch.setattr(jaxnn.sklearn.populations, "_estimators", lambda *args: ended.extend(made(*args)) or made(*args))
        search.fit(X, Y)
    theirs = GridSearchCV(network, GRID, cv=3, refit=False, scoring=lambda e, x, y: e.n_iter_).fit(X, Y).cv_results_
    expected = np.stack([theirs[f"split{i}_test_score"] for i in range(3)])
    assert sorted(e.n_iter_ for e in ended) == sorted(expected.ravel())
    assert expected.min() < expected.max() < 200  # each at its own end


@pytest.mark.full
def test_mini_batches_score_alike():
    """Batches are others: the scores of ten folds agree in the mean."""
    network = MLPClassifier((8,), max_iter=60, batch_size=16, learning_rate_init=0.01, random_state=0)
    ours = PopulationSearchCV(network, {"alpha": [1e-4, 1e-2]}, cv=10).fit(X, Y).cv_results_
    theirs = GridSearchCV(network, {"alpha": [1e-4, 1e-2]}, cv=10).fit(X, Y).cv_results_
    np.testing.assert_allclose(ours["mean_test_score"], theirs["mean_test_score"], atol=0.03)


@pytest.mark.full
def test_pipelines_are_fitted_per_fold():
    pipe = make_pipeline(StandardScaler(), MLPClassifier((6,), max_iter=15, batch_size=20, random_state=5))
    grid = {
        "mlpclassifier__learning_rate_init": [1e-3, 1e-2],
        "mlpclassifier__class_weight": [None, "balanced", {0: 5.0, 1: 1.0, 2: 1.0}],
        "standardscaler__with_mean": [True, False],
    }
    ours = PopulationSearchCV(pipe, grid, cv=3, scoring="neg_log_loss").fit(pd.DataFrame(X), Y)
    theirs = GridSearchCV(pipe, grid, cv=3, scoring="neg_log_loss").fit(pd.DataFrame(X), Y)
    assert_same(ours.cv_results_, theirs.cv_results_, atol=1e-9)  # in mini-batches too: each fold has its own rows
    assert ours.n_populations_ == 6
    np.testing.assert_allclose(ours.predict_proba(pd.DataFrame(X)), theirs.predict_proba(pd.DataFrame(X)), atol=1e-12)


@pytest.mark.full
def test_structures_are_trained_in_groups():
    grid = [
        {"activation": ["tanh", "relu"], "alpha": [0.0, 0.1]},
        {"solver": ["lbfgs"], "hidden_layer_sizes": [(3, 3)]},
        {"early_stopping": [True], "dropout_rate": [0.0, 0.1]},
    ]
    ours = PopulationSearchCV(NETWORK, grid, cv=3, scoring="neg_log_loss").fit(X, Y)
    theirs = GridSearchCV(NETWORK, grid, cv=3, scoring="neg_log_loss").fit(X, Y)
    assert_same(ours.cv_results_, theirs.cv_results_, atol=1e-9)
    assert ours.n_populations_ == 2  # two activations; the others one by one


@pytest.mark.full
def test_regressors_dropout_and_weights():
    x, y = load_diabetes(return_X_y=True)
    x, y, weight = x[:90] * 20, y[:90] / 100, np.random.default_rng(0).integers(0, 3, 90)
    network = MLPRegressor((8,), max_iter=20, random_state=0, solver="sgd")
    grid = {"momentum": [0.5, 0.9], "dropout_rate": [0.0, 0.2], "learning_rate_init": [0.01]}
    cv = ShuffleSplit(3, random_state=0)
    ours = PopulationSearchCV(network, grid, cv=cv).fit(x, y, sample_weight=weight)
    theirs = GridSearchCV(network, grid, cv=cv).fit(x, y, sample_weight=weight)
    without = np.array([p["dropout_rate"] == 0 for p in ours.cv_results_["params"]])
    for name, values in of_scores(theirs.cv_results_).items():
        if "split" in name:
            np.testing.assert_allclose(ours.cv_results_[name][without], values[without], atol=1e-9)
    assert (ours.cv_results_["mean_test_score"][~without] != ours.cv_results_["mean_test_score"][without]).all()


@pytest.mark.full
def test_seeds_are_averaged():
    grid = {"alpha": [1e-4, 1.0]}
    search = PopulationSearchCV(NETWORK, grid, cv=3, seeds=2, scoring="neg_log_loss").fit(X, Y)
    each = [
        GridSearchCV(NETWORK.set_params(random_state=seed), grid, cv=3, scoring="neg_log_loss").fit(X, Y).cv_results_
        for seed in (5, 6)
    ]
    NETWORK.set_params(random_state=5)
    mean = (each[0]["split1_test_score"] + each[1]["split1_test_score"]) / 2
    np.testing.assert_allclose(search.cv_results_["split1_test_score"], mean, atol=1e-9)
    assert search.best_estimator_.random_state == 5


@pytest.mark.full
def test_random_search_draws_from_distributions():
    distributions = {"learning_rate_init": scipy.stats.loguniform(1e-4, 1e-1), "hidden_layer_sizes": [(3,), (5,)]}
    search = PopulationSearchCV(NETWORK, distributions, n_iter=4, random_state=0, cv=2, refit=False).fit(X, Y)
    rates = [p["learning_rate_init"] for p in search.cv_results_["params"]]
    assert len({*rates}) == 4 and all(1e-4 <= rate <= 1e-1 for rate in rates)
    assert not hasattr(search, "best_estimator_") and search.best_params_ in search.cv_results_["params"]


@pytest.mark.full
def test_logistic_regression_is_searched_too():
    grid = {"C": [0.01, 1.0, 100.0]}
    groups = np.arange(150) % 5
    ours = PopulationSearchCV(LogisticRegression(max_iter=500), grid, cv=GroupKFold(5)).fit(X, Y, groups=groups)
    theirs = GridSearchCV(sklearn.linear_model.LogisticRegression(max_iter=500), grid, cv=GroupKFold(5))
    assert ours.best_params_ == theirs.fit(X, Y, groups=groups).best_params_
    assert ours.n_populations_ == 0


@pytest.mark.full
def test_many_members_are_trained_in_parts(monkeypatch):
    """Which are of one size, filled up, and in an order that is undone."""
    rates = {"learning_rate_init": np.geomspace(1e-3, 1e-1, 7).tolist()}
    whole = PopulationSearchCV(NETWORK, rates, cv=3, refit=False, scoring="neg_log_loss").fit(X, Y)
    parts = [
        np.array(part) for part in ([20, 3, 4, 5], [0, 1, 2, 6], [7, 8, 9, 10], [11, 12, 13, 14], [15, 16, 17, 18])
    ]
    parts.append(np.array([19, 19, 19, 19]))
    monkeypatch.setattr(jaxnn.sklearn.populations, "_parts", lambda rates: parts)
    divided = PopulationSearchCV(NETWORK, rates, cv=3, refit=False, scoring="neg_log_loss").fit(X, Y)
    for name, values in of_scores(whole.cv_results_).items():
        if "split" in name:
            np.testing.assert_allclose(divided.cv_results_[name], values, atol=1e-9)


def test_parts_hold_every_member():
    rates = np.random.default_rng(0).permutation(161) / 100
    parts = jaxnn.sklearn.populations._parts(rates)
    assert {len(part) for part in parts} == {54} and {*np.concatenate(parts)} == {*range(161)}
    assert rates[parts[0]].min() >= rates[parts[1]].max()


@pytest.mark.full
def test_invalid_searches_raise():
    with pytest.raises(ValueError, match=r"estimator must be an estimator of jaxnn\.sklearn.*GridSearchCV"):
        PopulationSearchCV(sklearn.linear_model.LogisticRegression(), {"C": [1.0]}).fit(X, Y)
    with pytest.raises(ValueError, match="alpha must be"):
        PopulationSearchCV(NETWORK, {"alpha": [-1.0]}).fit(X, Y)
    with pytest.raises(ValueError, match="seeds must be"):
        PopulationSearchCV(NETWORK, {"alpha": [1.0]}, seeds=0).fit(X, Y)
    with pytest.raises(ValueError, match="refit must be"):
        PopulationSearchCV(NETWORK, {"alpha": [1.0]}, cv=2, scoring=["accuracy", "neg_log_loss"]).fit(X, Y)
