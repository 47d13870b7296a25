"""A regressor: numbers as targets, and outputs as predictions."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import column_or_1d

from jaxnn.sklearn.networks import NetworkEstimator, is_stochastic


class MLPRegressor(RegressorMixin, NetworkEstimator):
    """A regressor by a network of dense layers, with scikit-learn's parameters, trained by jaxnn.

    What it minimizes is, for each batch, the mean of ½ Σ_j (z_j - y_j)² plus α/2 Σ W² / Σ w, whose gradient is that of
    `sklearn.neural_network.MLPRegressor`. (The loss which that one reports for k targets is divided by k, its gradient
    is not.) Starts, batches, sparse inputs and parameters are those of `jaxnn.sklearn.MLPClassifier`, which describes
    them; the validation score of early stopping is R².

    Example:
      >>> import numpy as np
      >>> from jaxnn.sklearn import MLPRegressor
      >>> x = np.linspace(-1, 1, 20)[:, None]
      >>> model = MLPRegressor((8,), "tanh", solver="lbfgs", alpha=0, max_iter=500, random_state=0)
      >>> bool(model.fit(x, x[:, 0] ** 2).score(x, x[:, 0] ** 2) > 0.99)
      True
    """

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate_init: float = 0.001,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout_rate: float = 0.0,
        init: str = "glorot_uniform",
        dtype: str | None = None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout_rate = dropout_rate
        self.init = init
        self.dtype = dtype

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on rows X (m, n), dense or sparse, and targets y, (m,) or (m, k).

        Args:
          X: numbers.
          y: numbers.
          sample_weight: weights (m,) of at least 0; examples of weight 0 are left out.

        Returns:
          The estimator itself.

        Raises:
          ValueError: if a parameter or the data are not valid.
        """
        return self._fit(X, y, sample_weight)

    @available_if(is_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch more on rows X (m, n), continuing with the optimizer's state; returns the estimator."""
        return self._fit(X, y, sample_weight, incremental=True)

    def _encode(self, X: Any, y: Any, first: bool) -> np.ndarray:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if first:
            self._flat, self.n_outputs_ = y.ndim == 1, 1 if y.ndim == 1 else y.shape[1]
            self.out_activation_ = "identity"
        return y.astype(self._dtype)

    def _labels(self, z: np.ndarray) -> np.ndarray:
        return z[:, 0] if self._flat else z

    def _agreement(self, z: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> float:
        return float(r2_score(y, self._labels(z), sample_weight=weight))

    def _output_is_number(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
