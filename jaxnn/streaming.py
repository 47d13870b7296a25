"""Training on data larger than memory: batches come from the host, a few at a time, while the device computes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, count, islice
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.checkpoint import Checkpoint, Checkpoints, loaded
from jaxnn.checks import check_callable, check_flag, check_params, check_seed, described, held, is_count, warn_outside
from jaxnn.data import checked, columns_as_rows, on_host
from jaxnn.nonfinite import warn_of_divergence
from jaxnn.objective import Objective
from jaxnn.programs import remembered
from jaxnn.training import (
    Fit,
    Programs,
    TrainState,
    check_batch_size,
    check_not_inside,
    check_not_traced,
    check_reports,
    explain,
    fitted,
    handling_nan,
    make_programs,
    make_report,
    make_step,
    replay_to_divergence,
    train_state,
)
from jaxnn.typing import Array, Batch, Key, Params
from jaxnn.weights import beside_total, check_weight, simplified


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
    checkpoints: Checkpoints | None = None,
) -> Fit:
    """Train as `fit` does, on batches that an iterator brings: from files, from a generator, from a memory map.

    `steps_per_call` batches are a group: they go to the device in one piece, and one compiled program makes a step on
    each. JAX starts a program and returns, so the next groups are read and sent while the device computes; only when
    `prefetch` of them wait there does the host wait too. No thread is needed for that: the host has nothing else to do.

    On the device are at most prefetch + 1 groups and prefetch + 2 copies of the training's state, since a state is
    kept until the group after it is known to be finite; on the host, the group that is being read.

    The first batch sets the size. A shorter one, such as the last of an epoch, is filled up with examples of weight 0,
    so that nothing is compiled twice. A batch with weights and no `total` is trained on by its own weighted mean;
    where weights are to mean the same in every batch, as in `fit`, its `total` is its number of examples times the
    mean weight of all the data, which `host_batches` puts there.

    Args:
      objective: what to minimise.
      optimizer: any optax optimiser.
      params: where to start; they are copied, never changed.
      batches: `batches(epoch)`, for the epochs 0, 1, ..., gives that epoch's batches in their order, as anything that
        can be iterated. What is the same each epoch and can be iterated again, such as a list, may be given itself. A
        batch is a `Batch`, (x, y) or (x, y, weight) of host arrays as `fit` takes them. It is copied at once, so the
        arrays may be used again for the next.
      key: a random key, for dropout.
      epochs: how often to go through the batches, at least 1.
      gradients: "hand" for the derived ones, "auto" for JAX's.
      report_every: epochs per report.
      steps_per_epoch: how many batches an epoch has, for a generator that never ends: of those that `batches(epoch)`
        gives, the first. An iterator, which is shared by all epochs, may then be passed as `batches` itself: each epoch
        continues where the one before ended. By default an epoch ends with its batches; a warning says if the first has
        not ended after 10 000.
      steps_per_call: batches of a group. More cost memory, and fewer, where a step takes no longer than starting it,
        time.
      prefetch: groups that wait on the device while one is computed, at least 0.
      evaluate: called with the params at each report, as in `fit`.
      callback: called with each entry of the history as it comes; a true answer stops the training.
      on_nan: "stop" or "skip", as in `fit`.
      checkpoints: as in `fit`; an epoch's batches must be the same each time they are asked for. An iterator must
        start from the first epoch's: those of finished epochs are passed over.

    Returns:
      A `Fit`. With the batches that `fit` would draw, the same as `fit` returns.

    Raises:
      ValueError: a batch that `fit` would refuse, or of another dtype or shape than the first (the message says
        which); an epoch without batches; batches that can be iterated once only; numbers outside their range; what
        `evaluate` returns is no dictionary of scalars with names of its own.

      What `batches` itself raises comes out as it is.

    Example:
      >>> import jax, jaxnn, numpy as np, optax
      >>> x = np.linspace(-2, 2, 10, dtype=np.float32)[:, None]  # or np.load("x.npy", mmap_mode="r")
      >>> y = (x[:, 0] > 0).astype(np.int32)
      >>> model = jaxnn.logistic_regression(1)
      >>> result = fit_stream(
      ...     jaxnn.objective(model.network, model.loss),
      ...     optax.sgd(1.0),
      ...     model.init(jax.random.key(0)),
      ...     host_batches(x, y, 4, seed=0),
      ...     key=jax.random.key(1),
      ...     epochs=50,
      ...     report_every=25,
      ... )
      >>> [(report["epoch"], report["step"]) for report in result.history], model.classify(result.params, x).tolist()
      ([(25, 75), (50, 150)], [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])

    A generator that never ends:

      >>> def endless():
      ...     while True:
      ...         yield from host_batches(x, y, 4, seed=0)(0)
      >>> plan = dict(key=jax.random.key(1), epochs=2, steps_per_epoch=5)
      >>> objective, start = jaxnn.objective(model.network, model.loss), model.init(jax.random.key(0))
      >>> fit_stream(objective, optax.sgd(1.0), start, endless(), **plan).losses.shape
      (10,)
    """
    check_params(params)
    if not all(is_count(n) for n in (epochs, report_every, steps_per_call)):
        raise ValueError(
            "fit_stream takes whole numbers, epochs, report_every and steps_per_call of at least 1, "
            f"got {described(epochs)}, {described(report_every)} and {described(steps_per_call)}"
        )
    if not is_count(prefetch, least=0):
        raise ValueError(
            f"prefetch is how many groups wait on the device, a whole number of at least 0, got {described(prefetch)}"
        )
    check_reports(evaluate, callback)
    if steps_per_epoch is not None and not is_count(steps_per_epoch):
        raise ValueError(
            f"steps_per_epoch must be None or a whole number of at least 1, got {described(steps_per_epoch)}"
        )
    check_not_inside("fit_stream", params, key)
    batches = _of_one_size(_by_epoch(batches, steps_per_epoch), _MANY if steps_per_epoch is None else np.inf)
    params = jax.tree.map(held, params)
    optimizer = handling_nan(optimizer, params, on_nan)
    programs = _group_programs(objective, optimizer, gradients, on_nan == "skip")
    state, history, losses, _, _, stopped_by, diverged_at = loaded(
        checkpoints, train_state(params, optimizer, key), epochs, callback
    )
    history, losses, failing = list(history), [] if losses is None else [losses], None

    def now():
        return Checkpoint(state, list(history), np.concatenate(losses), None, None, stopped_by, diverged_at)

    done = history[-1]["epoch"] if history else 0
    if checkpoints is not None and (stopped_by is not None or done == epochs):
        checkpoints.save(now, True)
    elif done:
        next(batches(0))  # which sets the size of all
    while stopped_by is None and done < epochs:
        first = len(losses)
        groups = _fitting(_stacked(batches(done), steps_per_call), done, partial(objective.check, params))
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
            checkpoints.save(now, stopped_by is not None or done == epochs)
    result = fitted(state, history, losses, diverged_at)
    if diverged_at is not None:
        if failing is None:  # that was before this was picked up
            failing = _batch_after(batches, done, diverged_at - (history[-1]["step"] if history else 0))
        result = result._replace(divergence=explain(objective, optimizer, gradients, state, failing))
        warn_of_divergence(result.divergence, state.params)
    return result._replace(stopped_by=stopped_by or "epochs")


def host_batches(
    x: Any, y: Any, batch_size: int, *, seed: int, weight: Any = None, shuffle: bool = True, block: int = 1
) -> Callable[[int], Iterator[Batch]]:
    """The batches of arrays that stay where they are, such as memory maps: every example once an epoch.

    Only a batch's rows are read, in ascending order: their order does not matter to a mean, but it does to a disk.
    Where the data are larger than the memory and each row must be fetched from the disk by itself, `block=16`, say,
    shuffles blocks of 16 neighbours instead of examples. Neighbours then meet in every epoch, so the data should not
    lie sorted by class.

    Args:
      x: inputs, (m, ...): an array, or anything with a shape that takes an ascending index array, as `np.memmap` does.
      y: targets, (m,) or (m, k), likewise.
      batch_size: examples of a batch, from 1 to m; the last batch has the rest.
      seed: of the shuffles; epoch e is in the order of (seed, e), always the same.
      weight: example weights (m,), which do fit into memory.
      shuffle: a fresh order each epoch; else the order of the data.
      block: how many neighbours stay together when shuffled.

    Returns:
      A function from the epoch's number to its batches. For images in bytes, turn what it brings into floats:
      `lambda epoch: ((x.astype("float32") / 255, y) for x, y, *_ in batches(epoch))`.

    Raises:
      ValueError: lengths that differ, a batch size outside 1..m, a block below 1, a seed that is no whole number, or
        weights that `fit` would refuse.

    Example:
      >>> import numpy as np
      >>> batches = host_batches(np.arange(5.0)[:, None], np.arange(5), 2, seed=0)
      >>> [batch.y.tolist() for batch in batches(0)], [batch.y.tolist() for batch in batches(1)]
      ([[2, 4], [0, 3], [1]], [[1, 4], [0, 3], [2]])
    """
    check_seed(seed)
    check_flag("shuffle", shuffle)
    x, y = _with_rows("x", x), _with_rows("y", y)
    m = x.shape[0]
    if y.shape[:1] != (m,):
        fix = columns_as_rows(x.shape, y.shape)
        raise ValueError(f"x has {m} examples, y has shape {y.shape}: expected a target for each, (m,) or (m, k){fix}")
    if batch_size is None:
        raise ValueError(f"batch_size is None, expected a whole number from 1 to the {m} examples there are")
    check_batch_size(batch_size, m)
    if not is_count(block):
        raise ValueError(
            f"block is how many neighbours stay together, a whole number of at least 1, got {described(block)}"
        )
    if weight is not None:
        weight = np.asarray(simplified(check_weight(on_host("weight", weight), m, some=True)), float)
        mean = weight.mean()

    def batches(epoch):
        if shuffle:
            starts = block * np.random.default_rng((seed, epoch)).permutation(-(-m // block))
            order = (starts[:, None] + np.arange(block)[None]).reshape(-1)
            order = order[order < m]
        for i in range(0, m, batch_size):
            rows = np.sort(order[i : i + batch_size]) if shuffle else slice(i, i + batch_size)
            if weight is None:
                yield Batch(x[rows], y[rows])
            else:
                w = weight[rows]
                yield Batch(x[rows], y[rows], w, len(w) * mean)

    return batches


def _with_rows(name: str, a: Any) -> Any:
    """What takes an index array of rows; of a data frame, whose [...] takes names of columns, its array (m, ...)."""
    a = a if hasattr(a, "shape") and not hasattr(a, "iloc") else on_host(name, a)
    if len(a.shape) == 0:
        raise ValueError(f"{name} is {described(a)}, expected an array of examples as rows")
    return a


_MANY = 10_000


class _Part(NamedTuple):
    """The training up to the end of a group: the state then, and the losses of the group's steps."""

    state: TrainState
    losses: np.ndarray
    failing: Batch | None = None  # of the first step that was not finite, if one was: then all this is before that


