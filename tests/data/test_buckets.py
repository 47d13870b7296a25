"""Batches of sequences of like lengths: each example once, the least padding there is, and one line for bad input."""

import tracemalloc
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxnn
from jaxnn.data import bucketed_batches, padding
from jaxnn.data.buckets import _least_padding
from jaxnn.nn import Sequences

RNG = np.random.default_rng(0)
HYPOTHESIS = settings(max_examples=60, deadline=None, derandomize=True)


def numbered(lengths, n_times=None):
    """Sequences of m examples: each number of example i is 100 i plus its time."""
    lengths = np.asarray(lengths)
    times = np.arange(lengths.max(initial=1) if n_times is None else n_times)
    return Sequences(100 * np.arange(len(lengths))[:, None] + times[None], lengths)


def batches_of(lengths, batch_size, epoch=0, **options):
    x = numbered(lengths)
    return [*bucketed_batches(x, np.arange(len(x.lengths)), batch_size, **{"seed": 0, **options})(epoch)]


lists_of_lengths = st.lists(st.integers(0, 12), min_size=1, max_size=30)


@HYPOTHESIS
@given(
    lengths=lists_of_lengths,
    batch_size=st.integers(1, 30),
    buckets=st.integers(1, 6),
    shuffle=st.booleans(),
    epoch=st.integers(0, 3),
)
def test_every_example_once_and_cut_off_behind_a_few_lengths(lengths, batch_size, buckets, shuffle, epoch):
    m, lengths = len(lengths), np.array(lengths)
    batch_size = min(batch_size, m)
    batches = batches_of(lengths, batch_size, epoch, buckets=buckets, shuffle=shuffle)
    full, rest = divmod(m, batch_size)
    sizes = [len(b.y) for b in batches]
    assert sorted(sizes) == sorted([batch_size] * full + [rest] * (rest > 0))
    assert sizes[0] == batch_size  # it sets the size of all in `fit_stream`
    assert sorted(np.concatenate([b.y for b in batches]).tolist()) == list(range(m))
    whole = numbered(lengths).x
    for b in batches:
        assert b.weight is None
        n_times = b.x.x.shape[1]
        np.testing.assert_array_equal(b.x.lengths, lengths[b.y])
        np.testing.assert_array_equal(b.x.x, whole[b.y][:, :n_times])  # rows belong together; nothing within is cut
        assert n_times >= b.x.lengths.max()
    assert len({b.x.x.shape[1] for b in batches}) <= min(buckets, len({*lengths.clip(1)}))
    if not shuffle:
        assert sizes[:-1] == [batch_size] * (len(sizes) - 1)
        times = [b.x.x.shape[1] for b in batches]
        assert times == sorted(times)
    # The rest is of the longest examples.
    if rest:
        last = next(b for b in batches if len(b.y) == rest and (rest != batch_size))
        assert last.x.x.shape[1] == max(b.x.x.shape[1] for b in batches)


@HYPOTHESIS
@given(lengths=st.lists(st.integers(1, 10), min_size=1, max_size=20), buckets=st.integers(1, 5))
def test_chosen_lengths_leave_the_least_padding_of_all_subsets(lengths, buckets):
    def padded(chosen):
        return sum(min(c for c in chosen if c >= n) for n in lengths)

    chosen = _least_padding(np.array(lengths), buckets).tolist()
    different = sorted({*lengths})
    sizes = range(min(buckets, len(different)))
    subsets = [(*smaller, different[-1]) for n in sizes for smaller in combinations(different[:-1], n)]
    assert chosen == sorted({*chosen}) and {*chosen} <= {*different} and len(chosen) <= buckets
    assert padded(chosen) == min(map(padded, subsets))


def test_with_a_length_for_each_there_is_no_padding():
    assert padding(batches_of([3, 3, 5, 5, 9, 9], 2, buckets=3)) == 0
    assert padding(batches_of([3, 3, 5, 5, 9, 9], 2, buckets=9)) == 0


def test_a_thousand_lengths_are_chosen_in_little_memory():
    lengths = np.arange(1, 1501)
    chosen = _least_padding(lengths, 4)
    # Of a uniform distribution, they are equally far apart.
    np.testing.assert_allclose(chosen, [375, 750, 1125, 1500], atol=2)


