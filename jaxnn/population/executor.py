"""Members trained together on the devices, in as many chunks as the memory requires."""

from collections.abc import Callable, Sequence
from functools import partial
from threading import Thread
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxnn.arrays import as_array
from jaxnn.caching import bounded_cache
from jaxnn.data.batches import Batch
from jaxnn.data.shards import Shards
from jaxnn.optim.nonfinite import skip_nonfinite, skips
from jaxnn.parallel.placement import gathered, put
from jaxnn.population.memory import bytes_of, is_of_several_processes, least, that_fit
from jaxnn.train.arguments import check_not_traced
from jaxnn.train.carries import start_of
from jaxnn.train.divergence import Divergence, first_not_finite
from jaxnn.train.drawing import batch_at, laid_out
from jaxnn.train.epochs import run_epochs
from jaxnn.train.examination import Examination, examine_step, quantities
from jaxnn.train.loop import select
from jaxnn.train.objectives import Gradients
from jaxnn.train.programs import is_finite, run_to_nonfinite
from jaxnn.train.statistics import empty_averages
from jaxnn.train.steps import TrainState, make_step, train_state
from jaxnn.typing import Array, Device, Key, PyTree

_MEMBERS, _SHARED = PartitionSpec("members"), PartitionSpec()
# All have one step number, so that batches that they share are drawn, and gathered, once.
_OfLeaves: Any = TrainState  # of axes or specifications instead of arrays
_AXES = _OfLeaves(params=0, opt_state=0, key=0, step=None, stats=0, carry=0)
_SPECS = _OfLeaves(params=_MEMBERS, opt_state=_MEMBERS, key=_MEMBERS, step=_SHARED, stats=_MEMBERS, carry=_MEMBERS)


class Plan(NamedTuple):
    """How each of the members is trained.

    Attributes:
      member: from one member's hyperparameters to its objective, optimizer, params, key and weight.
      gradients: "hand" or "auto".
      batch_size: examples of a batch.
      shuffle: "shared", "own" or `None`.
      skip: whether updates are skipped where loss or gradient is not finite.
      stats_decay: the factor of earlier batches in the averages of statistics.
      shards: how the examples lie in shards, of which each draws its part of a batch, or `None`.
    """

    member: Callable[[PyTree], Any]
    gradients: Gradients
    batch_size: int
    shuffle: str | None
    skip: bool
    stats_decay: float
    shards: Shards | None = None

    def build_member(self, h: PyTree) -> Any:
        """Build a member, with skipping if that is on."""
        member = self.member(h)
        if member.weight is not None:
            member = member._replace(weight=as_array("a member's weight", member.weight))
        if not self.skip or skips(member.optimizer, member.params):
            return member
        return member._replace(optimizer=skip_nonfinite(member.optimizer))

    def data_of(self, member: Any, data: Batch) -> Batch:
        """Return the data with a member's weights, in shards if there are these."""
        data = data._replace(weight=member.weight)
        return data if self.shards is None else laid_out(data, self.shards)

    def start(self, h: PyTree, data: Batch) -> TrainState:
        """Return a member's state before its first step; of the data only the shapes are read."""
        member = self.build_member(h)
        stats = empty_averages(member.objective, member.params, data._replace(weight=member.weight))
        carry = start_of(member.objective, member.params, data, self.batch_size, self.shuffle)
        return train_state(member.params, member.optimizer, member.key, stats, carry)

    def run(
        self, guarded: bool, epochs: int, state: TrainState, h: PyTree, data: Batch, order: Key | None
    ) -> tuple[TrainState, Array, Array]:
        """Return a member's state after the epochs, its losses (epochs, steps), and whether all is finite."""
        member = self.build_member(h)
        step = make_step(member.objective, member.optimizer, self.gradients, self.stats_decay)
        run_steps = partial(
            run_epochs,
            batch_size=self.batch_size,
            shuffle=self.shuffle is not None,
            stats_decay=self.stats_decay,
            shards=self.shards,
        )
        run = partial(run_to_nonfinite, run_steps, step, self.skip) if guarded else partial(run_steps, step)
        state, losses = run(state, self.data_of(member, data), epochs, order)
        return state, losses, is_finite(losses, state.params, self.skip)

    def explain(self, hyperparameters: PyTree, states: TrainState, data: Batch, i: int, step: int) -> Divergence:
        """Return what overflowed first in member i, from the states of all before that step."""
        h, state = jax.tree.map(lambda leaf: leaf[i], (hyperparameters, states))
        order = states.key[0] if self.shuffle == "shared" else None
        return first_not_finite(step, quantities(jax.device_get(_examination_program(self)(h, state, data, order))))


