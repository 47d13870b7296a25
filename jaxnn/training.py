"""Training as pure functions: a step, many steps, an epoch, each one compiled program; and `fit` around them."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.checkpoint import Checkpoint, Checkpoints, loaded
from jaxnn.checks import (
    as_array,
    check_callable,
    check_flag,
    check_key,
    check_numbers,
    check_params,
    described,
    held,
    is_count,
    is_real,
)
from jaxnn.data import batch_indices, check_batch
from jaxnn.early_stopping import EarlyStopping
from jaxnn.layout import check_optimizer, extra_arguments, laid_out
from jaxnn.loss_scale import loss_scale
from jaxnn.nonfinite import Divergence, Seen, first_not_finite, see, see_leaves, warn_of_divergence
from jaxnn.objective import Objective, check_is_batch, check_objective, gradients_by
from jaxnn.optimizers import promoting, skip_nonfinite, skipped_updates, skips
from jaxnn.programs import remembered
from jaxnn.typing import Array, Batch, Key, Params, PyTree
from jaxnn.weights import beside_total, in_range, mean_weight, simplified

Step = Callable[["TrainState", Batch], tuple["TrainState", Array]]
Many = Callable[[Step], Callable[..., tuple["TrainState", Array]]]


class TrainState(NamedTuple):
    """All that a step changes, and all that is needed to go on.

    Attributes:
      params: the network's params.
      opt_state: the optimiser's state.
      key: the random key of the whole run. It stays as it is: the randomness of step i, and the shuffle of epoch e, are
        drawn from it by index, so a run that is picked up at step i goes on as it would have.
      step: how many updates were made, an int32 scalar.
    """

    params: Params
    opt_state: PyTree
    key: Key
    step: Array


def train_state(params: Params, optimizer: optax.GradientTransformation, key: Key) -> TrainState:
    """The state before the first step: a copy of the params, and a fresh optimiser.

    The copy is there because compiled epochs take over the memory of the state they are given (donation): the
    params that were passed here stay the caller's.

    Args:
      params: the network's params, a pytree of arrays.
      optimizer: any optax optimiser.
      key: a random key (a scalar array), for shuffling and dropout.

    Returns:
      A `TrainState` at step 0.

    Raises:
      ValueError: no optax optimiser, or no random key, or several.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> state = train_state({"W": jnp.ones((2, 3))}, optax.sgd(0.1), jax.random.key(0))
      >>> int(state.step)
      0
    """
    check_optimizer(optimizer)
    check_params(params)
    check_key(key)
    params = jax.tree.map(held, params)
    # Inside somebody's program it is a part of that: one of its own would keep an optimizer made of that one's numbers.
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((params, key))):
        return _start(optimizer, params, key)
    return _start_program(optimizer)(*jax.device_put((params, key)))


def make_step(objective: Objective, optimizer: optax.GradientTransformation, gradients: str = "hand") -> Step:
    """One update: w := w - (what the optimiser makes of the gradient).

    Args:
      objective: what to minimise.
      optimizer: any optax optimiser, those that search along a line (such as `optax.lbfgs`) included.
      gradients: "hand" for the derived ones, "auto" for `jax.value_and_grad` of the same objective.

    Returns:
      A pure function `step(state, batch) -> (state, loss)`, loss the scalar objective before the update. It is not
      compiled: put it under `jit`, `scan` or `vmap`.

    Raises:
      ValueError: `gradients` is another word, or what came is no objective, or no optax optimiser; when called, no
        `TrainState` or `Batch`.

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
    check_optimizer(optimizer)

    def step(state, batch):
        _check_state(state)
        key = _step_key(state)
        loss, grads = value_and_grad(state.params, batch, key, *_scale_of(state))
        given = extra_arguments(loss, grads, lambda params: objective.value(params, batch, key))
        with promoting():
            updates, opt_state = laid_out(optimizer, state.params).update(grads, state.opt_state, state.params, **given)
            params = optax.apply_updates(state.params, updates)
        return TrainState(params, opt_state, state.key, state.step + 1), loss

    return step


