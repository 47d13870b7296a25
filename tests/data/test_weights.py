"""Example weights: only their ratios matter, in any dtype and at any scale, in training and in metrics."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import jaxnn
from jaxnn.data import weights

pytestmark = pytest.mark.usefixtures("quick_compilation")

M, SIZE = 11, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(M, 3)).astype(np.float32)
Y = RNG.integers(0, 3, M)
WEIGHT = RNG.uniform(0.5, 3, M).astype(np.float32)
MODEL = jaxnn.logistic_regression(3, classes=3)
OBJECTIVE, SGD, KEY = jaxnn.objective(MODEL.network, MODEL.loss), optax.sgd(0.5), jax.random.key(0)
START = MODEL.init(KEY)
BELOW_1 = np.nextafter(np.float32(1), np.float32(0))


def by_fit(weight, batch_size=None, x=X, y=Y, gradients="hand"):
    options = dict(key=KEY, epochs=2, batch_size=batch_size, weight=weight, gradients=gradients)
    return jaxnn.fit(OBJECTIVE, SGD, START, x, y, **options).params


def by_stream(weight, x=X, y=Y):
    batches = jaxnn.data.host_batches(x, y, SIZE, seed=0, weight=weight)
    return jaxnn.fit_stream(OBJECTIVE, SGD, START, batches, key=KEY, epochs=2, steps_per_call=4).params


def by_pairs(weight, x=X, y=Y):
    """Return a stream of batches with weights, each with the mean over its own weights."""
    weight = np.ones(M) if weight is None else np.asarray(weight)
    batches = [(x[i : i + SIZE], y[i : i + SIZE], weight[i : i + SIZE]) for i in range(0, M, SIZE)]
    return jaxnn.fit_stream(OBJECTIVE, SGD, START, batches, key=KEY, epochs=2, steps_per_call=4).params


def by_span(weight, x=X, y=Y):
    return jaxnn.contrib.fit_in_row_space(
        OBJECTIVE, SGD, START, x, y, key=KEY, epochs=2, batch_size=SIZE, weight=weight
    ).params


EPOCH = jaxnn.train.make_epoch(OBJECTIVE, SGD, SIZE)
STEPS = jaxnn.train.make_steps(OBJECTIVE, SGD, 2)


def by_program(program, weight):
    return program(jaxnn.train_state(START, SGD, KEY), jaxnn.Batch(X, Y, weight))[0].params


HOST_PATHS = {
    "full": by_fit,
    "mini": partial(by_fit, batch_size=SIZE),
    "auto": partial(by_fit, batch_size=SIZE, gradients="auto"),
    "stream": by_stream,
    "pairs": by_pairs,
    "span": by_span,
}
PATHS = HOST_PATHS | {"epoch": partial(by_program, EPOCH), "steps": partial(by_program, STEPS)}


def assert_same(ours, theirs, rtol=0.0):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())


@pytest.fixture(scope="module")
def unweighted():
    return {name: path(None) for name, path in PATHS.items()}


EQUAL = [
    np.full(M, 500_000),
    np.full(M, 2**31),
    np.full(M, 2**40),
    np.full(M, 2**63, np.uint64),
    np.full(M, 2_000_000_001, np.uint32),
    np.full(M, 100, np.int8),
    np.full(M, 100, np.float16),
    np.full(M, 60000, np.float16),
    np.full(M, 1e38, np.float32),
    np.full(M, 1e-41, np.float32),
    np.full(M, 1e300),
    np.full(M, 1e-320),
    np.full(M, 0.1),
    np.full(M, True),
    np.full(M, 3, ">i4"),
    np.full(M, 0.1, ">f8"),
    np.full(M, 0.1, np.longdouble),
    np.full(M, 0.1, jnp.bfloat16),
    np.full(M, 0.5, jnp.float8_e4m3fn),
    [7] * M,
]


@pytest.mark.full
@pytest.mark.parametrize("path", HOST_PATHS)
def test_equal_weights_of_the_host_change_nothing(path, unweighted):
    """The results are identical to those with weights of 1."""
    for weight in EQUAL:
        assert_same(HOST_PATHS[path](weight), unweighted[path])


IN_PROGRAMS = [
    ("int32", [500_000, 2**30]),
    ("uint32", [2_000_000_001, 2**31]),
    ("float16", [100, 65504, 2**-14]),
    ("bfloat16", [1e38, 2e-38]),
    ("float8_e5m2", [2.0, 32768.0]),
    ("float32", [3e38, 1e38, 1.2e-38, 0.1, 2.0**100, 2.0**-120]),
]


@pytest.mark.full
@pytest.mark.parametrize("path", ["epoch", "steps"])
@pytest.mark.parametrize(("dtype", "values"), IN_PROGRAMS, ids=lambda v: v if isinstance(v, str) else "")
def test_equal_weights_of_the_device_change_nothing(path, dtype, values, unweighted):
    ones = PATHS[path](jnp.ones(M, dtype))
    assert_same(ones, unweighted[path], 1e-6)
    for value in values:
        power = np.log2(np.float64(value)).is_integer()
        assert_same(PATHS[path](jnp.full(M, value, dtype)), ones, 0 if power else 1e-6)


@pytest.mark.representatives("full", "stream")
@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=8, deadline=None)
@given(exponent=st.integers(-110, 110), host=st.booleans())
def test_power_of_two_factor_changes_nothing(path, exponent, host):
    weight = np.ldexp(WEIGHT, exponent)
    assert_same(PATHS[path](weight if host else jnp.asarray(weight)), PATHS[path](WEIGHT))


@pytest.mark.representatives("full", "stream")
@pytest.mark.parametrize("path", PATHS)
def test_common_factor_changes_nothing(path):
    whole = np.rint(WEIGHT * 1000.0).astype(float)
    expected = PATHS[path](whole.astype(np.float32))
    for weight in (whole.astype(int), whole.astype(int) * 2**45, whole * 1e301, whole * 1e-320 * 1e10):
        assert_same(PATHS[path](weight), expected, 1e-6)


@pytest.mark.full
def test_members_of_a_population_have_weights_of_any_dtype_and_scale(unweighted):
    scales = np.array([1.0, 2.0**100, 2.0**-120, 3e37, 0.1], np.float32)

    def train(weight, h):
        def member(h):
            return jaxnn.Member(OBJECTIVE, SGD, START, KEY, weight=weight(h))

        return jaxnn.fit_population(member, h, X, Y, epochs=2, batch_size=SIZE).params

    scaled = train(lambda h: jnp.where(h["k"] < 0, 0, WEIGHT * h["scale"]), {"scale": scales, "k": np.arange(5)})
    one, *others = (jax.tree.map(lambda leaf, i=i: leaf[i], scaled) for i in range(5))
    assert_same(one, by_fit(WEIGHT, SIZE), 1e-6)
    for other, rtol in zip(others, (0, 0, 1e-6, 1e-6), strict=True):
        assert_same(other, one, rtol)
    for weight in (
        [3] * M,
        jnp.ones(M, jnp.float8_e4m3fn),
        jnp.full(M, 500_000),
        np.full(M, 2**40),
        jnp.full(M, 100, jnp.float16),
        jnp.full(M, 3e38),
    ):
        equal = train(lambda h, weight=weight: weight, {"k": np.arange(1)})
        assert_same(jax.tree.map(lambda leaf: leaf[0], equal), unweighted["mini"], 1e-6)


@pytest.mark.full
def test_weights_of_0_only_leave_defined_numbers_in_programs():
    zeros = jaxnn.Batch(jnp.asarray(X), jnp.asarray(Y), jnp.zeros(M))
    (value, _), grads = OBJECTIVE.value_and_grad(START, zeros)
    assert value == 0 and not any(leaf.any() for leaf in jax.tree.leaves(grads))
    for weight in (jnp.zeros(M, int), jnp.zeros(M, jnp.float16)):
        for path in ("epoch", "steps"):
            assert_same(PATHS[path](weight), START)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.zeros(M), "weight must be at least 0, and one above 0, got 0.0 to 0.0"),
        (np.full(M, False), "weight must be at least 0, and one above 0, got False to False"),
        (-np.ones(M), "weight must be at least 0, and one above 0, got -1.0 to -1.0"),
        (np.where(np.arange(M) == 2, np.nan, 1), r"weight must be finite, got nan at \(2,\) and 1 such values"),
        (np.where(np.arange(M) == 2, np.inf, 1), r"weight must be finite, got inf at \(2,\) and 1 such values"),
        (np.ones(M, complex), "weight must be real numbers, got complex128"),
        (np.ones(3), rf"weight must have shape \({M},\), .*, got \(3,\)"),
    ],
)
def test_invalid_weights_raise_one_line(weight, message):
    for ask in (
        lambda: by_fit(weight),
        lambda: jaxnn.data.check_batch(X, Y, weight),
        lambda: jaxnn.data.host_batches(X, Y, SIZE, seed=0, weight=weight),
        lambda: jaxnn.cross_validate(max, {"k": np.zeros(1)}, X, Y, k=2, seed=0, measure=max, weight=weight),
    ):
        with pytest.raises(ValueError, match=message) as error:
            ask()
        assert "\n" not in str(error.value)


def test_concrete_weights_of_a_member_are_checked():
    member = lambda h: jaxnn.Member(OBJECTIVE, SGD, START, KEY, weight=np.zeros(M))  # noqa: E731
    with pytest.raises(ValueError, match=r"weight must be at least 0, and one above 0, got 0.0 to 0.0"):
        jaxnn.fit_population(member, {"k": np.zeros(1)}, X, Y, epochs=1)


# The numbers themselves, in programs.

FLOATS = [np.float16, jnp.bfloat16, np.float32]
WHOLE = [np.bool_, np.int8, np.uint8, np.int32, np.uint32]


@st.composite
def some_weights(draw):
    dtype = draw(st.sampled_from([*FLOATS, *WHOLE]))
    if dtype in WHOLE:
        kind = np.iinfo(dtype) if dtype is not np.bool_ else None
        numbers = st.booleans() if kind is None else st.integers(0, int(kind.max))
        return np.array(draw(st.lists(numbers, min_size=6, max_size=6)), dtype)
    info = jnp.finfo(dtype)
    exponent = draw(st.integers(info.minexp + 1, info.maxexp - 2))
    ratios = np.array(draw(st.lists(st.floats(0, 1, width=16), min_size=6, max_size=6)))
    return np.ldexp(ratios, exponent + 1).astype(dtype)


@jax.jit
def in_a_program(weight, values):
    shares = weights.relative(weight)
    ranged, _ = weights.in_range(weight)
    return shares, weights.weighted_mean(values, weight), weights.mean_weight(ranged), ranged


@pytest.mark.full
@settings(max_examples=150, deadline=None)
@given(some_weights())
def test_ratios_means_and_sums_are_numpys(weight):
    wide = weight.astype(np.float64)
    # Subnormal numbers are 0 to a program.
    wide[wide < np.finfo(np.float32).tiny] = 0
    values = np.arange(6, dtype=np.float32)
    ratios, mean, average, ranged = (np.asarray(a, np.float64) for a in in_a_program(weight, values))
    if wide.max() == 0:
        assert not ratios.any() and np.isnan(mean) and average == 0
        return
    expected = wide / wide.max()
    np.testing.assert_allclose(ratios, expected, rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(mean, np.average(values, weights=wide), rtol=1e-6)
    np.testing.assert_allclose(average / ranged.max(), expected.mean(), rtol=1e-6)


def test_a_weight_too_small_beside_the_largest_is_0():
    assert_same(by_fit(np.array([1e-60] + [1.0] * (M - 1))), by_fit(np.array([0.0] + [1.0] * (M - 1))))


@pytest.mark.full
def test_gradients_with_respect_to_weights_are_those_of_the_mean():
    """The scale that keeps sums in range is a constant in derivatives."""

    def value(weight):
        return OBJECTIVE.value(params, jaxnn.Batch(jnp.asarray(X), jnp.asarray(Y), weight))[0]

    params = jax.tree.map(lambda leaf: leaf + 0.3, START)
    params = ({"W": params[0]["W"].at[0, 0].set(2.0), "b": params[0]["b"]},)
    losses = np.asarray(MODEL.loss.value(MODEL.outputs(params, X), Y), np.float64)
    mean = np.average(losses, weights=WEIGHT)
    np.testing.assert_allclose(jax.grad(value)(WEIGHT), (losses - mean) / WEIGHT.sum(), rtol=2e-4, atol=1e-6)


@pytest.mark.full
def test_a_total_is_scaled_with_its_weights():
    batch = [jaxnn.Batch(jnp.asarray(X), jnp.asarray(Y), jnp.asarray(s * WEIGHT), s * 40.0) for s in (1, 2.0**120)]
    one, other = (OBJECTIVE.value_and_grad(START, b) for b in batch)
    assert_same(one, other)
    streams = [[jaxnn.Batch(X, Y, s * WEIGHT.astype(float), s * 40.0)] for s in (1, 2.0**1000, 2.0**-1000)]
    one, *others = (jaxnn.fit_stream(OBJECTIVE, SGD, START, s, key=KEY, epochs=1, steps_per_call=1) for s in streams)
    for other in others:
        assert_same(other.params, one.params)


# Examples of weight 0 may hold anything.

IGNORED = np.array([0, 3, M - 1])
COUNTS = np.where(np.isin(np.arange(M), IGNORED), 0, WEIGHT)
MASKED = np.where(np.isin(np.arange(M), IGNORED), -100, Y)
BROKEN = np.where(np.isin(np.arange(M), IGNORED)[:, None], np.nan, X).astype(np.float32)


@pytest.mark.representatives("-100-full", "1099511627776-stream", "255-pairs")
@pytest.mark.parametrize("path", HOST_PATHS)
@pytest.mark.parametrize("label", [-100, 2**40, 255])
def test_an_example_of_weight_0_may_hold_anything(path, label):
    expected = HOST_PATHS[path](COUNTS)
    assert_same(
        HOST_PATHS[path](COUNTS, x=BROKEN, y=np.where(MASKED < 0, label, MASKED)), expected, 1e-6 * (path == "span")
    )


@pytest.mark.representatives("auto")
@pytest.mark.parametrize("gradients", ["hand", "auto"])
def test_a_target_of_weight_0_may_be_nan(gradients):
    net = jaxnn.mlp((3, 1), output="linear")
    objective = jaxnn.objective(net.network, net.loss)
    target = X.sum(axis=1)

    def train(x, y):
        options = dict(key=KEY, epochs=3, batch_size=SIZE, weight=COUNTS, gradients=gradients)
        return jaxnn.fit(objective, SGD, net.init(KEY), x, y, **options).params

    assert_same(train(BROKEN, np.where(MASKED < 0, np.nan, target)), train(X, target))


def test_what_counts_is_still_checked():
    with pytest.raises(ValueError, match="y must be labels of 3 classes, from 0 to 2, got -100 to 2"):
        by_fit(WEIGHT, y=MASKED)
    with pytest.raises(ValueError, match=r"x must be finite, got nan at \(0, 0\) and 3 such values"):
        by_fit(np.where(np.arange(M) == 3, 0, COUNTS) + (np.arange(M) == 0), x=BROKEN)
    with pytest.raises(ValueError, match="y must be labels of 3 classes, from 0 to 2, got -100 to 2"):
        jaxnn.data.check_batch(X, MASKED, WEIGHT, classes=3)
    assert jaxnn.data.check_batch(X, MASKED, COUNTS, classes=3).y is MASKED


@pytest.mark.full
def test_population_ignores_values_of_weight_zero_in_all_members():
    def train(x, y, scale):
        def member(h):
            return jaxnn.Member(OBJECTIVE, SGD, START, KEY, weight=jnp.asarray(scale)[h["k"]] * COUNTS)

        return jaxnn.fit_population(member, {"k": np.arange(2)}, x, y, epochs=2, batch_size=SIZE).params

    scale = np.array([[1.0], [2.0]], np.float32) * np.ones((2, M), np.float32)
    assert_same(train(BROKEN, MASKED, scale), train(X, Y, scale))
    member = lambda h: jaxnn.Member(OBJECTIVE, SGD, START, KEY, weight=COUNTS + 0.1 * (h["k"] == 1))  # noqa: E731
    with pytest.raises(ValueError, match="from 0 to [12], got -100 to 2"):
        jaxnn.fit_population(member, {"k": np.arange(2)}, X, MASKED, epochs=1)


def measure(params, batch):
    classes, p = MODEL.predict(params, batch.x), MODEL.predict_proba(params, batch.x)
    return {
        "accuracy": jaxnn.accuracy(classes, batch.y, batch.weight),
        "error": jaxnn.metrics.error_rate(classes, batch.y, batch.weight),
        "log loss": jaxnn.metrics.log_loss(p, batch.y, batch.weight),
        "ece": jaxnn.metrics.expected_calibration_error(p, batch.y, weight=batch.weight),
        "right": jnp.trace(jaxnn.metrics.confusion_matrix(classes, batch.y, 3, batch.weight)) / batch.weight.sum(),
        "objective": OBJECTIVE.evaluate(params, (), batch),
    }


def plain_member(h):
    return jaxnn.Member(OBJECTIVE, SGD, START, KEY)


@pytest.mark.full
def test_cross_validation_ignores_examples_of_weight_zero():
    """The folds are drawn from the other examples."""

    def measured(x, y, weight):
        options = dict(k=2, seed=0, measure=measure, epochs=2, weight=weight)
        return jaxnn.cross_validate(plain_member, {"k": np.zeros(1)}, x, y, **options).measured

    counts = COUNTS > 0
    left_out, absent = measured(BROKEN, MASKED, COUNTS), measured(X[counts], Y[counts], COUNTS[counts])
    for name in absent:
        np.testing.assert_array_equal(left_out[name], absent[name])
    np.testing.assert_allclose(absent["log loss"], absent["objective"], rtol=1e-5)
    np.testing.assert_allclose(absent["right"], absent["accuracy"], rtol=1e-5)
    np.testing.assert_allclose(absent["error"], 1 - absent["accuracy"], rtol=1e-5)


@pytest.mark.full
def test_learning_curves_ignore_examples_of_weight_zero():
    def curve(x, y, weight, dev):
        options = dict(dev=dev, seeds=[0], measure=measure, epochs=2, weight=weight)
        return jaxnn.population.learning_curve(plain_member, {"k": np.zeros(1)}, x, y, [3, 6], **options)

    counts = COUNTS > 0
    left_out = curve(BROKEN, MASKED, COUNTS, jaxnn.Batch(BROKEN, MASKED, COUNTS))
    absent = curve(X[counts], Y[counts], COUNTS[counts], jaxnn.Batch(X[counts], Y[counts], COUNTS[counts]))
    for part in ("train", "dev"):
        for name, values in getattr(absent, part).items():
            np.testing.assert_allclose(getattr(left_out, part)[name], values, rtol=1e-6)
    with pytest.raises(ValueError, match="sizes must be from 1 to the number of examples, 8, got 9"):
        jaxnn.population.learning_curve(
            plain_member,
            {"k": np.zeros(1)},
            X,
            Y,
            [9],
            dev=jaxnn.Batch(X, Y),
            seeds=[0],
            measure=measure,
            weight=COUNTS,
        )


# Metrics.

PREDICTED = RNG.integers(0, 3, M)
PROBABILITIES = RNG.dirichlet(np.ones(3), M)


def all_metrics(predicted, p, y, weight):
    return {
        "accuracy": jaxnn.accuracy(predicted, y, weight),
        "error rate": jaxnn.metrics.error_rate(predicted, y, weight),
        "log loss": jaxnn.metrics.log_loss(p, y, weight),
        "log loss of two": jaxnn.metrics.log_loss(p[:, 0], (y == 1) * 1 + (y < 0) * y, weight),
        "ece": jaxnn.metrics.expected_calibration_error(p, y, 4, weight),
        "confidence": jaxnn.metrics.reliability_curve(p, y, 4, weight).confidence,
        "true": jaxnn.metrics.reliability_curve(p, y, 4, weight).accuracy,
    }


def by_numpy(weight):
    """Compute the metrics from their definitions, in float64."""
    average, certain, guess = partial(np.average, weights=weight), PROBABILITIES.max(axis=1), PROBABILITIES.argmax(1)
    bins = np.clip(np.ceil(certain * 4) - 1, 0, 3)
    of_bin = [(bins == b) & (weight > 0) for b in range(4)]
    mean = [lambda v, s=s: np.average(v[s], weights=weight[s]) if s.any() else np.nan for s in of_bin]
    confidence, true = (np.array([of(v) for of in mean]) for v in (certain, (guess == Y) * 1.0))
    mass = np.array([weight[s].sum() for s in of_bin]) / weight.sum()
    return {
        "accuracy": average(PREDICTED == Y),
        "error rate": average(PREDICTED != Y),
        "log loss": sklearn.metrics.log_loss(Y, PROBABILITIES, sample_weight=weight, labels=range(3)),
        "log loss of two": average(-np.log(np.where(Y == 1, PROBABILITIES[:, 0], 1 - PROBABILITIES[:, 0]))),
        "ece": np.nansum(mass * np.abs(confidence - true)),
        "confidence": confidence,
        "true": true,
    }


COMPILED = jax.jit(all_metrics)


@pytest.mark.full
@settings(max_examples=15, deadline=None)
@given(hnp.arrays(np.float64, M, elements=st.floats(0, 1, width=16)), st.integers(-900, 900), st.booleans())
def test_metrics_are_numpys_at_any_scale(weight, exponent, host):
    """An example of weight 0 changes nothing, with any label, prediction or probability."""
    exponent = exponent if host else exponent // 9
    if not weight.any():
        weight[0] = 1
    measured = all_metrics if host else COMPILED
    zero = weight == 0
    p = np.where(zero[:, None], np.nan, PROBABILITIES)
    given = np.ldexp(weight, exponent)
    got = measured(np.where(zero, -7, PREDICTED), p, np.where(zero, -100, Y), given if host else jnp.asarray(given))
    for name, expected in by_numpy(weight).items():
        np.testing.assert_allclose(got[name], expected, rtol=2e-5, atol=1e-6, err_msg=name)


@pytest.mark.representatives("weight1", "weight2")
@pytest.mark.parametrize(
    "weight", [np.full(M, 500_000), np.full(M, 2**40), np.full(M, 100, np.float16), np.full(M, 1e39)]
)
def test_equal_weights_change_no_metric(weight):
    got, expected = (all_metrics(PREDICTED, PROBABILITIES, Y, w) for w in (weight, None))
    for name in expected:
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-6, err_msg=name)
    counts = jaxnn.metrics.confusion_matrix(PREDICTED, Y, 3)
    with np.errstate(over="ignore"):
        sums = (np.asarray(counts) * weight.astype(float).max()).astype(np.float32)
    np.testing.assert_allclose(jaxnn.metrics.confusion_matrix(PREDICTED, Y, 3, weight), sums, rtol=1e-6)


@pytest.mark.representatives("weight2")
@pytest.mark.parametrize("weight", [np.zeros(M), np.zeros(M, int), np.full(M, False)])
def test_metrics_of_nothing_are_nan(weight):
    for measured in (all_metrics, COMPILED):
        for name, value in measured(PREDICTED, PROBABILITIES, Y, jnp.asarray(weight)).items():
            assert np.isnan(value).all(), name
    assert not jaxnn.metrics.confusion_matrix(PREDICTED, Y, 3, weight).any()
    assert not jaxnn.metrics.reliability_curve(PROBABILITIES, Y, 4, weight).count.any()


def test_weighted_counts_are_sums_of_weights():
    sums = sklearn.metrics.confusion_matrix(Y, PREDICTED, labels=range(3), sample_weight=WEIGHT)
    np.testing.assert_allclose(jaxnn.metrics.confusion_matrix(PREDICTED, Y, 3, WEIGHT), sums, rtol=1e-6)
    count = jaxnn.metrics.reliability_curve(PROBABILITIES, Y, 1, WEIGHT).count
    np.testing.assert_allclose(count, [WEIGHT.sum()], rtol=1e-6)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (-np.ones(M), "weight must be at least 0, and one above 0, got -1.0 to -1.0"),
        (np.full(M, np.nan), r"weight must be finite, got nan at \(0,\) and 11 such values"),
        (np.ones(M - 1), r"weight must have shape \(11,\), one number per example, got \(10,\)"),
        (1.0, r"weight must have shape \(11,\), one number per example, got \(\)"),
    ],
)
def test_metrics_check_weights(weight, message):
    for metric in (
        lambda: jaxnn.accuracy(PREDICTED, Y, weight),
        lambda: jaxnn.metrics.error_rate(PREDICTED, Y, weight),
        lambda: jaxnn.metrics.log_loss(PROBABILITIES, Y, weight),
        lambda: jaxnn.metrics.confusion_matrix(PREDICTED, Y, 3, weight),
        lambda: jaxnn.metrics.reliability_curve(PROBABILITIES, Y, 4, weight),
        lambda: jaxnn.metrics.expected_calibration_error(PROBABILITIES, Y, 4, weight),
    ):
        with pytest.raises(ValueError, match=message):
            metric()
