"""A member of a population, and what all have learned."""

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
    """One training of a population: what `fit` would be given for it.

    Attributes:
      objective: what it minimises. A regularizer's strength or a dropout rate may be traced.
      optimizer: its optax optimiser. A learning rate or a momentum may be traced.
      params: where it starts.
      key: its random key, for dropout, and for shuffling where members do not share their batches.
      weight: its example weights, (m,), or `None` where all count the same. Only their ratios matter. A weight of 0
        leaves an example out; where all members do, it may hold any label or value.
    """

    objective: Objective
    optimizer: optax.GradientTransformation
    params: Params
    key: Key
    weight: Array | None = None


class Population(NamedTuple):
    """What `fit_population` returns, for n members.

    Attributes:
      hyperparameters: what they were made from, leaves (n, ...).
      params: the trained params, leaves (n, ...); of a member that diverged, the last that were finite.
      state: the `TrainState` they belong to, leaves (n, ...).
      history: one dictionary per report, oldest first: the counts "epoch" and "step", and, each (n,), "loss" (the mean
        objective of that epoch's steps) and whatever `evaluate` measured. A diverged member's loss is NaN. Where
        updates are skipped, also "skipped", as `Fit` says.
      losses: the objective before each update, (n, steps), NaN from where a member diverged.
      diverged_at: for each member `None`, or the number of the first step (from 0) whose loss or update was not finite.
      divergences: for each member `None`, or a `Divergence`, which says what overflowed first, and in which layer.
    """

    hyperparameters: PyTree
    params: Params
    state: TrainState
    history: list[dict[str, Any]]
    losses: np.ndarray
    diverged_at: list[int | None]
    divergences: list[Divergence | None]

    def member(self, i: int) -> Fit:
        """Member i (an index) by itself: a `Fit`, as if it had been trained alone.

        Raises:
          ValueError: there is no such member.
        """
        n = len(self.diverged_at)
        if not isinstance(i, int | np.integer) or not -n <= i < n:
            raise ValueError(f"member {described(i)} is none of the {n} there are, 0 to {n - 1}")
        diverged_at = self.diverged_at[i]
        history = [{name: _scalar(value, i) for name, value in report.items()} for report in self.history]
        losses = self.losses[i] if diverged_at is None else self.losses[i, :diverged_at]
        params, state = jax.tree.map(lambda leaf: leaf[i], (self.params, self.state))
        skipped = int(skipped_updates(state.opt_state) or 0)
        return Fit(params, state, history, losses, diverged_at, divergence=self.divergences[i], skipped=skipped)

    def best(self, monitor: str = "loss", mode: Literal["min", "max"] = "min") -> int:
        """The index of the member whose last report is the best, those that diverged left out.

        Args:
          monitor: a name in the reports.
          mode: "min" if less is better, "max" if more is, as for accuracy.

        Returns:
          An index, a scalar.

        Raises:
          ValueError: no such measure, or every member diverged, or measured NaN; `mode` is neither "min" nor "max".
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
        """The mean of `predict(params, x)`, (m, ...), over the members that did not diverge.

        Args:
          predict: of one network, such as a model's `predict`.
          x: inputs, (m, ...).

        Returns:
          What `predict` returns, averaged: probabilities, say, (m, k).

        Raises:
          ValueError: every member diverged, or `predict` is no such function.

        Source: Hansen and Salamon, "Neural network ensembles", 1990.
        """
        check_callable("predict", predict, "params", "x")
        x = promote_large_integers(as_array("x", x))
        if not is_real(x.dtype) and x.dtype != bool:
            raise ValueError(f"x is {described(x)}, expected an array of numbers, (m, ...)")
        sound = np.array([i for i, at in enumerate(self.diverged_at) if at is None])
        if sound.size == 0:
            raise ValueError("every member diverged, so there is nothing to average: try smaller learning rates")

        @jax.jit
        def mean(params, x):
            # One after another, since n times the outputs may be much.
            start = jax.eval_shape(predict, jax.tree.map(lambda leaf: leaf[0], params), x)
            if not hasattr(start, "shape"):
                raise ValueError(f"predict returns a {type(start).__name__}, expected an array: a model's predict does")
            total = jnp.zeros(start.shape, jnp.promote_types(start.dtype, jnp.float32))
            total, _ = jax.lax.scan(lambda total, one: (total + predict(one, x), None), total, params)
            return (total / sound.size).astype(jnp.promote_types(start.dtype, jnp.float16))

        return mean(jax.tree.map(lambda leaf: leaf[sound], self.params), x)


def _scalar(value: Any, i: int) -> Any:
    return value[i].item() if np.ndim(value) else value
