"""Trains many random starts of one network as one program."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxnn

ITERATIONS_PER_CALL = 100
"""The course prints the cost so often."""


class Population(NamedTuple):
    """Networks trained side by side: the first from the course's own start, then one per seed.

    Attributes:
      params: each array with a leading axis of networks; after a divergence, the last that were finite.
      costs: before each update, (steps, networks).
      diverged_at: `None`, or the first step (from 0) at which a network's cost or update was not finite.
    """

    params: Any
    costs: np.ndarray
    diverged_at: int | None


def start_population(
    model: jaxnn.Model, optimizer: optax.GradientTransformation, first: Any, seeds: int
) -> jaxnn.TrainState:
    """The states before the first step, as one program: from the params `first`, then from random keys 0, 1, ..."""

    @jax.jit
    def start(first):
        keys = jax.vmap(jax.random.key)(jnp.arange(seeds + 1))
        params = jax.tree.map(lambda leaf: leaf[None], first)
        if seeds > 0:
            params = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), params, jax.vmap(model.init)(keys[:-1]))
        # Nothing is random after the start, neither a shuffle nor dropout, so these keys are never drawn from.
        return jax.vmap(lambda params, key: jaxnn.train_state(params, optimizer, key))(params, keys)

    return start(first)


def train_population(
    objective: jaxnn.Objective,
    optimizer: optax.GradientTransformation,
    states: jaxnn.TrainState,
    data: jaxnn.Batch,
    iterations: int,
    report: Callable[[int, np.ndarray], None],
) -> Population:
    """Full-batch training of every state on the same data.

    Args:
      objective: what to minimise.
      optimizer: the optimizer of the states.
      states: from `start_population`.
      data: the training data, on the device.
      iterations: how many updates.
      report: called after every 100 updates with the count so far and their costs, (100, networks).

    Returns:
      A `Population`. It ends at the first cost or update of any network that is not finite.
    """
    costs, done = [], 0
    run = _program(objective, optimizer, ITERATIONS_PER_CALL)
    while done < iterations:
        n = min(ITERATIONS_PER_CALL, iterations - done)
        if n < ITERATIONS_PER_CALL:
            run = _program(objective, optimizer, n)
        # Not donated: until the new states are known to be finite, the old ones must live.
        after, new_costs, finite = run(states, data)
        if not finite:
            states, new_costs = _replay(_program(objective, optimizer, 1), states, data)
            return Population(states.params, np.concatenate([*costs, new_costs]), done + len(new_costs))
        states, done = after, done + n
        costs.append(np.asarray(new_costs))
        report(done, costs[-1])
    return Population(states.params, np.concatenate(costs), None)


def _program(objective: jaxnn.Objective, optimizer: optax.GradientTransformation, n: int) -> Callable[..., Any]:
    """n updates of all states: (states, costs (n, networks), whether all of it is finite)."""
    steps = jax.vmap(jaxnn.make_steps(objective, optimizer, n), in_axes=(0, None), out_axes=(0, 1))

    @jax.jit
    def run(states, data):
        states, costs = steps(states, data)
        leaves = [costs, *jax.tree.leaves(states.params)]
        return states, costs, jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()

    return run


def _replay(step: Callable[..., Any], states: jaxnn.TrainState, data: jaxnn.Batch) -> tuple[Any, np.ndarray]:
    """The states before the first update that goes wrong, and the costs (steps, networks) of those before it."""
    costs = [np.empty((0, states.step.shape[0]), np.float32)]
    while True:
        after, cost, finite = step(states, data)
        if not finite:
            return states, np.concatenate(costs)
        states = after
        costs.append(np.asarray(cost))
