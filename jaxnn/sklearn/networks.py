"""What the estimators share: checks, starts, trainings, and the outputs of a trained network."""

from typing import Any, ClassVar, Self

import jax
import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from jaxnn.constraints import Constraint
from jaxnn.data.batches import Batch
from jaxnn.models.model import Model
from jaxnn.sklearn.outputs import outputs_in_parts
from jaxnn.sklearn.parameters import NETWORK, check_parameters, hidden_sizes
from jaxnn.sklearn.starts import coefs_of_params, draw_seed, draw_start, params_of_coefs
from jaxnn.sklearn.training import (
    Parameters,
    Trained,
    make_model,
    train_by_epochs,
    train_one_epoch,
    train_to_minimum,
)
from jaxnn.typing import Params


class NetworkEstimator(BaseEstimator):
    """An estimator whose prediction is a function of the outputs of a network.

    A subclass encodes targets in `_encode`, predicts in `_labels`, and scores predictions in `_agreement`.
    """

    _constraints: ClassVar[dict[str, Constraint]] = NETWORK
    coefs_: list[np.ndarray]
    intercepts_: list[np.ndarray]
    n_features_in_: int
    n_outputs_: int
    validation_scores_: list[float] | None
    out_activation_: str
    _dtype: str

    @property
    def model_(self) -> Model:
        """The `jaxnn.Model` of the network, as `jaxnn.save` takes it."""
        check_is_fitted(self)
        return make_model(self._parameters(), self.n_features_in_, self.n_outputs_, self._output())

    @property
    def params_(self) -> Params:
        """The network's params, NumPy arrays that share the memory of `coefs_` and `intercepts_`."""
        return params_of_coefs(self.model_, self.coefs_, self.intercepts_)

    def _parameters(self) -> Parameters:
        return self.get_params(deep=False)

    def _encode(self, X: Any, y: Any, first: bool) -> np.ndarray:
        """Return targets as the loss takes them, (m,) or (m, k), and set what describes them."""
        raise NotImplementedError

    def _labels(self, z: np.ndarray) -> np.ndarray:
        """Return the predictions of outputs (m, k)."""
        raise NotImplementedError

    def _agreement(self, z: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> float:
        """Return the score of outputs (m, k) with encoded targets."""
        raise NotImplementedError

    def _output(self) -> str:
        return {"softmax": "softmax", "logistic": "binary", "identity": "linear"}[self.out_activation_]

    def _class_weight(self, y: np.ndarray, class_weight: Any, weight: np.ndarray | None) -> np.ndarray | None:
        """Return the weight that each example has by its encoded class, beside its own."""
        return None

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool = False) -> Self:
        check_parameters(self, self._constraints)
        parameters = self._parameters()
        if incremental and parameters["early_stopping"]:
            raise ValueError("early_stopping must be False for partial_fit, got True: call fit")
        if parameters["solver"] == "lbfgs" and parameters["dropout_rate"]:
            raise ValueError(
                f"dropout_rate must be 0 with solver='lbfgs', got {parameters['dropout_rate']}: use solver='adam'"
            )
        first = not hasattr(self, "coefs_") or not (parameters["warm_start"] or incremental)
        data = self._validated(X, y, sample_weight, first)
        with jax.enable_x64(self._dtype == "float64"):
            self._train(parameters, data, first, incremental)
        return self

    def _validated(self, X: Any, y: Any, sample_weight: Any, first: bool) -> Batch:
        """Return the examples whose weight is not 0, dense, with encoded targets and their weights."""
        y_numeric = self._output_is_number()
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            dtype=(np.float64, np.float32),
            multi_output=True,
            y_numeric=y_numeric,
            reset=first,
        )
        if first:
            self._dtype = self._parameters()["dtype"] or X.dtype.name
        y = self._encode(X, y, first)
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
            if not weight.any():
                raise ValueError("sample_weight must be above 0 for at least one example, got zeros: omit it")
            counted = weight != 0
            X, y, weight = X[counted], y[counted], weight[counted]
        by_class = self._class_weight(y, self._parameters().get("class_weight"), weight)
        if by_class is not None:
            weight = by_class if weight is None else weight * by_class
        return Batch(np.asarray(X.toarray() if hasattr(X, "toarray") else X, self._dtype), y, weight)

    def _train(self, parameters: Parameters, data: Batch, first: bool, incremental: bool) -> None:
        random = check_random_state(parameters["random_state"])
        sizes = (self.n_features_in_, *hidden_sizes(parameters["hidden_layer_sizes"]), self.n_outputs_)
        model = make_model(parameters, sizes[0], sizes[-1], self._output())
        if first:
            self.coefs_, self.intercepts_ = draw_start(
                parameters["init"], parameters["activation"], sizes, model, random, self._dtype
            )
            self._begin_training(sizes)
        params = params_of_coefs(model, self.coefs_, self.intercepts_)
        if parameters["solver"] == "lbfgs":
            trained = train_to_minimum(parameters, model, params, data)
        elif incremental:
            size = batch_size_of(parameters["batch_size"], len(data.x))
            trained = train_one_epoch(parameters, model, params, data, draw_seed(random), size, self._state)
        else:
            held_out = None
            if parameters["early_stopping"]:
                data, held_out = self._split(data, parameters, random)
            size = batch_size_of(parameters["batch_size"], len(data.x))
            score = None if held_out is None else lambda params: self._score_of(model, params, held_out)
            trained = train_by_epochs(parameters, model, params, data, draw_seed(random), size, score)
        self._keep(trained, len(data.x))

    def _begin_training(self, sizes: tuple[int, ...]) -> None:
        self.n_layers_, self.t_, self._state = len(sizes), 0, None
        self.loss_curve_: list[float] = []
        self.validation_scores_ = None

    def _split(self, data: Batch, parameters: Parameters, random: np.random.RandomState) -> tuple[Batch, Batch]:
        """Split as scikit-learn's networks do, by the same random numbers."""
        stratify = data.y if self.n_outputs_ == 1 and not self._output_is_number() else None
        rows, held_out = train_test_split(
            np.arange(len(data.x)),
            random_state=random,
            test_size=parameters["validation_fraction"],
            stratify=stratify,
        )
        if len(held_out) < 2:
            raise ValueError(
                f"validation_fraction must hold out at least 2 examples, got {len(held_out)} of {len(data.x)}"
            )
        return jax.tree.map(lambda a: a[rows], data), jax.tree.map(lambda a: a[held_out], data)

    def _score_of(self, model: Model, params: Params, data: Any) -> float:
        return self._agreement(outputs_in_parts(model, params, data.x, self._dtype), data.y, data.weight)

    def _keep(self, trained: Trained, m: int) -> None:
        """Set the attributes that scikit-learn's networks have after a training."""
        self.coefs_, self.intercepts_ = coefs_of_params(trained.params)
        self.n_iter_, self.loss_, self._state = trained.n_iter, trained.loss, trained.state
        self.loss_curve_ = [*self.loss_curve_, *trained.curve]
        self.t_ += m * trained.n_iter
        scores = [*(self.validation_scores_ or []), *trained.scores]
        held_out = self._parameters()["early_stopping"]
        self.validation_scores_ = scores if held_out else None
        self.best_validation_score_ = max(scores) if held_out and scores else None
        self.best_loss_ = None if held_out else min([*self.loss_curve_, self.loss_])

    def _outputs(self, X: Any) -> np.ndarray:
        """Return the network's outputs (m, k) for dense or sparse rows."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False)
        with jax.enable_x64(self._dtype == "float64"):
            outputs = outputs_in_parts(self.model_, self.params_, X, self._dtype)
        return outputs.astype(X.dtype)  # as scikit-learn: a network in float32 predicts float64 for rows of float64

    def predict(self, X: Any) -> np.ndarray:
        """Return the predictions for rows X (m, n), dense or sparse: (m,), or (m, k) for several targets."""
        return self._labels(self._outputs(X))

    def _output_is_number(self) -> bool:
        return False

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def batch_size_of(batch_size: Any, m: int) -> int:
    """Return how many of m examples a batch has: at most 200 by default, as in scikit-learn."""
    return min(200 if batch_size == "auto" else int(batch_size), m)


def unfitted(estimator: Any, safe: bool = True) -> Any:
    """Return an estimator with the same parameters, not fitted; with `safe=False`, a copy of anything else."""
    return clone(estimator, safe=safe)


def is_stochastic(estimator: NetworkEstimator) -> bool:
    """Return whether the solver trains by batches, which `partial_fit` needs."""
    if estimator._parameters()["solver"] == "lbfgs":
        raise AttributeError("partial_fit needs solver='adam' or 'sgd': L-BFGS trains on all examples at a time")
    return True
