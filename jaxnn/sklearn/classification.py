"""Classifiers: labels as class numbers, and classes of outputs."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
from sklearn.utils.validation import column_or_1d

from jaxnn.sklearn.networks import NetworkEstimator, is_stochastic


class NetworkClassifier(ClassifierMixin, NetworkEstimator):
    """A network with the logits of classes: one for two classes, one per class for more, one per label for several.

    Attributes:
      classes_: the class labels, sorted.
    """

    classes_: np.ndarray
    _several: bool
    _begun = False  # whether the first `partial_fit` has set the classes

    def _encode(self, X: Any, y: Any, first: bool) -> np.ndarray:
        y = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        if first and not self._begun:
            self._begin(unique_labels(y), type_of_target(y) == "multilabel-indicator")
        if self._several:
            if y.ndim != 2 or y.shape[1] != self.n_outputs_:
                raise ValueError(f"y must have shape (m, {self.n_outputs_}), one column per label, got {y.shape}")
            return y.astype(self._dtype)
        codes = np.minimum(np.searchsorted(self.classes_, y), len(self.classes_) - 1)
        if (self.classes_[codes] != y).any():
            raise ValueError(
                f"y must be of classes_, {self.classes_.tolist()}, got also "
                f"{np.setdiff1d(y, self.classes_).tolist()}: pass all classes to the first partial_fit"
            )
        if not first and self._parameters().get("warm_start") and len(np.unique(codes)) < len(self.classes_):
            raise ValueError(
                f"y must have the classes of the last fit, {self.classes_.tolist()}, with warm_start, got "
                f"{np.unique(y).tolist()}: set warm_start=False"
            )
        return codes

    def _begin(self, classes: np.ndarray, several: bool) -> None:
        self.classes_, self._several = classes, several
        self.n_outputs_ = len(classes) if several or len(classes) > 2 else 1
        self.out_activation_ = "logistic" if several or self.n_outputs_ == 1 else "softmax"

    def _class_weight(self, y: np.ndarray, class_weight: Any, weight: np.ndarray | None) -> np.ndarray | None:
        if class_weight is None:
            return None
        if isinstance(class_weight, str) and class_weight == "balanced" and not self._several:
            # By weights instead of counts, so that a weight of 2 is as good as two examples.
            of_classes = np.bincount(y, weights=weight)
            return of_classes.sum() / (np.count_nonzero(of_classes) * of_classes[y])
        return compute_sample_weight(class_weight, y if self._several else self.classes_[y])

    def _labels(self, z: np.ndarray) -> np.ndarray:
        if self._several:
            return (z > 0).astype(int)
        numbers = z.argmax(axis=1) if z.shape[1] > 1 else (z[:, 0] > 0).astype(int)
        return self.classes_[np.minimum(numbers, len(self.classes_) - 1)]

    def _agreement(self, z: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> float:
        labels = y.astype(int) if self._several else self.classes_[y]
        return float(accuracy_score(labels, self._labels(z), sample_weight=weight))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, (m, classes), for rows X (m, n), dense or sparse.

        Of several labels it is the probability of each label, (m, labels).
        """
        z = self._outputs(X)
        if self._several:
            return expit(z)
        if len(self.classes_) == 1:
            return np.ones_like(z)
        return softmax(z, axis=1) if z.shape[1] > 1 else np.hstack([expit(-z), expit(z)])

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithms of `predict_proba`, -inf for a probability that underflows."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))


