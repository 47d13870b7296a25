"""Training from an iterator: the same as `fit` on the same batches, in bounded memory; error messages."""

import weakref
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxnn
from jaxnn import nn
from jaxnn.data.streams import stacked
from jaxnn.losses import each_step_loss
from jaxnn.nn import Sequences
from tests.helpers.programs import compiled
from tests.helpers.registry import LayerCase
from tests.helpers.training import (
    DROPPING,
    KEY,
    MODEL,
    OBJECTIVE,
    SGD,
    Fuse,
    assert_close,
    assert_equal,
    burning,
    data,
    numbered,
    params_of,
    telling,
    traced,
)

X, Y = (np.asarray(a) for a in data()[:2])  # 7 examples: batches of 3, 3 and 1
IN_ORDER = jaxnn.data.host_batches(X, Y, 3, seed=0, shuffle=False)


def stream(batches=IN_ORDER, objective=OBJECTIVE, params=None, **given):
    given = {"optimizer": SGD, "key": KEY, "epochs": 1, "steps_per_call": 2, **given}
    return jaxnn.fit_stream(objective, params=params_of() if params is None else params, batches=batches, **given)


def fit(objective=OBJECTIVE, params=None, x=X, y=Y, **given):
    given = {"optimizer": SGD, "key": KEY, "epochs": 1, "batch_size": 3, "shuffle": False, **given}
    return jaxnn.fit(objective, params=params_of() if params is None else params, x=x, y=y, **given)


def assert_same_fit(got, expected):
    assert_close((got.params, got.losses, got.history), (expected.params, expected.losses, expected.history))
    assert_close((got.state.opt_state, got.state.step), (expected.state.opt_state, expected.state.step))
    assert got.diverged_at == expected.diverged_at


# The same as fit


@pytest.fixture(scope="module")
def orders():
    """Return the orders of three epochs, shuffled as by `fit`."""
    drawn = fit(telling(), jnp.zeros(1), *numbered(7)[:2], epochs=3, batch_size=1, shuffle=True)
    orders = drawn.losses.astype(int).reshape(3, 7)
    assert len({tuple(order) for order in orders}) == 3
    return orders


@pytest.mark.representatives("hand")
@pytest.mark.parametrize("gradients", ["hand", "auto"])
def test_stream_is_fit_on_the_batches_that_fit_draws(gradients, orders):
    """Shuffled, with dropout, a stateful optimizer, a short batch, and groups that are not full."""
    objective, optimizer, params = jaxnn.objective(DROPPING, MODEL.loss), optax.adam(0.1), params_of(DROPPING)

    def batches(epoch):
        return ((X[rows], Y[rows]) for rows in np.split(orders[epoch], [3, 6]))

    given = {"optimizer": optimizer, "epochs": 3, "gradients": gradients}
    expected = fit(objective, params, shuffle=True, **given)
    assert_same_fit(stream(batches, objective, params, **given), expected)


def test_stream_is_steps_by_hand():
    W, b = (np.asarray(params_of()[0][name], np.float64) for name in ("W", "b"))
    losses = []
    for rows in [slice(0, 3), slice(3, 6), slice(6, 7)] * 2:
        x, y = X[rows].astype(np.float64), Y[rows]
        z = x @ W[0] + b
        losses.append(np.mean(np.log1p(np.exp(z)) - y * z))
        dz = (1 / (1 + np.exp(-z)) - y) / len(y)
        W, b = W - 0.5 * (dz @ x)[None], b - 0.5 * dz.sum()
    result = stream(epochs=2)
    assert_close((result.params[0]["W"], result.params[0]["b"], result.losses), (W, b, np.array(losses)))
    assert_close([report["loss"] for report in result.history], [np.mean(losses[:3]), np.mean(losses[3:])])


@pytest.mark.parametrize("steps_per_call", [1, 3, 7])
@pytest.mark.parametrize("prefetch", [0, 1, 5])
def test_groups_and_prefetch_change_nothing(steps_per_call, prefetch):
    got = stream(epochs=2, steps_per_call=steps_per_call, prefetch=prefetch)
    assert_same_fit(got, fit(epochs=2))


def again(batches=IN_ORDER):
    return list(batches(0))


