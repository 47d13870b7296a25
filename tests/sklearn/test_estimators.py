"""Estimators as users of scikit-learn have them: labels, weights, files, pipelines, training in parts."""

import pickle
import subprocess
import sys

import jax
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import jaxnn
from jaxnn.sklearn import LogisticRegression, MLPClassifier, MLPRegressor
from tests.helpers.sources import ROOT

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
SMALL = MLPClassifier((6,), max_iter=4, batch_size=40, random_state=0)


def coefs(estimator):
    return np.concatenate([a.ravel() for a in estimator.coefs_ + estimator.intercepts_])


IMPORTS = """
import sys
import jaxnn
assert "sklearn" not in sys.modules
sys.modules["sklearn"] = None  # as if it were not installed
try:
    jaxnn.sklearn
except ImportError as error:
    print(error)
del sys.modules["sklearn"]
print(jaxnn.sklearn.MLPClassifier(max_iter=3))
"""


def test_scikit_learn_is_imported_when_it_is_needed():
    done = subprocess.run([sys.executable, "-c", IMPORTS], cwd=ROOT, capture_output=True, text=True, check=True)
    install = "scikit-learn is not installed: pip install scikit-learn"
    assert done.stdout.splitlines() == [install, "MLPClassifier(max_iter=3)"]


def test_classes_may_be_strings():
    numbers, strings = clone(SMALL).fit(X, Y), clone(SMALL).fit(X, NAMES[Y])
    assert strings.classes_.tolist() == NAMES.tolist()
    np.testing.assert_array_equal(strings.predict(X), NAMES[numbers.predict(X)])
    assert strings.score(X, NAMES[Y]) == numbers.score(X, Y)


@pytest.mark.full
def test_sparse_rows_are_dense_ones():
    sparse = scipy.sparse.csr_array(np.where(X > 2, X, 0))
    dense, other = clone(SMALL).fit(sparse.toarray(), Y), clone(SMALL).fit(sparse, Y)
    np.testing.assert_array_equal(coefs(dense), coefs(other))
    np.testing.assert_array_equal(dense.predict_proba(sparse.toarray()), other.predict_proba(sparse))


def test_rows_are_predicted_in_parts():
    many = np.tile(X, (60, 1))  # 9000 rows, and at most 8192 at a time
    model = clone(SMALL).fit(X, Y)
    np.testing.assert_allclose(model.predict_proba(many), np.tile(model.predict_proba(X), (60, 1)), atol=1e-12)


def test_data_frames_have_names():
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = clone(SMALL).fit(frame, Y)
    assert model.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("dcba")])


@pytest.mark.full
def test_pipeline_passes_data_frames_on():
    pipe = make_pipeline(StandardScaler(), clone(SMALL)).set_output(transform="pandas").fit(pd.DataFrame(X), Y)
    assert pipe[-1].feature_names_in_.tolist() == ["x0", "x1", "x2", "x3"] or pipe[-1].n_features_in_ == 4
    assert cross_val_score(pipe, X, Y, cv=3).shape == (3,)
    assert "MLPClassifier" in pipe._repr_html_()


@pytest.mark.parametrize("estimator", [SMALL, MLPClassifier((3,), solver="lbfgs", max_iter=5), LogisticRegression()])
def test_pickles_predict_the_same_and_hold_numpy_arrays(estimator):
    fitted = clone(estimator).fit(X, Y)
    restored = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(restored.predict_proba(X), fitted.predict_proba(X))
    assert not any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(vars(restored)))
    assert not hasattr(clone(restored), "coefs_") and clone(restored).get_params() == fitted.get_params()


@pytest.mark.full
def test_a_pickled_training_continues():
    model = clone(SMALL).fit(X, Y)
    restored = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(coefs(model.partial_fit(X, Y)), coefs(restored.partial_fit(X, Y)))


@pytest.mark.full
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fits_are_epochs(solver):
    whole = clone(SMALL).set_params(solver=solver, tol=0, dropout_rate=0.2).fit(X, Y)
    parts = clone(whole)
    for _ in range(4):
        parts.partial_fit(X, Y, classes=[0, 1, 2])
    np.testing.assert_array_equal(coefs(whole), coefs(parts))
    assert parts.loss_curve_ == pytest.approx(whole.loss_curve_, rel=1e-6) and parts.t_ == whole.t_ == 600
    longer = clone(whole).set_params(max_iter=5).fit(X, Y)
    np.testing.assert_array_equal(coefs(whole.partial_fit(X, Y)), coefs(longer))


@pytest.mark.full
def test_first_partial_fit_takes_all_classes():
    first, rest = Y < 2, Y == 2
    model = clone(SMALL).partial_fit(X[first], NAMES[Y[first]], classes=NAMES)
    assert model.partial_fit(X[rest], NAMES[Y[rest]]).predict_proba(X).shape == (150, 3)
    with pytest.raises(ValueError, match="classes must be passed"):
        clone(SMALL).partial_fit(X, Y)
    with pytest.raises(ValueError, match="y must be of classes_"):
        model.partial_fit(X, np.full(150, "rose"))
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")


@pytest.mark.full
def test_regressor_is_fitted_in_parts_too():
    whole = MLPRegressor((5,), max_iter=3, tol=0, random_state=0).fit(X, X[:, :2])
    parts = clone(whole)
    for _ in range(3):
        parts.partial_fit(X, X[:, :2])
    np.testing.assert_array_equal(coefs(whole), coefs(parts))
    assert parts.predict(X).shape == (150, 2)