class MLPClassifier(NetworkClassifier):
    """A classifier by a network of dense layers, with scikit-learn's parameters, trained by jaxnn.

    What it minimizes is what `sklearn.neural_network.MLPClassifier` minimizes: for each batch, the mean cross-entropy
    plus α/2 Σ W² / Σ w, with the sum of the batch's example weights, their number without any. From one `random_state`,
    it starts at the same numbers and holds out the same examples for early stopping; batches are drawn otherwise.
    `learning_rate` is constant.

    Sparse inputs are made dense as a whole for training, m·n numbers of `dtype`; for predictions 8192 rows at a time.

    Args:
      hidden_layer_sizes: units of each hidden layer.
      activation: "relu", "logistic", "tanh", "identity", or another name in `jaxnn.nn.ACTIVATIONS`.
      solver: "adam", "sgd" or "lbfgs". The last trains on the full batch until no element of the gradient is above
        `tol`, or the objective falls no more.
      alpha: strength of the penalty.
      batch_size: examples of a batch; "auto" for 200. More than there are means all of them.
      learning_rate_init: the rate of "adam" and "sgd".
      max_iter: the most epochs.
      shuffle: whether each epoch has another order.
      random_state: an int for the same start and batches in every fit.
      tol: by how much the loss, or the validation score, must improve.
      verbose: whether to show a progress bar.
      warm_start: whether `fit` continues from the last params.
      momentum: of "sgd", below 1.
      nesterovs_momentum: whether it looks ahead.
      early_stopping: whether to hold out examples, and to return to the epoch of their best accuracy.
      validation_fraction: the fraction held out.
      beta_1: of "adam".
      beta_2: of "adam".
      epsilon: of "adam".
      n_iter_no_change: how many epochs in a row may be without improvement.
      max_fun: of "lbfgs", the most times to compute the objective.
      class_weight: a dictionary from class to weight, "balanced" for equal sums of weights, or `None`.
      dropout_rate: the fraction of each hidden layer's units to drop while training with "adam" or "sgd".
      init: "glorot_uniform", scikit-learn's start, or a name in `jaxnn.nn.INITIALIZERS`, with biases of 0.
      dtype: "float32" or "float64", of the training; `None` for that of X, as in scikit-learn. "float32" is faster, on
        a GPU or TPU by far. Predictions have the dtype of X.

    Attributes:
      classes_: the labels; `coefs_`, `intercepts_`, `loss_curve_`, `n_iter_` and others are as in scikit-learn.
      model_: the `jaxnn.Model`.
      params_: its params, so that `jaxnn.save("m.safetensors", e.model_, e.params_)` saves it; if they are float64,
        inside of `with jax.enable_x64(True)`.

    Example:
      >>> import numpy as np
      >>> from jaxnn.sklearn import MLPClassifier
      >>> X, y = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array(["no", "no", "yes", "yes"])
      >>> MLPClassifier((4,), solver="lbfgs", random_state=0).fit(X, y).predict([[-3.0], [3.0]]).tolist()
      ['no', 'yes']
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
        class_weight: Any = None,
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
        self.class_weight = class_weight
        self.dropout_rate = dropout_rate
        self.init = init
        self.dtype = dtype

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on rows X (m, n), dense or sparse, and labels y, (m,), or 0/1 of several labels, (m, k).

        Args:
          X: numbers.
          y: labels of any type that can be sorted.
          sample_weight: weights (m,) of at least 0; examples of weight 0 are left out.

        Returns:
          The estimator itself.

        Raises:
          ValueError: if a parameter or the data are not valid.
        """
        self._begun = False
        return self._fit(X, y, sample_weight)

    @available_if(is_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one epoch more on rows X (m, n), continuing with the optimizer's state.

        Args:
          X: numbers.
          y: labels of `classes`.
          sample_weight: as in `fit`.
          classes: all classes; needed in the first call.

        Returns:
          The estimator itself.

        Raises:
          ValueError: if a parameter or the data are not valid, or the first call lacks the classes.
        """
        first = not hasattr(self, "coefs_")
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit, got None: np.unique(y)")
        if classes is not None:
            classes = unique_labels(classes)
            if first:
                self._begin(classes, type_of_target(y) == "multilabel-indicator")
                self._begun = True
            elif not np.array_equal(classes, self.classes_):
                raise ValueError(
                    f"classes must be those of the first call, {self.classes_.tolist()}, got {classes.tolist()}"
                )
        return self._fit(X, y, sample_weight, incremental=True)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