@pytest.mark.parametrize(
    "batches",
    [
        again(),
        tuple(again()),
        [(b.x, b.y) for b in again()],
        [[b.x.astype(np.float64), b.y.astype(np.uint8)] for b in again()],
        [(b.x, b.y, np.full(len(b.y), 3)) for b in again()],
        [jax.tree.map(jnp.asarray, b) for b in again()],
        lambda epoch: iter(again()),
    ],
    ids="list tuple pairs other-dtypes equal-weights jax-arrays function".split(),
)
def test_batches_of_any_form(batches):
    assert_same_fit(stream(batches, epochs=2), fit(epochs=2))


def test_arrays_that_are_used_again_for_the_next_batch():
    def batches(epoch):
        x, y = np.empty_like(X[:3]), np.empty_like(Y[:3])
        for b in again():
            m = len(b.y)
            x[:m], y[:m] = b.x, b.y
            yield x[:m], y[:m]
        x[:] = np.nan

    assert_same_fit(stream(batches, epochs=2), fit(epochs=2))


@pytest.mark.full
def test_short_batch_anywhere_but_first():
    one, two, short = again()
    result = stream([one, short, two])
    step, state = jax.jit(jaxnn.make_step(OBJECTIVE, SGD)), jaxnn.train_state(params_of(), SGD, KEY)
    for batch in (one, short, two):
        state, _ = step(state, batch)
    assert_close(result.params, state.params)


def test_weights_mean_what_they_mean_in_fit():
    weight = np.array([1.0, 0, 2, 30, 0.5, 1, 1])
    batches = jaxnn.data.host_batches(X, Y, 3, seed=0, weight=weight, shuffle=False)
    assert_same_fit(stream(batches, epochs=2), fit(epochs=2, weight=weight))
    # A batch whose examples all count for nothing moves nothing.
    assert_equal(stream([(X[:3], Y[:3], np.zeros(3))]).params, params_of())


def test_weights_without_a_total_are_a_batchs_own_mean():
    weight = np.array([1.0, 2, 5])
    result = stream([(X[:3], Y[:3], weight), (X[6:], Y[6:], np.array([4.0]))])
    step, state = jax.jit(jaxnn.make_step(OBJECTIVE, SGD)), jaxnn.train_state(params_of(), SGD, KEY)
    state, _ = step(state, jaxnn.Batch(X[:3], Y[:3], weight.astype(np.float32)))
    state, _ = step(state, jaxnn.Batch(X[6:], Y[6:]))
    assert_close(result.params, state.params)


def test_reports_and_callback():
    """Every second epoch and the last, until the callback stops it."""
    seen = []
    evaluate = jax.jit(lambda params: {"b": params[0]["b"][0]})
    given = {"epochs": 5, "report_every": 2, "evaluate": evaluate}
    assert_same_fit(stream(callback=seen.append, **given), fit(**given))
    assert [(report["epoch"], report["step"]) for report in seen] == [(2, 6), (4, 12), (5, 15)]
    stopped = stream(callback=lambda report: report["epoch"] >= 2, **given)
    assert [report["epoch"] for report in stopped.history] == [2]
    assert stopped.losses.shape == (6,)
    with pytest.raises(ValueError, match=r"evaluate must not return \['loss'\]"):
        stream(evaluate=lambda params: {"loss": 0.0})


def test_params_are_copied():
    params = params_of()
    copy = jax.tree.map(np.array, params)
    result = stream(params=params)
    assert_equal(params, copy)
    jaxnn.train.make_epoch(OBJECTIVE, SGD, 3)(result.state, data())  # takes the state's memory
    assert np.isfinite(result.params[0]["W"]).all()


def test_nothing_compiles_twice():
    """Neither for the short batch, a partial group, the next epoch, nor the next training."""
    objective, traces = traced()
    stream(again()[:2], objective)  # one full group
    first = len(traces)
    assert set(traces) == {(3, 3)}
    stream(objective=objective, epochs=3)
    stream([again()[0]] * 5, objective, epochs=2)
    assert len(traces) == first


# Memory


