"""Error analysis: its arithmetic, its findings, and no findings in noise."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxnn

SHARE = st.integers(0, 1000).map(lambda n: n / 1000)


@pytest.mark.parametrize(
    ("errors", "found"),
    [
        # The four of the course, with an achievable error of 0, and the first of them where people get 15 % wrong.
        (dict(train_error=0.01, dev_error=0.11), ("variance", "bias")),
        (dict(train_error=0.15, dev_error=0.16), ("bias", "variance")),
        (dict(train_error=0.15, dev_error=0.30), ("bias", "variance")),
        (dict(train_error=0.005, dev_error=0.01), ("bias", "variance")),
        (dict(train_error=0.15, dev_error=0.16, achievable_error=0.15), ("variance",)),
        # Training and dev examples from two distributions.
        (dict(train_error=0.01, train_dev_error=0.09, dev_error=0.10), ("variance", "mismatch", "bias")),
        (dict(train_error=0.01, train_dev_error=0.015, dev_error=0.10), ("mismatch", "bias", "variance")),
        (dict(train_error=0.10, train_dev_error=0.11, dev_error=0.20, test_error=0.5), None),
        (dict(train_error=0.0, dev_error=0.0), ()),
    ],
)
def test_the_courses_examples(errors, found):
    diagnosis = jaxnn.metrics.analyze_errors(**errors)
    if found is not None:
        assert diagnosis.found == found
    else:
        assert diagnosis.found[:2] == ("dev_overfitting", "bias")
    assert len(diagnosis.next_steps) == len(diagnosis.found) == len(set(diagnosis.next_steps))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(achievable=SHARE, train=SHARE, dev=SHARE, train_dev=st.none() | SHARE, test=st.none() | SHARE)
def test_the_gaps_lead_from_the_achievable_error_to_the_last(achievable, train, dev, train_dev, test):
    diagnosis = jaxnn.metrics.analyze_errors(
        achievable_error=achievable, train_error=train, dev_error=dev, train_dev_error=train_dev, test_error=test
    )
    gaps = dict(zip(("bias", "variance", "mismatch", "dev_overfitting"), diagnosis[:4], strict=True))
    assert (gaps["mismatch"] is None, gaps["dev_overfitting"] is None) == (train_dev is None, test is None)
    last = dev if test is None else test
    assert math.isclose(sum(gap for gap in gaps.values() if gap is not None), last - achievable, abs_tol=1e-12)
    assert set(diagnosis.found) == {name for name, gap in gaps.items() if gap is not None and gap > 0}
    sizes = [gaps[name] for name in diagnosis.found]
    assert sizes == sorted(sizes, reverse=True)


def test_noise_is_two_standard_errors():
    diagnosis = jaxnn.metrics.analyze_errors(
        train_error=0.1,
        train_dev_error=0.2,
        dev_error=0.3,
        test_error=0.4,
        n_train=98,
        n_train_dev=48,
        n_dev=38,
        n_test=8,
    )
    wrong = np.array([0.1 * 98, 0.2 * 48, 0.3 * 38, 0.4 * 8]) + 1
    right = np.array([0.9 * 98, 0.8 * 48, 0.7 * 38, 0.6 * 8]) + 1
    squared = wrong * right / (wrong + right) ** 3
    expected = 2 * np.sqrt([squared[0], squared[0] + squared[1], squared[1] + squared[2], squared[2] + squared[3]])
    np.testing.assert_allclose(list(diagnosis.noise.values()), expected, rtol=1e-12)
    assert list(diagnosis.noise) == ["bias", "variance", "mismatch", "dev_overfitting"]


def test_the_same_gap_is_noise_of_few_examples_and_found_in_many():
    few, many = (jaxnn.metrics.analyze_errors(train_error=0.1, dev_error=0.2, n_train=n, n_dev=n) for n in (20, 2000))
    assert few.found == ()
    assert many.found == ("bias", "variance")
    assert few[:4] == many[:4]


def test_noise_is_rarely_found():
    """For sets that differ only by chance, a gap is found in about 2 % of the samples."""
    random = np.random.default_rng(0)
    for p, n, m in ((0.02, 60, 30), (0.1, 500, 50), (0.5, 40, 40)):
        train, dev = random.binomial(n, p, 4000) / n, random.binomial(m, p, 4000) / m
        found = [
            "variance" in jaxnn.metrics.analyze_errors(train_error=a, dev_error=b, n_train=n, n_dev=m).found
            for a, b in zip(train, dev, strict=True)
        ]
        assert np.mean(found) < 0.045


def test_a_large_gap_of_many_examples_is_always_found():
    random = np.random.default_rng(1)
    for train, dev in zip(random.binomial(1000, 0.02, 500), random.binomial(300, 0.12, 500), strict=True):
        diagnosis = jaxnn.metrics.analyze_errors(train_error=train / 1000, dev_error=dev / 300, n_train=1000, n_dev=300)
        assert "variance" in diagnosis.found


def test_errors_may_be_arrays_of_one_number():
    diagnosis = jaxnn.metrics.analyze_errors(
        train_error=jnp.float32(0.25), dev_error=np.float64(0.5), n_train=np.int64(4), n_dev=4
    )
    assert diagnosis.variance == 0.25 and type(diagnosis.variance) is float


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(train_error=8, dev_error=0.1), "train_error must be a fraction from 0 to 1, got 8: 8 % is 0.08"),
        (dict(train_error=-0.1, dev_error=0.1), "train_error must be a fraction from 0 to 1, got -0.1"),
        (dict(train_error=0.1, dev_error=float("nan")), "dev_error must be a fraction from 0 to 1, got nan"),
        (
            dict(train_error=0.1, dev_error=0.1, achievable_error=2),
            "achievable_error must be a fraction from 0 to 1, got 2",
        ),
        (
            dict(train_error=0.1, dev_error=0.1, n_train=0, n_dev=1),
            "n_train must be a whole number of at least 1, got 0",
        ),
        (
            dict(train_error=0.1, dev_error=0.1, n_train=1.5, n_dev=1),
            "n_train must be a whole number of at least 1, got 1.5",
        ),
        (
            dict(train_error=0.1, dev_error=0.1, n_train=10),
            "^n_train, n_dev must be given, one for each error, or none of them, got n_train$",
        ),
        (
            dict(train_error=0.1, dev_error=0.1, n_train=10, n_dev=10, n_test=3),
            "^n_train, n_dev must be given, .*, got n_train, n_dev, n_test",
        ),
        (dict(train_error=None, dev_error=0.1), "train_error must be a fraction from 0 to 1, got None"),
        (dict(train_error="0.1", dev_error=0.1), "train_error must be a fraction from 0 to 1, got '0.1'"),
        (
            dict(train_error=np.array([0.1, 0.2]), dev_error=0.1),
            r"train_error must be a fraction from 0 to 1, got float64 \(2,\)",
        ),
        (
            dict(train_error=0.1, dev_error=0.1, achievable_error=None),
            "achievable_error must be a fraction from 0 to 1, got None",
        ),
        (
            dict(train_error=0.1, dev_error=0.1, n_train="10", n_dev=1),
            "n_train must be a whole number of at least 1 or None, got '10'",
        ),
        (
            dict(train_error=0.1, dev_error=0.1, n_train=float("inf"), n_dev=1),
            "n_train must be a whole number of at least 1, got inf",
        ),
    ],
)
def test_what_raises(arguments, message):
    with pytest.raises(ValueError, match=message):
        jaxnn.metrics.analyze_errors(**arguments)