def _train(
    programs: Programs, state: TrainState, groups: Iterable[tuple[Batch, int]], prefetch: int
) -> Iterator[_Part]:
    """The training on one group after the other, at most `prefetch` of them started ahead."""
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
        group, count = jax.device_put((jax.tree.map(held, host_group), n))
        # Not donated: until the new state is known to be finite, the old one must live.
        after, losses, finite = programs.run(state, group, count)
        check_not_traced("fit_stream", after, losses, finite)
        started.append((state, after, group, n, losses, finite))
        state = after
    while started:
        yield wait_for_the_first()


@remembered
def _group_programs(
    objective: Objective, optimizer: optax.GradientTransformation, gradients: str, skip: bool
) -> Programs:
    """A step on each of the first n batches of a group; losses (steps_per_call,), of which n are told."""

    def steps(step):
        def many(state, group, n):
            def one(i, carry):
                state, losses = carry
                state, loss = step(state, batch(i))
                return state, losses.at[i].set(loss)

            def batch(i):
                return jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, i, keepdims=False), group)

            _, loss = jax.eval_shape(step, state, batch(0))
            # n is data, not a shape: a group that is not full runs in the same program.
            return jax.lax.fori_loop(0, n, one, (state, jnp.zeros(group.x.shape[0], loss.dtype)))

        return many

    return make_programs(steps, make_step(objective, optimizer, gradients), skip)