@pytest.mark.parametrize("prefetch", [0, 2])
def test_memory_is_bounded(prefetch):
    """Count groups and states on the device, and batches on the host, at each call of the iterator.

    Of three runs the least counts: beside other work, an array of a step before may be held for some steps more.
    """
    params = params_of(jaxnn.dense(11))
    objective = jaxnn.objective(jaxnn.dense(11), jaxnn.squared_error())

    def count():
        groups, states, batches_alive, made = [], [], [], []

        def batches(epoch):
            for _ in range(30):
                shapes = [a.shape for a in jax.live_arrays()]
                groups.append(shapes.count((2, 5, 3)))
                states.append(shapes.count((11, 3)))
                x, y = np.ones((5, 3), np.float32), np.zeros((5, 11), np.float32)
                made.append(weakref.ref(x))
                batches_alive.append(sum(ref() is not None for ref in made))
                yield x, y
                del x, y

        before = [a.shape for a in jax.live_arrays()].count((11, 3))
        stream(batches, objective, params, prefetch=prefetch)
        return max(groups), max(states) - before, max(batches_alive)

    groups, states, batches_alive = map(min, zip(*(count() for _ in range(3)), strict=True))
    assert groups == prefetch + 1
    assert states == prefetch + 2
    assert batches_alive <= 3  # of 30


def test_memory_map_is_trained_on(tmp_path):
    np.save(tmp_path / "x.npy", X)
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    batches = jaxnn.data.host_batches(x, Y, 3, seed=0)
    assert_same_fit(stream(batches, epochs=2), stream(jaxnn.data.host_batches(X, Y, 3, seed=0), epochs=2))


# Divergence


@pytest.mark.representatives("2-2-5-reports2-True-False", "8-4-1-reports4-False-True")
@pytest.mark.filterwarnings("ignore::jaxnn.train.DivergenceWarning")  # that it diverges is meant
@pytest.mark.parametrize(
    ("at", "steps_per_call", "prefetch", "reports", "loss", "update"),
    [
        (0, 2, 2, [], True, True),
        (1, 2, 0, [], False, True),
        (2, 2, 5, [], True, False),
        (4, 2, 2, [1], True, True),
        (8, 4, 1, [1, 2], False, True),
        (8, 1, 0, [1, 2], True, False),
    ],
)
def test_divergence_keeps_all_that_went_before(at, steps_per_call, prefetch, reports, loss, update):
    """The report does not depend on the number of prefetched batches."""
    result = stream(
        objective=burning(at, loss, update),
        params=Fuse(jnp.array(1.0), jnp.array(0.0)),
        optimizer=optax.sgd(1.0),
        epochs=4,
        steps_per_call=steps_per_call,
        prefetch=prefetch,
    )
    assert result.diverged_at == at
    np.testing.assert_allclose(result.params, (0.9**at, at), rtol=1e-5)
    np.testing.assert_allclose(result.losses, 0.9 ** np.arange(at), rtol=1e-5)
    assert result.state.step == at
    assert_equal(result.state.params, result.params)
    assert [report["epoch"] for report in result.history] == reports


# What is refused, and what comes out as it is


class OwnError(Exception):
    pass


@pytest.mark.parametrize("error", [OwnError, ValueError])
def test_error_of_the_iterator_is_raised_unchanged(error):
    def batches(epoch):
        yield from again()
        raise error("the disk is gone")

    with pytest.raises(error, match=r"^the disk is gone$"):
        stream(batches)


@pytest.mark.filterwarnings("ignore::jaxnn.train.DivergenceWarning")  # that it diverges is meant
@pytest.mark.parametrize("bad", [np.full((3, 3), np.nan, np.float32), None])
def test_iterator_is_closed(bad):
    """After an error and after a divergence, so that it can close its files."""
    closed = []

    def batches(epoch):
        try:
            yield from again()[:2]
            yield (bad, Y[:3]) if bad is not None else again()[0]
            yield from again() * 5
        finally:
            closed.append(epoch)

    if bad is not None:
        with pytest.raises(ValueError, match="batch 2 of epoch 0"):
            stream(batches)
    else:
        stream(batches, burning(1), Fuse(jnp.array(1.0), jnp.array(0.0)), optimizer=optax.sgd(1.0), prefetch=0)
    assert closed == [0]


WIDE = np.ones((3, 3), np.float64)
USED_UP = iter(again())


