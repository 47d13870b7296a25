"""A member of a population, and the result of training all members."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.arrays import as_array
from jaxnn.constraints import ArrayTree, Constraint, Function, Instance, OneOf, checked
from jaxnn.explicit_axes import explicit_mesh
from jaxnn.optim.nonfinite import skipped_updates
from jaxnn.train.divergence import Divergence
from jaxnn.train.early_stopping import MODE, Mode
from jaxnn.train.fitting import Fit
from jaxnn.train.objectives import Objective
from jaxnn.train.statistics import averages_value
from jaxnn.train.steps import TrainState
from jaxnn.typing import Array, Key, Params, PyTree, Statistics
from jaxnn.validation import described


class Member(NamedTuple):
    """One training of a population: the arguments that `fit` would take for it.

    Attributes:
      objective: what it minimizes. A regularizer's strength or a dropout rate may be traced.
      optimizer: its optax optimizer. A learning rate or a momentum may be traced.
      params: its initial params.
      key: its random key, for dropout, and for shuffling if members do not share their batches.
      weight: its example weights, (m,), or `None` for equal weights. Only their ratios matter. A weight of 0 leaves an
        example out; an example of weight 0 in all members may hold any label or value.
    """

    objective: Objective
    optimizer: optax.GradientTransformation
    params: Params
    key: Key
    weight: Array | None = None


class Population(NamedTuple):
    """The result of `fit_population`, for n members.

    Attributes:
      hyperparameters: those of the members, leaves (n, ...).
      params: the trained params, leaves (n, ...); of a member that diverged, the last finite ones; with early stopping,
        always those of its best report.
      state: the `TrainState` that they belong to, leaves (n, ...).
      history: one dictionary per report, oldest first: the counts "epoch" and "step", and, each (n,), "loss" (the mean
        objective over that epoch's steps) and what `evaluate` returned. The loss of a member that has stopped is NaN.
        If updates are skipped, also "skipped", as in `Fit`.
      losses: the objective before each update, (n, steps), NaN from the step at which a member stopped.
      steps: the number of updates of each member.
      diverged_at: for each member `None`, or the number of the first step (from 0) whose loss or update was not finite.
      best_epoch: for each member the number of epochs done at its best report; `None` without early stopping, or if no
        report was finite.
      stopped_by: why each member ended, as `Fit.stopped_by`.
      divergences: for each member `None`, or a `Divergence`: what overflowed first, and in which layer.
      stats: the statistics that belong to params, leaves (n, ...); `()` if the network observes none.
    """

    hyperparameters: PyTree
    params: Params
    state: TrainState
    history: list[dict[str, Any]]
    losses: np.ndarray
    steps: list[int]
    diverged_at: list[int | None]
    best_epoch: list[int | None]
    stopped_by: list[str]
    divergences: list[Divergence | None]
    stats: Statistics = ()

    def member(self, i: int) -> Fit:
        """Return member i as a `Fit`, as if it had been trained alone.

        Raises:
          ValueError: if there is no such member.
        """
        if not isinstance(i, int | np.integer) or not -len(self.steps) <= i < len(self.steps):
            raise ValueError(f"i must be the index of a member, from 0 to {len(self.steps) - 1}, got {described(i)}")
        steps = self.steps[i]
        reports = [report for report in self.history if report["step"] <= steps]
        history = [{name: _scalar(value, i) for name, value in report.items()} for report in reports]
        params, state = jax.tree.map(lambda leaf: leaf[i], (self.params, self.state))
        return Fit(
            params,
            state,
            history,
            self.losses[i, :steps],
            self.diverged_at[i],
            self.best_epoch[i],
            self.stopped_by[i],
            self.divergences[i],
            int(skipped_updates(state.opt_state) or 0),
            averages_value(state.stats),
        )

    @checked(mode=MODE)
    def best(self, monitor: str = "loss", mode: Mode = "min") -> int:
        """Return the index of the member whose report is the best, among those that did not diverge.

        The report is its last one; after early stopping, the one that its params belong to.

        Args:
          monitor: a name in the reports.
          mode: "min" if less is better, "max" if more is, as for accuracy.

        Returns:
          An index.

        Raises:
          ValueError: if the reports lack the monitored value, every member diverged or has NaN there, or the mode is
            another word.
        """
        last = self.history[-1]
        OneOf([name for name, value in last.items() if np.ndim(value)]).check("monitor", monitor)
        reports = {report["epoch"]: report for report in self.history}
        values = np.full(len(self.diverged_at), np.nan)
        for i, epoch in enumerate(self.best_epoch):
            values[i] = reports.get(epoch, last)[monitor][i]
        return index_of_best(np.where([at is None for at in self.diverged_at], values, np.nan), mode)

    @checked(x=ArrayTree())
    def ensemble(self, predict: Callable[..., Array], x: Array) -> Array:
        """Return the mean of `predict(params, x)`, (m, ...), over the members that did not diverge.

        Args:
          predict: a function of one network, such as a model's `predict_proba`; of a network with statistics, it is
            called as `predict(params, x, stats)`.
          x: inputs, (m, ...).

        Returns:
          The mean of the returned arrays, such as probabilities (m, k).

        Raises:
          ValueError: if every member diverged, or `predict` does not return an array.

        Source: Hansen and Salamon, "Neural network ensembles", 1990.
        """
        observed = ["stats"] if jax.tree.leaves(self.stats) else []
        Function("params", "x", *observed).check("predict", predict)
        finite = np.array([i for i, at in enumerate(self.diverged_at) if at is None])
        if finite.size == 0:
            raise ValueError("at least one member must not have diverged, got none: try smaller rates")

        @jax.jit
        def mean(members, x):
            def of_one(member):
                params, stats = member
                return predict(params, x, stats) if observed else predict(params, x)

            # One after another, since n times the outputs may not fit into memory.
            start = jax.eval_shape(of_one, jax.tree.map(lambda leaf: leaf[0], members))
            if not hasattr(start, "shape"):
                raise ValueError(f"predict must return an array, got a {type(start).__name__}: a model's predict does")
            total = jnp.zeros(start.shape, jnp.promote_types(start.dtype, jnp.float32))
            total, _ = jax.lax.scan(lambda total, one: (total + of_one(one), None), total, members)
            return (total / finite.size).astype(jnp.promote_types(start.dtype, jnp.float16))

        return mean(jax.tree.map(lambda leaf: leaf[finite], (self.params, self.stats)), x)


def as_member(made: Any) -> Member:
    """Return what a member function returned; raise a ValueError unless it is a `Member`."""
    _MEMBER.check("result of member", made)
    for name, given in (("params", made.params), ("key", made.key), ("weight", made.weight)):
        _PLACE.check(f"{name} of a member", given)
    return made if made.weight is None else made._replace(weight=as_array("weight", made.weight))


_MEMBER = Instance(Member, "a jaxnn.Member")
_PLACE = Constraint(
    "on no mesh with explicit axes",
    fix="members have another mesh, so pass jax.device_put(array, jax.devices()[0])",
    test=lambda given: explicit_mesh(given) is None,
)


def weighted(made: Any, weight: Array) -> Member:
    """Return what a member function returned, with these example weights; it must have none."""
    if as_member(made).weight is not None:
        raise ValueError("weight of a member must be None, since weights choose the examples: pass them as weight")
    return made._replace(weight=weight)


def index_of_best(values: np.ndarray, mode: str) -> int:
    """Return the index of the best of the members' values, (n,), which are NaN if a member diverged."""
    if np.isnan(values).all():
        raise ValueError(
            "at least one member must have a finite value, got NaN of all that have not diverged: try smaller rates"
        )
    return int(np.nanargmin(-values if mode == "max" else values))


def _scalar(value: Any, i: int) -> Any:
    return value[i].item() if np.ndim(value) else value
