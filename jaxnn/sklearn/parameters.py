"""What the parameters of an estimator must be: they are checked when it is fitted, as scikit-learn does."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxnn.constraints import Constraint, Count, Each, Flag, Nothing, OneOf, Real
from jaxnn.nn.activations import ACTIVATIONS
from jaxnn.nn.initializers import INITIALIZERS

SCIKIT_LEARN_START = "glorot_uniform"
"""The name of the start that scikit-learn's networks have, which is drawn from the same random numbers."""

DTYPE = OneOf(("float32", "float64")) | Nothing()
_NOT_NEGATIVE = Real(0)
_SHARE = Real(0, 1, "left")

NETWORK: dict[str, Constraint] = {
    "hidden_layer_sizes": Count() | Each(Count()),
    "activation": OneOf(("logistic", *ACTIVATIONS), of="the activations "),
    "solver": OneOf(("adam", "sgd", "lbfgs")),
    "alpha": _NOT_NEGATIVE,
    "batch_size": OneOf(("auto",)) | Count(),
    "learning_rate_init": Real(0, closed="right"),
    "max_iter": Count(),
    "shuffle": Flag(),
    "tol": _NOT_NEGATIVE,
    "warm_start": Flag(),
    "momentum": _SHARE,
    "nesterovs_momentum": Flag(),
    "early_stopping": Flag(),
    "validation_fraction": Real(0, 1, "neither"),
    "beta_1": _SHARE,
    "beta_2": _SHARE,
    "epsilon": Real(0, closed="right"),
    "n_iter_no_change": Count() | Constraint("infinity", test=lambda n: isinstance(n, float) and n == np.inf),
    "max_fun": Count(),
    "dropout_rate": _SHARE,
    "init": OneOf((SCIKIT_LEARN_START, *INITIALIZERS), of="the starts "),
    "dtype": DTYPE,
}
"""The parameters of a network, by name. scikit-learn itself checks `random_state` and `class_weight`."""


def check_parameters(estimator: Any, constraints: Mapping[str, Constraint]) -> None:
    """Raise ValueError unless every named parameter of an estimator is valid."""
    for name, constraint in constraints.items():
        constraint.check(name, getattr(estimator, name))


def hidden_sizes(hidden_layer_sizes: Any) -> tuple[int, ...]:
    """Return the sizes of the hidden layers, of which scikit-learn also takes one as a number."""
    return tuple(int(size) for size in np.atleast_1d(np.asarray(hidden_layer_sizes, int)))