def test_warm_start_continues_from_the_last_params():
    once = clone(SMALL).set_params(solver="sgd", momentum=0.0, batch_size=150, max_iter=8, tol=0).fit(X, Y)
    twice = clone(once).set_params(warm_start=True, max_iter=4).fit(X, Y).fit(X, Y)
    np.testing.assert_allclose(coefs(once), coefs(twice), atol=1e-12)  # without momentum, nothing else is carried
    assert len(twice.loss_curve_) == 8
    with pytest.raises(ValueError, match="classes of the last fit"):
        twice.fit(X[Y < 2], Y[Y < 2])


def test_examples_of_weight_0_are_left_out():
    weight = (np.arange(150) % 3 > 0).astype(float)
    weighted = clone(SMALL).fit(X, Y, weight)
    np.testing.assert_array_equal(coefs(weighted), coefs(clone(SMALL).fit(X[weight > 0], Y[weight > 0])))
    with pytest.raises(ValueError, match="(?i)sample.weight"):
        clone(SMALL).fit(X, Y, np.zeros(150))


@pytest.mark.full
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_weight_2_is_twice(solver):
    twice = np.arange(150) % 2 == 0
    whole = clone(SMALL).set_params(solver=solver, batch_size=1000, alpha=0.3)
    weighted = clone(whole).fit(X, Y, 1.0 + twice)
    repeated = clone(whole).fit(np.concatenate([X, X[twice]]), np.concatenate([Y, Y[twice]]))
    np.testing.assert_allclose(coefs(weighted), coefs(repeated), atol=1e-9)


@pytest.mark.full
def test_class_weights_are_example_weights():
    counted = np.arange(150) > 30
    x, y = X[counted], NAMES[Y[counted]]
    weight = {"setosa": 3.0, "versicolor": 0.5, "virginica": 1.0}
    by_class = clone(SMALL).set_params(class_weight=weight).fit(x, y)
    by_example = clone(SMALL).fit(x, y, [weight[name] for name in y])
    np.testing.assert_array_equal(coefs(by_class), coefs(by_example))
    balanced = clone(SMALL).set_params(class_weight="balanced").fit(x, y)
    share = {name: len(y) / (3 * (y == name).sum()) for name in NAMES}
    np.testing.assert_array_equal(coefs(balanced), coefs(clone(SMALL).fit(x, y, [share[name] for name in y])))


@pytest.mark.full
def test_several_labels_are_predicted_each():
    labels = np.stack([Y == 0, X[:, 0] > 6, X[:, 3] > 1], 1).astype(int)
    model = MLPClassifier((10,), solver="lbfgs", max_iter=300, random_state=0).fit(X, labels)
    assert model.predict(X).shape == model.predict_proba(X).shape == (150, 3)
    assert model.score(X, labels) > 0.95
    np.testing.assert_array_equal(model.predict(X), model.predict_proba(X) > 0.5)


@pytest.mark.full
def test_one_class_is_predicted():
    model = clone(SMALL).fit(X, np.full(150, "only"))
    assert set(model.predict(X)) == {"only"} and (model.predict_proba(X) == 1).all()
    with pytest.raises(ValueError, match="at least 2 classes"):
        LogisticRegression().fit(X, np.zeros(150))


@pytest.mark.full
def test_networks_are_saved_by_jaxnn(tmp_path):
    model = clone(SMALL).set_params(dtype="float32").fit(X, Y)
    jaxnn.save(tmp_path / "m.safetensors", model.model_, model.params_, class_names=[*NAMES])
    loaded = jaxnn.load(tmp_path / "m.safetensors")
    probabilities = loaded.model.predict_proba(loaded.params, X.astype(np.float32))
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-6)


def test_precision_is_that_of_the_rows_by_default():
    assert clone(SMALL).fit(X, Y).coefs_[0].dtype == np.float64
    assert clone(SMALL).fit(X.astype(np.float32), Y).predict_proba(X.astype(np.float32)).dtype == np.float32
    single = clone(SMALL).set_params(dtype="float32").fit(X, Y)
    assert single.coefs_[0].dtype == np.float32 and single.predict_proba(X).dtype == np.float64
    assert not jax.config.jax_enable_x64


def test_random_state_decides():
    np.testing.assert_array_equal(coefs(clone(SMALL).fit(X, Y)), coefs(clone(SMALL).fit(X, Y)))
    assert (coefs(clone(SMALL).fit(X, Y)) != coefs(clone(SMALL).set_params(random_state=1).fit(X, Y))).any()


def test_training_without_convergence_warns():
    with pytest.warns(ConvergenceWarning, match="has not converged after 4 epochs"):
        clone(SMALL).fit(X, Y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_layer_sizes": (5, 0)}, "hidden_layer_sizes"),
        ({"activation": "rleu"}, "activation must be one of"),
        ({"alpha": -1}, "alpha must be"),
        ({"solver": "sdg"}, "solver must be"),
        ({"momentum": 1.0}, "momentum must be"),
        ({"n_iter_no_change": 0}, "n_iter_no_change must be"),
        ({"solver": "lbfgs", "dropout_rate": 0.5}, "dropout_rate must be 0"),
        ({"dtype": "float16"}, "dtype must be"),
    ],
)
def test_invalid_parameters_raise_in_fit(parameters, message):
    model = clone(SMALL).set_params(**parameters)
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)


@pytest.mark.full
def test_early_stopping_returns_to_the_best_epoch():
    model = clone(SMALL).set_params(early_stopping=True, max_iter=40, n_iter_no_change=3, learning_rate_init=0.05)
    model.fit(X, Y)
    assert len(model.validation_scores_) == model.n_iter_ and model.best_loss_ is None
    assert model.best_validation_score_ == max(model.validation_scores_)
    with pytest.raises(ValueError, match="early_stopping must be False"):
        model.partial_fit(X, Y)
