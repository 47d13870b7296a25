"""Many trainings in one compiled program: over random starts, over every hyperparameter that is a number, over folds.

A member is written as one training is: a function makes it from its own hyperparameters. That function is traced once,
with a placeholder for each number, and the program runs all members at a time.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.checkpoint import Checkpoint, Checkpoints, loaded
from jaxnn.checks import as_array, check_callable, check_flag, described, held, is_count, is_real
from jaxnn.data import check_batch
from jaxnn.fleet import Fleet, Plan
from jaxnn.nonfinite import Divergence, warn_of_divergence
from jaxnn.objective import Objective, check_objective
from jaxnn.optimizers import skipped_updates
from jaxnn.training import Fit, TrainState, check_not_inside, check_on_nan, check_plan, mean_of_finite, train_state
from jaxnn.typing import Array, Batch, Key, Params, PyTree
from jaxnn.weights import check_weight


class Member(NamedTuple):
    """One training of a population: what `fit` would be given for it.

    Attributes:
      objective: what it minimises. A penalty's strength or a dropout rate may be traced.
      optimizer: its optax optimiser. A learning rate or a momentum may be traced.
      params: where it starts.
      key: its random key, for dropout, and for shuffling where members do not share their batches.
      weight: its example weights, (m,), or `None` where all count the same. Only their ratios matter. A weight of 0
        leaves an example out; where all members do, it may hold any label or value.
    """

    objective: Objective
    optimizer: optax.GradientTransformation
    params: Params
    key: Key
    weight: Array | None = None


class Population(NamedTuple):
    """What `fit_population` returns, for n members.

    Attributes:
      hyperparameters: what they were made from, leaves (n, ...).
      params: the trained params, leaves (n, ...); of a member that diverged, the last that were finite.
      state: the `TrainState` they belong to, leaves (n, ...).
      history: one dictionary per report, oldest first: the counts "epoch" and "step", and, each (n,), "loss" (the mean
        objective of that epoch's steps) and whatever `evaluate` measured. A diverged member's loss is NaN. Where
        updates are skipped, also "skipped", as `Fit` says.
      losses: the objective before each update, (n, steps), NaN from where a member diverged.
      diverged_at: for each member `None`, or the number of the first step (from 0) whose loss or update was not finite.
      divergences: for each member `None`, or a `Divergence`, which says what overflowed first, and in which layer.
    """

    hyperparameters: PyTree
    params: Params
    state: TrainState
    history: list[dict[str, Any]]
    losses: np.ndarray
    diverged_at: list[int | None]
    divergences: list[Divergence | None]

    def member(self, i: int) -> Fit:
        """Member i (an index) by itself: a `Fit`, as if it had been trained alone.

        Raises:
          ValueError: there is no such member.
        """
        n = len(self.diverged_at)
        if not isinstance(i, int | np.integer) or not -n <= i < n:
            raise ValueError(f"member {described(i)} is none of the {n} there are, 0 to {n - 1}")
        diverged_at = self.diverged_at[i]
        history = [{name: _scalar(value, i) for name, value in report.items()} for report in self.history]
        losses = self.losses[i] if diverged_at is None else self.losses[i, :diverged_at]
        params, state = jax.tree.map(lambda leaf: leaf[i], (self.params, self.state))
        skipped = int(skipped_updates(state.opt_state) or 0)
        return Fit(params, state, history, losses, diverged_at, divergence=self.divergences[i], skipped=skipped)

    def best(self, measure: str = "loss", highest: bool = False) -> int:
        """The index of the member whose last report is the best, those that diverged left out.

        Args:
          measure: a name in the reports.
          highest: whether more is better, as for accuracy; by default less is.

        Returns:
          An index, a scalar.

        Raises:
          ValueError: no such measure, or every member diverged, or measured NaN; `highest` is neither True nor False.
        """
        check_flag("highest", highest)
        if not self.history or measure not in self.history[-1] or np.ndim(self.history[-1][measure]) == 0:
            known = [name for name, value in self.history[-1].items() if np.ndim(value)] if self.history else []
            raise ValueError(f"no measure is called {measure!r}: the reports hold {known}")
        values = np.asarray(self.history[-1][measure], np.float64) * (-1 if highest else 1)
        values = np.where([at is None for at in self.diverged_at], values, np.nan)
        if np.isnan(values).all():
            raise ValueError(f"no member has a {measure}: all of them diverged, or measured NaN; try smaller rates")
        return int(np.nanargmin(values))

    def ensemble(self, predict: Callable[[Params, Array], Array], x: Array) -> Array:
        """The mean of `predict(params, x)`, (m, ...), over the members that did not diverge.

        Args:
          predict: of one network, such as a model's `predict`.
          x: inputs, (m, ...).

        Returns:
          What `predict` returns, averaged: probabilities, say, (m, k).

        Raises:
          ValueError: every member diverged, or `predict` is no such function.

        Source: Hansen and Salamon, "Neural network ensembles", 1990.
        """
        check_callable("predict", predict, "params", "x")
        x = held(as_array("x", x))
        if not is_real(x.dtype) and x.dtype != bool:
            raise ValueError(f"x is {described(x)}, expected an array of numbers, (m, ...)")
        sound = np.array([i for i, at in enumerate(self.diverged_at) if at is None])
        if sound.size == 0:
            raise ValueError("every member diverged, so there is nothing to average: try smaller learning rates")

        @jax.jit
        def mean(params, x):
            # One after another, since n times the outputs may be much.
            start = jax.eval_shape(predict, jax.tree.map(lambda leaf: leaf[0], params), x)
            if not hasattr(start, "shape"):
                raise ValueError(f"predict returns a {type(start).__name__}, expected an array: a model's predict does")
            total = jnp.zeros(start.shape, jnp.promote_types(start.dtype, jnp.float32))
            total, _ = jax.lax.scan(lambda total, one: (total + predict(one, x), None), total, params)
            return (total / sound.size).astype(jnp.promote_types(start.dtype, jnp.float16))

        return mean(jax.tree.map(lambda leaf: leaf[sound], self.params), x)


def grid(**axes: Iterable[float]) -> dict[str, np.ndarray]:
    """Every combination of the values of several hyperparameters, the last one varying fastest.

    Args:
      **axes: name = values, one or more numbers each.

    Returns:
      name -> values of all members, (n,), n the product of the lengths.

    Raises:
      ValueError: no axis, one without values, or values that are no numbers.

    Example:
      >>> members = grid(learning_rate=[0.1, 0.01], seed=range(3))
      >>> members["learning_rate"].tolist(), members["seed"].tolist()
      ([0.1, 0.1, 0.1, 0.01, 0.01, 0.01], [0, 1, 2, 0, 1, 2])
    """
    for name, axis in axes.items():
        if isinstance(axis, str) or not isinstance(axis, Iterable):
            raise ValueError(f"a grid takes a list of numbers of each hyperparameter, got {name}={described(axis)}")
    values = {name: _numbers(name, a if hasattr(a, "dtype") else list(a)) for name, a in axes.items()}
    empty = [name for name, axis in values.items() if axis.size == 0]
    if not values or empty:
        raise ValueError(f"a grid takes one or more values of each hyperparameter, got none of {empty or 'any'}")
    for name, axis in values.items():
        if axis.ndim != 1:
            raise ValueError(f"a grid takes numbers of each hyperparameter, got {name} of shape {axis.shape}")
    return dict(zip(values, (a.ravel() for a in np.meshgrid(*values.values(), indexing="ij")), strict=True))


def fit_population(
    member: Callable[[PyTree], Member],
    hyperparameters: PyTree,
    x: Any,
    y: Any,
    *,
    epochs: int,
    batch_size: int | None = None,
    gradients: str = "hand",
    shuffle: str | None = "shared",
    report_every: int = 1,
    evaluate: Callable[[Params, PyTree], dict[str, Array]] | None = None,
    callback: Callable[[dict[str, Any]], bool | None] | None = None,
    checkpoints: Checkpoints | None = None,
    chunk: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    memory: int | None = None,
    on_nan: str = "stop",
) -> Population:
    """Train n members on the same data, each as `fit` would train it alone, all in one compiled program.

    The member function is called with one member's hyperparameters, scalars that are traced, and returns a `Member`:

        def member(h):
            params = model.init(jax.random.key(h["seed"]))
            objective = jaxnn.objective(model.network, model.loss, jaxnn.l2(h["l2"]))
            return Member(objective, optax.adam(h["learning_rate"]), params, jax.random.key(h["seed"]))

    So anything that is a number can differ between members: seeds, rates, strengths, the scale of the start, the
    examples trained on (by `weight`), the widths of layers (by the `widths` of `mlp`). The number of layers and the
    activation cannot: they are other programs.

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
    `DivergenceWarning` at the end names the first.

    Args:
      member: from one member's hyperparameters to its `Member`; pure.
      hyperparameters: a pytree (a dictionary, say, from `grid`) of numbers, leaves (n, ...): member i gets row i.
      x: inputs, (m, ...), floats.
      y: targets, (m,) or (m, k).
      epochs: passes over the data, at least 1.
      batch_size: examples of a batch; `None` takes all of them, so that an epoch is one step.
      gradients: "hand" for the derived ones, "auto" for JAX's.
      shuffle: "shared", "own" or `None` for the order of the data.
      report_every: epochs per compiled program, and so per report.
      evaluate: called at each report, under `jax.vmap`, with a member's params and its hyperparameters; the dictionary
        of scalars that it returns joins the report. Compile it: `jax.jit`, with its data as arguments.
      callback: called with each entry of the history as it comes; a true answer stops the training.
      checkpoints: as in `fit`: bit for bit where it is trained in the same chunks.
      chunk: at most how many members run at a time, on all devices together; chunks take turns between reports. By
        default as many as fit into memory.
      devices: where the members are spread, in equal shares; all local devices by default. (A CPU counts as one,
        unless JAX is told before its first use: `jax.config.update("jax_num_cpu_devices", 2)`.)
      memory: bytes that a device has for this. By default what it says is free, if it says so, as GPUs do.
      on_nan: "stop" or "skip", as in `fit`, each member for itself.

    Returns:
      A `Population`.

    Raises:
      ValueError: hyperparameters that are no numbers, not finite, whole numbers too large for int32, of different
        lengths, or of no member at all; a member function that makes no `Member`; data or a plan that `fit` would
        refuse; a member that does not fit into memory.

    Example:
      >>> import jax, jaxnn, numpy as np, optax
      >>> x = np.array([[-2.0], [-1.0], [1.0], [2.0]], np.float32)
      >>> y = np.array([0, 0, 1, 1])
      >>> model = jaxnn.logistic_regression(1)
      >>> def member(h):
      ...     objective = jaxnn.objective(model.network, model.loss, jaxnn.l2(h["l2"]))
      ...     key = jax.random.key(0)
      ...     return Member(objective, optax.sgd(h["learning_rate"]), model.init(key), key)
      >>> population = fit_population(member, grid(learning_rate=[0.1, 1.0], l2=[0.0, 1.0]), x, y, epochs=100)
      >>> population.losses.shape, population.best()
      ((4, 100), 2)
    """
    check_on_nan(on_nan)
    check_callable("member", member, "hyperparameters")
    if evaluate is not None:
        check_callable("evaluate", evaluate, "params", "hyperparameters")
    if callback is not None:
        check_callable("callback", callback, "report")
    check_not_inside("fit_population", hyperparameters)
    hyperparameters, n = check_hyperparameters(hyperparameters)
    data = jax.tree.map(held, _checked(member, hyperparameters, x, y))
    size = check_plan(data.x.shape[0], epochs, report_every, batch_size)
    if shuffle is not None and (not isinstance(shuffle, str) or shuffle not in ("shared", "own")):
        raise ValueError(f'shuffle is "shared", "own" or None, got {described(shuffle)}')
    for name, count in (("chunk", chunk), ("memory", memory)):
        if count is not None and not is_count(count):
            raise ValueError(f"{name} is a whole number of at least 1, got {count!r}")
    devices = jax.local_devices() if devices is None else devices
    if not isinstance(devices, Sequence) or not devices or not all(isinstance(d, jax.Device) for d in devices):
        raise ValueError(f"devices is {described(devices)}, expected a list of them, such as jax.devices()[:2]")
    plan = Plan(member, gradients, size, None if batch_size is None else shuffle, on_nan == "skip")
    fleet = Fleet(
        plan,
        hyperparameters,
        data,
        epochs=min(report_every, epochs),
        chunk=chunk,
        devices=devices,
        memory=_free(devices[0]) if memory is None else memory,
    )
    start = None if checkpoints is None else fleet.state()
    state, history, losses, _, _, stopped_by, _ = loaded(checkpoints, start, epochs, callback)
    history, losses = list(history), [] if losses is None else [losses]
    done = history[-1]["epoch"] if history else 0
    if history:
        fleet.go_on_from(state, history[-1]["step"])

    def now():
        return Checkpoint(fleet.state(), list(history), np.concatenate(losses, axis=1), stopped_by=stopped_by)

    if checkpoints is not None and (stopped_by is not None or done == epochs):
        checkpoints.save(now, True)
    while stopped_by is None and done < epochs:
        of_epochs = fleet.run(min(report_every, epochs - done))
        done += of_epochs.shape[1]
        losses.append(of_epochs.reshape(n, -1))
        report = {"epoch": done, "step": done * of_epochs.shape[2], "loss": of_epochs[:, -1].mean(axis=1)}
        if plan.skip:
            loss = np.where(fleet.stopped_at < 0, mean_of_finite(of_epochs[:, -1]), np.nan)
            report |= {"loss": loss, "skipped": np.asarray(skipped_updates(fleet.state().opt_state))}
        if evaluate is not None:
            report |= _measured(evaluate, fleet.state().params, hyperparameters, report)
        history.append(report)
        if callback is not None and callback(report):
            stopped_by = "callback"
        if checkpoints is not None:
            checkpoints.save(now, stopped_by is not None or done == epochs)
    state = fleet.state()
    diverged_at = [None if at < 0 else int(at) for at in fleet.stopped_at]
    divergences = plan.explain(hyperparameters, state, data, diverged_at)
    diverged = [i for i in range(n) if divergences[i] is not None]
    if diverged:
        first = min(diverged, key=lambda i: diverged_at[i])
        who = f"{len(diverged)} of {n} members diverged, member {first} first: it"
        warn_of_divergence(divergences[first], state.params, who)
    losses = np.concatenate(losses, axis=1)
    return Population(hyperparameters, state.params, state, history, losses, diverged_at, divergences)


def check_hyperparameters(hyperparameters: PyTree) -> tuple[PyTree, int]:
    """The hyperparameters as NumPy arrays, and the number of members."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(
        hyperparameters, is_leaf=lambda node: isinstance(node, list)
    )
    if not leaves:
        raise ValueError("hyperparameters are empty, so there is no member: grid(rate=[0.1, 0.01]) makes two")
    names = [f"hyperparameters{jax.tree_util.keystr(path)}" for path, _ in leaves]
    arrays = [_numbers(name, leaf) for name, (_, leaf) in zip(names, leaves, strict=True)]
    for name, array in zip(names, arrays, strict=True):
        if array.ndim == 0:
            raise ValueError(
                f"{name} is one number, {array:g}, expected an array with one for each member; "
                "what all have in common, the member function captures"
            )
    lengths = {name: len(array) for name, array in zip(names, arrays, strict=True)}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"hyperparameters have different lengths, {lengths}, expected one entry each for every member; for all "
            "combinations, grid(...)"
        )
    n = len(arrays[0])
    if n == 0:
        raise ValueError(f"hyperparameters have length 0 ({', '.join(names)}), so there is no member to train")
    return jax.tree.unflatten(structure, arrays), n


