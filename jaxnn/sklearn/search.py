"""A search over hyperparameters with cross-validation, whose candidates, folds and seeds are one population."""

import time
from collections.abc import Iterator
from typing import Any, Self

import jax
import numpy as np
from sklearn.base import BaseEstimator, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV, check_cv
from sklearn.utils import _safe_indexing, get_tags, indexable
from sklearn.utils.validation import _check_sample_weight

from jaxnn.constraints import Count, Flag, Nothing
from jaxnn.sklearn.candidates import Candidate, make_candidates, make_combinations
from jaxnn.sklearn.networks import unfitted
from jaxnn.sklearn.parameters import check_parameters
from jaxnn.sklearn.populations import Training, train_members

_PARAMETERS = {"n_iter": Count() | Nothing(), "seeds": Count(), "return_train_score": Flag()}


class PopulationSearchCV(GridSearchCV):
    """A search like `GridSearchCV` and `RandomizedSearchCV`, which trains candidates x folds x seeds together.

    Combinations that differ in numbers only (rates, alpha, momentum, dropout rates, seeds, tolerances, class weights,
    widths of layers) are trained in one compiled population. Those that differ in structure (activation, solver, number
    of layers, batch_size, max_iter) are grouped into several. A narrow network is trained in one as wide as the widest
    of its group, with masked units.

    Folds are example weights of 0, so that all folds are one population, and classes are those of all rows. With one
    batch per epoch, a member is what `fit` makes of the rows of its fold, up to rounding. With more, an epoch has as
    many updates as one of `fit`; members share their batches, each leaves out the rows of its test fold, and batches
    vary in size by that.

    In a pipeline, what comes before the network is fitted once for each fold, and there is one population for each
    fold, with the rows of that. L-BFGS and `early_stopping=True` are trained one by one, as by `GridSearchCV`.

    Args:
      estimator: an estimator of `jaxnn.sklearn`, or a pipeline that ends in one.
      param_grid: name -> list of values, or a list of such dictionaries; with `n_iter` also distributions of scipy.
      n_iter: `None` for every combination, or the number of random ones.
      scoring: as for `GridSearchCV`: a name, a scorer, or several of them.
      cv: as for `GridSearchCV`: a number of folds, or a splitter.
      refit: whether to train the best combination on all rows; with several scorers, the name of one. A function takes
        `cv_results_` and returns the index of the best.
      seeds: how often each combination is trained on each split. Scores are means over the seeds, which count up from
        `random_state` of the network.
      random_state: of the random combinations.
      return_train_score: whether to score the training rows too.
      error_score: the score where training or scoring raises an error, or "raise".
      verbose: above 0 to show a progress bar.

    Attributes:
      cv_results_: as `GridSearchCV` has it. A fit's time is that of all trainings, divided by their number.
      best_estimator_: trained on all rows, with the first seed.
      best_params_: the best combination; also `best_index_`, `best_score_`, `n_splits_`, `refit_time_`, `scorer_` and
        `multimetric_`.
      n_populations_: how many compiled populations there were.

    Example:
      >>> import numpy as np
      >>> from jaxnn.sklearn import MLPClassifier, PopulationSearchCV
      >>> x = np.linspace(-1, 1, 40)[:, None]
      >>> y = np.where(x[:, 0] > 0.1, "high", "low")
      >>> network = MLPClassifier((8,), max_iter=900, tol=1e-3, random_state=0)
      >>> search = PopulationSearchCV(network, {"learning_rate_init": [1e-5, 0.05], "alpha": [0.0, 1e-3]}, cv=2)
      >>> search.fit(x, y).best_params_["learning_rate_init"], search.predict([[0.9]]).tolist()
      (0.05, ['high'])
    """

    def __init__(
        self,
        estimator: Any,
        param_grid: Any,
        *,
        n_iter: int | None = None,
        scoring: Any = None,
        cv: Any = None,
        refit: Any = True,
        seeds: int = 1,
        random_state: int | np.random.RandomState | None = None,
        return_train_score: bool = False,
        error_score: Any = np.nan,
        verbose: bool | int = 0,
    ):
        self.estimator = estimator
        self.param_grid = param_grid
        self.n_iter = n_iter
        self.scoring = scoring
        self.cv = cv
        self.refit = refit
        self.seeds = seeds
        self.random_state = random_state
        self.return_train_score = return_train_score
        self.error_score = error_score
        self.verbose = verbose

    def fit(  # type: ignore[override]
        self, X: Any, y: Any = None, *, groups: Any = None, sample_weight: Any = None
    ) -> Self:
        """Train every combination on every split, score it, and train the best one on all rows.

        Args:
          X: rows (m, n), dense, sparse or a data frame.
          y: targets, as the estimator takes them.
          groups: of rows, for splitters by groups.
          sample_weight: of the trainings, (m,); of the scores too if the installed `GridSearchCV` passes weights on.

        Returns:
          The search itself.

        Raises:
          ValueError: if a parameter or the data are not valid, or the estimator is not of `jaxnn.sklearn`.
        """
        check_parameters(self, _PARAMETERS)
        scorer = check_scoring(self.estimator, scoring=self.scoring)
        X, y = indexable(X, y)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X, dtype=np.float64)
        cv: Any = self.cv  # which may be None
        splitter: Any = check_cv(cv, y, classifier=is_classifier(self.estimator))
        splits: Any = list(splitter.split(X, y, groups))
        combinations = make_combinations(self.param_grid, self.n_iter, self.random_state)
        candidates = make_candidates(self.estimator, combinations, self.seeds)
        fit_params = {} if weight is None else {"sample_weight": weight}
        start = time.perf_counter()
        trained, self.n_populations_ = _train_all(candidates, X, y, weight, splits, self.error_score)
        each = (time.perf_counter() - start) / (len(splits) * sum(map(len, candidates)))
        in_order = iter([trained[index, split] for index in range(len(combinations)) for split in range(len(splits))])
        scored = GridSearchCV(
            _Replayed(self.estimator, in_order),
            [{name: [value] for name, value in combination.items()} for combination in combinations],
            scoring=_mean_over_seeds(scorer),
            cv=splits,
            refit=False,
            n_jobs=1,
            return_train_score=self.return_train_score,
            error_score=self.error_score,
        ).fit(X, y, **fit_params)
        self.cv_results_, self.multimetric_ = scored.cv_results_, scored.multimetric_
        self.cv_results_["mean_fit_time"] = np.full(len(combinations), each * self.seeds)
        self.cv_results_["std_fit_time"] = np.zeros(len(combinations))
        self.scorer_, self.n_splits_ = scorer, len(splits)
        self._choose(candidates, X, y, fit_params)
        return self

    def _choose(self, candidates: list[list[Candidate]], X: Any, y: Any, fit_params: dict[str, Any]) -> None:
        """Set what is the best, and train it on all rows, as `GridSearchCV` does."""
        refit: Any = self.refit
        metric = refit if self.multimetric_ else "score"
        if self.multimetric_ and refit is not False and not callable(refit):
            names = [name.removeprefix("rank_test_") for name in self.cv_results_ if name.startswith("rank_test_")]
            if metric not in names:
                raise ValueError(f"refit must be False, a function or one of {names}, got {refit!r}")
        if refit is False and self.multimetric_:
            return
        if callable(refit):
            best: Any = refit(self.cv_results_)
            self.best_index_ = int(best)
        else:
            self.best_index_ = int(self.cv_results_[f"rank_test_{metric}"].argmin())
            self.best_score_ = self.cv_results_[f"mean_test_{metric}"][self.best_index_]
        self.best_params_ = self.cv_results_["params"][self.best_index_]
        if refit is False:
            return
        start = time.perf_counter()
        self.best_estimator_ = _fit_alone(candidates[self.best_index_][0], X, y, fit_params)
        self.refit_time_ = time.perf_counter() - start
        if hasattr(X, "columns") and hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_