@HYPOTHESIS
@given(lengths=lists_of_lengths, batch_size=st.integers(1, 8), buckets=st.integers(1, 4))
def test_padding_is_counted_as_by_a_loop(lengths, batch_size, buckets):
    batches = batches_of(lengths, min(batch_size, len(lengths)), buckets=buckets)
    beyond = places = 0
    for batch in batches:
        for row, length in zip(batch.x.x, batch.x.lengths, strict=True):
            for t in range(len(row)):
                places += 1
                beyond += t >= length
    np.testing.assert_allclose(padding(batches), beyond / places, rtol=1e-12)
    np.testing.assert_allclose(padding((b.x, b.y) for b in batches), beyond / places, rtol=1e-12)


def test_padding_counts_inputs_and_targets():
    x, y = Sequences(np.zeros((2, 4, 3)), np.array([4, 2])), {"a": Sequences(np.zeros((2, 2)), np.array([0, 1]))}
    assert padding([jaxnn.Batch(x, y)]) == (2 + 3) / (8 + 4)
    assert padding([jaxnn.Batch(x, np.zeros(2)), jaxnn.Batch(y, np.zeros(2))]) == (2 + 3) / (8 + 4)
    assert padding([jaxnn.Batch(Sequences(np.zeros((2, 0)), np.zeros(2, int)), np.zeros(2))]) == 0


def orders(seed, n=3, **options):
    return [[b.y.tolist() for b in batches_of([1, 2, 3, 4] * 5, 3, e, seed=seed, **options)] for e in range(n)]


def test_shuffles_depend_on_the_seed_and_the_epoch_alone():
    x, y = numbered([1, 2, 3, 4] * 5), np.arange(20)
    batches = bucketed_batches(x, y, 3, seed=0)
    [*batches(0)], [*batches(7)]  # what was drawn before has no influence
    assert [b.y.tolist() for b in batches(2)] == orders(0)[2]
    assert len({str(one) for seed in (0, 1) for one in orders(seed)}) == 6
    assert orders(0, shuffle=False)[0] == orders(1, shuffle=False)[1]
    assert orders(0)[0] != sorted(orders(0)[0])
    # Examples of a length are mixed too, not the batches alone.
    assert len({str(sorted(map(sorted, one))) for one in orders(0)}) == 3


def test_batches_come_in_random_order_of_lengths():
    firsts = {batches_of([1, 2, 3, 4] * 5, 5, epoch, buckets=4)[0].x.x.shape[1] for epoch in range(30)}
    assert firsts == {1, 2, 3, 4}


def test_the_longest_of_several_sequences_counts():
    """Source and target, each of another number of times, and arrays beside them."""
    source, target = numbered([2, 7, 1, 3], 8), numbered([4, 1, 5, 3], 5)
    x, y = {"pair": (source, target), "plain": np.arange(8).reshape(4, 2)}, (target, np.arange(4))
    found = [*bucketed_batches(x, y, 1, seed=0, buckets=4)(0)]
    expected = {0: 4, 1: 7, 2: 5, 3: 3}
    for b in found:
        (i,) = b.y[1].tolist()
        n = expected[i]
        assert b.x["pair"][0].x.tolist() == [source.x[i, :n].tolist()]
        for of_target in (b.x["pair"][1], b.y[0]):
            assert of_target.x.tolist() == [target.x[i, : min(n, 5)].tolist()]
            assert of_target.lengths.tolist() == [target.lengths[i]]
        assert b.x["plain"].tolist() == [[2 * i, 2 * i + 1]]
    assert sorted(b.y[1].item() for b in found) == [0, 1, 2, 3]


def test_only_targets_may_be_sequences():
    found = [*bucketed_batches(np.arange(6.0).reshape(3, 2), numbered([5, 1, 5]), 1, seed=0)(0)]
    assert sorted((b.x.tolist()[0], b.y.x.shape[1]) for b in found) == [
        ([0.0, 1.0], 5),
        ([2.0, 3.0], 1),
        ([4.0, 5.0], 5),
    ]


def test_features_and_arrays_of_jax():
    x = Sequences(jnp.arange(24.0).reshape(2, 4, 3), jnp.array([4, 2]))
    found = {b.y.item(): b.x for b in bucketed_batches(x, np.arange(2), 1, seed=0)(0)}
    assert found[1].x.shape == (1, 2, 3)
    np.testing.assert_array_equal(found[1].x[0], x.x[1, :2])


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint64", ">i2", "int32"])
def test_lengths_of_any_whole_numbers(dtype):
    lengths = np.array([120, 127, 3, 4])
    x = Sequences(np.zeros((4, 130)), lengths.astype(dtype))
    found = [*bucketed_batches(x, np.arange(4), 2, seed=0, buckets=2)(0)]
    assert sorted(b.x.x.shape for b in found) == [(2, 4), (2, 127)]
    assert sorted(n for b in found for n in b.x.lengths.tolist()) == [3, 4, 120, 127]