def make_steps(
    objective: Objective, optimizer: optax.GradientTransformation, n_steps: int, gradients: str = "hand"
) -> Step:
    """Full-batch training: n updates on the same data in one compiled program.

    Args:
      objective: what to minimise.
      optimizer: any optax optimiser.
      n_steps: how many updates, at least 1.
      gradients: "hand" or "auto".

    Returns:
      A compiled function `steps(state, data) -> (state, losses)`, losses (n_steps,). It takes over (donates) the
      state's memory. `jax.vmap` over states trains many networks in one program.

    Raises:
      ValueError: n_steps below 1, or what `make_step` refuses.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn, optax
      >>> model = jaxnn.logistic_regression(1)
      >>> steps = make_steps(jaxnn.objective(model.network, model.loss), optax.sgd(1.0), 100)
      >>> state = train_state(model.init(jax.random.key(0)), optax.sgd(1.0), jax.random.key(1))
      >>> state, losses = steps(state, jaxnn.Batch(jnp.array([[-1.0], [1.0]]), jnp.array([0, 1])))
      >>> losses.shape, bool(losses[-1] < 0.05)
      ((100,), True)
    """
    if not is_count(n_steps):
        raise ValueError(f"make_steps takes a whole number of at least 1 step, got {described(n_steps)}")
    step = make_step(objective, optimizer, gradients)

    @partial(jax.jit, donate_argnums=0)
    def steps(state, data):
        return jax.lax.scan(lambda state, _: step(state, data), state, length=n_steps)

    return _of_held(steps)


def make_epoch(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    gradients: str = "hand",
    shuffle: bool = True,
) -> Step:
    """One pass over the data in mini-batches as one compiled program: shuffle, then ceil(m/batch_size) updates.

    The last short batch is trained on: it is padded to full size with examples of weight 0. Where the examples have
    weights of their own, a batch's weighted sum is divided by what the weights of so many examples are on average, so
    that the steps of an epoch follow, on average, the gradient of the whole data's weighted mean.

    Args:
      objective: what to minimise.
      optimizer: any optax optimiser.
      batch_size: examples of a batch.
      gradients: "hand" or "auto".
      shuffle: a fresh order each epoch; else the order of the data.

    Returns:
      A compiled function `epoch(state, data) -> (state, losses)`, losses (steps,). It takes over (donates) the
      state's memory. It raises a ValueError when there are fewer examples than batch_size, or not as many targets,
      or weights, as examples.

    Raises:
      ValueError: batch_size below 1, a shuffle that is neither True nor False, or what `make_step` refuses.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn, optax
      >>> model = jaxnn.logistic_regression(1)
      >>> epoch = make_epoch(jaxnn.objective(model.network, model.loss), optax.sgd(1.0), batch_size=2)
      >>> state = train_state(model.init(jax.random.key(0)), optax.sgd(1.0), jax.random.key(1))
      >>> state, losses = epoch(state, jaxnn.Batch(jnp.array([[-1.0], [1.0], [2.0]]), jnp.array([0, 1, 1])))
      >>> losses.shape, int(state.step)
      ((2,), 2)

    An order of one's own: the data in that order, not shuffled. Examples 2 and 0 are the first batch, 1 the second:

      >>> epoch = make_epoch(jaxnn.objective(model.network, model.loss), optax.sgd(1.0), batch_size=2, shuffle=False)
      >>> x, y, order = jnp.array([[-1.0], [1.0], [2.0]]), jnp.array([0, 1, 1]), jnp.array([2, 0, 1])
      >>> state, losses = epoch(state, jaxnn.Batch(x[order], y[order]))

    To continue a training that `fit` made, start from `result.state`: with the same objective, optimizer, batch_size
    and shuffle, the epochs after it are, bit for bit, those of a longer `fit`.
    """
    if not is_count(batch_size):
        raise ValueError(
            f"make_epoch takes batches of a whole number of at least 1 example, got {described(batch_size)}"
        )
    check_flag("shuffle", shuffle)
    epoch = epoch_of(make_step(objective, optimizer, gradients), batch_size, shuffle)
    return _of_held(jax.jit(epoch, donate_argnums=0))


