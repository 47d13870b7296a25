"""One step of a training, and the state that it carries."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from jaxnn.arrays import as_array, check_real, map_arrays, promote_large_integers
from jaxnn.caching import bounded_cache
from jaxnn.constraints import Count, Instance, ParamsTree, RandomKey, checked
from jaxnn.data.batches import BATCH, Batch
from jaxnn.data.weights import beside_normalizer, simplified
from jaxnn.explicit_axes import beside, like, on_any_axes, whole
from jaxnn.marking.marks import mark_leaves
from jaxnn.nn.batch_normalization import in_training
from jaxnn.optim.interface import OPTIMIZER, extra_arguments, promoting
from jaxnn.optim.layout import laid_out
from jaxnn.optim.loss_scaling import loss_scale
from jaxnn.optim.nonfinite import have_skipped
from jaxnn.parallel.placement import check_same_devices
from jaxnn.train.carries import begun_again, continued, has_carry, with_carry
from jaxnn.train.objectives import GRADIENTS, OBJECTIVE, Gradients, Objective, check_gradients, gradients_by
from jaxnn.train.statistics import DECAY, Averages, updated
from jaxnn.typing import Array, Key, Params, PyTree

Step = Callable[["TrainState", Batch], tuple["TrainState", Array]]


class TrainState(NamedTuple):
    """Training state: everything that a step updates, and all that resuming needs.

    Attributes:
      params: the network's params.
      opt_state: the optimizer's state.
      key: the random key of the whole run. It never changes: the randomness of step i and the shuffle of epoch e are
        drawn from it by index, so a run resumed at step i continues as if it had not been interrupted.
      step: the number of updates so far, an int32 scalar.
      stats: the `Averages` of what the network observed, for inference; `()` if it observes nothing.
      carry: what the network remembers of the batch before, for an objective with a carry; else `()`.
    """

    params: Params
    opt_state: PyTree
    key: Key
    step: Array
    stats: Averages | tuple[()] = ()
    carry: PyTree = ()


def _way_to_state(value: Any) -> str:
    return "result.state is one" if hasattr(value, "state") else "train_state(params, optimizer, key)"


STATE = Instance(TrainState, fix=_way_to_state)
"""The constraint of a training state."""


@checked(optimizer=OPTIMIZER, params=ParamsTree(), key=RandomKey())
def train_state(
    params: Params,
    optimizer: optax.GradientTransformation,
    key: Key,
    stats: Averages | tuple[()] = (),
    carry: PyTree = (),
) -> TrainState:
    """Return the state before the first step: a copy of the params and a fresh optimizer state.

    The params are copied because compiled epochs take over the memory of their state (donation): the params passed here
    stay the caller's.

    Args:
      params: the network's params, a pytree of arrays.
      optimizer: any optax optimizer.
      key: a random key, a scalar, for shuffling and dropout.
      stats: for a network with statistics, such as batch normalization: `empty_averages`.
      carry: for an objective with a carry: `objective.start(params, batch)`, of a batch of the size of each.

    Returns:
      A `TrainState` at step 0.

    Raises:
      ValueError: if the optimizer is not one of optax, or the key is not a single random key.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> state = train_state({"W": jnp.ones((2, 3))}, optax.sgd(0.1), jax.random.key(0))
      >>> int(state.step)
      0
    """
    params = jax.tree.map(promote_large_integers, params)
    # Inside another program it is traced with that: a program kept here would hold an optimizer with traced numbers.
    # There new arrays are traced too, also if the params and the key are not.
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((params, key, stats, carry, jax.device_put(0.0)))):
        return _start(optimizer, True, params, key)._replace(stats=stats, carry=carry)
    state = _start_program(optimizer, True)(*jax.device_put((params, key)))
    return state._replace(**jax.tree.map(jnp.copy, dict(stats=stats, carry=carry)))


def borrowed_state(
    params: Params,
    key: Key,
    optimizer: optax.GradientTransformation,
    stats: Averages | tuple[()],
    carry: PyTree = (),
) -> TrainState:
    """Return `train_state` with the caller's own params instead of a copy, for a training that donates no state."""
    # Arrays of NumPy can change later, and JAX may share their memory.
    params = jax.tree.map(lambda a: a if isinstance(a, jax.Array) else jax.device_put(a, may_alias=False), params)
    key = key if isinstance(key, jax.Array) else jax.device_put(key)
    return _start_program(optimizer, False)(params, key)._replace(stats=stats, carry=carry)


