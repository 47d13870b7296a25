"""Trainings as scikit-learn's networks have them, made by `jaxnn.fit` and `make_epoch`."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from jaxnn.caching import bounded_cache
from jaxnn.data.batches import Batch
from jaxnn.data.weights import simplified
from jaxnn.models.feedforward import mlp
from jaxnn.models.model import Model
from jaxnn.nn.initializers import INITIALIZERS
from jaxnn.optim.optimizers import optimizer
from jaxnn.regularizers import l2
from jaxnn.sklearn.parameters import hidden_sizes
from jaxnn.sklearn.stopping import Tolerance
from jaxnn.train.early_stopping import EarlyStopping
from jaxnn.train.epochs import make_epoch
from jaxnn.train.fitting import fit
from jaxnn.train.objectives import Objective, objective
from jaxnn.train.steps import TrainState, train_state
from jaxnn.typing import Array, Params, PyTree

Parameters = dict[str, Any]
"""The parameters of an estimator, by name, of which numbers may be traced."""


SCIPYS_FALL = 1e7 * np.finfo(np.float64).eps
"""The relative fall of the objective, in one step of L-BFGS, below which it has converged: the default of SciPy."""


class Trained(NamedTuple):
    """The end of a training.

    Attributes:
      params: NumPy arrays.
      n_iter: the number of epochs.
      curve: the mean objective over the steps of each epoch.
      loss: the last one.
      scores: the validation score of each epoch, with early stopping.
      state: what continues the training, NumPy arrays, or `None` after L-BFGS.
    """

    params: Params
    n_iter: int
    curve: list[float]
    loss: float
    scores: list[float]
    state: PyTree = None


def make_model(parameters: Parameters, n_in: int, n_out: int, output: Any) -> Model:
    """Make the network of an estimator's parameters."""
    init, activation = parameters["init"], parameters["activation"]
    return mlp(
        (n_in, *hidden_sizes(parameters["hidden_layer_sizes"]), n_out),
        activation_name(activation),
        output=output,
        init=init if init in INITIALIZERS else "glorot",
        dropout_rate=parameters["dropout_rate"],
    )


def activation_name(activation: str) -> Any:
    """Return jaxnn's name of an activation."""
    return "sigmoid" if activation == "logistic" else activation


def make_objective(model: Model, alpha: Any, mean_weight: Any, batch_size: int) -> Objective:
    """Make the objective of scikit-learn's networks: the mean loss of a batch, plus α/2 Σ W² over its weight.

    scikit-learn adds α/2 Σ W² to the sum of a batch's losses and divides both by the sum of its weights Σ w. That is
    the mean loss plus `l2(α / Σ w)`, where Σ w is the batch's size times the mean weight of the examples.
    """
    return objective(model.network, model.loss, l2(alpha / (mean_weight * batch_size)))


def make_optimizer(parameters: Parameters) -> optax.GradientTransformation:
    """Make the optimizer of an estimator's parameters."""
    rate = parameters["learning_rate_init"]
    if parameters["solver"] == "adam":
        return optimizer("adam", rate, b1=parameters["beta_1"], b2=parameters["beta_2"], eps=parameters["epsilon"])
    name = "nesterov" if parameters["nesterovs_momentum"] else "momentum"
    return optimizer(name, rate, beta=parameters["momentum"])


def train_by_epochs(
    parameters: Parameters,
    model: Model,
    params: Params,
    data: Batch,
    seed: int,
    batch_size: int,
    score: Callable[[Params], float] | None,
) -> Trained:
    """Train with Adam or gradient descent until the loss, or the validation score if there is one, has converged."""
    rule = Tolerance(parameters["tol"], parameters["n_iter_no_change"])
    reports: list[dict[str, float]] = []

    def ended(report: dict[str, float]) -> bool:
        reports.append(report)
        return bool(rule.ended(report["loss"] if score is None else -report["score"]))

    made = objective_of(parameters, model, data, batch_size)

    def scored(params: Params) -> Any:
        return {} if score is None else {"score": score(params)}

    result = fit(
        made,
        make_optimizer(parameters),
        params,
        data.x,
        data.y,
        key=jax.random.key(seed),
        epochs=parameters["max_iter"],
        batch_size=batch_size if batch_size < len(data.x) else None,
        weight=data.weight,
        shuffle=parameters["shuffle"],
        callback=ended,
        evaluate=scored,
        early_stopping=None if score is None else EarlyStopping("score", parameters["max_iter"] + 1, "max"),
        progress=bool(parameters["verbose"]),
    )
    if result.stopped_by == "epochs":
        warn_of_no_convergence(parameters["max_iter"])
    curve = [report["loss"] for report in reports]
    scores = [] if score is None else [report["score"] for report in reports]
    last = curve[-1] if curve else float("nan")
    return Trained(_on_host(result.params), max(len(reports), 1), curve, last, scores, kept_state(result.state))