def _check_state(state: Any) -> None:
    if not isinstance(state, TrainState):
        fix = "result.state is one" if hasattr(state, "state") else "train_state(params, optimizer, key)"
        raise ValueError(f"state is {described(state)}, expected a TrainState: {fix}")


def _array_of(name: str, a: Any) -> Any:
    """The data as an array (m, ...) of numbers; shapes alone, and lists of traced numbers, as they are."""
    if a is None or any(isinstance(leaf, jax.core.Tracer | jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(a)):
        return a
    a = as_array(name, a)
    check_numbers(name, a)
    return a


def _of_held(program: Step) -> Step:
    """The compiled program, whose data are put in dtypes that it can hold before JAX cuts them: NumPy's int64, say."""

    def holding(data):
        check_is_batch("data", data)
        x, y, weight = (_array_of(name, a) for name, a in zip(("x", "y", "weight"), data, strict=False))
        total = data.total
        if isinstance(weight, np.ndarray) and not isinstance(total, jax.Array):
            weight, total = (simplified(weight), None) if total is None else beside_total(weight, total)
        return jax.tree.map(held, Batch(x, y, weight, total))

    @wraps(program)
    def run(state, data):
        _check_state(state)
        return program(state, holding(data))

    run.lower = lambda state, data: program.lower(state, holding(data))
    return run


class Fit(NamedTuple):
    """What `fit` returns.

    Attributes:
      params: the trained params; after a divergence, the last that were finite; with early stopping, in any case those
        of the best report.
      state: the `TrainState` they belong to, to go on from; it holds params of its own.
      history: one dictionary per report, oldest first: "epoch" (how many are done), "step", "loss" (the mean objective
        of that epoch's steps) and whatever `evaluate` measured, all Python numbers. Where updates are skipped, also
        "skipped", how many were so far, and "loss" is the mean of those that are finite.
      losses: the objective before each update, (steps,), a NumPy array.
      diverged_at: `None`, or the number of the first step (from 0) whose loss or update was not finite (where such are
        skipped: whose update was not, in spite of that).
      best_epoch: with early stopping, how many epochs were done at the best report; `None` without, or where no report
        was any good.
      stopped_by: why `fit` ended: "epochs" (all were done), "patience", "callback" or "divergence".
      divergence: after one, a `Divergence`: its layer, and whether the activations or the gradient overflowed first.
      skipped: how many updates were left out, since their loss or gradient was not finite.
    """

    params: Params
    state: TrainState
    history: list[dict[str, float]]
    losses: np.ndarray
    diverged_at: int | None
    best_epoch: int | None = None
    stopped_by: str | None = None
    divergence: Divergence | None = None
    skipped: int = 0


def fit(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    params: Params,
    x: Any,
    y: Any,
    *,
    key: Key,
    epochs: int,
    batch_size: int | None = None,
    weight: Any = None,
    gradients: str = "hand",
    shuffle: bool = True,
    report_every: int = 1,
    evaluate: Callable[[Params], dict[str, Array]] | None = None,
    callback: Callable[[dict[str, float]], bool | None] | None = None,
    stop_early: EarlyStopping | None = None,
    on_nan: str = "stop",
    checkpoints: Checkpoints | None = None,
) -> Fit:
    """Train on data, epoch by epoch, each epoch one compiled program; the host sees a few numbers at a time.

    A loss or an update that is not finite stops the training, with a `DivergenceWarning`. What went before is kept:
    `Fit.params` are the last finite params, `Fit.diverged_at` says at which step it happened, and `Fit.divergence`
    where in the network.

    Objective and optimiser must be pure. The programs of the last few pairs of them are kept, so that a second `fit`
    with equal ones does not compile again: with an objective of equal layers, loss and penalty, and an optimiser that
    is the same object, or one that `optimizer` makes of the same name and rate.

    Args:
      objective: what to minimise.
      optimizer: any optax optimiser whose update takes the gradient, the objective and its value. Those of optax that
        read the layout of weights are given Flax's, as by `with_layout`.
      params: where to start; they are copied, never changed.
      x: inputs, (m, ...), floats.
      y: targets, (m,) or (m, k).
      key: a random key, for shuffling and dropout.
      epochs: passes over the data, at least 1.
      batch_size: examples of a batch; `None` takes all of them, so that an epoch is one step.
      weight: example weights, (m,), numbers or truth values: as `check_batch` takes them. Only their ratios matter; an
        example of weight 0 may hold any label or value, NaN too.
      gradients: "hand" for the derived ones, "auto" for JAX's.
      shuffle: a fresh order each epoch (full batches are never shuffled). For an order of your own, pass the data in
        that order, with False; for a different one each epoch, `make_epoch` or the batches themselves to `fit_stream`.
      report_every: epochs per compiled program, and so per report: 100 suits full batches. Where it does not
        divide `epochs`, the rest is a second compilation.
      evaluate: called with the params at each report; the dictionary of scalars that it returns, dev accuracy say,
        joins the report, under names of its own. Compile it: `jax.jit`, with its data as arguments rather than
        closed over.
      callback: called with each entry of the history as it comes; a true answer stops the training.
      stop_early: an `EarlyStopping`, which watches a measure of the reports. The best report's state is kept beside
        the running one, and is what is returned, however the training ended.
      on_nan: "stop", or "skip" to leave out the update where loss or gradient is not finite, and go on, by
        `skip_nonfinite`: until more than 10 in a row are not.
      checkpoints: where to keep what an interrupted training is picked up from, and what to go on from. Picked up, it
        ends bit for bit as it would have on the same machine; the callback is told the reports of before again.

    Returns:
      A `Fit`.

    Raises:
      ValueError: data that do not fit together, are not floats or not finite; params that are not floats, or of another
        network; a batch size outside 1..m; fewer than one epoch; an argument that is not what it is said to be, such as
        an optimiser's name, a number for a key or a function of other arguments; what `evaluate` returns is no
        dictionary of scalars with names of its own; the reports lack what `stop_early` watches; `on_nan` is another
        word; a checkpoint of another training; params, key, data, or numbers in the objective or the optimizer, that
        are traced, as inside `jax.jit` and `jax.vmap`.

    Example:
      >>> import jax, jaxnn, numpy as np, optax
      >>> x = np.array([[-2.0], [-1.0], [1.0], [2.0]], np.float32)
      >>> y = np.array([0, 0, 1, 1])
      >>> model = jaxnn.logistic_regression(1)
      >>> result = fit(
      ...     jaxnn.objective(model.network, model.loss),
      ...     optax.sgd(1.0),
      ...     model.init(jax.random.key(0)),
      ...     x,
      ...     y,
      ...     key=jax.random.key(1),
      ...     epochs=200,
      ...     report_every=100,
      ... )
      >>> [report["epoch"] for report in result.history], model.classify(result.params, x).tolist()
      ([100, 200], [0, 0, 1, 1])
    """
    check_objective(objective)
    check_params(params)
    check_not_inside("fit", params, key)
    data, params = check_batch(x, y, weight), jax.tree.map(held, params)
    size = check_plan(data.x.shape[0], epochs, report_every, batch_size)
    check_flag("shuffle", shuffle)
    check_reports(evaluate, callback)
    if stop_early is not None and not isinstance(stop_early, EarlyStopping):
        raise ValueError(f"stop_early is {described(stop_early)}, expected jaxnn.EarlyStopping('loss', patience=5) say")
    shuffle = shuffle and batch_size is not None
    objective.check(params, data)
    if data.weight is not None and (np.asarray(data.weight) == 1).all():
        # The same program, and the same last digits, as without weights.
        data = data._replace(weight=None)
    data = jax.device_put(jax.tree.map(held, data))
    optimizer = handling_nan(optimizer, params, on_nan)
    programs = _epoch_programs(objective, optimizer, gradients, size, shuffle, on_nan == "skip")
    state, history, losses, best, best_state, stopped_by, diverged_at = loaded(
        checkpoints, train_state(params, optimizer, key), epochs, callback
    )
    history, losses = list(history), [] if losses is None else [losses]

    def now():
        return Checkpoint(state, list(history), np.concatenate(losses), best, best_state, stopped_by, diverged_at)

    done = history[-1]["epoch"] if history else 0
    if checkpoints is not None and (stopped_by is not None or done == epochs):
        checkpoints.save(now, True)
    while stopped_by is None and done < epochs:
        n = min(report_every, epochs - done)
        # Not donated: until the new state is known to be finite, the old one must live.
        after, new_losses, finite = programs.run(state, data, n)
        check_not_traced("fit", after, new_losses, finite)
        if finite:
            state = after
            new_losses = np.asarray(new_losses)
            losses.append(new_losses.reshape(-1))
            done += n
            history.append(make_report(done, state, new_losses[-1], evaluate))
            if stop_early is not None and stop_early.improves(history[-1], None if best is None else history[best]):
                # No state is donated here, so the best one is kept by its name alone: nothing is copied.
                best, best_state = len(history) - 1, state
            if callback is not None and callback(history[-1]):
                stopped_by = "callback"
            elif stop_early is not None and len(history) - (0 if best is None else best + 1) == stop_early.patience:
                stopped_by = "patience"
        else:
            state, new_losses = replay_to_divergence(programs, state, data, n)
            losses.append(new_losses)
            diverged_at, stopped_by = int(state.step), "divergence"
        if checkpoints is not None:
            checkpoints.save(now, stopped_by is not None or done == epochs)
    result = fitted(state if best is None else best_state, history, losses, diverged_at)
    if diverged_at is not None:
        batch = _batch_program(size, shuffle)(state, data)
        result = result._replace(divergence=explain(objective, optimizer, gradients, state, batch))
        warn_of_divergence(result.divergence, state.params)
    best_epoch = None if best is None else history[best]["epoch"]
    return result._replace(best_epoch=best_epoch, stopped_by=stopped_by or "epochs")


def _start(optimizer: optax.GradientTransformation, params: Params, key: Key) -> TrainState:
    params = jax.tree.map(jnp.copy, params)
    with promoting():
        opt_state = laid_out(optimizer, params).init(params)
    state = TrainState(params, opt_state, (), jnp.zeros((), jnp.int32))
    # Without weak types, which the first step would turn into strong ones: a second compilation.
    state = jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, leaf.dtype), state)
    return state._replace(key=jnp.copy(key))


