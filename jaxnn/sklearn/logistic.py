"""Logistic regression: a classifier without hidden layers."""

from typing import Any, Self

import numpy as np

from jaxnn.constraints import Count, Flag, Real
from jaxnn.sklearn.classification import NetworkClassifier
from jaxnn.sklearn.parameters import DTYPE
from jaxnn.sklearn.training import Parameters

_PARAMETERS = {
    "C": Real(0, closed="right"),
    "tol": Real(0),
    "max_iter": Count(),
    "warm_start": Flag(),
    "dtype": DTYPE,
}


class LogisticRegression(NetworkClassifier):
    """Logistic regression with an l2 penalty, with scikit-learn's parameters, trained by L-BFGS from zero.

    It minimizes Σ w_i L_i + 1/(2C) Σ W² over all examples, divided by Σ w: the objective of
    `sklearn.linear_model.LogisticRegression`, whose optimum it has. Intercepts are always fitted, and not penalized.
    Two classes have one logit; more have one each.

    Args:
      C: the inverse strength of the penalty.
      tol: the largest element of the gradient at the end.
      class_weight: a dictionary from class to weight, "balanced", or `None`.
      random_state: without effect, since it starts at zero; for the interface.
      max_iter: the most steps of L-BFGS.
      verbose: whether to show a progress bar.
      warm_start: whether `fit` continues from the last params.
      dtype: "float64", in which the line search can reach a small `tol`, "float32", or `None` for that of X.

    Attributes:
      coef_: weights, (1, n) for two classes, else (classes, n).
      intercept_: biases, (1,) or (classes,).
      n_iter_: the number of steps, (1,).
      model_: the `jaxnn.Model`.
      params_: its params.

    Example:
      >>> import numpy as np
      >>> from jaxnn.sklearn import LogisticRegression
      >>> model = LogisticRegression().fit(np.array([[-2.0], [-1.0], [1.0], [2.0]]), [0, 0, 1, 1])
      >>> print(model.predict_proba([[0.0]]).round(3), model.coef_.round(2))
      [[0.5 0.5]] [[1.01]]
    """

    _constraints = _PARAMETERS

    def __init__(
        self,
        *,
        C: float = 1.0,
        tol: float = 1e-4,
        class_weight: Any = None,
        random_state: int | np.random.RandomState | None = None,
        max_iter: int = 100,
        verbose: bool | int = False,
        warm_start: bool = False,
        dtype: str | None = None,
    ):
        self.C = C
        self.tol = tol
        self.class_weight = class_weight
        self.random_state = random_state
        self.max_iter = max_iter
        self.verbose = verbose
        self.warm_start = warm_start
        self.dtype = dtype

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on rows X (m, n), dense or sparse, and labels y (m,) of at least two classes.

        Args:
          X: numbers.
          y: labels of any type that can be sorted.
          sample_weight: weights (m,) of at least 0; examples of weight 0 are left out.

        Returns:
          The estimator itself.

        Raises:
          ValueError: if a parameter or the data are not valid, or there is one class.
        """
        self._fit(X, y, sample_weight)
        self.n_iter_ = np.array([self.n_iter_])
        return self

    @property
    def coef_(self) -> np.ndarray:
        """The weights, (1, n) for two classes, else (classes, n)."""
        return self.coefs_[0].T

    @property
    def intercept_(self) -> np.ndarray:
        """The biases, (1,) or (classes,)."""
        return self.intercepts_[0]

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the logits of rows X (m, n): (m,) for two classes, else (m, classes)."""
        z = self._outputs(X)
        return z[:, 0] if z.shape[1] == 1 else z

    def _begin(self, classes: np.ndarray, several: bool) -> None:
        if several:
            raise ValueError("y must be one label per example, (m,), got several: use MLPClassifier")
        if len(classes) < 2:
            raise ValueError(f"y must have at least 2 classes, got one class, {classes.tolist()}")
        super()._begin(classes, several)

    def _parameters(self) -> Parameters:
        network = {"hidden_layer_sizes": (), "activation": "identity", "solver": "lbfgs", "init": "zeros"}
        of_none = {"dropout_rate": 0.0, "early_stopping": False, "max_fun": 15000}
        # As scikit-learn's; its networks stop at SciPy's default.
        ends = {"least_fall": 64 * np.finfo(np.float64).eps}
        return {**network, **of_none, **ends, **self.get_params(deep=False), "alpha": 1 / self.C}