def _numbers(name: str, values: Any) -> np.ndarray:
    """The values as the program will have them: finite, and in a dtype of JAX's."""
    if isinstance(values, jax.Array) and jnp.issubdtype(values.dtype, jax.dtypes.prng_key):
        raise ValueError(f"{name} holds random keys, expected numbers: give seeds, and make the keys of them")
    array = np.asarray(values)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype == object or not (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
        raise ValueError(
            f"{name} holds {array.ravel()[:1].tolist()}, expected numbers: what is no number, such as an activation or "
            "the number of layers, makes another program: train a population for each"
        )
    whole = array if np.issubdtype(array.dtype, np.integer) else None
    with np.errstate(over="ignore"):
        array = array.astype(jax.dtypes.canonicalize_dtype(array.dtype))
    if whole is not None and (array != whole).any():
        # It would wrap round: of the seeds 5 and 2**32 + 5, the same training.
        raise ValueError(f"{name} holds {whole[array != whole][0]}, which {array.dtype} cannot hold: at most 2**31 - 1")
    given = np.asarray(values)[~np.isfinite(array)]
    if given.size and np.isfinite(given).any():
        most = jnp.finfo(array.dtype).max
        raise ValueError(
            f"{name} holds {given[np.isfinite(given)][0]}, which {array.dtype} cannot hold: at most {most}"
        )
    if given.size:
        raise ValueError(f"{name} holds values that are not finite: {array[~np.isfinite(array)][:3].tolist()}")
    return array


def _checked(member: Callable[[PyTree], Member], hyperparameters: PyTree, x: Any, y: Any) -> Batch:
    """The data, x (m, ...), that the members can be trained on."""
    try:
        data = check_batch(x, y)
        _check_member(member, hyperparameters, data)
        return data
    except ValueError:
        counts = _counted_by_any(member, hyperparameters)
        if counts is None or counts.all() or not counts.any():
            raise
    # What is wrong may be in examples of weight 0 alone.
    data = check_batch(x, y, counts)
    _check_member(member, hyperparameters, data)
    return data._replace(weight=None)


def _check_member(member: Callable[[PyTree], Member], hyperparameters: PyTree, data: Batch) -> None:
    """Trace the first member: what is wrong with it is said before anything is compiled."""
    # NumPy's arrays have their numbers under a trace too, for the check of labels.
    data = data._replace(y=np.asarray(data.y))

    def check(h):
        made = check_made(member(h))
        check_objective(made.objective)
        train_state(made.params, made.optimizer, made.key)
        m = data.x.shape[0]
        if made.weight is not None and jnp.shape(made.weight) != (m,):
            raise ValueError(f"a member's weight has shape {jnp.shape(made.weight)}, expected ({m},): one per example")
        if made.weight is not None and not isinstance(made.weight, jax.core.Tracer):
            check_weight(made.weight, m, some=True)
        made.objective.check(made.params, data)

    try:
        jax.eval_shape(check, jax.tree.map(lambda leaf: leaf[0], hyperparameters))
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerIntegerConversionError) as error:
        raise ValueError(
            "the member function asks for the number of a hyperparameter, which is traced, as by float() or if: "
            f"choose by jnp.where, or train a population for each ({str(error).splitlines()[0]})"
        ) from error