@pytest.mark.parametrize(
    ("third", "message"),
    [
        (
            (X[:3, :2], Y[:3]),
            r"x must be float32 \(3, 3\) as in the first batch, or have fewer rows, got float32 \(3, 2\)",
        ),
        ((X[:4], Y[:4]), r"x must be float32 \(3, 3\) as in the first batch.*, got float32 \(4, 3\)"),
        ((WIDE, Y[:3]), r"x must be float32 \(3, 3\) as in the first batch.*, got float64 \(3, 3\)"),
        ((X[:3], Y[:3, None]), r"y must be int32 \(3,\) as in the first batch.*, got int32 \(3, 1\)"),
        ((X[:3], Y[:2]), r"y must be one target for each of the 3 examples, .*, got shape \(2,\)"),
        ((X[:0], Y[:0]), r"x must be at least one example \(m, ...\), got shape \(0, 3\)"),
        (
            (np.where(WIDE, np.nan, 0).astype(np.float32), Y[:3]),
            r"x must be finite, got nan at \(0, 0\) and 9 such values",
        ),
        ((X[:3].astype(np.uint8), Y[:3]), r"x must be floats, got uint8: x.astype\('float32'\)$"),
        ((np.full((3, 8, 8), 200, np.uint8), Y[:3]), r"x must be floats, got uint8: .*astype\('float32'\) / 255"),
        ((X[:3], np.array([0, 2, 0], np.int32)), "y must be binary labels, from 0 to 1, got 0 to 2"),
        ((X[:3], Y[:3], np.ones(2)), r"weight must have shape \(3,\), one number per example, got \(2,\)"),
        ((X[:3], Y[:3], np.array([1, -1, 0])), "weight must be at least 0, and one above 0, got -1 to 1"),
        (
            jaxnn.Batch(X[:3], Y[:3], None, np.ones(2)),
            r"normalizer must be finite and at least 0, got float.. \(2,\)",
        ),
        (jaxnn.Batch(X[:3], Y[:3], None, np.nan), "normalizer must be finite and at least 0, got nan"),
        (X[:3], r"batch must be a Batch, \(x, y\) or \(x, y, weight\), got float.. .*: it has 3 entries"),
        ((X[:3],), "got a tuple: it has 1 entries"),
        (None, "batch must be a Batch, .*, got None"),
    ],
)
def test_bad_batch_is_named(third, message):
    """The third batch of the second epoch is named, with what was expected."""
    epochs = [again()[:2], [*again()[:2], third]]
    with pytest.raises(ValueError, match=rf"^batch 2 of epoch 1 \(both from 0\): .*{message}"):
        stream(lambda epoch: epochs[epoch], epochs=2)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (
            iter(again()),
            "batches must be iterable in every epoch, got a list_iterator: pass a list of batches, the function",
        ),
        (
            next(iter(again())),
            r"batches must be iterable in every epoch, got a Batch: pass a list of batches, the function",
        ),
        (3, "batches must be iterable in every epoch, got 3: pass a list"),
        (lambda epoch: None, r"batches\(0\) must be iterable, got None: does the function yield"),
        ([], r"batches\(0\) must have at least one batch, got none$"),
        (lambda epoch: USED_UP, r"batches\(1\) must have at least one batch, got none: return a new generator"),
        ((X, Y), r"batch 0 of epoch 0 .*: batch must be a Batch, .* got float.. .*: it has 7 entries"),
        (lambda: again(), r"batches must be a function batches\(epoch\), got a function of \(\)"),
        (
            jaxnn.data.host_batches,
            r"batches must be a function batches\(epoch\), got a function of \(x, y, batch_size, .*\)",
        ),
    ],
)
def test_invalid_batches_argument_raises(batches, message):
    with pytest.raises(ValueError, match=message):
        stream(batches, epochs=2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"params": [{"W": jnp.ones((1, 3), int), "b": jnp.ones(1)}]}, r"params\[0\]\['W'\] must be floats, got int32"),
        (
            {"evaluate": lambda: {}},
            r"evaluate must be a function evaluate\(params\), or evaluate\(params, stats\), got a function of \(\)",
        ),
        ({"callback": "print"}, "callback must be a function .*, got 'print'"),
    ],
)
def test_invalid_plan_raises_before_compilation(given, message):
    never = OBJECTIVE._replace(value_and_grad=lambda *given: pytest.fail("traced"))
    with pytest.raises(ValueError, match=message):
        stream(objective=never, **given)


# host_batches