class _Replayed(BaseEstimator):
    """An estimator whose `fit` takes the next of those that are trained already, for `GridSearchCV` to score.

    With one job it makes its fits in order: combination by combination, split by split.
    """

    def __init__(self, estimator: Any, trained: Iterator[Any]):
        self.estimator, self.trained = estimator, trained

    def __sklearn_clone__(self) -> "_Replayed":
        return _Replayed(self.estimator, self.trained)

    def set_params(self, **params: Any) -> "_Replayed":
        return self

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "_Replayed":
        self.of_seeds = next(self.trained)
        for fitted in self.of_seeds:
            if isinstance(fitted, Exception):
                raise fitted
        return self

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.estimator)


def _mean_over_seeds(scorer: Any) -> Any:
    takes_weights = getattr(scorer, "_accept_sample_weight", lambda: False)()

    def score(replayed: _Replayed, X: Any, y: Any, sample_weight: Any = None) -> Any:
        options = {"sample_weight": sample_weight} if takes_weights and sample_weight is not None else {}
        scores = [scorer(fitted, X, y, **options) for fitted in replayed.of_seeds]
        if isinstance(scores[0], dict):
            return {name: np.mean([of_seed[name] for of_seed in scores]) for name in scores[0]}
        return np.mean(scores)

    return score


