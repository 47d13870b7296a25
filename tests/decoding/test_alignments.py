"""CTC's labels against sums over all paths, and collapsed by loops."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn.decoding import ctc_beam, ctc_greedy
from jaxnn.nn import Sequences

pytestmark = pytest.mark.usefixtures("quick_compilation")

# One program each: alone, each operation compiles.
greedy = jax.jit(ctc_greedy, static_argnames="blank")
beam = jax.jit(ctc_beam, static_argnames=("width", "blank"))


def collapsed(path, blank):
    """Return the labels of a path: repeats merged, then blanks removed."""
    labels, before = [], None
    for c in path:
        if c != before and c != blank:
            labels.append(int(c))
        before = c
    return tuple(labels)


def all_labels(z, blank):
    """Return the probability of each label sequence, by a sum over all paths of z (T, k)."""
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    found = {}
    for path in itertools.product(range(z.shape[1]), repeat=len(z)):
        labels = collapsed(path, blank)
        found[labels] = found.get(labels, 0.0) + np.prod([p[t, c] for t, c in enumerate(path)])
    return found


def listed(labels, lengths):
    return [tuple(row[:n].tolist()) for row, n in zip(np.asarray(labels), np.asarray(lengths), strict=True)]


@pytest.mark.parametrize("blank", [0, 2])
def test_greedy_is_the_collapsed_best_path(blank):
    rng = np.random.default_rng(blank)
    z = rng.normal(size=(200, 9, 4)).astype(np.float32)
    z[:, :, blank] += 0.5
    lengths = rng.integers(0, 10, 200)
    labels, counts = greedy(Sequences(z, lengths), blank=blank)
    expected = [collapsed(one[:n].argmax(1), blank) for one, n in zip(z, lengths, strict=True)]
    assert listed(labels, counts) == expected
    assert {len(one) for one in expected} >= {0, 1, 2, 3, 4, 5}
    beyond = np.arange(9)[None] >= np.asarray(counts)[:, None]
    assert (np.asarray(labels)[beyond] == blank).all()
    # Without lengths, every time counts.
    assert listed(*greedy(z, blank=blank)) == [collapsed(one.argmax(1), blank) for one in z]


@pytest.mark.full
def test_what_is_beyond_a_length_has_no_influence():
    z = np.random.default_rng(0).normal(size=(3, 6, 4)).astype(np.float32)
    lengths, other = np.array([0, 3, 6]), z.copy()
    other[1, 3:], other[0] = np.nan, np.nan
    for decode in (greedy, beam):
        for a, b in zip(decode(Sequences(z, lengths)), decode(Sequences(other, lengths)), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.full
@pytest.mark.parametrize(("blank", "n_steps", "k"), [(0, 5, 3), (1, 4, 4), (2, 6, 3), (0, 1, 2)])
def test_a_wide_beam_has_the_probability_of_all_labels(x64, blank, n_steps, k):
    rng = np.random.default_rng(n_steps)
    z = 2 * rng.normal(size=(4, n_steps, k))
    expected = [all_labels(one, blank) for one in z]
    width = len(expected[0]) + 3
    labels, lengths, log_p = beam(z, width=width, blank=blank)
    for i, of_one in enumerate(expected):
        found = listed(labels[i], lengths[i])[: len(of_one)]
        assert len({*found}) == len(of_one) and {*found} == {*of_one}
        np.testing.assert_allclose(np.exp(log_p[i][: len(of_one)]), [of_one[one] for one in found], rtol=1e-10)
        assert (np.diff(log_p[i][: len(of_one)]) <= 0).all()
        assert np.isneginf(log_p[i][len(of_one) :]).all()


def by_loops(z, width, blank):
    """Search with dictionaries: beginning -> [B, N]."""
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    beginnings = {(): [1.0, 0.0]}
    for at in p:
        after = {}
        for prefix, (of_blank, of_other) in beginnings.items():
            after.setdefault(prefix, [0.0, 0.0])[0] += (of_blank + of_other) * at[blank]
            for c in range(len(at)):
                if c == blank:
                    continue
                same = bool(prefix) and prefix[-1] == c
                if same:
                    after.setdefault(prefix, [0.0, 0.0])[1] += of_other * at[c]
                p_added = (of_blank if same else of_blank + of_other) * at[c]
                if p_added > 0:
                    after.setdefault((*prefix, c), [0.0, 0.0])[1] += p_added
        beginnings = dict(sorted(after.items(), key=lambda item: -sum(item[1]))[:width])
    return {prefix: sum(both) for prefix, both in beginnings.items()}


@pytest.mark.full
@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_narrow_beam_is_that_of_dictionaries(x64, width):
    z = 2 * np.random.default_rng(width).normal(size=(6, 12, 4))
    lengths = np.array([12, 12, 7, 1, 0, 11])
    labels, counts, log_p = beam(Sequences(z, lengths), width=width)
    for i in range(6):
        expected = by_loops(z[i, : lengths[i]], width, 0)
        found = listed(labels[i], counts[i])[: len(expected)]
        assert found == list(expected)
        np.testing.assert_allclose(np.exp(log_p[i][: len(expected)]), [*expected.values()], rtol=1e-10)


@pytest.mark.full
def test_the_probability_of_the_best_labels_is_that_of_the_loss(x64):
    z = np.random.default_rng(1).normal(size=(2, 4, 3))
    labels, lengths, log_p = beam(z, width=40)
    best = Sequences(labels[:, 0], lengths[:, 0])
    np.testing.assert_allclose(log_p[:, 0], -jax.jit(jaxnn.losses.ctc_value)(z, best), rtol=1e-10)


@pytest.mark.full
def test_impossible_classes_are_no_nan():
    z = jnp.array([[[0.0, -jnp.inf, 1.0], [-jnp.inf, 0.0, -jnp.inf]]])
    labels, lengths, log_p = beam(z, width=4)
    assert listed(labels[0], lengths[0])[:2] == [(2, 1), (1,)]
    p = 1 / (1 + np.exp(-1))
    np.testing.assert_allclose(np.exp(log_p[0]), [p, 1 - p, 0, 0], rtol=1e-6)


@pytest.mark.full
def test_one_program_for_all_lengths():
    traces = []

    @jax.jit
    def decode(z, lengths):
        traces.append(1)
        return ctc_greedy(Sequences(z, lengths)), ctc_beam(Sequences(z, lengths), 3)

    for n in range(3):
        decode(jnp.zeros((2, 3, 4)), jnp.array([n, 3]))
    assert len(traces) == 1


@pytest.mark.full
@pytest.mark.parametrize("broken", [np.nan, np.inf, "all -inf"])
def test_a_time_without_probabilities_has_no_labels(broken):
    good = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    z = good.copy()
    z[0, 2] = -np.inf if broken == "all -inf" else [0.0, broken, 0.0]
    labels, lengths, log_p = beam(z, width=2, blank=2)
    assert np.isnan(log_p[0]).all() and (lengths[0] == 0).all() and (labels[0] == 2).all()
    for got, expected in zip((labels, lengths, log_p), beam(good, width=2, blank=2), strict=True):
        np.testing.assert_array_equal(got[1], expected[1])
    # Beyond its length, it is not seen.
    first = beam(Sequences(z, np.array([2, 4])), width=2, blank=2)
    for got, expected in zip(first, beam(good[:, :2], width=2, blank=2), strict=True):
        np.testing.assert_array_equal(got[0, :, :2] if got.ndim == 3 else got[0], expected[0])


def test_without_times_there_are_no_labels():
    """The one path of no times has the probability 1, and gives no labels."""
    labels, lengths, log_p = beam(np.zeros((2, 0, 3)), width=2)
    assert labels.shape == (2, 2, 0) and lengths.tolist() == [[0, 0]] * 2 and log_p.tolist() == [[0.0, -np.inf]] * 2
    labels, lengths = greedy(np.zeros((2, 0, 3)))
    assert labels.shape == (2, 0) and lengths.tolist() == [0, 0]


@pytest.mark.parametrize("decode", [ctc_greedy, ctc_beam])
def test_invalid_arguments(decode):
    with pytest.raises(ValueError, match=r"^z must be logits \(m, T, k\)"):
        decode(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="with k >= 1 classes"):
        decode(np.zeros((2, 3, 0)))
    with pytest.raises(ValueError, match="^z must be real numbers, got complex64"):
        decode(np.zeros((2, 3, 4), "complex64"))
    with pytest.raises(ValueError, match="^blank must be"):
        decode(np.zeros((2, 3, 4)), blank=-1)
    with pytest.raises(ValueError, match="^lengths must be"):
        decode(Sequences(np.zeros((2, 3, 4)), np.array([4, 0])))
    with pytest.raises(ValueError, match="^blank must be a class, from 0 to 3, got 4"):
        decode(np.zeros((2, 3, 4)), blank=4)
