"""`fit_stream`: training on batches that come from the host."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jaxnn.arrays import promote_large_integers
from jaxnn.caching import bounded_cache
from jaxnn.constraints import Constraint, Count, Flag, Nothing, ParamsTree, RandomKey, checked
from jaxnn.data.batches import Batch, number_of_examples
from jaxnn.data.streams import batch_after, by_epoch, checked_groups, naming, of_one_size, peeked, stacked
from jaxnn.optim.interface import OPTIMIZER
from jaxnn.parallel.meshes import data_axis, mesh_of
from jaxnn.parallel.placement import MESH, own_devices
from jaxnn.train.agreement import with_own_rows
from jaxnn.train.arguments import LOOP, NanPolicy, WithStatistics, check_not_inside, check_not_traced
from jaxnn.train.carries import has_carry, start_of
from jaxnn.train.checkpoints import Checkpoint, Checkpointer
from jaxnn.train.divergence import Divergence, explain
from jaxnn.train.early_stopping import EarlyStopping
from jaxnn.train.fitting import Fit, make_result
from jaxnn.train.loop import Advanced, run
from jaxnn.train.objectives import OBJECTIVE, Gradients, Objective
from jaxnn.train.placement import on_one_device, placed_group, placed_start, placed_state
from jaxnn.train.programs import Programs, make_programs, replay_to_divergence, with_nan_policy
from jaxnn.train.single import SingleTraining
from jaxnn.train.statistics import begun, empty_averages
from jaxnn.train.steps import TrainState, borrowed_state, make_step
from jaxnn.typing import Array, Key, Params, PyTree


@checked(
    objective=OBJECTIVE,
    optimizer=OPTIMIZER,
    params=ParamsTree(),
    key=RandomKey(),
    steps_per_epoch=Count() | Nothing(),
    steps_per_call=Count(),
    prefetch=Count(0),
    evaluate=WithStatistics("params") | Nothing(),
    mesh=MESH | Nothing(),
    own_rows=Flag(),
    **LOOP,
)
def fit_stream(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    params: Params,
    batches: Callable[[int], Iterable] | Iterable,
    *,
    key: Key,
    epochs: int,
    gradients: Gradients = "hand",
    report_every: int = 1,
    steps_per_epoch: int | None = None,
    steps_per_call: int = 16,
    prefetch: int = 2,
    evaluate: Callable[..., dict[str, Array]] | None = None,
    callback: Callable[[dict[str, float]], bool | None] | None = None,
    early_stopping: EarlyStopping | None = None,
    on_nan: NanPolicy = "stop",
    stats_decay: float = 0.99,
    checkpoints: Checkpointer | None = None,
    mesh: Mesh | None = None,
    own_rows: bool = False,
    progress: bool = False,
) -> Fit:
    """Train as `fit` does, on batches from an iterator: from files, a generator, a memory map.

    `steps_per_call` batches form a group, which goes to the device in one transfer, and one compiled program makes a
    step on each. JAX dispatches programs asynchronously, so the next groups are read and sent while the device
    computes; the host waits only when `prefetch` groups are queued. No threads are used.

    The device holds at most prefetch + 1 groups and prefetch + 2 copies of the training state, since a state is kept
    until the group after it is known to be finite; the host holds the group that is being read.

    The first batch sets the size. A smaller one, such as the last of an epoch, is padded with examples of weight 0, so
    that nothing is compiled twice. `Sequences` may have more or fewer times from batch to batch, as those of
    `bucketed_batches` have: a program is compiled for each number of times. A batch with weights and without
    `normalizer` is averaged by its own weights; for weights that mean the same in every batch, as in `fit`, its
    `normalizer` is its number of examples times the mean weight of all data, as `host_batches` sets it.

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
      evaluate: called at each report, as in `fit`.
      callback: called with each entry of the history; a true return value stops the training.
      early_stopping: an `EarlyStopping`, as in `fit`.
      on_nan: "stop" or "skip", as in `fit`.
      stats_decay: as in `fit`.
      checkpoints: as in `fit`; an epoch's batches must be the same each time. An iterator must start from the first
        epoch: the batches of finished epochs are skipped.
      mesh: the devices to train on, as in `fit`: the rows of each batch are split over the data axis, filled up with
        examples of weight 0 to equal parts. `None` for the mesh on which the params lie, or one device.
      own_rows: whether the batches of each process have its own rows only, as those of `host_batches(process=...)`:
        process i of n has the i-th of n equal parts of every batch, a multiple of its devices. All have equally many
        batches, as many times in the `Sequences` of each, and the same normalizer or none. By default each passes the
        whole batch.
      progress: whether to show a progress bar, as in `fit`.

    Returns:
      A `Fit`. With the batches that `fit` would draw, the same as `fit` returns.

    Raises:
      ValueError: if a batch is not valid for `fit`, or its dtype or shape differs from the first one's (the message
        names the batch); in all processes, if, with `own_rows`, their first batches differ in a dtype, a shape or the
        normalizer; if an epoch has no batches; if `batches` can be iterated only once; if a number is outside its
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
    check_not_inside("fit_stream", params, key)
    mesh = mesh_of(params) if mesh is None else mesh
    if mesh is None:
        params, key = on_one_device(params, key)
    _WITH_MESH.check("own_rows", own_rows and mesh is None)
    _WITHOUT_CARRY.check("own_rows", own_rows and has_carry(objective))
    rows_of_each = 1 if mesh is None else own_devices(mesh) if own_rows else mesh.shape[data_axis(mesh)]
    many = _MANY if steps_per_epoch is None else np.inf
    given = of_one_size(by_epoch(batches, steps_per_epoch), many, rows_of_each, own_rows)
    params = jax.tree.map(promote_large_integers, params)
    optimizer = with_nan_policy(optimizer, params, on_nan)
    begin = partial(_begin, given, partial(objective.check, params))
    first, batches = begin() if mesh is None or not own_rows else with_own_rows(begin, mesh)
    stats = empty_averages(objective, params, first)
    carry = start_of(objective, params, first, number_of_examples(first))
    training = _StreamTraining(
        _group_programs(objective, optimizer, gradients, on_nan == "skip", stats_decay),
        placed_state(borrowed_state(*placed_start(params, key, mesh), optimizer, stats, carry), mesh),
        batches,
        partial(placed_group, mesh=mesh, own_rows=own_rows),
        objective.check,
        partial(explain, objective, optimizer, gradients),
        steps_per_call,
        prefetch,
        stats_decay,
    )
    del params, begin  # the training has what it needs of them
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