class Rows:
    """An array on disk with a shape, which records the rows that were read together."""

    def __init__(self, a):
        self.a, self.shape, self.read = a, a.shape, []

    def __getitem__(self, rows):
        self.read.append(np.arange(len(self.a))[rows])
        return self.a[rows]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    m=st.integers(1, 40),
    batch_size=st.integers(1, 40),
    block=st.integers(1, 50),
    shuffle=st.booleans(),
    epoch=st.integers(0, 3),
)
def test_host_batches_read_every_row_once_and_in_ascending_order(m, batch_size, block, shuffle, epoch):
    batch_size = min(batch_size, m)
    x = Rows(np.arange(m)[:, None])
    batches = list(jaxnn.data.host_batches(x, np.arange(m), batch_size, seed=1, shuffle=shuffle, block=block)(epoch))
    full, rest = divmod(m, batch_size)
    assert [len(b.y) for b in batches] == [batch_size] * full + [rest] * (rest > 0)
    assert sorted(np.concatenate([b.y for b in batches]).tolist()) == list(range(m))
    for b, rows in zip(batches, x.read, strict=True):
        assert b.weight is None
        assert b.x[:, 0].tolist() == b.y.tolist() == rows.tolist()
        assert (np.diff(rows) > 0).all()


def epochs_of(seed, n=2, **given):
    batches = jaxnn.data.host_batches(np.zeros((20, 1)), np.arange(20), 5, seed=seed, **given)
    return [[b.y.tolist() for b in batches(epoch)] for epoch in range(n)]


def test_shuffles_differ_by_epoch_and_by_seed_and_are_reproducible():
    one, other, in_order = epochs_of(0), epochs_of(1), epochs_of(0, shuffle=False)
    assert one == epochs_of(0)
    assert in_order[0] == in_order[1] == np.arange(20).reshape(4, 5).tolist()
    assert len({str(epoch) for epoch in (*one, *other, in_order[0])}) == 5


def test_blocks_stay_together():
    for epoch in epochs_of(0, block=5):
        assert sorted(epoch) == np.arange(20).reshape(4, 5).tolist()
    one, other = epochs_of(0, block=5)
    assert one != other


def test_host_batches_carry_weights():
    """Each batch's normalizer is what its weights sum to on average."""
    weight = np.arange(7.0)
    for b in jaxnn.data.host_batches(X, np.arange(7), 3, seed=0, weight=weight)(0):
        assert b.weight.tolist() == b.y.tolist()
        assert b.normalizer == 3 * len(b.y)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"y": np.ones(6)}, r"y must be one target for each of the 7 examples, .*, got shape \(6,\)"),
        ({"batch_size": 8}, "batch_size must be from 1 to the number of examples, 7, got 8"),
        ({"batch_size": 0}, "batch_size must be from 1 to the number of examples, 7, got 0"),
        ({"block": 0}, "block must be a whole number of at least 1, got 0"),
        ({"weight": np.ones(6)}, r"weight must have shape \(7,\), one number per example, got \(6,\)"),
        ({"weight": -np.ones(7)}, "weight must be at least 0, and one above 0, got -1.0 to -1.0"),
        ({"batch_size": None}, "batch_size must be from 1 to the number of examples, 7, got None"),
        ({"batch_size": "3"}, "from 1 to the number of examples, 7, got '3'"),
        ({"shuffle": "no"}, "shuffle must be True or False, got 'no'"),
        ({"x": None}, "x must be an array, got None"),
        ({"x": np.float32(1)}, "batch_size must be from 1 to the number of examples, 0, got 3"),
        ({"y": None}, "y must be an array, got None"),
        (
            {"weight": np.zeros(7)},
            "weight must be at least 0, and one above 0, got 0.0 to 0.0",
        ),  # nothing would be learned
    ],
)
def test_host_batches_raise(given, message):
    with pytest.raises(ValueError, match=message):
        jaxnn.data.host_batches(**{"x": X, "y": Y, "batch_size": 3, "seed": 0, **given})


def test_host_batches_of_lists():
    batches = jaxnn.data.host_batches([[1.0], [2.0]], [0, 1], 2, seed=0)
    (batch,) = batches(0)
    assert batch.x.tolist() == [[1], [2]]
    assert isinstance(batch, jaxnn.Batch)


class Frame:
    """A data frame, whose index is the names of columns."""

    iloc = None

    def __init__(self, a):
        self.a, self.shape = a, a.shape

    def __array__(self, dtype=None, copy=None):
        return self.a

    def __getitem__(self, name):
        raise KeyError(name)


def test_host_batches_take_rows_of_a_data_frame():
    framed = jaxnn.data.host_batches(Frame(X), Frame(Y), 3, seed=0)(0)
    for one, other in zip(framed, jaxnn.data.host_batches(X, Y, 3, seed=0)(0), strict=True):
        assert_equal(one[:2], other[:2])