def _batch_after(batches: Callable[[int], Iterable[Batch]], epoch: int, n: int) -> Batch:
    """The batch that comes after n others (a count), from the beginning of an epoch on."""
    return next(islice(chain.from_iterable(map(batches, count(epoch))), n, None))


def _stacked(batches: Iterable[Batch], size: int) -> Iterator[tuple[Batch, int]]:
    """The batches in groups, each leaf (size, ...), and how many of a group are there.

    The memory of every group is its own: on a CPU, the device may use it as it is.
    """
    n = 0
    for batch in batches:
        if n == 0:
            group = [np.zeros((size, *a.shape), a.dtype) for a in batch]
        for place, a in zip(group, batch, strict=True):
            place[n] = a
        n += 1
        if n == size:
            yield Batch(*group), n
            n, group = 0, None
    if n:
        yield Batch(*group), n


def _fitting(
    groups: Iterable[tuple[Batch, int]], epoch: int, check: Callable[[Batch], None]
) -> Iterator[tuple[Batch, int]]:
    """The groups, whose batches fit the network and the loss."""
    number = 0
    for group, n in groups:
        try:
            # All n batches at once: the check of one takes longer than to look at its numbers.
            check(Batch(*(a[:n].reshape(-1, *a.shape[2:]) for a in group[:3])))
        except ValueError:
            for i in range(n):
                _naming(number + i, epoch, check, Batch(group.x[i], group.y[i], group.weight[i]))
            raise
        number += n
        yield group, n


