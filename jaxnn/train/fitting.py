"""`fit`: a whole training on arrays."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from jaxnn.arrays import promote_large_integers
from jaxnn.caching import bounded_cache
from jaxnn.constraints import Count, Flag, Nothing, ParamsTree, RandomKey, checked
from jaxnn.data.batches import Batch, number_of_examples
from jaxnn.data.examples import check_batch
from jaxnn.data.shards import Shards
from jaxnn.optim.interface import OPTIMIZER
from jaxnn.optim.nonfinite import skipped_updates
from jaxnn.parallel.placement import MESH, gathered
from jaxnn.train.arguments import BATCH_SIZE, LOOP, NanPolicy, WithStatistics, check_not_inside, check_not_traced
from jaxnn.train.carries import start_of
from jaxnn.train.checkpoints import Checkpointer
from jaxnn.train.divergence import Divergence, batch_program, explain
from jaxnn.train.drawing import check_shards, shards_of
from jaxnn.train.early_stopping import EarlyStopping
from jaxnn.train.epochs import run_epochs
from jaxnn.train.loop import Advanced, Outcome, run
from jaxnn.train.objectives import OBJECTIVE, Gradients, Objective
from jaxnn.train.placement import (
    copied,
    mesh_for,
    number_of_shards,
    on_one_device,
    placed_data,
    placed_start,
    placed_state,
)
from jaxnn.train.programs import Programs, make_programs, replay_to_divergence, with_nan_policy
from jaxnn.train.single import SingleTraining
from jaxnn.train.statistics import averages_value, empty_averages
from jaxnn.train.steps import TrainState, borrowed_state, make_step
from jaxnn.typing import Array, ArrayLike, Key, Params, Statistics


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
      stats: the statistics that belong to params, for `infer`, `predict` and `evaluate`; `()` if the network observes
        none.
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
    stats: Statistics = ()

    @property
    def curves(self) -> dict[str, np.ndarray]:
        """Return each value of the history over the reports, (reports,), NaN where a report lacks it."""
        names = dict.fromkeys(name for report in self.history for name in report)
        return {name: np.array([report.get(name, np.nan) for report in self.history]) for name in names}


@checked(
    objective=OBJECTIVE,
    optimizer=OPTIMIZER,
    params=ParamsTree(),
    key=RandomKey(),
    batch_size=BATCH_SIZE,
    shuffle=Flag(),
    evaluate=WithStatistics("params") | Nothing(),
    shards=Count() | Nothing(),
    mesh=MESH | Nothing(),
    **LOOP,
)
def fit(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    *,
    key: Key,
    epochs: int,
    batch_size: int | None = None,
    weight: ArrayLike | None = None,
    gradients: Gradients = "hand",
    shuffle: bool = True,
    report_every: int = 1,
    evaluate: Callable[..., dict[str, Array]] | None = None,
    callback: Callable[[dict[str, float]], bool | None] | None = None,
    early_stopping: EarlyStopping | None = None,
    on_nan: NanPolicy = "stop",
    stats_decay: float = 0.99,
    checkpoints: Checkpointer | None = None,
    shards: int | None = None,
    mesh: Mesh | None = None,
    progress: bool = False,
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
      x: inputs, (m, ...), floats, or whole numbers if the network takes them; for a network of several inputs, a
        dictionary or a tuple of them.
      y: targets, (m,) or (m, k), or a dictionary or a tuple of them.
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
      evaluate: `evaluate(params)`, or `evaluate(params, stats)` for a network with statistics, called at each report;
        the dictionary of scalars that it returns, such as the dev accuracy, is added to the report. Compile it with
        `jax.jit`, with its data as arguments instead of closed over.
      callback: called with each entry of the history; a true return value stops the training.
      early_stopping: an `EarlyStopping`, which monitors a value of the reports. The state of the best report is kept
        beside the current one and returned at the end.
      on_nan: "stop", or "skip" to skip updates whose loss or gradient is not finite, as `skip_nonfinite` does: until
        more than 10 in a row are not finite.
      stats_decay: the factor of earlier batches in the averages of statistics, in each step; with 1, they are the means
        over the epoch.
      checkpoints: a `Checkpointer`. A resumed training ends bit for bit as it would have without interruption on the
        same machine; the callback is called with the earlier reports again.
      shards: in how many equal parts the data lie, each of which draws its own part of every batch. The numbers depend
        on it, to rounding not on the devices: 8 trains the same on 1, 2, 4 and 8 devices, also if it is resumed on
        another number. `None` is one, and one for each device of a mesh that is stated. It divides batch_size.
      mesh: the devices to train on, as `jaxnn.parallel.make_mesh()` returns them: rows are split over the data axis,
        params are whole on each device unless they lie on the mesh already. `None` for the mesh on which data or params
        lie, or one device: that of the data, or of the params, if they were put on one. All else is sent there.
      progress: whether to show a progress bar with the latest report, in a terminal (on stderr) or a notebook.

    Returns:
      A `Fit`. On a mesh its params and state lie there.

    Raises:
      ValueError: if batch_size is not a multiple of the shards, or these not of the devices; if the data do not fit
        together, or are not finite floats; if the params are not floats, or belong to
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
    check_not_inside("fit", params, key)
    data, params = check_batch(x, y, gathered(weight), whole_numbers=True), jax.tree.map(promote_large_integers, params)
    stated, mesh = mesh, mesh_for(mesh, data, params)
    if mesh is None:
        data, params, key = on_one_device(data, params, key)
    shards = number_of_shards(objective, shards, stated, mesh)
    check_shards(objective, shards, batch_size, number_of_examples(data))
    laid = shards_of(data, shards) if shards > 1 else None
    size = batch_size or (number_of_examples(data) if laid is None else laid.n * laid.rows)
    shuffle = shuffle and batch_size is not None
    carry = start_of(objective, params, data, size, shuffle)
    objective.check(params, data)
    if data.weight is not None and (np.asarray(data.weight) == 1).all():
        # The same program, with the same last digits, as without weights.
        data = data._replace(weight=None)
    optimizer = with_nan_policy(optimizer, params, on_nan)
    stats = empty_averages(objective, params, data)
    training = _EpochTraining(
        _epoch_programs(objective, optimizer, gradients, size, shuffle, on_nan == "skip", stats_decay, laid),
        placed_state(borrowed_state(*placed_start(params, key, mesh), optimizer, stats, carry), mesh),
        placed_data(jax.tree.map(promote_large_integers, data), laid, mesh),
        partial(explain, objective, optimizer, gradients),
        batch_program(size, shuffle, laid),
    )
    del params, data  # the training has what it needs of them
    outcome = run(
        training,
        epochs=epochs,
        report_every=report_every,
        evaluate=evaluate,
        callback=callback,
        early_stopping=early_stopping,
        checkpoints=checkpoints,
        progress=progress,
    )
    return make_result(outcome)


class _EpochTraining(SingleTraining):
    """A training on data that the device holds, as `loop.run` takes it."""

    def __init__(
        self,
        programs: Programs,
        state: TrainState,
        data: Batch,
        explain: Callable[[TrainState, Batch], Divergence],
        next_batch: Callable[[TrainState, Batch], Batch],
    ) -> None:
        super().__init__(state)
        self._programs, self._data, self._explain, self._next_batch = programs, data, explain, next_batch

    def advance(self, epochs: int) -> Advanced:
        after, losses, finite = self._programs.run(self.state, self._data, epochs)
        check_not_traced("fit", after, losses, finite)
        if finite:
            self.state, losses = after, np.asarray(losses)
            return Advanced(losses.reshape(-1), losses[-1], np.array(-1))
        self.state, losses = replay_to_divergence(self._programs, self.state, self._data, epochs)
        return Advanced(losses, losses, np.array(self.steps))

    def explain(self, state: TrainState, index: tuple[int, ...], step: int) -> Divergence:
        return self._explain(state, self._next_batch(state, self._data))


@bounded_cache
def _epoch_programs(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    gradients: Gradients,
    batch_size: int,
    shuffle: bool,
    skip: bool,
    stats_decay: float,
    shards: Shards | None,
) -> Programs:
    run_steps = partial(run_epochs, batch_size=batch_size, shuffle=shuffle, stats_decay=stats_decay, shards=shards)
    step = make_step(objective, optimizer, gradients, stats_decay)
    return make_programs(run_steps, step, skip, static_argnums=2)


def make_result(outcome: Outcome) -> Fit:
    """Build the `Fit` of a training."""
    # A copy, since continuing from the state may donate its memory.
    state = outcome.state._replace(params=jax.tree.map(copied, outcome.state.params))
    skipped = int(skipped_updates(state.opt_state) or 0)
    return Fit(
        outcome.state.params,
        state,
        outcome.history,
        outcome.losses,
        outcome.diverged_at,
        outcome.best_epoch,
        outcome.stopped_by,
        outcome.divergence,
        skipped,
        averages_value(outcome.state.stats),
    )
