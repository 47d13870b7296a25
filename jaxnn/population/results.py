"""A member of a population, and the result of training all members."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.arrays import as_array, promote_large_integers
from jaxnn.optim.nonfinite import skipped_updates
from jaxnn.train.divergence import Divergence
from jaxnn.train.fitting import Fit
from jaxnn.train.objectives import Objective
from jaxnn.train.steps import TrainState
from jaxnn.typing import Array, Key, Params, PyTree
from jaxnn.validation import check_callable, check_mode, described, is_real


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
      params: the trained params, leaves (n, ...); of a member that diverged, the last finite ones.
      state: the `TrainState` that they belong to, leaves (n, ...).
      history: one dictionary per report, oldest first: the counts "epoch" and "step", and, each (n,), "loss" (the mean
        objective over that epoch's steps) and what `evaluate` returned. A diverged member's loss is NaN. If updates
        are skipped, also "skipped", as in `Fit`.
      losses: the objective before each update, (n, steps), NaN from the step at which a member diverged.
      diverged_at: for each member `None`, or the number of the first step (from 0) whose loss or update was not finite.
      divergences: for each member `None`, or a `Divergence`: what overflowed first, and in which layer.
    """

    hyperparameters: PyTree
    params: Params
    state: TrainState
    history: list[dict[str, Any]]
    losses: np.ndarray
    diverged_at: list[int | None]
    divergences: list[Divergence | None]

    def member(self, i: int) -> Fit:
        """Return member i as a `Fit`, as if it had been trained alone.

        Raises:
          ValueError: if there is no such member.
        """
        n = len(self.diverged_at)
        if not isinstance(i, int | np.integer) or not -n <= i < n:
            raise ValueError(f"member must be an index from 0 to {n - 1}, got {described(i)}")
        diverged_at = self.diverged_at[i]
        history = [{name: _scalar(value, i) for name, value in report.items()} for report in self.history]
        losses = self.losses[i] if diverged_at is None else self.losses[i, :diverged_at]
        params, state = jax.tree.map(lambda leaf: leaf[i], (self.params, self.state))
        skipped = int(skipped_updates(state.opt_state) or 0)
        return Fit(params, state, history, losses, diverged_at, divergence=self.divergences[i], skipped=skipped)

    def best(self, monitor: str = "loss", mode: Literal["min", "max"] = "min") -> int:
        """Return the index of the member whose last report is the best, among those that did not diverge.

        Args:
          monitor: a name in the reports.
          mode: "min" if less is better, "max" if more is, as for accuracy.

        Returns:
          An index.

        Raises:
          ValueError: if the reports lack the monitored value, every member diverged or has NaN there, or the mode is
            another word.
        """
        check_mode(mode)
        if not self.history or monitor not in self.history[-1] or np.ndim(self.history[-1][monitor]) == 0:
            known = [name for name, value in self.history[-1].items() if np.ndim(value)] if self.history else []
            raise ValueError(f"monitor must be a name in the reports, got {monitor!r}: they hold {known}")
        values = np.asarray(self.history[-1][monitor], np.float64) * (-1 if mode == "max" else 1)
        values = np.where([at is None for at in self.diverged_at], values, np.nan)
        if np.isnan(values).all():
            raise ValueError(f"no member has a {monitor}: all of them diverged, or measured NaN; try smaller rates")
        return int(np.nanargmin(values))

    def ensemble(self, predict: Callable[[Params, Array], Array], x: Array) -> Array:
        """Return the mean of `predict(params, x)`, (m, ...), over the members that did not diverge.

        Args:
          predict: a function of one network, such as a model's `predict_proba`.
          x: inputs, (m, ...).

        Returns:
          The mean of the returned arrays, such as probabilities (m, k).

        Raises:
          ValueError: if every member diverged, or `predict` does not return an array.

        Source: Hansen and Salamon, "Neural network ensembles", 1990.
        """
        check_callable("predict", predict, "params", "x")
        x = promote_large_integers(as_array("x", x))
        if not is_real(x.dtype) and x.dtype != bool:
            raise ValueError(f"x is {described(x)}, expected an array of numbers, (m, ...)")
        finite = np.array([i for i, at in enumerate(self.diverged_at) if at is None])
        if finite.size == 0:
            raise ValueError("every member diverged, so there is nothing to average: try smaller learning rates")

        @jax.jit
        def mean(params, x):
            # One after another, since n times the outputs may not fit into memory.
            start = jax.eval_shape(predict, jax.tree.map(lambda leaf: leaf[0], params), x)
            if not hasattr(start, "shape"):
                raise ValueError(f"predict returns a {type(start).__name__}, expected an array: a model's predict does")
            total = jnp.zeros(start.shape, jnp.promote_types(start.dtype, jnp.float32))
            total, _ = jax.lax.scan(lambda total, one: (total + predict(one, x), None), total, params)
            return (total / finite.size).astype(jnp.promote_types(start.dtype, jnp.float16))

        return mean(jax.tree.map(lambda leaf: leaf[finite], self.params), x)


def _scalar(value: Any, i: int) -> Any:
    return value[i].item() if np.ndim(value) else value