@bounded_cache
def _examination_program(plan: Plan) -> Callable[..., Examination]:
    # Members differ in numbers alone, so it compiles once for all of them, if any diverged.
    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})
    def examine(h, state, data, order):
        member = plan.build_member(h)
        own, shuffle = plan.data_of(member, data), plan.shuffle is not None
        batch = batch_at(state, own, plan.batch_size, shuffle, order, plan.shards)
        return examine_step(member.objective, member.optimizer, plan.gradients, state, batch)

    return examine


class Programs(NamedTuple):
    """A plan's compiled programs on the devices of a mesh, members side by side on each.

    Attributes:
      start: `start(hyperparameters, data) -> (states, the first one's key)`.
      run: `run(epochs, states, hyperparameters, data, order) -> ...`, what `Plan.run` gives, of all.
      run_guarded: the same, each member stopping at the state before its first step that is not finite.
    """

    start: Callable[..., tuple[TrainState, Key]]
    run: Callable[..., tuple[TrainState, Array, Array]]
    run_guarded: Callable[..., tuple[TrainState, Array, Array]]


@bounded_cache
def _programs_of(plan: Plan, mesh: Mesh) -> Programs:
    def sharded(f, in_axes, out_axes, in_specs, out_specs):
        many = jax.vmap(f, in_axes, out_axes)
        return jax.shard_map(many, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)

    # It runs once, so what counts is the time to compile it, as in `Model.init`.
    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})
    def start(h, data):
        states = sharded(plan.start, (0, None), _AXES, (_MEMBERS, _SHARED), _SPECS)(h, data)
        return states, jax.random.clone(states.key)[0]

    def running(guarded):
        # Members that stop have different step numbers.
        axes, specs = (0, _SPECS._replace(step=_MEMBERS)) if guarded else (_AXES, _SPECS)
        in_specs, out_specs = (_SPECS, _MEMBERS, _SHARED, _SHARED), (specs, _MEMBERS, _MEMBERS)

        @partial(jax.jit, static_argnums=0)
        def run(epochs, *args):
            one = partial(plan.run, guarded, epochs)
            return sharded(one, (_AXES, 0, None, None), (axes, 0, 0), in_specs, out_specs)(*args)

        return run

    return Programs(start, running(False), running(True))