def _train_all(
    candidates: list[list[Candidate]], X: Any, y: Any, weight: Any, splits: list[Any], error_score: Any
) -> tuple[dict[tuple[int, int], list[Any]], int]:
    """Return (combination, split) -> the fitted estimators, or errors, of its seeds; and the number of populations."""
    every = [candidate for of_seeds in candidates for candidate in of_seeds]
    groups: dict[Any, list[Candidate]] = {}
    alone = [candidate for candidate in every if not candidate.is_member]
    for candidate in every:
        if candidate.is_member:
            groups.setdefault(candidate.structure, []).append(candidate)
    fitted: dict[tuple[int, int], list[Any]] = {}
    n = 0

    def keep(of_group: list[tuple[Candidate, int]], estimators: list[Any]) -> None:
        for (candidate, split), estimator in zip(of_group, estimators, strict=True):
            fitted.setdefault((candidate.number, split), []).append(estimator)

    for group in groups.values():
        if group[0].before is None:
            of_group = [(candidate, split) for candidate in group for split in range(len(splits))]
            keep(of_group, _train_group(of_group, X, y, weight, splits))
            n += 1
            continue
        for split, (train, _) in enumerate(splits):
            of_group = [(candidate, split) for candidate in group]
            before = unfitted(group[0].before)
            rows, targets = _safe_indexing(X, train), _safe_indexing(y, train)
            own = None if weight is None else weight[train]
            transformed, whole = before.fit_transform(rows, targets), [(np.arange(len(train)), None)] * len(splits)
            trained = _train_group(of_group, transformed, targets, own, whole)
            keep(of_group, [one.fitted(before, network) for one, network in zip(group, trained, strict=True)])
            n += 1
    for candidate in alone:
        for split, (train, _) in enumerate(splits):
            own = {} if weight is None else {"sample_weight": weight[train]}
            try:
                result: Any = _fit_alone(candidate, _safe_indexing(X, train), _safe_indexing(y, train), own)
            except Exception as error:
                if error_score == "raise":
                    raise
                result = error
            keep([(candidate, split)], [result])
    return fitted, n


def _train_group(of_group: list[tuple[Candidate, int]], X: Any, y: Any, weight: Any, splits: list[Any]) -> list[Any]:
    """Train candidates of one structure, each on the rows of its split."""
    pattern = unfitted(of_group[0][0].network)
    data = pattern._validated(X, y, None, True)._replace(weight=weight)
    with jax.enable_x64(pattern._dtype == "float64"):
        trainings = []
        for candidate, split in of_group:
            rows = np.zeros(len(data.x), bool)
            rows[splits[split][0]] = True
            trainings.append(Training(candidate.network, rows))
        return train_members(trainings, data, pattern)


def _fit_alone(candidate: Candidate, X: Any, y: Any, fit_params: dict[str, Any]) -> Any:
    """Fit one candidate as its estimator does."""
    if candidate.before is None:
        return unfitted(candidate.network).fit(X, y, **fit_params)
    before = unfitted(candidate.before)
    network = unfitted(candidate.network).fit(before.fit_transform(X, y), y, **fit_params)
    return candidate.fitted(before, network)