def test_sequences_of_length_0_keep_one_time():
    found = batches_of([0, 0, 5, 5], 2, buckets=2)
    assert sorted(b.x.x.shape for b in found) == [(2, 1), (2, 5)]
    assert {b.x.x.shape for b in batches_of([0, 0], 1)} == {(1, 1)}


def test_memory_maps_are_not_copied_to_memory(tmp_path):
    shape = 2000, 50, 8
    made = np.memmap(tmp_path / "x", "float32", "w+", shape=shape)
    made[:] = np.arange(shape[0])[:, None, None]
    made.flush()
    x = Sequences(np.memmap(tmp_path / "x", "float32", "r", shape=shape), RNG.integers(1, 51, shape[0]))
    tracemalloc.start()
    try:
        for b in bucketed_batches(x, np.arange(shape[0]), 20, seed=0)(0):
            np.testing.assert_array_equal(b.x.x[:, 0, 0], b.y)
        assert tracemalloc.get_traced_memory()[1] < x.x.nbytes / 4
    finally:
        tracemalloc.stop()


X = numbered([2, 9, 3, 8])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": X.x}, r"^x and y must be Sequences, or a tree with some, got \[\]: Sequences\(x, lengths\)$"),
        ({"x": X._replace(lengths=np.array([2, 10, 3, 8]))}, "^lengths must be whole numbers from 0 to 9, got 2 to 10"),
        ({"x": X._replace(lengths=np.array([2, -1, 3, 8]))}, "^lengths must be whole numbers from 0 to 9, got -1 to 8"),
        ({"x": X._replace(lengths=np.array([2.0, 9, 3, 8]))}, r"^lengths must be whole numbers .*, got float64 \(4,\)"),
        ({"x": X._replace(lengths=np.ones(4, bool))}, r"^lengths must be whole numbers .*, got bool \(4,\)"),
        ({"x": X._replace(lengths=np.ones((4, 1), int))}, r"^lengths must be whole numbers .*, got int64 \(4, 1\)"),
        ({"x": X._replace(lengths=np.ones(3, int))}, r"^x.lengths must be as many examples as x.x, 4, got shape"),
        ({"x": X._replace(lengths=None)}, "lengths must be an array, got None"),
        ({"x": X._replace(x=np.ones(4))}, r"^x must be numbers \(m, T, place...\), got float64 \(4,\)"),
        ({"y": np.ones(3)}, r"^y must be one target for each of the 4 examples, .*, got shape \(3,\)"),
        ({"y": numbered([1, 2, 3])}, r"^y.x must be one target for each of the 4 examples, .*, got shape \(3, 3\)"),
        ({"y": None}, "^y must be an array, got None"),
        ({"batch_size": 5}, "^batch_size must be from 1 to the number of examples, 4, got 5$"),
        ({"batch_size": 0}, "^batch_size must be from 1 to the number of examples, 4, got 0$"),
        ({"batch_size": 2.0}, r"^batch_size must be from 1 to the number of examples, 4, got 2\.0$"),
        ({"x": numbered(np.zeros(0, int)), "y": np.zeros(0)}, "^batch_size must be .*, 0, got 2"),
        ({"buckets": 0}, "^buckets must be a whole number of at least 1, got 0$"),
        ({"buckets": 1.5}, r"^buckets must be a whole number of at least 1, got 1\.5$"),
        ({"seed": -1}, "^seed must be a whole number of at least 0, got -1"),
        ({"seed": None}, "^seed must be a whole number of at least 0, got None"),
        ({"shuffle": "no"}, "^shuffle must be True or False, got 'no'$"),
    ],
)  # fmt: skip
def test_bad_input_raises_in_one_line(given, message):
    with pytest.raises(ValueError, match=message) as error:
        bucketed_batches(**{"x": X, "y": np.arange(4), "batch_size": 2, "seed": 0, **given})
    assert "\n" not in str(error.value)


def test_traced_sequences_raise():
    with pytest.raises(ValueError, match="must be concrete, got a traced array"):
        jax.jit(lambda x: bucketed_batches(X._replace(x=x), np.arange(4), 2, seed=0))(X.x)


@pytest.mark.parametrize("batches", [[], [jaxnn.Batch(np.zeros((2, 3)), np.zeros(2))]])
def test_padding_of_no_sequences_raises(batches):
    with pytest.raises(ValueError, match=r"^batches must be Sequences, or a tree with some, got \[\]"):
        padding(batches)