def _counted_by_any(member: Callable[[PyTree], Member], hyperparameters: PyTree) -> np.ndarray | None:
    """Which examples have a weight above 0 in some member, (m,); `None` where members have no weights, or are wrong."""

    def weight(h):
        return check_made(member(h)).weight

    try:
        one = jax.eval_shape(weight, jax.tree.map(lambda leaf: leaf[0], hyperparameters))
    except Exception:  # as `_check_member` says it
        return None
    if one is None:
        return None

    @jax.jit
    def by_any(hyperparameters):
        start = jnp.zeros(one.shape, bool)
        return jax.lax.scan(lambda seen, h: (seen | (jnp.asarray(weight(h)) > 0), None), start, hyperparameters)[0]

    return np.asarray(by_any(hyperparameters))


def check_made(made: Any) -> Member:
    """What a member function returned, a ValueError unless it is a `Member`."""
    if not isinstance(made, Member):
        raise ValueError(f"the member function returned {type(made).__name__}, expected a jaxnn.Member")
    return made if made.weight is None else made._replace(weight=as_array("a member's weight", made.weight))


def _measured(
    evaluate: Callable[[Params, PyTree], dict[str, Array]], params: Params, hyperparameters: PyTree, report: dict
) -> dict[str, np.ndarray]:
    measured = jax.vmap(evaluate)(params, jax.device_put(hyperparameters))
    if not isinstance(measured, dict) or any(np.ndim(value) != 1 for value in measured.values()):
        shapes = {k: np.shape(a)[1:] for k, a in measured.items()} if isinstance(measured, dict) else type(measured)
        raise ValueError(f"evaluate must return a dictionary of scalars for each member, got {shapes}")
    taken = sorted(measured.keys() & report.keys())
    if taken:
        raise ValueError(f"evaluate measures {taken}, which are fit_population's own names: give them others")
    return {name: np.asarray(value) for name, value in measured.items()}


def _free(device: jax.Device) -> int | None:
    """Bytes that the device says are free, less a tenth for what it does not know of; `None` where it says nothing."""
    told = device.memory_stats() or {}
    if "bytes_limit" not in told:
        return None
    return int(0.9 * (told["bytes_limit"] - told.get("bytes_in_use", 0)))


def _scalar(value: Any, i: int) -> Any:
    return value[i].item() if np.ndim(value) else value
