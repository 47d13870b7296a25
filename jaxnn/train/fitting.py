"""`fit`: a whole training on arrays."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from jaxnn.arrays import promote_large_integers
from jaxnn.caching import bounded_cache
from jaxnn.data.examples import check_batch
from jaxnn.optim.nonfinite import skipped_updates
from jaxnn.train.arguments import check_not_inside, check_not_traced, check_plan, check_reports
from jaxnn.train.checkpoints import Checkpoint, Checkpointer, restored
from jaxnn.train.divergence import Divergence, batch_program, explain, warn_of_divergence
from jaxnn.train.early_stopping import EarlyStopping
from jaxnn.train.epochs import epochs_of
from jaxnn.train.objectives import Objective, check_objective
from jaxnn.train.programs import Programs, make_programs, replay_to_divergence, with_nan_policy
from jaxnn.train.reports import make_report
from jaxnn.train.steps import TrainState, make_step, train_state
from jaxnn.typing import Array, Key, Params
from jaxnn.validation import check_flag, check_params, described


class Fit(NamedTuple):
    """The result of `fit`.

    Attributes:
      params: the trained params; after a divergence, the last finite ones; with early stopping, always those of the
        best report.
      state: the `TrainState` that they belong to, to continue from; it has its own copy of the params.
      history: one dictionary per report, oldest first: "epoch" (the number of epochs done), "step", "loss" (the mean
        objective over that epoch's steps) and what `evaluate` returned, all Python numbers. If updates are skipped,
        also "skipped", their number so far, and "loss" is the mean of the finite losses.
      losses: the objective before each update, (steps,), a NumPy array.
      diverged_at: `None`, or the number of the first step (from 0) whose loss or update was not finite (with
        on_nan="skip": whose update was not finite although it was skipped).
      best_epoch: with early stopping, the number of epochs done at the best report; `None` without early stopping or
        if no report was finite.
      stopped_by: why `fit` ended: "epochs" (all were done), "patience", "callback" or "divergence".
      divergence: after one, a `Divergence`: the layer, and whether activations or gradient overflowed first.
      skipped: the number of updates that were skipped, since their loss or gradient was not finite.
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
    """Train on arrays, epoch by epoch, each epoch one compiled program.

    A loss or an update that is not finite stops the training, with a `DivergenceWarning`. The result then holds what
    was reached before: `Fit.params` are the last finite params, `Fit.diverged_at` is the step, and `Fit.divergence` the
    place in the network.

    Objective and optimizer must be pure. The programs of the last few pairs are cached, so that a second `fit` with
    equal ones does not compile again: an objective of equal layers, loss and regularizer, and an optimizer that is the
    same object, or made by `jaxnn.optimizer` from the same name and rate.

    Args:
      objective: what to minimize.
      optimizer: any optax optimizer whose update takes the gradient, the objective and its value. Those of optax that
        depend on the layout of weights receive Flax's, as by `with_layout`.
      params: the initial params; they are copied, never changed.
      x: inputs, (m, ...), floats.
      y: targets, (m,) or (m, k).
      key: a random key, for shuffling and dropout.
      epochs: passes over the data, at least 1.
      batch_size: the number of examples in a batch; `None` for all of them, so that an epoch is one step.
      weight: example weights, (m,), numbers or truth values, as for `check_batch`. Only their ratios matter; an example
        of weight 0 may hold any label or value, also NaN.
      gradients: "hand" for the hand-derived gradient, "auto" for JAX's.
      shuffle: a new order in each epoch (full batches are never shuffled). For a given order, pass the data in that
        order with False; for another one in each epoch, use `make_epoch`, or `fit_stream` with the batches.
      report_every: epochs per compiled program, and so per report: 100 suits full batches. If it does not divide
        `epochs`, the remainder is a second compilation.
      evaluate: called with the params at each report; the dictionary of scalars that it returns, such as the dev
        accuracy, is added to the report. Compile it with `jax.jit`, with its data as arguments instead of closed over.
      callback: called with each entry of the history; a true return value stops the training.
      early_stopping: an `EarlyStopping`, which monitors a value of the reports. The state of the best report is kept
        beside the current one and returned at the end.
      on_nan: "stop", or "skip" to skip updates whose loss or gradient is not finite, as `skip_nonfinite` does: until
        more than 10 in a row are not finite.
      checkpoints: a `Checkpointer`. A resumed training ends bit for bit as it would have without interruption on the
        same machine; the callback is called with the earlier reports again.

    Returns:
      A `Fit`.

    Raises:
      ValueError: if the data do not fit together, or are not finite floats; if the params are not floats, or belong to
        another network; if batch_size is outside 1..m, or epochs below 1; if another argument has the wrong type; if
        `evaluate` does not return a dictionary of scalars under new names; if the reports lack the value that
        `early_stopping` monitors; if the checkpoint belongs to another training; if params, key, data, or numbers in
        objective or optimizer are traced, as inside `jax.jit` and `jax.vmap`.

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
    data, params = check_batch(x, y, weight), jax.tree.map(promote_large_integers, params)
    size = check_plan(data.x.shape[0], epochs, report_every, batch_size)
    check_flag("shuffle", shuffle)
    check_reports(evaluate, callback)
    if early_stopping is not None and not isinstance(early_stopping, EarlyStopping):
        raise ValueError(
            f"early_stopping must be a jaxnn.EarlyStopping, got {described(early_stopping)}: "
            "EarlyStopping('dev_loss', patience=5)"
        )
    shuffle = shuffle and batch_size is not None
    objective.check(params, data)
    if data.weight is not None and (np.asarray(data.weight) == 1).all():
        # The same program, with the same last digits, as without weights.
        data = data._replace(weight=None)
    data = jax.device_put(jax.tree.map(promote_large_integers, data))
    optimizer = with_nan_policy(optimizer, params, on_nan)
    programs = _epoch_programs(objective, optimizer, gradients, size, shuffle, on_nan == "skip")
    state, history, losses, best, best_state, stopped_by, diverged_at = restored(
        checkpoints, train_state(params, optimizer, key), epochs, callback
    )
    history, losses = list(history), [] if losses is None else [losses]

    def snapshot():
        return Checkpoint(state, list(history), np.concatenate(losses), best, best_state, stopped_by, diverged_at)

    done = history[-1]["epoch"] if history else 0
    if checkpoints is not None and (stopped_by is not None or done == epochs):
        checkpoints.save(snapshot, True)
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
                # States are not donated here, so keeping the best one copies nothing.
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
            checkpoints.save(snapshot, stopped_by is not None or done == epochs)
    result = make_result(state if best is None else best_state, history, losses, diverged_at)
    if diverged_at is not None:
        batch = batch_program(size, shuffle)(state, data)
        result = result._replace(divergence=explain(objective, optimizer, gradients, state, batch))
        warn_of_divergence(result.divergence, state.params)
    best_epoch = None if best is None else history[best]["epoch"]
    return result._replace(best_epoch=best_epoch, stopped_by=stopped_by or "epochs")


@bounded_cache
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


def make_result(state: TrainState, history: list[dict], losses: list[np.ndarray], diverged_at: int | None) -> Fit:
    """Build the `Fit` of a training that ended in this state."""
    # A copy, since continuing from the state may donate its memory; by transfer, which compiles nothing.
    params = jax.device_put(state.params, may_alias=False)
    skipped = int(skipped_updates(state.opt_state) or 0)
    return Fit(params, state, history, np.concatenate(losses), diverged_at, skipped=skipped)
