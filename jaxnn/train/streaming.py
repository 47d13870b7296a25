"""`fit_stream`: training on batches that come from the host."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.arrays import promote_large_integers
from jaxnn.caching import bounded_cache
from jaxnn.data.batches import Batch
from jaxnn.data.streams import batch_after, by_epoch, checked_groups, of_one_size, stacked
from jaxnn.train.arguments import check_not_inside, check_not_traced, check_reports
from jaxnn.train.checkpoints import Checkpoint, Checkpointer, restored
from jaxnn.train.divergence import explain, warn_of_divergence
from jaxnn.train.fitting import Fit, make_result
from jaxnn.train.objectives import Objective
from jaxnn.train.programs import Programs, make_programs, replay_to_divergence, with_nan_policy
from jaxnn.train.reports import make_report
from jaxnn.train.steps import TrainState, make_step, train_state
from jaxnn.typing import Array, Key, Params
from jaxnn.validation import check_params, described, is_count


def fit_stream(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    params: Params,
    batches: Callable[[int], Iterable] | Iterable,
    *,
    key: Key,
    epochs: int,
    gradients: str = "hand",
    report_every: int = 1,
    steps_per_epoch: int | None = None,
    steps_per_call: int = 16,
    prefetch: int = 2,
    evaluate: Callable[[Params], dict[str, Array]] | None = None,
    callback: Callable[[dict[str, float]], bool | None] | None = None,
    on_nan: str = "stop",
    checkpoints: Checkpointer | None = None,
) -> Fit:
    """Train as `fit` does, on batches from an iterator: from files, a generator, a memory map.

    `steps_per_call` batches form a group, which goes to the device in one transfer, and one compiled program makes a
    step on each. JAX dispatches programs asynchronously, so the next groups are read and sent while the device
    computes; the host waits only when `prefetch` groups are queued. No threads are used.

    The device holds at most prefetch + 1 groups and prefetch + 2 copies of the training state, since a state is kept
    until the group after it is known to be finite; the host holds the group that is being read.

    The first batch sets the size. A shorter one, such as the last of an epoch, is padded with examples of weight 0, so
    that nothing is compiled twice. A batch with weights and without `normalizer` is averaged by its own weights; for
    weights that mean the same in every batch, as in `fit`, its `normalizer` is its number of examples times the mean
    weight of all data, as `host_batches` sets it.

    Args:
      objective: what to minimize.
      optimizer: any optax optimizer.
      params: the initial params; they are copied, never changed.
      batches: a function `batches(epoch)` for the epochs 0, 1, ... that returns an iterable of that epoch's batches; or
        an iterable that is the same in each epoch and can be iterated again, such as a list. A batch is a `Batch`,
        (x, y) or (x, y, weight) of host arrays as for `fit`. It is copied at once, so its arrays may be reused.
      key: a random key, for dropout.
      epochs: passes over the batches, at least 1.
      gradients: "hand" for the hand-derived gradient, "auto" for JAX's.
      report_every: epochs per report.
      steps_per_epoch: the number of batches in an epoch, for a generator that never ends: the first ones of
        `batches(epoch)`. `batches` may then also be an iterator, shared by all epochs: each continues where the one
        before ended. By default an epoch ends with its batches; if the first has not ended after 10 000, a warning
        is issued.
      steps_per_call: batches in a group. More cost memory; fewer cost time if a step is as short as its dispatch.
      prefetch: groups that are queued on the device while one is computed, at least 0.
      evaluate: called with the params at each report, as in `fit`.
      callback: called with each entry of the history; a true return value stops the training.
      on_nan: "stop" or "skip", as in `fit`.
      checkpoints: as in `fit`; an epoch's batches must be the same each time. An iterator must start from the first
        epoch: the batches of finished epochs are skipped.

    Returns:
      A `Fit`. With the batches that `fit` would draw, the same as `fit` returns.

    Raises:
      ValueError: if a batch is not valid for `fit`, or its dtype or shape differs from the first one's (the message
        names the batch); if an epoch has no batches; if `batches` can be iterated only once; if a number is outside its
        range; if `evaluate` does not return a dictionary of scalars under new names.

      Errors of `batches` are passed on unchanged.

    Example:
      >>> import jax, jaxnn, numpy as np, optax
      >>> x = np.linspace(-2, 2, 10, dtype=np.float32)[:, None]  # or np.load("x.npy", mmap_mode="r")
      >>> y = (x[:, 0] > 0).astype(np.int32)
      >>> model = jaxnn.logistic_regression(1)
      >>> result = fit_stream(
      ...     jaxnn.objective(model.network, model.loss),
      ...     optax.sgd(1.0),
      ...     model.init(jax.random.key(0)),
      ...     jaxnn.data.host_batches(x, y, 4, seed=0),
      ...     key=jax.random.key(1),
      ...     epochs=50,
      ...     report_every=25,
      ... )
      >>> [(report["epoch"], report["step"]) for report in result.history], model.predict(result.params, x).tolist()
      ([(25, 75), (50, 150)], [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])

    A generator that never ends:

      >>> def endless():
      ...     while True:
      ...         yield from jaxnn.data.host_batches(x, y, 4, seed=0)(0)
      >>> plan = dict(key=jax.random.key(1), epochs=2, steps_per_epoch=5)
      >>> objective, start = jaxnn.objective(model.network, model.loss), model.init(jax.random.key(0))
      >>> fit_stream(objective, optax.sgd(1.0), start, endless(), **plan).losses.shape
      (10,)
    """
    check_params(params)
    if not all(is_count(n) for n in (epochs, report_every, steps_per_call)):
        raise ValueError(
            "epochs, report_every and steps_per_call must be ints >= 1, "
            f"got {described(epochs)}, {described(report_every)} and {described(steps_per_call)}"
        )
    if not is_count(prefetch, least=0):
        raise ValueError(f"prefetch must be an int >= 0, got {described(prefetch)}")
    check_reports(evaluate, callback)
    if steps_per_epoch is not None and not is_count(steps_per_epoch):
        raise ValueError(f"steps_per_epoch must be None or an int >= 1, got {described(steps_per_epoch)}")
    check_not_inside("fit_stream", params, key)
    batches = of_one_size(by_epoch(batches, steps_per_epoch), _MANY if steps_per_epoch is None else np.inf)
    params = jax.tree.map(promote_large_integers, params)
    optimizer = with_nan_policy(optimizer, params, on_nan)
    programs = _group_programs(objective, optimizer, gradients, on_nan == "skip")
    state, history, losses, _, _, stopped_by, diverged_at = restored(
        checkpoints, train_state(params, optimizer, key), epochs, callback
    )
    history, losses, failing = list(history), [] if losses is None else [losses], None

    def snapshot():
        return Checkpoint(state, list(history), np.concatenate(losses), None, None, stopped_by, diverged_at)

    done = history[-1]["epoch"] if history else 0
    if checkpoints is not None and (stopped_by is not None or done == epochs):
        checkpoints.save(snapshot, True)
    elif done:
        next(batches(0))  # the first batch sets the size
    while stopped_by is None and done < epochs:
        first = len(losses)
        groups = checked_groups(stacked(batches(done), steps_per_call), done, partial(objective.check, params))
        for part in _train(programs, state, groups, prefetch):
            state = part.state
            losses.append(part.losses)
            if part.failing is not None:
                diverged_at, stopped_by, failing = int(state.step), "divergence", part.failing
                break
        else:
            done += 1
            if done % report_every and done != epochs:
                continue
            history.append(make_report(done, state, np.concatenate(losses[first:]), evaluate))
            if callback is not None and callback(history[-1]):
                stopped_by = "callback"
        if checkpoints is not None:
            checkpoints.save(snapshot, stopped_by is not None or done == epochs)
    result = make_result(state, history, losses, diverged_at)
    if diverged_at is not None:
        if failing is None:  # it diverged before this was resumed
            failing = batch_after(batches, done, diverged_at - (history[-1]["step"] if history else 0))
        result = result._replace(divergence=explain(objective, optimizer, gradients, state, failing))
        warn_of_divergence(result.divergence, state.params)
    return result._replace(stopped_by=stopped_by or "epochs")


_MANY = 10_000


class _Part(NamedTuple):
    """The state after a group, and the losses of its steps."""

    state: TrainState
    losses: np.ndarray
    failing: Batch | None = None  # of the first step that was not finite; then state and losses are those before it


def _train(
    programs: Programs, state: TrainState, groups: Iterable[tuple[Batch, int]], prefetch: int
) -> Iterator[_Part]:
    """Train on one group after the other, with at most `prefetch` of them dispatched ahead."""
    started = deque()

    def wait_for_the_first():
        before, after, group, n, losses, finite = started.popleft()
        if finite:  # here the host waits
            return _Part(after, np.asarray(losses)[:n])
        state, losses = replay_to_divergence(programs, before, group, n)
        return _Part(state, losses, jax.tree.map(lambda a: a[len(losses)], group))

    for host_group, n in groups:
        while len(started) > prefetch:
            yield wait_for_the_first()
        group, count = jax.device_put((jax.tree.map(promote_large_integers, host_group), n))
        # Not donated: until the new state is known to be finite, the old one must live.
        after, losses, finite = programs.run(state, group, count)
        check_not_traced("fit_stream", after, losses, finite)
        started.append((state, after, group, n, losses, finite))
        state = after
    while started:
        yield wait_for_the_first()


@bounded_cache
def _group_programs(
    objective: Objective, optimizer: optax.GradientTransformation, gradients: str, skip: bool
) -> Programs:
    """Compile a step on each of the first n batches of a group; of the losses (steps_per_call,), n are valid."""

    def steps(step):
        def many(state, group, n):
            def one(i, carry):
                state, losses = carry
                state, loss = step(state, batch(i))
                return state, losses.at[i].set(loss)

            def batch(i):
                return jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, i, keepdims=False), group)

            _, loss = jax.eval_shape(step, state, batch(0))
            # n is an argument, not a shape: a group that is not full runs in the same program.
            return jax.lax.fori_loop(0, n, one, (state, jnp.zeros(group.x.shape[0], loss.dtype)))

        return many

    return make_programs(steps, make_step(objective, optimizer, gradients), skip)