def _by_epoch(batches: Any, steps: int | None) -> Callable[[int], Iterable]:
    """`batches(epoch)`: those that end, or the first of them, so many steps (a count)."""
    if isinstance(batches, Batch):
        raise ValueError("batches is one Batch, expected what can be iterated every epoch: [batch], or host_batches")
    if callable(batches):
        check_callable("batches", batches, "epoch")
        return batches if steps is None else partial(_first, batches, steps)
    if isinstance(batches, Iterator) and steps is not None:
        return _shared(batches, steps)
    if not isinstance(batches, Iterable) or isinstance(batches, Iterator):
        raise ValueError(
            f"batches is a {type(batches).__name__}, expected what can be iterated every epoch: "
            "pass the function that makes the generator, called with the epoch's number, or a list; or the generator, "
            "and steps_per_epoch"
        )
    return (lambda epoch: batches) if steps is None else partial(_first, lambda epoch: batches, steps)


def _first(batches: Callable[[int], Any], steps: int, epoch: int) -> Any:
    given = batches(epoch)
    if not isinstance(given, Iterable):
        return given  # which is refused for what it is
    return _all_of(islice(given, steps), steps, epoch)


def _all_of(batches: Iterable, steps: int, epoch: int) -> Iterator:
    """The batches of an epoch; a ValueError if they end before so many steps."""
    n = 0
    for batch in batches:
        n += 1
        yield batch
    if n < steps:
        raise ValueError(f"batches must be steps_per_epoch={steps} in each epoch, got {n} in epoch {epoch} (from 0)")


