"""`fit`: a whole training."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from jaxnn.arrays import held
from jaxnn.caching import remembered
from jaxnn.data.examples import check_batch
from jaxnn.optim.nonfinite import skipped_updates
from jaxnn.train.arguments import check_not_inside, check_not_traced, check_plan, check_reports
from jaxnn.train.checkpoints import Checkpoint, Checkpointer, loaded
from jaxnn.train.divergence import Divergence, batch_program, explain, warn_of_divergence
from jaxnn.train.early_stopping import EarlyStopping
from jaxnn.train.epochs import epochs_of
from jaxnn.train.objectives import Objective, check_objective
from jaxnn.train.programs import Programs, handling_nan, make_programs, replay_to_divergence
from jaxnn.train.reports import make_report
from jaxnn.train.steps import TrainState, make_step, train_state
from jaxnn.typing import Array, Key, Params
from jaxnn.validation import check_flag, check_params, described


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
    early_stopping: EarlyStopping | None = None,
    on_nan: str = "stop",
    checkpoints: Checkpointer | None = None,
) -> Fit:
    """Train on data, epoch by epoch, each epoch one compiled program; the host sees a few numbers at a time.

    A loss or an update that is not finite stops the training, with a `DivergenceWarning`. What went before is kept:
    `Fit.params` are the last finite params, `Fit.diverged_at` says at which step it happened, and `Fit.divergence`
    where in the network.

    Objective and optimiser must be pure. The programs of the last few pairs of them are kept, so that a second `fit`
    with equal ones does not compile again: with an objective of equal layers, loss and regularizer, and an optimizer
    that is the same object, or one that `optimizer` makes of the same name and rate.

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
      early_stopping: an `EarlyStopping`, which watches a measure of the reports. The best report's state is kept beside
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
        dictionary of scalars with names of its own; the reports lack what `early_stopping` watches; `on_nan` is another
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
      >>> [report["epoch"] for report in result.history], model.predict(result.params, x).tolist()
      ([100, 200], [0, 0, 1, 1])
    """
    check_objective(objective)
    check_params(params)
    check_not_inside("fit", params, key)
    data, params = check_batch(x, y, weight), jax.tree.map(held, params)
    size = check_plan(data.x.shape[0], epochs, report_every, batch_size)
    check_flag("shuffle", shuffle)
    check_reports(evaluate, callback)
    if early_stopping is not None and not isinstance(early_stopping, EarlyStopping):
        raise ValueError(
            f"early_stopping is {described(early_stopping)}, expected jaxnn.EarlyStopping('loss', patience=5) say"
        )
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
            if early_stopping is not None and early_stopping.improves(
                history[-1], None if best is None else history[best]
            ):
                # No state is donated here, so the best one is kept by its name alone: nothing is copied.
                best, best_state = len(history) - 1, state
            if callback is not None and callback(history[-1]):
                stopped_by = "callback"
            elif (
                early_stopping is not None
                and len(history) - (0 if best is None else best + 1) == early_stopping.patience
            ):
                stopped_by = "patience"
        else:
            state, new_losses = replay_to_divergence(programs, state, data, n)
            losses.append(new_losses)
            diverged_at, stopped_by = int(state.step), "divergence"
        if checkpoints is not None:
            checkpoints.save(now, stopped_by is not None or done == epochs)
    result = fitted(state if best is None else best_state, history, losses, diverged_at)
    if diverged_at is not None:
        batch = batch_program(size, shuffle)(state, data)
        result = result._replace(divergence=explain(objective, optimizer, gradients, state, batch))
        warn_of_divergence(result.divergence, state.params)
    best_epoch = None if best is None else history[best]["epoch"]
    return result._replace(best_epoch=best_epoch, stopped_by=stopped_by or "epochs")


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


def fitted(state: TrainState, history: list[dict], losses: list[np.ndarray], diverged_at: int | None) -> Fit:
    """The `Fit` of a training that ended in this state."""
    # Params of their own: going on from the state may give its memory away. By transfer, which compiles nothing.
    params = jax.device_put(state.params, may_alias=False)
    skipped = int(skipped_updates(state.opt_state) or 0)
    return Fit(params, state, history, np.concatenate(losses), diverged_at, skipped=skipped)