def _begin(
    batches: Callable[[int], Iterator[Batch]], check: Callable[[Batch], None]
) -> tuple[Batch, Callable[[int], Iterator[Batch]]]:
    """Return the first batch, after `check` has accepted it, and all batches."""
    first, batches = peeked(batches)
    naming(0, 0, check, first)
    return first, batches


class _StreamTraining(SingleTraining):
    """A training on batches from the host, as `loop.run` takes it."""

    def __init__(
        self,
        programs: Programs,
        state: TrainState,
        batches: Callable[[int], Iterator[Batch]],
        placed: Callable[[PyTree], PyTree],
        check: Callable[[Params, Batch], None],
        explain: Callable[[TrainState, Batch], Divergence],
        steps_per_call: int,
        prefetch: int,
        stats_decay: float,
    ) -> None:
        super().__init__(state)
        self._programs, self._batches, self._check, self._explain = programs, batches, check, explain
        self._placed = placed
        self._steps_per_call, self._prefetch = steps_per_call, prefetch
        self._stats_decay = stats_decay
        self._epoch, self._at_report, self._failing = 0, 0, None

    def restore(self, checkpoint: Checkpoint, running: np.ndarray) -> None:
        super().restore(checkpoint, running)
        if checkpoint.history:
            self._epoch, self._at_report = (checkpoint.history[-1][name] for name in ("epoch", "step"))

    def advance(self, epochs: int) -> Advanced:
        losses, first = [], 0
        for _ in range(epochs):
            self.state = begun(self.state, self._stats_decay)
            first, groups = len(losses), stacked(self._batches(self._epoch), self._steps_per_call)
            groups = checked_groups(groups, self._epoch, self._check_batch)
            for part in _train(self._programs, self.state, groups, self._prefetch, self._placed):
                self.state = part.state
                losses.append(part.losses)
                if part.failing is not None:
                    self._failing = part.failing
                    losses = np.concatenate(losses)
                    return Advanced(losses, losses, np.array(self.steps))
            self._epoch += 1
        return Advanced(np.concatenate(losses), np.concatenate(losses[first:]), np.array(-1))

    def _check_batch(self, batch: Batch) -> None:
        self._check(self.state.params, batch)

    def explain(self, state: TrainState, index: tuple[int, ...], step: int) -> Divergence:
        if self._failing is None:  # it diverged before this was resumed
            batch = batch_after(self._batches, self._epoch, step - self._at_report)
            group = self._placed(jax.tree.map(lambda a: np.asarray(a)[None], batch))
            self._failing = jax.tree.map(lambda a: a[0], group)
        return self._explain(state, self._failing)


_MANY = 10_000
_WITH_MESH = Constraint("False without a mesh", fix="mesh=jaxnn.parallel.make_mesh()", test=lambda without: not without)
_WITHOUT_CARRY = Constraint("False for an objective with a carry", test=lambda carried: not carried)


class _Part(NamedTuple):
    """The state after a group, and the losses of its steps."""

    state: TrainState
    losses: np.ndarray
    failing: Batch | None = None  # of the first step that was not finite; then state and losses are those before it


def _train(
    programs: Programs,
    state: TrainState,
    groups: Iterable[tuple[Batch, int]],
    prefetch: int,
    placed: Callable[[PyTree], PyTree],
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
        group, count = placed((jax.tree.map(promote_large_integers, host_group), n))
        # Not donated: until the new state is known to be finite, the old one must live.
        after, losses, finite = programs.run(state, group, count)
        check_not_traced("fit_stream", after, losses, finite)
        started.append((state, after, group, n, losses, finite))
        state = after
    while started:
        yield wait_for_the_first()


@bounded_cache
def _group_programs(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    gradients: Gradients,
    skip: bool,
    stats_decay: float,
) -> Programs:
    """Compile a step on each of the first n batches of a group; of the losses (steps_per_call,), n are valid."""

    def run_steps(step, state, group, n):
        def batch(i):
            return jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, i, keepdims=False), group)

        def one(i, carry):
            state, losses = carry
            state, loss = step(state, batch(i))
            return state, losses.at[i].set(loss)

        _, loss = jax.eval_shape(step, state, batch(0))
        # n is an argument, not a shape: a group that is not full runs in the same program.
        return jax.lax.fori_loop(0, n, one, (state, jnp.zeros(number_of_examples(group), loss.dtype)))

    return make_programs(run_steps, make_step(objective, optimizer, gradients, stats_decay), skip)
