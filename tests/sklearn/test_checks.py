"""scikit-learn's own checks of estimators: all pass, none is expected to fail."""

from functools import partial

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from jaxnn.sklearn import LogisticRegression, MLPClassifier, MLPRegressor, PopulationSearchCV

# Small trainings: whether they have converged is not what is checked.
pytestmark = pytest.mark.filterwarnings("ignore")

ESTIMATORS = [
    MLPClassifier(max_iter=100),
    MLPClassifier(max_iter=100, solver="lbfgs"),
    MLPClassifier(max_iter=100, solver="sgd", dtype="float64", init="he", activation="gelu"),
    MLPRegressor(max_iter=100),
    MLPRegressor(max_iter=100, solver="lbfgs", dtype="float64"),
    LogisticRegression(),
]


@pytest.mark.full
@parametrize_with_checks(ESTIMATORS)
def test_check_of_scikit_learn(estimator, check):
    check(estimator)


def checks_of(estimator):
    """Return the name of each check, and the check as a function without arguments."""
    pairs = estimator_checks_generator(estimator)
    return {check.func.__name__: partial(check, one) for one, check in pairs}


QUICK = [
    *["check_estimators_pickle", "check_estimator_sparse_matrix", "check_dict_unchanged", "check_n_features_in"],
    *["check_sample_weights_not_overwritten", "check_fit2d_1sample"],
    *["check_estimators_nan_inf", "check_set_params", "check_parameters_default_constructible"],
]


@pytest.mark.parametrize("name", QUICK)
def test_quick_check_of_scikit_learn(name):
    checks_of(MLPClassifier(max_iter=3))[name]()


@pytest.mark.representatives("estimator1")
@pytest.mark.parametrize("estimator", [MLPClassifier(solver="lbfgs"), LogisticRegression(), MLPRegressor(max_iter=20)])
def test_weights_are_repetitions(estimator):
    checks_of(estimator)["check_sample_weight_equivalence_on_dense_data"]()


@pytest.mark.full
@parametrize_with_checks([PopulationSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2)])
def test_search_passes_checks_of_scikit_learn(estimator, check):
    check(estimator)