# Generators that never end


def endless(seen):
    """The batches of `IN_ORDER` repeatedly, with the number of each that was requested."""

    while True:
        for batch in IN_ORDER(0):
            seen.append(len(seen))
            yield batch


def test_steps_per_epoch_end_the_epochs_of_a_generator_that_does_not():
    seen = []
    whole = stream(epochs=4)
    got = stream(endless(seen), epochs=4, steps_per_epoch=3)
    assert_same_fit(got, whole)
    assert len(seen) == 12  # none more than is trained on
    assert_same_fit(stream(lambda epoch: endless([]), epochs=4, steps_per_epoch=3), whole)


def test_a_generator_continues_from_epoch_to_epoch():
    """Three epochs of two batches equal one epoch of six."""
    got = stream(endless([]), epochs=3, steps_per_epoch=2)
    assert_close(got.losses, stream(epochs=2).losses)
    assert [report["step"] for report in got.history] == [2, 4, 6]


def test_of_batches_that_begin_anew_each_epoch_has_the_first():
    first = stream([*IN_ORDER(0)], epochs=2, steps_per_epoch=2)
    assert_close(first.losses, stream([*IN_ORDER(0)][:2], epochs=2).losses)


@pytest.mark.parametrize("batches", [lambda: [*IN_ORDER(0)], lambda: iter(IN_ORDER(0)), lambda: IN_ORDER])
def test_too_few_batches_for_the_steps_raise(batches):
    with pytest.raises(ValueError, match=r"batches must be steps_per_epoch=4 in each epoch, got 3 in epoch 0"):
        stream(batches(), steps_per_epoch=4)


def test_resumed_generator_skips_the_batches_already_trained():
    saved = []
    start = jaxnn.Checkpointer(lambda state: None, lambda make, ended: saved.append(make()))
    whole = stream(endless([]), epochs=3, steps_per_epoch=2, checkpoints=start)
    there = jaxnn.Checkpointer(lambda state: saved[0], lambda make, ended: None)
    assert_same_fit(stream(endless([]), epochs=3, steps_per_epoch=2, checkpoints=there), whole)


def test_an_epoch_that_does_not_end_is_warned_of_once(monkeypatch):
    monkeypatch.setattr("jaxnn.train.streaming._MANY", 20)

    def long():
        return [*IN_ORDER(0)][:2] * 25

    with pytest.warns(UserWarning, match="first epoch of fit_stream has not ended after 20 batches") as caught:
        stream(lambda epoch: long(), epochs=2)
    assert len(caught) == 1 and caught[0].filename == __file__
    stream(lambda epoch: long(), epochs=2, steps_per_epoch=50)  # nothing to warn of


# Sequences of another number of times in each batch


WORDS = jaxnn.chain(nn.each_step(nn.embedding(5, 3)), nn.recurrent(nn.simple_cell(4)), nn.each_step(jaxnn.dense(5)))
OF_WORDS = jaxnn.objective(WORDS, each_step_loss(jaxnn.softmax_cross_entropy()))
# Without a loop over times, which takes longest to compile: for what does not depend on the network.
EACH_WORD = jaxnn.chain(nn.each_step(nn.embedding(5, 3)), nn.each_step(jaxnn.dense(5)))
OF_EACH_WORD = jaxnn.objective(EACH_WORD, each_step_loss(jaxnn.softmax_cross_entropy()))
LENGTHS = np.array([2, 9, 5, 0, 2, 9, 5, 1, 5, 5, 2])  # 11 examples: batches of 3, and one of 2


def texts(lengths=LENGTHS, n_times=9):
    rng = np.random.default_rng(4)
    made = [Sequences(rng.integers(0, 5, (len(lengths), n_times)), np.asarray(lengths)) for _ in "xy"]
    return [one._replace(x=np.where(np.arange(n_times) < one.lengths[:, None], one.x, 0)) for one in made]


BUCKETED = jaxnn.data.bucketed_batches(*texts(), 3, seed=2, buckets=4)


def initial_words(dtype="float32", network=WORDS):
    return LayerCase("", network, jax.ShapeDtypeStruct((9,), "int32")).params(dtype)


def stream_of_words(batches=BUCKETED, objective=OF_EACH_WORD, params=None, **given):
    params = initial_words(network=EACH_WORD) if params is None else params
    return stream(batches, objective, params, **{"optimizer": SGD, "epochs": 2, **given})


