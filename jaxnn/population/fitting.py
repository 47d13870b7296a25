"""Many trainings in one compiled program: over random starts, over every hyperparameter that is a number, over folds.

A member is written as one training is: a function makes it from its own hyperparameters. That function is traced once,
with a placeholder for each number, and the program runs all members at a time.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import promote_large_integers
from jaxnn.constraints import Constraint, Count, Function, Instance, ListOf, Nothing, OneOf, checked
from jaxnn.data.batches import Batch, number_of_examples
from jaxnn.data.examples import check_batch
from jaxnn.data.weights import check_weight
from jaxnn.optim.nonfinite import skipped_updates
from jaxnn.population.executor import Plan, PopulationExecutor
from jaxnn.population.hyperparameters import as_members
from jaxnn.population.memory import free_bytes
from jaxnn.population.results import Member, Population, as_member
from jaxnn.train.arguments import BATCH_SIZE, LOOP, NanPolicy, WithStatistics, check_not_inside, takes_statistics
from jaxnn.train.checkpoints import Checkpoint, Checkpointer
from jaxnn.train.divergence import Divergence
from jaxnn.train.drawing import check_shards, shards_of
from jaxnn.train.early_stopping import EarlyStopping
from jaxnn.train.loop import Advanced, run
from jaxnn.train.objectives import OBJECTIVE, Gradients
from jaxnn.train.statistics import averages_value
from jaxnn.train.steps import TrainState, train_state
from jaxnn.typing import Array, ArrayLike, Device, PyTree

Shuffle = Literal["shared", "own"]


@checked(
    member=Function("hyperparameters"),
    batch_size=BATCH_SIZE,
    shuffle=OneOf(get_args(Shuffle)) | Nothing(),
    evaluate=WithStatistics("params", "hyperparameters") | Nothing(),
    chunk=Count() | Nothing(),
    devices=ListOf(Instance(jax.Device), "a list of devices, such as jax.devices()[:2]") | Nothing(),
    memory=Count() | Nothing(),
    shards=Count() | Nothing(),
    **LOOP,
)
def fit_population(
    member: Callable[[PyTree], Member],
    hyperparameters: PyTree,
    x: ArrayLike,
    y: ArrayLike,
    *,
    epochs: int,
    batch_size: int | None = None,
    gradients: Gradients = "hand",
    shuffle: Shuffle | None = "shared",
    report_every: int = 1,
    evaluate: Callable[..., dict[str, Array]] | None = None,
    callback: Callable[[dict[str, Any]], bool | None] | None = None,
    early_stopping: EarlyStopping | None = None,
    checkpoints: Checkpointer | None = None,
    chunk: int | None = None,
    devices: Sequence[Device] | None = None,
    memory: int | None = None,
    on_nan: NanPolicy = "stop",
    stats_decay: float = 0.99,
    shards: int | None = None,
    progress: bool = False,
) -> Population:
    """Train n members on the same data, each as `fit` would train it alone, all in one compiled program.

    The member function is called with one member's hyperparameters, scalars that are traced, and returns a `Member`:

        def member(h):
            params = model.init(jax.random.key(h["seed"]))
            objective = jaxnn.objective(model.network, model.loss, jaxnn.l2(h["l2"]))
            return Member(objective, optax.adam(h["learning_rate"]), params, jax.random.key(h["seed"]))

    So anything that is a number can differ between members: seeds, rates, strengths, the scale of the start, the
    examples trained on (by `weight`), the widths of layers (by `jaxnn.contrib.traced_width_mlp`). The number of layers
    and the activation cannot: they are other programs.

    Sharing batches is the default: all members see the batches that the first member's key draws. Each batch is then
    gathered once, the first layer of all members is one large product, and members differ by what they were made from
    alone. With `shuffle="own"` each draws its batches by its own key, as `fit` does: in a population of 64 networks
    64-32-10, an epoch takes 1.5 times as long. Dropout is by each member's own key in any case.

    A member equals what `fit` makes of it, with "own" always, with "shared" where its key is the first member's (or
    there is nothing to shuffle), up to the rounding of products that run side by side: relative to the largest number
    of each leaf, its params are the same to 1e-5 in float32 and to 1e-13 in float64 (at most 4e-6 and 6e-14 were
    measured, after 7 to 700 steps of networks of one to three hidden layers). Training that amplifies rounding
    amplifies this: Adam does where gradients are little else, of a training set that has been learned by heart.

    A member that diverges stops, at its last finite params, and does not disturb the others; if any did, a
    `DivergenceWarning` at the end names the first. When no member runs any more, the training ends.

    Args:
      member: from one member's hyperparameters to its `Member`; pure.
      hyperparameters: a pytree of numbers, such as the dictionary of `grid`, leaves (n, ...): member i gets row i.
      x: inputs, (m, ...), floats.
      y: targets, (m,) or (m, k).
      epochs: passes over the data, at least 1.
      batch_size: examples of a batch; `None` takes all of them, so that an epoch is one step.
      gradients: "hand" for the hand-derived gradient, "auto" for JAX's.
      shuffle: "shared", "own" or `None` for the order of the data.
      report_every: epochs per compiled program, and so per report.
      evaluate: called at each report, under `jax.vmap`, with a member's params and its hyperparameters, or as
        `evaluate(params, stats, hyperparameters)` for a network with statistics; the dictionary of scalars that it
        returns joins the report. Compile it: `jax.jit`, with its data as arguments.
      callback: called with each entry of the history as it comes; a true return value stops all of them.
      early_stopping: an `EarlyStopping`, which each member follows by its own values: it stops when they have not
        improved, and returns to its own best report.
      checkpoints: as in `fit`: bit for bit where it is trained in the same chunks.
      chunk: at most how many members run at a time, on all devices together; chunks take turns between reports. By
        default as many as fit into memory.
      devices: where the members are spread, in equal shares; all of all processes by default. (A CPU counts as one,
        unless set before its first use: `jax.config.update("jax_num_cpu_devices", 2)`.)
      memory: bytes of a device to use. By default those that it reports as free, as GPUs do.
      on_nan: "stop" or "skip", as in `fit`, each member for itself.
      stats_decay: as in `fit`.
      shards: as in `fit`: in how many equal parts the data are seen, each of which draws its own part of every batch.
        All devices have all data; the numbers are those of `fit` with as many shards.
      progress: whether to show a progress bar, as in `fit`, with the means over the members.

    Returns:
      A `Population`.

    Raises:
      ValueError: if hyperparameters are not finite numbers that the program can hold, differ in length or are empty; if
        the member function does not return a `Member`; if data or arguments are not valid for `fit`; if a member does
        not fit into memory.

    Example:
      >>> import jax, jaxnn, numpy as np, optax
      >>> x = np.array([[-2.0], [-1.0], [1.0], [2.0]], np.float32)
      >>> y = np.array([0, 0, 1, 1])
      >>> model = jaxnn.logistic_regression(1)
      >>> def member(h):
      ...     objective = jaxnn.objective(model.network, model.loss, jaxnn.l2(h["l2"]))
      ...     key = jax.random.key(0)
      ...     return Member(objective, optax.sgd(h["learning_rate"]), model.init(key), key)
      >>> population = fit_population(member, jaxnn.grid(learning_rate=[0.1, 1.0], l2=[0.0, 1.0]), x, y, epochs=100)
      >>> population.losses.shape, population.best()
      ((4, 100), 2)
    """
    check_not_inside("fit_population", hyperparameters)
    hyperparameters, _ = as_members(hyperparameters)
    devices = jax.devices() if devices is None else devices
    _DEVICES.check("devices", devices)
    with _MESH_OF_MEMBERS():
        data = jax.tree.map(promote_large_integers, _checked(member, hyperparameters, x, y, shards, batch_size))
        laid = shards_of(data, shards) if shards is not None and shards > 1 else None
        size = batch_size or (number_of_examples(data) if laid is None else laid.n * laid.rows)
        shuffle = None if batch_size is None else shuffle
        plan = Plan(member, gradients, size, shuffle, on_nan == "skip", stats_decay, laid)
        executor = PopulationExecutor(
            plan,
            hyperparameters,
            data,
            epochs=min(report_every, epochs),
            chunk=chunk,
            devices=devices,
            memory=free_bytes(devices) if memory is None else memory,
        )
    outcome = run(
        _PopulationTraining(executor, plan, hyperparameters, data),
        epochs=epochs,
        report_every=report_every,
        evaluate=evaluate,
        callback=callback,
        early_stopping=early_stopping,
        checkpoints=checkpoints,
        progress=progress,
    )
    outcome = outcome._replace(state=jax.device_put(outcome.state))
    return Population(hyperparameters, outcome.state.params, *outcome, averages_value(outcome.state.stats))


# Programs of members have a mesh of devices in one row, which JAX takes only if the caller has set no other one.
_MESH_OF_MEMBERS = partial(jax.set_mesh, None)


def _of_one_process_or_all(devices: Sequence[Device]) -> bool:
    return len({device.process_index for device in devices}) in (1, jax.process_count())


_DEVICES = Constraint(
    "devices of one process, or of all",
    fix="all processes make the same calls, so that one without a device would wait for ever",
    test=_of_one_process_or_all,
)


class _PopulationTraining:
    """n trainings at a time, as `loop.run` takes them."""

    def __init__(self, executor: PopulationExecutor, plan: Plan, hyperparameters: PyTree, data: Batch) -> None:
        self.shape = executor.stopped_at.shape
        self._executor, self._plan, self._h, self._data = executor, plan, hyperparameters, data

    @property
    def state(self) -> TrainState:
        return self._executor.state()

    @property
    def steps(self) -> int:
        return self._executor.steps

    @property
    def skipped(self) -> np.ndarray | None:
        return np.asarray(skipped_updates(self.state.opt_state)) if self._plan.skip else None

    def restore(self, checkpoint: Checkpoint, running: np.ndarray) -> None:
        steps = checkpoint.history[-1]["step"] if checkpoint.history else 0
        self._executor.restore(checkpoint.state, steps, running)

    def advance(self, epochs: int) -> Advanced:
        with _MESH_OF_MEMBERS():
            losses, diverged_at = self._executor.run(epochs)
        return Advanced(losses.reshape(len(losses), -1), losses[:, -1], diverged_at)

    def stop(self, ended: np.ndarray) -> None:
        self._executor.stop(ended)

    def measure(self, evaluate: Callable[..., dict[str, Array]]) -> dict[str, Array]:
        state = self.state
        stats = (averages_value(state.stats),) if takes_statistics(evaluate, "hyperparameters") else ()
        return jax.vmap(evaluate)(state.params, *stats, jax.device_put(self._h))

    def explain(self, state: TrainState, index: tuple[int, ...], step: int) -> Divergence:
        (member,) = index
        with _MESH_OF_MEMBERS():
            return self._plan.explain(self._h, state, self._data, member, step)


def _checked(
    member: Callable[[PyTree], Member],
    hyperparameters: PyTree,
    x: Any,
    y: Any,
    shards: int | None,
    batch_size: int | None,
) -> Batch:
    """Validate the data for all members; examples of weight 0 in all of them may hold anything."""
    try:
        data = check_batch(x, y, whole_numbers=True)
        _check_member(member, hyperparameters, data, shards, batch_size)
        return data
    except ValueError:
        counts = _counted_by_any(member, hyperparameters)
        if counts is None or counts.all() or not counts.any():
            raise
    # What is wrong may be in examples of weight 0 alone.
    data = check_batch(x, y, counts, whole_numbers=True)
    _check_member(member, hyperparameters, data, shards, batch_size)
    return data._replace(weight=None)


def _check_member(
    member: Callable[[PyTree], Member], hyperparameters: PyTree, data: Batch, shards: int | None, batch_size: int | None
) -> None:
    """Trace the first member, so that errors surface before compilation."""
    # NumPy's arrays have their numbers under a trace too, for the check of labels.
    data = data._replace(y=jax.tree.map(np.asarray, data.y))

    def check(h):
        made = as_member(member(h))
        OBJECTIVE.check("objective", made.objective)
        check_shards(made.objective, shards, batch_size, number_of_examples(data))
        train_state(made.params, made.optimizer, made.key)
        if made.weight is not None:
            check_weight(made.weight, number_of_examples(data), some=True)
        made.objective.check(made.params, data)

    try:
        jax.eval_shape(check, jax.tree.map(lambda leaf: leaf[0], hyperparameters))
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerIntegerConversionError) as error:
        raise ValueError(
            "member must not use the number of a hyperparameter, which is traced, as in float() or if: "
            f"choose by jnp.where, or train a population for each ({str(error).splitlines()[0]})"
        ) from error


def _counted_by_any(member: Callable[[PyTree], Member], hyperparameters: PyTree) -> np.ndarray | None:
    """Which examples have a weight above 0 in some member, (m,); `None` where members have no weights, or are wrong."""

    def weight(h):
        return as_member(member(h)).weight

    try:
        one = jax.eval_shape(weight, jax.tree.map(lambda leaf: leaf[0], hyperparameters))
    except Exception:  # `_check_member` raises it
        return None
    if one is None:
        return None

    @jax.jit
    def by_any(hyperparameters):
        start = jnp.zeros(one.shape, bool)
        return jax.lax.scan(lambda seen, h: (seen | (jnp.asarray(weight(h)) > 0), None), start, hyperparameters)[0]

    return np.asarray(by_any(hyperparameters))
