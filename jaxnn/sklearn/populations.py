"""Candidates of one structure, on several parts of the data, trained as one population."""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from jaxnn.contrib.traced_widths import traced_width_mlp
from jaxnn.data.batches import Batch
from jaxnn.models.model import shapes_of_params
from jaxnn.population.fitting import fit_population
from jaxnn.population.results import Member, Population
from jaxnn.regularizers import l2
from jaxnn.sklearn.networks import NetworkEstimator, batch_size_of, unfitted
from jaxnn.sklearn.parameters import hidden_sizes
from jaxnn.sklearn.starts import draw_seed, draw_start
from jaxnn.sklearn.stopping import EachAtItsEnd, Tolerance
from jaxnn.sklearn.training import Trained, activation_name, make_model, make_optimizer
from jaxnn.train.objectives import objective
from jaxnn.typing import PyTree

_TRACED = ("learning_rate_init", "momentum", "beta_1", "beta_2", "epsilon", "dropout_rate")


class Training(NamedTuple):
    """One member: an estimator, not fitted, and which rows of the data it is trained on, (m,) booleans."""

    network: NetworkEstimator
    rows: np.ndarray


def train_members(trainings: Sequence[Training], data: Batch, pattern: NetworkEstimator) -> list[NetworkEstimator]:
    """Train estimators of one structure in one compiled program, and return them fitted.

    Each starts as its own `fit` starts. Rows are left out by weights of 0, and batches are as much larger as to make
    the number of updates per epoch that of a `fit` on the rows of the first member. So a member with one batch per
    epoch is what `fit` makes of its rows, up to rounding; with more, batches are shared and vary in size.

    Args:
      trainings: the members.
      data: all rows, encoded, with sample weights or without.
      pattern: the estimator that encoded the data.
    """
    first = trainings[0].network._parameters()
    m, m_trained = len(data.x), int(trainings[0].rows.sum())
    steps = -(-m_trained // batch_size_of(first["batch_size"], m_trained))
    member, hyperparameters = _make_members(trainings, data, pattern)
    fitted, late = {}, set()
    for part in _parts(np.array([training.network._parameters()["learning_rate_init"] for training in trainings])):
        rules = [trainings[i].network._parameters() for i in part]
        ends = EachAtItsEnd(Tolerance([rule["tol"] for rule in rules], [rule["n_iter_no_change"] for rule in rules]))
        population = fit_population(
            member,
            jax.tree.map(lambda leaf, of=part: leaf[of], hyperparameters),
            data.x,
            data.y,
            epochs=first["max_iter"],
            batch_size=None if steps == 1 else -(-m // steps),
            shuffle="shared" if first["shuffle"] else None,
            early_stopping=ends,
            progress=bool(first["verbose"]),
        )
        late.update(part[ends.running].tolist())
        fitted.update(zip(part.tolist(), _estimators([trainings[i] for i in part], population, pattern), strict=True))
    if late:
        warnings.warn(
            f"{len(late)} of {len(trainings)} trainings have not converged after max_iter={first['max_iter']} epochs: "
            "increase max_iter, or tol",
            ConvergenceWarning,
            stacklevel=2,
        )
    return [fitted[i] for i in range(len(trainings))]


def _make_members(
    trainings: Sequence[Training], data: Batch, pattern: NetworkEstimator
) -> tuple[Callable[[PyTree], Member], PyTree]:
    """Return the function that makes a member, and the hyperparameters of all, leaves (n, ...)."""
    parameters_of = [training.network._parameters() for training in trainings]
    sizes = [_sizes(training.network, pattern) for training in trainings]
    first, widest = parameters_of[0], tuple(int(width) for width in np.max(sizes, axis=0))
    values = {name: np.array([parameters[name] for parameters in parameters_of]) for name in _TRACED}
    weights = [_weight(training, data, pattern) for training in trainings]
    distinct, of_member = np.unique(np.stack(weights), axis=0, return_inverse=True)
    strengths = [
        parameters["alpha"] / (batch_size_of(first["batch_size"], len(w)) * w.mean())
        for parameters, w in zip(parameters_of, (w[w > 0] for w in weights), strict=True)
    ]
    starts = [_start(training.network, pattern, of_sizes) for training, of_sizes in zip(trainings, sizes, strict=True)]
    hyperparameters = {
        "varying": {name: a.astype(pattern._dtype) for name, a in values.items() if (a != a[0]).any()},
        "strength": np.array(strengths, pattern._dtype),
        "widths": np.array([of_sizes[1:-1] for of_sizes in sizes], np.int32),
        "seed": np.array([seed for _, seed in starts], np.int32),
        "weight": of_member.reshape(-1).astype(np.int32),
        "start": tuple(_filled(leaves) for leaves in zip(*(leaves for leaves, _ in starts), strict=True)),
    }
    all_as_wide = all(tuple(of_sizes) == widest for of_sizes in sizes)

    def member(h: PyTree) -> Member:
        parameters = {**first, **h["varying"], "hidden_layer_sizes": widest[1:-1]}
        model = make_model(parameters, widest[0], widest[-1], pattern._output())
        if not all_as_wide:
            model = traced_width_mlp(
                widest,
                list(h["widths"]),
                activation_name(parameters["activation"]),
                output=pattern._output(),  # type: ignore[arg-type]
                dropout_rate=parameters["dropout_rate"],
            )
        made = objective(model.network, model.loss, l2(h["strength"]))
        key, weight = jax.random.key(h["seed"]), jax.numpy.asarray(distinct)[h["weight"]]
        structure = jax.tree.structure(shapes_of_params(model.network, model.in_shape))
        params = jax.tree.unflatten(structure, h["start"])
        return Member(made, make_optimizer(parameters), params, key, weight)

    return member, hyperparameters


def _parts(rates: np.ndarray) -> list[np.ndarray]:
    """Return which members are trained at a time, in parts of one size, so that one program does for all.

    On a CPU their activations are to stay in its caches. Members of similar rates end at similar times, and a part ends
    with its last member. What is missing in the last part is filled up with its last member.
    """
    most = 80 if jax.default_backend() == "cpu" else len(rates)
    n = -(-len(rates) // most)
    size = -(-len(rates) // n)
    order = np.argsort(-rates, kind="stable")
    return list(order[np.minimum(np.arange(n * size), len(rates) - 1)].reshape(n, size))


def _sizes(network: NetworkEstimator, pattern: NetworkEstimator) -> tuple[int, ...]:
    hidden = hidden_sizes(network._parameters()["hidden_layer_sizes"])
    return (pattern.n_features_in_, *hidden, pattern.n_outputs_)


def _weight(training: Training, data: Batch, pattern: NetworkEstimator) -> np.ndarray:
    """Return the weights (m,) of a member: 0 for rows that it is not trained on."""
    weight = training.rows * (1.0 if data.weight is None else data.weight)
    counted = weight != 0
    if not counted.any():
        raise ValueError("sample_weight must be above 0 for some rows of every training split, got zeros: omit it")
    class_weight = training.network._parameters().get("class_weight")
    by_class = pattern._class_weight(data.y[counted], class_weight, weight[counted])
    if by_class is not None:
        weight[counted] *= by_class
    return weight


def _start(
    network: NetworkEstimator, pattern: NetworkEstimator, sizes: tuple[int, ...]
) -> tuple[tuple[np.ndarray, ...], int]:
    """Return the initial leaves of params and the seed of the key, as `fit` draws them."""
    parameters = network._parameters()
    random = check_random_state(parameters["random_state"])
    model = make_model(parameters, sizes[0], sizes[-1], pattern._output())
    init, activation = parameters["init"], parameters["activation"]
    coefs, intercepts = draw_start(init, activation, sizes, model, random, pattern._dtype)
    leaves = [leaf for coef, b in zip(coefs, intercepts, strict=True) for leaf in (coef.T, b)]
    return tuple(leaves), draw_seed(random)


def _filled(leaves: Sequence[np.ndarray]) -> np.ndarray:
    """Return leaves of several sizes as one array (n, ...), filled up with 0."""
    largest = np.max([leaf.shape for leaf in leaves], axis=0)
    filled = np.zeros((len(leaves), *largest), leaves[0].dtype)
    for one, leaf in zip(filled, leaves, strict=True):
        one[tuple(map(slice, leaf.shape))] = leaf
    return filled


def _estimators(
    trainings: Sequence[Training], population: Population, pattern: NetworkEstimator
) -> list[NetworkEstimator]:
    """Return the fitted estimators of members, with params in the widths of each."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(population.params)]
    curves = np.stack([report["loss"] for report in population.history])
    learned = {name: value for name, value in vars(pattern).items() if name not in pattern.get_params(deep=False)}
    made = []
    for i, training in enumerate(trainings):
        sizes = _sizes(training.network, pattern)
        Ws = [W[i, :n_out, :n_in] for W, n_in, n_out in zip(leaves[::2], sizes[:-1], sizes[1:], strict=True)]
        bs = [b[i, :n_out] for b, n_out in zip(leaves[1::2], sizes[1:], strict=True)]
        n_iter = population.best_epoch[i] or 1
        curve = curves[:n_iter, i].tolist()
        params = [leaf for pair in zip(Ws, bs, strict=True) for leaf in pair]
        estimator = unfitted(training.network)
        vars(estimator).update(learned)
        estimator._begin_training(sizes)
        estimator._keep(Trained(params, n_iter, curve, curve[-1], []), int(training.rows.sum()))
        made.append(estimator)
    return made