@remembered
def _start_program(optimizer: optax.GradientTransformation) -> Callable[[Params, Key], TrainState]:
    return jax.jit(partial(_start, optimizer))


# Streams of randomness, told apart by number: a new one takes the next, and moves none of these.
_STEPS, _SHUFFLES = 0, 1


def _step_key(state: TrainState) -> Key:
    return jax.random.fold_in(jax.random.fold_in(state.key, _STEPS), state.step)


def _scale_of(state: TrainState) -> tuple[Array, ...]:
    scale = loss_scale(state.opt_state)
    return () if scale is None else (scale,)


def _shuffle_key(key: Key, epoch: Array) -> Key:
    return jax.random.fold_in(jax.random.fold_in(key, _SHUFFLES), epoch)


def epoch_of(step: Step, batch_size: int, shuffle: bool) -> Callable[..., tuple[TrainState, Array]]:
    """`epoch(state, data, order=None) -> (state, losses (steps,))`: one pass over the data.

    `order` is the key that shuffles, the state's own by default: a population's members can share their batches.
    """

    def epoch(state, data, order=None):
        m = _check_lengths(data)
        if batch_size == m and not shuffle:
            state, loss = step(state, data)
            return state, loss[None]
        drawn = _drawn(state, data, batch_size, shuffle, order)
        return jax.lax.scan(lambda state, one: step(state, _gathered(data, one)), state, drawn)

    return epoch