def train_one_epoch(
    parameters: Parameters, model: Model, params: Params, data: Batch, seed: int, batch_size: int, state: PyTree
) -> Trained:
    """Train for one epoch, continuing from the state of the one before, `None` to begin."""
    made, of_steps = objective_of(parameters, model, data, batch_size), make_optimizer(parameters)
    started = train_state(params, of_steps, jax.random.key(seed))
    if state is not None:
        opt_state, key_data, step = jax.device_put(state)
        started = TrainState(started.params, opt_state, jax.random.wrap_key_data(key_data), step)
    shuffle = parameters["shuffle"] and batch_size < len(data.x)
    weight = None if data.weight is None else simplified(data.weight)
    weight = None if weight is None or (weight == 1).all() else weight
    ended, losses = _epoch_program(made, of_steps, batch_size, shuffle)(started, data._replace(weight=weight))
    loss = float(np.asarray(losses).mean())
    return Trained(_on_host(ended.params), 1, [loss], loss, [], kept_state(ended))


def train_to_minimum(parameters: Parameters, model: Model, params: Params, data: Batch) -> Trained:
    """Train with L-BFGS on the full batch until the gradient is small, or the objective falls no more.

    The search is SciPy's, as in scikit-learn, on the objective and its gradient in one compiled program. From the same
    start it takes the same steps, and compiles in a tenth of the time of a line search that is compiled with it.

    Source: Byrd, Lu, Nocedal and Zhu, "A limited memory algorithm for bound constrained optimization", 1995.
    """
    made = objective_of(parameters, model, data, len(data.x))
    made.check(params, data)
    weight = None if data.weight is None else simplified(data.weight)
    program, on_device = _slope_program(made), jax.device_put(data._replace(weight=weight))
    leaves, structure = jax.tree.flatten(params)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]

    def unflattened(vector: np.ndarray) -> Params:
        parts = [part.reshape(leaf.shape) for part, leaf in zip(np.split(vector, ends), leaves, strict=True)]
        return jax.tree.unflatten(structure, [part.astype(data.x.dtype) for part in parts])

    def slope(vector: np.ndarray) -> tuple[float, np.ndarray]:
        value, grads = program(unflattened(vector), on_device)
        return float(value), np.concatenate([np.ravel(g).astype(np.float64) for g in jax.tree.leaves(grads)])

    found = minimize(
        slope,
        np.concatenate([np.ravel(leaf) for leaf in leaves]).astype(np.float64),
        jac=True,
        method="L-BFGS-B",
        options={
            "maxiter": parameters["max_iter"],
            "maxfun": parameters["max_fun"],
            "gtol": parameters["tol"],
            "ftol": parameters.get("least_fall", SCIPYS_FALL),
        },
    )
    if not np.isfinite(found.x).all():
        raise ValueError("params must stay finite in L-BFGS, got others: standardize X, which may hold large values")
    if found.status == 1:
        warn_of_no_convergence(min(found.nit, parameters["max_iter"]))
    return Trained(unflattened(found.x), max(int(found.nit), 1), [], float(found.fun), [])


def objective_of(parameters: Parameters, model: Model, data: Batch, batch_size: int) -> Objective:
    """Make the objective of a training on these data."""
    mean_weight = 1.0 if data.weight is None else float(np.mean(data.weight))
    return make_objective(model, float(parameters["alpha"]), mean_weight, batch_size)


def warn_of_no_convergence(n_iter: int) -> None:
    """Warn that a training ended after all its epochs."""
    warnings.warn(
        f"the training has not converged after {n_iter} epochs: increase max_iter, or tol",
        ConvergenceWarning,
        stacklevel=2,
    )


def kept_state(state: TrainState) -> PyTree:
    """Return what continues a training from its params, as NumPy arrays, which can be pickled."""
    return jax.device_get((state.opt_state, jax.random.key_data(state.key), state.step))


def _on_host(params: Params) -> Params:
    return jax.tree.map(np.array, params)


_epoch_program = bounded_cache(
    lambda made, of_steps, batch_size, shuffle: make_epoch(made, of_steps, batch_size, shuffle=shuffle)
)


@bounded_cache
def _slope_program(made: Objective) -> Callable[[Params, Batch], tuple[Array, Params]]:
    @jax.jit
    def slope(params, data):
        (value, _), grads = made.value_and_grad(params, data)
        return value, grads

    return slope
