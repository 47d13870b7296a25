"""Candidates of a search: their estimators, and which of them can be trained in one population."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state

from jaxnn.sklearn.networks import NetworkEstimator, unfitted
from jaxnn.sklearn.parameters import check_parameters, hidden_sizes
from jaxnn.sklearn.starts import draw_seed

STRUCTURE = (
    "activation",
    "solver",
    "batch_size",
    "max_iter",
    "shuffle",
    "nesterovs_momentum",
    "dtype",
)
"""The parameters in which members of one population must be equal, beside the number of layers."""


class Candidate(NamedTuple):
    """One combination of parameters with one seed.

    Attributes:
      number: which combination it is.
      before: the steps of a pipeline before the network, not fitted, or `None` without a pipeline.
      name: the name of the network's step, or "".
      network: the estimator of the network, not fitted, whose `random_state` is a number.
    """

    number: int
    before: Pipeline | None
    name: str
    network: NetworkEstimator

    @property
    def is_member(self) -> bool:
        """Whether it can be a member of a population: trained by epochs until its own loss has converged."""
        parameters = self.network._parameters()
        return parameters["solver"] != "lbfgs" and not parameters["early_stopping"]

    @property
    def structure(self) -> tuple[Any, ...]:
        """What members of one population have in common."""
        parameters = self.network._parameters()
        layers = len(hidden_sizes(parameters["hidden_layer_sizes"]))
        before = "" if self.before is None else repr(self.before.get_params())
        return (type(self.network), layers, before, *(parameters[name] for name in STRUCTURE))

    def fitted(self, before: Pipeline | None, network: NetworkEstimator) -> Any:
        """Return the fitted estimator of these parts."""
        return network if before is None else Pipeline([*before.steps, (self.name, network)])


def make_combinations(grid: Any, n_iter: int | None, random_state: Any) -> list[dict[str, Any]]:
    """Return every combination of a grid, or n random ones of lists and distributions."""
    made = ParameterGrid(grid) if n_iter is None else ParameterSampler(grid, n_iter, random_state=random_state)
    return list(made)


def make_candidates(estimator: Any, combinations: Sequence[dict[str, Any]], seeds: int) -> list[list[Candidate]]:
    """Return the candidates of each combination, one for each seed.

    Seeds count up from a `random_state` that is a number. Otherwise they are drawn, the same for all combinations.
    """
    drawn = None
    made = []
    for number, combination in enumerate(combinations):
        one = unfitted(estimator).set_params(**unfitted(combination, safe=False))
        name, network = one.steps[-1] if isinstance(one, Pipeline) else ("", one)
        before = one[:-1] if isinstance(one, Pipeline) and len(one.steps) > 1 else None
        if not isinstance(network, NetworkEstimator):
            raise ValueError(
                "estimator must be an estimator of jaxnn.sklearn, or a Pipeline that ends in one, got "
                f"{type(network).__name__}: use sklearn.model_selection.GridSearchCV"
            )
        check_parameters(network, network._constraints)
        state = network.get_params()["random_state"]
        if isinstance(state, int | np.integer):
            of_combination = [int(state) + i for i in range(seeds)]
        else:
            if drawn is None:
                random = check_random_state(state)
                drawn = [draw_seed(random) for _ in range(seeds)]
            of_combination = drawn
        of_seeds = [unfitted(network).set_params(random_state=seed) for seed in of_combination]
        made.append([Candidate(number, before, name, of_seed) for of_seed in of_seeds])
    return made
