"""Many steps as one compiled program, and the same with a guard that stops at the first step that is not finite."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.data.batches import Batch
from jaxnn.explicit_axes import on_any_axes
from jaxnn.optim.nonfinite import all_finite, skip_nonfinite, skips
from jaxnn.train.arguments import NanPolicy
from jaxnn.train.steps import Step, TrainState, places_after_steps
from jaxnn.typing import Array, Params

RunSteps = Callable[..., tuple[TrainState, Array]]
"""`run_steps(step, state, data, n, ...) -> (state, losses)`: many steps, on batches that it takes from the data."""


class Programs(NamedTuple):
    """Many steps as one compiled program, `(state, data, n) -> ...`, without and with a guard.

    Attributes:
      run: returns (state, losses, whether all of it is finite).
      run_guarded: stops at the state before the first step that is not finite; returns (state, losses).
    """

    run: Callable[[TrainState, Batch, int], tuple[TrainState, Array, Array]]
    run_guarded: Callable[[TrainState, Batch, int], tuple[TrainState, Array]]


def make_programs(run_steps: RunSteps, step: Step, skip: bool, **jit: Any) -> Programs:
    """Compile `run_steps(step, state, data, n)`, without and with the guard; `jit` are options of `jax.jit`."""

    @partial(jax.jit, **jit)
    @partial(on_any_axes, places=places_after_steps)
    def run(state, data, n):
        state, losses = run_steps(step, state, data, n)
        return state, losses, is_finite(losses, state.params, skip)

    @partial(jax.jit, **jit)
    @partial(on_any_axes, places=places_after_steps)
    def run_guarded(state, data, n):
        return run_to_nonfinite(run_steps, step, skip, state, data, n)

    return Programs(run, run_guarded)


def is_finite(losses: Array, params: Params, skip: bool) -> Array:
    """Return whether losses and params are finite; params alone if steps that are not finite are skipped."""
    return all_finite(params if skip else (losses, params))


def with_nan_policy(
    optimizer: optax.GradientTransformation, params: Params, on_nan: NanPolicy
) -> optax.GradientTransformation:
    """Wrap the optimizer in `skip_nonfinite` if `on_nan="skip"`; equal results for equal optimizers."""
    return optimizer if on_nan == "stop" or skips(optimizer, params) else skip_nonfinite(optimizer)


def run_to_nonfinite(
    run_steps: RunSteps, step: Step, skip: bool, state: TrainState, *rest: Any
) -> tuple[TrainState, Array]:
    """Run steps as `run_steps` does, up to the state before the first one whose loss or update is not finite."""
    started = state._replace(opt_state=(state.opt_state, jnp.array(False)))
    state, losses = run_steps(_guarded(step, skip), started, *rest)
    return state._replace(opt_state=state.opt_state[0]), losses


def _guarded(step: Step, skip: bool) -> Step:
    """Make a step that keeps the state from the first step on whose loss or update is not finite.

    Whether it has stopped is carried beside the optimizer's state. The check costs a pass over the params, so ordinary
    training goes without it, and an epoch that was not finite is run again with it.
    """

    def guarded(state, batch):
        opt_state, stopped = state.opt_state
        before = state._replace(opt_state=opt_state)
        after, loss = step(before, batch)
        stopped = stopped | ~is_finite(loss, after.params, skip)
        kept = jax.tree.map(partial(jnp.where, stopped), before, after)
        return kept._replace(opt_state=(kept.opt_state, stopped)), loss

    return guarded


def replay_to_divergence(programs: Programs, state: TrainState, data: Batch, n: int) -> tuple[TrainState, np.ndarray]:
    """Return the state before the first step that is not finite, and the losses of the steps before it."""
    start = int(state.step)
    state, losses = programs.run_guarded(state, data, n)
    return state, np.asarray(losses).reshape(-1)[: int(state.step) - start]