def test_buckets_have_several_lengths_and_a_partial_batch():
    shapes = [b.x.x.shape for epoch in (0, 1) for b in BUCKETED(epoch)]
    assert len({n for _, n in shapes}) > 2 and {m for m, _ in shapes} == {2, 3}


@compiled
@jax.value_and_grad
def cross_entropy_of(params, words, labels):
    """The sum over the times of one sequence."""
    log_p = jax.nn.log_softmax(WORDS.forward(params, words[None])[0][0])
    return -jnp.take_along_axis(log_p, labels[:, None], -1).sum()


def mean_over_times(params, x, y):
    """The mean over the times of sequences without padding, each run through the network alone; its gradient."""
    given = [cross_entropy_of(params, words, labels) for words, labels in zip(x, y, strict=True) if len(words)]
    return jax.tree.map(lambda *terms: sum(map(np.asarray, terms)) / sum(map(len, x)), *given)


@pytest.mark.full
@pytest.mark.parametrize("gradients", ["hand", "auto"])
def test_bucketed_batches_train_as_sequences_without_padding(gradients, x64):
    result = stream_of_words(BUCKETED, OF_WORDS, initial_words("float64"), gradients=gradients)
    params, losses = initial_words("float64"), []
    for epoch in (0, 1):
        for b in BUCKETED(epoch):
            x, y = ([a[:n] for a, n in zip(one.x, one.lengths, strict=True)] for one in (b.x, b.y))
            loss, grads = mean_over_times(params, x, y)
            losses.append(loss)
            params = jax.tree.map(lambda p, g: p - 0.5 * g, params, grads)
    assert_close((result.params, result.losses), (params, np.array(losses)), rtol=1e-10, atol=1e-13)


@pytest.mark.full
@pytest.mark.parametrize("given", [{"steps_per_call": 1, "prefetch": 0}, {"steps_per_call": 16}])
def test_groups_end_where_the_number_of_times_changes(given):
    by_ones = stream_of_words(steps_per_call=3, prefetch=1)
    got = stream_of_words(**given)
    assert_equal(got.losses, by_ones.losses)
    assert_same_fit(got, by_ones)


def test_groups_are_the_batches_in_a_row_of_one_length():
    one, two = texts([3, 2], 3)[0], texts([5, 1], 5)[0]
    batches = [jaxnn.Batch(x, x) for x in (one, one, one, two, one, two, two)]
    groups = [(jax.tree.map(np.copy, group), n) for group, n in stacked(iter(batches), 2)]
    assert [(group.x.x.shape, n) for group, n in groups] == [
        ((2, 2, 3), 2), ((2, 2, 3), 1), ((2, 2, 5), 1), ((2, 2, 3), 1), ((2, 2, 5), 2)
    ]  # fmt: skip
    for group, n in groups:
        expected = one if group.x.x.shape[2] == 3 else two
        for i in range(n):
            assert_equal(jax.tree.map(lambda a, i=i: a[i], group.x), expected)


@pytest.mark.full
def test_a_program_is_compiled_for_each_number_of_times_and_no_more():
    traces = []

    def value_and_grad(params, batch, key=None):
        traces.append(batch.x.x.shape)
        return OF_EACH_WORD.value_and_grad(params, batch, key)

    stream_of_words(objective=OF_EACH_WORD._replace(value_and_grad=value_and_grad), epochs=4)
    assert set(traces) == {(3, b.x.x.shape[1]) for epoch in range(4) for b in BUCKETED(epoch)}
    once = len(traces)
    stream_of_words(objective=OF_EACH_WORD._replace(value_and_grad=value_and_grad), epochs=8)
    assert len(traces) <= 2 * once