class PopulationExecutor:
    """Train n members in chunks.

    A chunk is as many members as run at a time: side by side by `jax.vmap`, in equal shares on each device by
    `jax.shard_map`. Chunks are of one size, so that one program does for all; the last is filled up with copies of the
    last member. Where there are several, those that wait are kept on the host.

    Args:
      plan: how each is trained.
      hyperparameters: NumPy arrays, leaves (n, ...).
      data: what they train on.
      epochs: the number of epochs of the first `run`: chunks are planned by that program's memory.
      chunk: members of a chunk, or `None` for as many as fit.
      devices: where to run.
      memory: bytes of a device, or `None` where nothing limits.

    Attributes:
      steps: the number of updates of those that still run.
      stopped_at: the number of updates of each member that stopped, (n,), or -1.

    Raises:
      ValueError: if a member, or the given chunk, does not fit into memory.
    """

    def __init__(
        self,
        plan: Plan,
        hyperparameters: PyTree,
        data: Batch,
        *,
        epochs: int,
        chunk: int | None,
        devices: Sequence[Device],
        memory: int | None,
    ) -> None:
        self._n = n = jax.tree.leaves(hyperparameters)[0].shape[0]
        most = min(n, chunk or n)
        # Each process needs a member to run the programs of all.
        used = np.array(devices) if is_of_several_processes(devices) else np.array(devices)[:most]
        self._mesh = Mesh(used, ("members",), axis_types=(AxisType.Auto,))
        self._start, self._run, self._run_guarded = _programs_of(plan, self._mesh)
        self._data = self._put(data, _SHARED)
        each = -(-most // used.size)
        if memory is not None:
            each = self._planned(plan, hyperparameters, epochs, each, memory, chunk)
        # In as few chunks, but even ones, so that the last has little to be filled up with.
        chunks = -(-n // (each * used.size))
        size = -(-n // (chunks * used.size)) * used.size
        rows = np.minimum(np.arange(chunks * size), n - 1).reshape(chunks, size)
        self._h = [jax.tree.map(lambda leaf, of=of: leaf[of], hyperparameters) for of in rows]
        # XLA compiles the one program while JAX traces the other.
        starting = self._start.lower(self._put(self._h[0]), self._data)
        compiling = Thread(target=starting.compile)
        compiling.start()
        self._lowered(plan, self._h[0], epochs).compile()
        compiling.join()
        started = [self._start(self._put(h), self._data) for h in self._h]
        self._order = started[0][1] if plan.shuffle == "shared" else None
        self._states = [self._kept(state) for state, _ in started]
        self.steps, self.stopped_at = 0, np.full(n, -1)

    def run(self, epochs: int) -> tuple[np.ndarray, np.ndarray]:
        """Train every member that has not stopped for more epochs.

        Returns:
          The losses, (n, epochs, steps), NaN after a member stopped, and the steps that were not finite, (n,), or -1.
        """
        before = self.stopped_at.copy()
        losses = np.concatenate([self._run_chunk(i, h, epochs) for i, h in enumerate(self._h)])[: self._n]
        self.steps += losses[0].size
        return losses, np.where(before < 0, self.stopped_at, -1)

    def state(self) -> TrainState:
        """Return the states of all members, leaves (n, ...), on the default device."""
        steps = np.where(self.stopped_at < 0, self.steps, self.stopped_at).astype(np.int32)
        chunks = [state._replace(step=()) for state in self._states]
        joined = jax.tree.map(lambda *leaves: _joined(leaves, self._n), *chunks)
        return jax.device_put(joined._replace(step=steps))

    def stop(self, ended: np.ndarray) -> None:
        """Stop the members of a mask (n,), unless they have stopped."""
        self.stopped_at = np.where(ended & (self.stopped_at < 0), self.steps, self.stopped_at)

    def restore(self, state: TrainState, steps: int, running: np.ndarray) -> None:
        """Restore all members from the state of a checkpoint, leaves (n, ...), taken at `steps` of those running."""
        self.steps, self.stopped_at = steps, np.where(running, -1, np.asarray(state.step))
        members = state._replace(step=())
        for i, h in enumerate(self._h):
            rows = self._rows(i, h)
            chunk = jax.tree.map(lambda leaf, rows=rows: leaf[rows], members)
            self._states[i] = self._kept(self._put_state(chunk._replace(step=np.int32(steps))))

    def _rows(self, i: int, h: PyTree) -> np.ndarray:
        """Return which members are in chunk i; the last one fills it up."""
        size = jax.tree.leaves(h)[0].shape[0]
        return np.minimum(np.arange(i * size, (i + 1) * size), self._n - 1)

    def _run_chunk(self, i: int, h: PyTree, epochs: int) -> np.ndarray:
        mine = self._rows(i, h)
        before = self._put_state(self._states[i])
        after, losses, finite = self._run(epochs, before, self._put(h), self._data, self._order)
        check_not_traced("fit_population", after, losses, finite)
        losses, stopped = np.array(gathered(losses)), self.stopped_at[mine] >= 0
        fresh = ~np.asarray(gathered(finite)) & ~stopped
        if fresh.any():
            given = (before, self._put(h), self._data, self._order)
            guarded, guarded_losses, _ = gathered(self._run_guarded(epochs, *given))
            at = np.asarray(guarded.step)
            kept = np.arange(losses[0].size) < (at - self.steps)[:, None]
            losses[fresh] = np.where(kept.reshape(losses.shape), guarded_losses, np.nan)[fresh]
            after = select(fresh, guarded._replace(step=after.step), gathered(after))
            self.stopped_at[mine[fresh]] = at[fresh]
        if stopped.any():
            losses[stopped] = np.nan
            after = select(stopped, *gathered((before._replace(step=after.step), after)))
        self._states[i] = self._kept(after)
        return losses

    def _planned(
        self, plan: Plan, hyperparameters: PyTree, epochs: int, most: int, memory: int, chunk: int | None
    ) -> int:
        """Return the number of members on each device, at most the given one."""
        one = jax.eval_shape(plan.start, jax.tree.map(lambda leaf: leaf[0], hyperparameters), self._data)
        # A state goes in, and another comes out.
        shared, needed = bytes_of(self._data), 2 * bytes_of(one)
        fit = that_fit(partial(self._needed, plan, hyperparameters, epochs), most, memory, shared, needed)
        fit = least(fit, self._mesh.devices.tolist())
        if fit == 0 or (chunk is not None and fit < most):
            who = "one member does" if fit == 0 else f"a chunk of {chunk} members does"
            fix = "train on smaller batches, or fewer examples" if fit == 0 else f"at most {fit} fit on each device"
            raise ValueError(
                f"{who} not fit into the {memory / 1e6:.3g} MB that a device has for this: the data take "
                f"{shared / 1e6:.3g} MB, a member's params and optimizer {needed / 2e6:.3g} MB twice, the rest depends "
                f"on the batch; {fix}"
            )
        return fit

    def _needed(self, plan: Plan, hyperparameters: PyTree, epochs: int, each: int) -> int:
        """Return the bytes that a device needs for a number of members, as the compiled program reports."""
        size = each * self._mesh.size
        h = jax.tree.map(lambda leaf: np.broadcast_to(leaf[:1], (size, *leaf.shape[1:])), hyperparameters)
        memory: Any = self._lowered(plan, h, epochs).compile().memory_analysis()
        return memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes

    def _lowered(self, plan: Plan, h: PyTree, epochs: int) -> jax.stages.Lowered:
        """Lower the program that runs members with such hyperparameters, before there are any."""

        def shape(leaf, spec=_MEMBERS):
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=NamedSharding(self._mesh, spec))

        states, key = jax.eval_shape(self._start, h, self._data)
        states = jax.tree.map(shape, states._replace(step=()))._replace(step=shape(states.step, _SHARED))
        order = shape(key, _SHARED) if plan.shuffle == "shared" else None
        return self._run.lower(epochs, states, jax.tree.map(shape, h), self._data, order)

    def _put(self, tree: PyTree, spec: PartitionSpec = _MEMBERS) -> PyTree:
        return put(tree, NamedSharding(self._mesh, spec))

    def _put_state(self, state: TrainState) -> TrainState:
        return self._put(state._replace(step=()))._replace(step=self._put(state.step, _SHARED))

    def _kept(self, state: TrainState) -> TrainState:
        return state if len(self._h) == 1 else jax.device_get(gathered(state))


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _joined(leaves: Sequence[Any], n: int) -> Any:
    """Those of the chunks as one array (n, ...) on the host."""
    if _is_key(leaves[0]):
        data = _joined([jax.random.key_data(keys) for keys in leaves], n)
        return jax.random.wrap_key_data(jax.device_put(data), impl=jax.random.key_impl(leaves[0]))
    return np.concatenate([np.asarray(gathered(leaf)) for leaf in leaves])[:n]