@checked(objective=OBJECTIVE, optimizer=OPTIMIZER, gradients=GRADIENTS, stats_decay=DECAY)
def make_step(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    gradients: Gradients = "hand",
    stats_decay: float = 0.99,
) -> Step:
    """Make the function that updates the params once: w := w + (the optimizer's update for the gradient).

    Args:
      objective: what to minimize.
      optimizer: any optax optimizer, also one with a line search such as `optax.lbfgs`.
      gradients: "hand" for the hand-derived gradient, "auto" for `jax.value_and_grad` of the same objective.
      stats_decay: the factor of earlier batches in the averages of statistics, in each step; 1 for plain means.

    Returns:
      A pure function `step(state, batch) -> (state, loss)`, with loss the scalar objective before the update. It is not
      compiled: use it under `jit`, `scan` or `vmap`.

    Raises:
      ValueError: if `gradients` is another word, or objective or optimizer are of another type; when called, if the
        state is not a `TrainState`, or the batch not a `Batch`, or of one value for each channel of a batch
        normalization.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn, optax
      >>> model = jaxnn.logistic_regression(2)
      >>> objective = jaxnn.objective(model.network, model.loss)
      >>> state = train_state(model.init(jax.random.key(0)), optax.sgd(0.1), jax.random.key(1))
      >>> step = jax.jit(make_step(objective, optax.sgd(0.1)))
      >>> state, loss = step(state, jaxnn.Batch(jnp.array([[1.0, 2.0]]), jnp.array([1])))
      >>> print(loss, state.params[0]["W"])
      0.6931472 [[0.05 0.1 ]]
    """
    value_and_grad = gradients_by(objective, gradients)

    @checked(state=STATE)
    def step(state, batch):
        key = step_key(state)
        if has_carry(objective):
            batch = with_carry(objective, state, batch)
        reset = in_training.set(True)
        try:
            (loss, observed), grads = value_and_grad(state.params, batch, key, *scale_of(state))
        finally:
            in_training.reset(reset)
        check_gradients(grads, state.params)
        grads = mark_leaves("grads", grads)
        given = extra_arguments(loss, grads, lambda params: objective.value(params, batch, key)[0])
        with promoting():
            updates, opt_state = laid_out(optimizer, state.params).update(grads, state.opt_state, state.params, **given)
            params = optax.apply_updates(state.params, updates)
        skipped = have_skipped(state.opt_state, opt_state)
        carry = ()
        if has_carry(objective):
            observed, carry = observed.stats, continued(state.carry, observed.carry)
        stats = updated(state.stats, observed, batch, stats_decay, skipped)
        return TrainState(params, opt_state, state.key, state.step + 1, stats, carry), loss

    return on_any_axes(step, places_after_steps)


def places_after_steps(outputs: Any, state: TrainState, *_: Any) -> Any:
    """Return the places of (state, losses, ...) after steps: the state lies as before, what is measured is whole."""
    after, *measured = outputs
    return like(after, state), *whole(measured)