def batch_at(state: TrainState, data: Batch, batch_size: int, shuffle: bool, order: Key | None = None) -> Batch:
    """The batch of the step that comes next in `epoch_of`: x (batch_size, ...)."""
    m = data.x.shape[0]
    if batch_size == m and not shuffle:
        return data
    drawn = _drawn(state, data, batch_size, shuffle, order)
    return _gathered(data, jax.tree.map(lambda of_steps: of_steps[state.step % -(-m // batch_size)], drawn))


def _drawn(
    state: TrainState, data: Batch, batch_size: int, shuffle: bool, order: Key | None
) -> tuple[Array, Array | None, Array | None]:
    """Of the state's epoch: rows (steps, batch_size), their weights, and the totals (steps,)."""
    m = data.x.shape[0]
    key = state.key if order is None else order
    key = _shuffle_key(key, state.step // -(-m // batch_size)) if shuffle else None
    indices, weight = batch_indices(key, m, batch_size)
    if data.weight is None:
        # Where nothing is padded, all count the same.
        return (indices, None, None) if m % batch_size == 0 else (indices, weight, weight.sum(axis=1))
    own, total = in_range(data.weight, data.total)
    mean, weight = mean_weight(own) if total is None else total / m, weight.astype(own.dtype)
    return indices, weight * own[indices], weight.sum(axis=1) * mean


def _gathered(data: Batch, drawn: tuple[Array, Array | None, Array | None]) -> Batch:
    rows, weight, total = drawn
    return Batch(data.x[rows], data.y[rows], weight, total)


def epochs_of(batch_size: int, shuffle: bool) -> Many:
    """Many steps that are epochs: `(state, data, n, order=None) -> (state, losses (n, steps))`, `order` as above."""

    def many(step):
        epoch = epoch_of(step, batch_size, shuffle)
        return lambda state, data, n, order=None: jax.lax.scan(
            lambda state, _: epoch(state, data, order), state, length=n
        )

    return many


class Programs(NamedTuple):
    """Many steps as one compiled program, `(state, data, n) -> ...`, and the same with a guard.

    `run` gives (state, losses, whether all of it is finite); `run_guarded` stops at the state before the first step
    that is not finite, and gives (state, losses).
    """

    run: Callable[[TrainState, Batch, int], tuple[TrainState, Array, Array]]
    run_guarded: Callable[[TrainState, Batch, int], tuple[TrainState, Array]]


def make_programs(many: Many, step: Step, skip: bool, **jit: Any) -> Programs:
    """Of `many(step)`, a function `(state, data, n) -> (state, losses)`; `jit` is what `jax.jit` is told."""
    plain = many(step)

    @partial(jax.jit, **jit)
    def run(state, data, n):
        state, losses = plain(state, data, n)
        return state, losses, is_sound(losses, state.params, skip)

    return Programs(run, jax.jit(guarding(many, step, skip), **jit))


def is_sound(losses: Array, params: Params, skip: bool) -> Array:
    """Whether losses (...) and params are finite; where steps are skipped, params alone: such a step has left them."""
    return all_finite(params if skip else (losses, params))


def handling_nan(optimizer: optax.GradientTransformation, params: Params, on_nan: str) -> optax.GradientTransformation:
    """The optimizer, which skips by itself where that is asked for; equal ones of equal optimizers."""
    check_on_nan(on_nan)
    check_optimizer(optimizer)
    return optimizer if on_nan == "stop" or skips(optimizer, params) else skip_nonfinite(optimizer)


def check_not_traced(name: str, *trees: PyTree) -> None:
    """Raise a ValueError if a number that the function of that name is to look at is traced, of any shape.

    What an objective or an optimizer closes over, such as a rate, shows in what a program gives, and not before.
    """
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(trees)):
        raise ValueError(
            f"{name} looks at numbers between its programs: call it outside of jit, vmap and grad; make_steps works "
            "inside, and fit_population trains one member for each number"
        )


def check_not_inside(name: str, *trees: PyTree) -> None:
    """Raise a ValueError inside a program that JAX traces, also if no leaf (of any shape) is traced there."""
    # Inside of `jax.jit`, what has no arguments is traced too; and unlike zeros, it takes no number from the host.
    check_not_traced(name, *trees, jax.lax.iota(jnp.int32, 1))


def check_on_nan(on_nan: Any) -> None:
    """A ValueError unless it is one of the two words."""
    if not isinstance(on_nan, str) or on_nan not in ("stop", "skip"):
        raise ValueError(f'on_nan is "stop" or "skip", got {described(on_nan)}')


def guarding(many: Many, step: Step, skip: bool) -> Callable[..., tuple[TrainState, Array]]:
    """`many(step)`, stopping for good at the state before the first step whose loss or update is not finite."""
    stopping = many(_guarded(step, skip))

    def run(state, *rest):
        state, losses = stopping(state._replace(opt_state=(state.opt_state, jnp.array(False))), *rest)
        return state._replace(opt_state=state.opt_state[0]), losses

    return run


@remembered
def _epoch_programs(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    gradients: str,
    batch_size: int,
    shuffle: bool,
    skip: bool,
) -> Programs:
    step = make_step(objective, optimizer, gradients)
    return make_programs(epochs_of(batch_size, shuffle), step, skip, static_argnums=2)


def _guarded(step: Step, skip: bool) -> Step:
    """The step that stops for good, at the state before it, where its loss or its update is not finite.

    Whether it has stopped travels beside the optimiser's state. The check costs a pass over the params, so it is
    kept out of ordinary training, and made when an epoch that went wrong is run once more.
    """

    def guarded(state, batch):
        opt_state, stopped = state.opt_state
        before = state._replace(opt_state=opt_state)
        after, loss = step(before, batch)
        stopped = stopped | ~is_sound(loss, after.params, skip)
        kept = jax.tree.map(partial(jnp.where, stopped), before, after)
        return kept._replace(opt_state=(kept.opt_state, stopped)), loss

    return guarded


def replay_to_divergence(programs: Programs, state: TrainState, data: Batch, n: int) -> tuple[TrainState, np.ndarray]:
    """The state before the first step that was not finite, and the losses of the steps before it."""
    start = int(state.step)
    state, losses = programs.run_guarded(state, data, n)
    return state, np.asarray(losses).reshape(-1)[: int(state.step) - start]


def make_watch(
    objective: Objective, optimizer: optax.GradientTransformation, gradients: str
) -> Callable[[TrainState, Batch], list[Seen]]:
    """`watch(state, batch) -> [Seen, ...]`: what `make_step`'s step computes, quantity by quantity, in order."""
    step, value_and_grad = make_step(objective, optimizer, gradients), gradients_by(objective, gradients)

    def watch(state, batch):
        params, key = state.params, _step_key(state)
        loss, grads = value_and_grad(params, batch, key, *_scale_of(state))
        after, _ = step(state, batch)
        # Last those that every objective has: what it did not see itself shows there.
        inside = [*objective.watch(params, batch, key, *_scale_of(state)), see("loss", loss, params)]
        gradient, update = see_leaves("gradient", grads, params), see_leaves("update", after.params, (params, grads))
        return [*see_leaves("params", params, params), *inside, *gradient, *update]

    return watch


@remembered
def _batch_program(batch_size: int, shuffle: bool) -> Callable[[TrainState, Batch], Batch]:
    return jax.jit(lambda state, data: batch_at(state, data, batch_size, shuffle))


@remembered
def _watch_program(objective: Objective, optimizer: optax.GradientTransformation, gradients: str) -> Callable[..., Any]:
    # It runs once a divergence, so what counts is the time to compile it.
    return jax.jit(make_watch(objective, optimizer, gradients), compiler_options={"xla_backend_optimization_level": 1})


def explain(
    objective: Objective, optimizer: optax.GradientTransformation, gradients: str, state: TrainState, batch: Batch
) -> Divergence:
    """What overflows first in the step from this state on this batch."""
    watch = _watch_program(objective, optimizer, gradients)
    return first_not_finite(int(state.step), jax.device_get(watch(state, batch)))


def make_report(
    epoch: int, state: TrainState, losses: np.ndarray, evaluate: Callable[[Params], dict[str, Array]] | None
) -> dict[str, float]:
    """Of the state after so many epochs, and the losses of the last one."""
    report = {"epoch": epoch, "step": int(state.step), "loss": float(losses.mean())}
    skipped = skipped_updates(state.opt_state)
    if skipped is not None:
        report |= {"loss": mean_of_finite(losses).item(), "skipped": int(skipped)}
    if evaluate is None:
        return report
    measured = evaluate(state.params)
    check_not_traced("fit", measured)
    if not isinstance(measured, dict) or any(np.ndim(value) for value in measured.values()):
        shapes = {name: np.shape(a) for name, a in measured.items()} if isinstance(measured, dict) else repr(measured)
        raise ValueError(f"evaluate must return a dictionary of scalars, got {shapes}")
    measured = {name: np.asarray(value) for name, value in jax.device_get(measured).items()}
    wrong = [name for name, value in measured.items() if not is_real(value.dtype) and value.dtype != bool]
    if wrong:
        raise ValueError(f"evaluate must return numbers, got {measured[wrong[0]]!s} for {wrong[0]!r}")
    taken = sorted(measured.keys() & report.keys())
    if taken:
        raise ValueError(f"evaluate measures {taken}, which are fit's own names in a report: give them others")
    return report | {name: value.item() for name, value in measured.items()}


def fitted(state: TrainState, history: list[dict], losses: list[np.ndarray], diverged_at: int | None) -> Fit:
    """The `Fit` of a training that ended in this state."""
    # Params of their own: going on from the state may give its memory away. By transfer, which compiles nothing.
    params = jax.device_put(state.params, may_alias=False)
    skipped = int(skipped_updates(state.opt_state) or 0)
    return Fit(params, state, history, np.concatenate(losses), diverged_at, skipped=skipped)


def mean_of_finite(losses: np.ndarray) -> np.ndarray:
    """The mean over the last axis of (..., steps), of the finite ones alone; NaN where there is none."""
    finite = np.isfinite(losses)
    none = ~finite.any(axis=-1, keepdims=True)
    return np.where(none, np.nan, losses).mean(axis=-1, where=finite | none)


def check_plan(m: int, epochs: Any, report_every: Any, batch_size: Any) -> int:
    """The size of a batch, a scalar, `None` being all m examples; a ValueError where one of the counts is none."""
    if not is_count(epochs) or not is_count(report_every):
        raise ValueError(
            "epochs and report_every are whole numbers of at least 1, "
            f"got {described(epochs)} and {described(report_every)}"
        )
    check_batch_size(batch_size, m)
    return m if batch_size is None else batch_size


def check_batch_size(batch_size: Any, m: int) -> None:
    """A ValueError unless it is `None`, or a whole number from 1 to m."""
    if batch_size is not None and not (is_count(batch_size) and batch_size <= m):
        raise ValueError(f"batch_size must be from 1 to the {m} examples there are, got {described(batch_size)}")


def check_reports(evaluate: Any, callback: Any) -> None:
    """A ValueError unless each is `None`, or a function that can be called as `fit` calls it."""
    if evaluate is not None:
        check_callable("evaluate", evaluate, "params")
    if callback is not None:
        check_callable("callback", callback, "report")


def _check_lengths(data: Batch) -> int:
    """The number of examples."""
    if not isinstance(data, Batch) or any(not hasattr(a, "shape") for a in data[:3] if a is not None):
        raise ValueError(f"data is {described(data)}, expected a jaxnn.Batch of arrays: jaxnn.Batch(x, y)")
    m = data.x.shape[0]
    # A row that is not there would be read as the last one, without a word.
    if data.y.shape[:1] != (m,) or (data.weight is not None and data.weight.shape != (m,)):
        weights = None if data.weight is None else data.weight.shape
        raise ValueError(f"x has {m} examples, y has shape {data.y.shape}, weight {weights}: expected one for each")
    return m


def all_finite(tree: PyTree) -> Array:
    """Whether every number of every leaf (...) is finite, a scalar."""
    # x * 0 is 0 or NaN. Their sum compiles in a third of the time that `isfinite(x).all()` takes, and runs in half.
    return jnp.array([(leaf * 0).sum() == 0 for leaf in jax.tree.leaves(tree)], bool).all()