def _shared(batches: Iterator, steps: int) -> Callable[[int], Iterator]:
    """Of one iterator, each epoch's batches after those of the epoch before."""
    position = 0

    def counted():
        nonlocal position
        for batch in batches:
            position += 1
            yield batch

    rest = counted()

    def of_epoch(epoch):
        # Those of epochs that a checkpoint has.
        for _ in islice(rest, epoch * steps - position):
            pass
        yield from _all_of(islice(rest, steps), steps, epoch)

    return of_epoch


def _of_one_size(batches: Callable[[int], Iterable], many: float) -> Callable[[int], Iterator[Batch]]:
    """The batches, checked, each with a weight and a total, and filled up to the size of the first.

    A warning says if there are as many as `many` in the first epoch.
    """
    first = None

    def of_epoch(epoch):
        nonlocal first
        given, number = batches(epoch), -1
        if not isinstance(given, Iterable):
            raise ValueError(f"batches({epoch}) is {given!r}, expected what can be iterated: does the function yield?")
        for number, one in enumerate(given):
            batch = _naming(number, epoch, _checked, one, first)
            if number == many and epoch == 0:
                warn_outside(
                    f"the first epoch of fit_stream has not ended after {many} batches: if they never end, pass "
                    "steps_per_epoch, how many an epoch has"
                )
            if first is None:
                first = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in batch[:2]]
            yield _filled_up(batch, first[0].shape[0])
        if number < 0:
            hint = "" if first is None else ", though an earlier one had: it must be another generator each time"
            raise ValueError(f"batches gave no batch for epoch {epoch}{hint}")

    return of_epoch


def _naming(number: int, epoch: int, check: Callable, *given: Any) -> Any:
    try:
        return check(*given)
    except ValueError as error:
        raise ValueError(f"batch {number} of epoch {epoch} (both from 0): {error}") from error


def _checked(given: Any, first: list[jax.ShapeDtypeStruct] | None) -> Batch:
    """As a `Batch` of NumPy arrays like those of the first, with a weight and a total."""
    if not (isinstance(given, tuple | list) and 2 <= len(given) <= 4):
        what = f"{type(given).__name__} of {len(given)}" if hasattr(given, "__len__") else type(given).__name__
        raise ValueError(f"expected a Batch, (x, y) or (x, y, weight), got a {what}")
    x, y, weight, total = Batch(*given)
    x, y, ratios = (None if a is None else np.asarray(a) for a in checked(x, y, weight, some=False)[:3])
    m = x.shape[0]
    for name, a, like in zip("xy", (x, y), first or (x, y), strict=True):
        if a.dtype != like.dtype or a.shape[1:] != like.shape[1:] or m > like.shape[0]:
            raise ValueError(
                f"{name} is {a.dtype} {a.shape}, expected {like.dtype} {like.shape} as in the first batch, "
                "or fewer rows"
            )
    ratios = np.ones(m) if ratios is None else ratios.astype(float)
    if total is None:
        return Batch(x, y, ratios, ratios.sum())
    total = np.asarray(total, float)
    if total.shape != () or not 0 <= total < np.inf:
        raise ValueError(f"total is {total}, expected a number of at least 0: what the weighted sum is divided by")
    return Batch(x, y, *beside_total(ratios if weight is None else weight, total))


def _filled_up(batch: Batch, size: int) -> Batch:
    """With examples of weight 0: the first one again, whose values the network can take."""
    m = batch.x.shape[0]
    if m == size:
        return batch
    x, y = (np.concatenate([a, np.repeat(a[:1], size - m, axis=0)]) for a in batch[:2])
    return Batch(x, y, np.concatenate([batch.weight, np.zeros(size - m)]), batch.total)