def test_resumed_after_some_epochs_it_is_bit_for_bit():
    saved = []
    keep = jaxnn.Checkpointer(lambda state: None, lambda make, ended: saved.append(make()))
    given = {"epochs": 4, "optimizer": optax.adam(0.1)}
    whole = stream_of_words(checkpoints=keep, **given)
    assert len(saved) >= 3
    for one in saved[:2]:
        there = jaxnn.Checkpointer(lambda state, one=one: one, lambda make, ended: None)
        resumed = stream_of_words(checkpoints=there, **given)
        assert_equal(
            (resumed.params, resumed.losses, resumed.state.opt_state),
            (whole.params, whole.losses, whole.state.opt_state),
        )


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::jaxnn.train.DivergenceWarning")  # that it diverges is meant
@pytest.mark.parametrize(("at", "steps_per_call"), [(0, 16), (3, 1), (3, 2), (5, 16)])
def test_a_divergence_names_the_step_among_batches_of_other_lengths(at, steps_per_call):
    """Step `at` is the first with a word outside of the vocabulary, whose vector is NaN."""
    batches = [
        tuple(Sequences(np.full((2, n), word), np.array([n, 1])) for word in (7 if i == at else 1, 1))
        for i, n in enumerate([3, 3, 5, 5, 3, 3, 5])
    ]
    result = stream_of_words(lambda epoch: batches, epochs=1, steps_per_call=steps_per_call)
    assert result.diverged_at == result.divergence.step == len(result.losses) == at
    assert result.divergence[1:3] == ("activations", 1)
    if at:
        before = stream_of_words(lambda epoch: batches[:at], epochs=1)
        assert_equal((result.losses, result.params), (before.losses, before.params))


@pytest.mark.full
def test_a_carry_goes_through_batches_of_other_lengths(x64):
    """Pieces of one text, of 3, 5 and 2 times, train as a loop over `carried` by `jax.grad`."""
    objective = jaxnn.objective(WORDS, each_step_loss(jaxnn.softmax_cross_entropy()), carry=True)
    x, y = (np.random.default_rng(i).integers(0, 5, (2, 10)) for i in (1, 2))
    pieces = [slice(0, 3), slice(3, 8), slice(8, 10)]
    full = lambda a: Sequences(a, np.full(len(a), a.shape[1]))  # noqa: E731
    batches = [(full(x[:, piece]), full(y[:, piece])) for piece in pieces]
    result = stream_of_words(lambda epoch: batches, objective, initial_words("float64"), epochs=1)
    params = initial_words("float64")
    carry, losses = nn.start_carry(WORDS, params, 2), []

    @compiled
    @partial(jax.value_and_grad, has_aux=True)
    def loss(params, carry, x, y):
        z, after = nn.carried(WORDS).forward(params, (x, carry))[0]
        log_p = jax.nn.log_softmax(z)
        return -jnp.take_along_axis(log_p, y[..., None], -1).mean(), after

    for piece in pieces:
        (value, carry), grads = loss(params, carry, x[:, piece], y[:, piece])
        losses.append(value)
        params = jax.tree.map(lambda p, g: p - 0.5 * g, params, grads)
    assert_close((result.params, result.losses), (params, np.array(losses)), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (lambda x: (x._replace(x=x.x[..., None]), x), r"x\.x .* or another number of times, got int64 \(2, 4, 1\)"),
        (lambda x: (x._replace(x=x.x.astype("int32")), x), r"x\.x must be int64 .*, got int32 \(2, 4\)"),
        (lambda x: (x._replace(lengths=x.lengths.astype("int32")), x), r"x\.lengths .*, or have fewer rows, got int32"),
        (lambda x: (x.x, x), "x and y must be the arrays of the first batch"),
        (lambda x: (x, x.x), "x and y must be the arrays of the first batch"),
        (lambda x: (x._replace(lengths=x.lengths + 3), x), "lengths must be whole numbers from 0 to 4, got"),
        (lambda x: (x, x._replace(x=x.x[:, :2])), r"y must be targets at each time, \(2, 4\)"),
        (lambda x: (x, x._replace(x=x.x + 5)), "y must be labels of 5 classes, from 0 to 4"),
        (lambda x: jax.tree.map(lambda a: np.append(a, a, 0), (x, x)), r"x\.x must be .*, got int64 \(4, 4\)"),
    ],
)  # fmt: skip
def test_wrong_sequences_are_named(second, message):
    first, right = texts([3, 2], 3)[0], Sequences(np.ones((2, 4), int), np.array([4, 2]))
    batches = [(first, first), (right, right), second(right)]
    with pytest.raises(ValueError, match=rf"^batch 2 of epoch 0 \(both from 0\): .*{message}"):
        stream_of_words(lambda epoch: batches, epochs=1)


def test_plain_arrays_keep_their_sizes():
    x = np.ones((2, 3), int)
    with pytest.raises(ValueError, match=r"x must be int64 \(2, 3\) as in the first batch, or have fewer rows, got"):
        stream_of_words(lambda epoch: [(x, x), (np.ones((2, 4), int),) * 2], epochs=1)