@checked(n_steps=Count())
def make_steps(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    n_steps: int,
    gradients: Gradients = "hand",
    stats_decay: float = 0.99,
) -> Step:
    """Make the compiled function that updates the params n times on the same data: full-batch training.

    Args:
      objective: what to minimize.
      optimizer: any optax optimizer.
      n_steps: the number of updates, at least 1.
      gradients: "hand" or "auto".
      stats_decay: as of `make_step`.

    Returns:
      A compiled function `steps(state, data) -> (state, losses)`, losses (n_steps,). The state is donated. Each update
      is an epoch, which carries nothing from the one before.
      `jax.vmap` over states trains many networks in one program.

    Raises:
      ValueError: if n_steps is below 1, and as `make_step`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn, optax
      >>> model = jaxnn.logistic_regression(1)
      >>> steps = make_steps(jaxnn.objective(model.network, model.loss), optax.sgd(1.0), 100)
      >>> state = train_state(model.init(jax.random.key(0)), optax.sgd(1.0), jax.random.key(1))
      >>> state, losses = steps(state, jaxnn.Batch(jnp.array([[-1.0], [1.0]]), jnp.array([0, 1])))
      >>> losses.shape, bool(losses[-1] < 0.05)
      ((100,), True)
    """
    step = make_step(objective, optimizer, gradients, stats_decay)

    @partial(jax.jit, donate_argnums=0)
    @partial(on_any_axes, places=places_after_steps)
    def steps(state, data):
        return jax.lax.scan(lambda state, _: step(begun_again(state), data), state, length=n_steps)

    return on_held_data(steps)


def _array_of(name: str, a: Any) -> Any:
    """Convert data to an array (m, ...) of numbers; return shapes and lists of traced numbers unchanged."""
    if any(isinstance(leaf, Tracer | jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(a)):
        return a
    a = as_array(name, a)
    check_real(name, a, a)
    return a


def on_held_data(program: Any) -> Step:
    """Wrap a compiled program: convert its data from dtypes that JAX would truncate, such as NumPy's int64."""

    @checked(data=BATCH)
    def holding(data):
        x, y = (map_arrays(_array_of, name, a) for name, a in (("x", data.x), ("y", data.y)))
        weight, normalizer = data.weight, data.normalizer
        weight = None if weight is None else _array_of("weight", weight)
        if isinstance(weight, np.ndarray) and not isinstance(normalizer, jax.Array):
            weight, normalizer = (
                (simplified(weight), None) if normalizer is None else beside_normalizer(weight, normalizer)
            )
        return jax.tree.map(promote_large_integers, Batch(x, y, weight, normalizer))

    @wraps(program)
    @checked(state=STATE)
    def run(state, data):
        check_same_devices(state=state, data=data)
        return program(state, holding(data))

    vars(run).update(lower=lambda state, data: program.lower(state, holding(data)))
    return run


def _start(optimizer: optax.GradientTransformation, copy: bool, params: Params, key: Key) -> TrainState:
    copies = jax.tree.map(jnp.copy, params)
    with promoting():
        opt_state = laid_out(optimizer, copies).init(copies)
    state = TrainState._make((copies if copy else params, opt_state, (), jnp.zeros((), jnp.int32), (), ()))
    # Without weak types, which the first step would make strong: a second compilation.
    state = jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, leaf.dtype), state)
    return state._replace(key=jnp.copy(key))


@bounded_cache
def _start_program(optimizer: optax.GradientTransformation, copy: bool) -> Callable[[Params, Key], TrainState]:
    return jax.jit(on_any_axes(partial(_start, optimizer, copy), _places_at_the_start))


def _places_at_the_start(state: TrainState, params: Params, key: Key) -> Any:
    others = whole(state._replace(params=(), opt_state=()))
    return others._replace(params=like(state.params, params), opt_state=beside(state.opt_state, params))


# Streams of randomness by number: a new stream takes the next number, so the others keep their values.
_STEPS, _SHUFFLES = 0, 1


def step_key(state: TrainState) -> Key:
    """Return the key of the state's next step."""
    return jax.random.fold_in(jax.random.fold_in(state.key, _STEPS), state.step)


def scale_of(state: TrainState) -> tuple[Array, ...]:
    """Return the state's loss scale as a tuple of one scalar, or `()` without loss scaling."""
    scale = loss_scale(state.opt_state)
    return () if scale is None else (scale,)


def shuffle_key(key: Key, epoch: Array) -> Key:
    """Return the key that shuffles an epoch."""
    return jax.random.fold_in(jax.random.fold_in(key, _SHUFFLES), epoch)
