"""Data before training: splits, standardization, one-hot labels, batches, and error messages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import jaxnn
from tests.helpers.programs import compiled


def numbered(m):
    return np.arange(m, dtype=np.float64)[:, None]


# split


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    shares=st.lists(st.integers(1, 10), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
    stratify=st.booleans(),
)
def test_split_puts_every_example_in_one_part(sizes, shares, seed, stratify):
    y = np.repeat(np.arange(len(sizes)), sizes)
    m, fractions = len(y), np.array(shares) / sum(shares)
    x = numbered(m)
    try:
        parts = jaxnn.split(x, y, fractions, seed=seed, stratify=stratify)
    except ValueError:
        assert m * fractions.min() < 1  # a part would be empty
        return
    assert len(parts) == len(shares)
    together = np.concatenate([part.x[:, 0] for part in parts]).astype(int)
    assert np.array_equal(np.sort(together), np.arange(m))
    for part, fraction in zip(parts, fractions, strict=True):
        assert np.array_equal(part.y, y[part.x[:, 0].astype(int)])
        assert abs(len(part.y) - fraction * m) <= 1
        if stratify:
            counts = np.bincount(part.y, minlength=len(sizes))
            expected = len(part.y) * np.array(sizes) / m
            assert np.all(np.abs(counts - expected) <= 1 + len(sizes) * np.array(sizes) / m + 1e-9)


def test_stratified_split_of_rare_classes():
    """The shares are exact if they are integers; without stratification, they are random."""
    y = np.repeat([0, 1, 2], [800, 180, 20])
    parts = jaxnn.split(numbered(1000), y, (0.8, 0.1, 0.1), seed=0, stratify=True)
    assert [np.bincount(part.y).tolist() for part in parts] == [[640, 144, 16], [80, 18, 2], [80, 18, 2]]
    by_chance = jaxnn.split(numbered(1000), y, (0.8, 0.1, 0.1), seed=0)
    assert [np.bincount(part.y).tolist() for part in by_chance] != [[640, 144, 16], [80, 18, 2], [80, 18, 2]]


@pytest.mark.parametrize("stratify", [True, False])
def test_split_follows_its_seed(stratify):
    y = np.arange(40) % 3
    one, again, other = (jaxnn.split(numbered(40), y, (0.5, 0.5), seed=s, stratify=stratify) for s in (0, 0, 1))
    assert np.array_equal(one[0].x, again[0].x)
    assert not np.array_equal(one[0].x, other[0].x)
    assert not np.array_equal(np.sort(one[0].x[:, 0]), np.sort(other[0].x[:, 0]))


@pytest.mark.parametrize(
    ("x", "y", "fractions", "stratify", "message"),
    [
        (numbered(10), np.zeros(10), (0.5, 0.6), False, "fractions must sum to 1, got .* with sum 1.1"),
        (numbered(10), np.zeros(10), (1.0, 0.0), False, "fractions must be one positive number per part"),
        (numbered(10), np.zeros(10), (1.5, -0.5), False, "fractions must be one positive number per part"),
        (numbered(10), np.zeros(10), (np.nan, 1), False, "fractions must be one positive number per part"),
        (numbered(10), np.zeros(10), (), False, "fractions must be one positive number per part"),
        (
            numbered(10),
            np.zeros(9),
            (0.5, 0.5),
            False,
            r"y must be one target for each of the 10 examples, .*, got shape \(9,\)",
        ),
        (
            numbered(10),
            np.zeros((10, 2)),
            (0.5, 0.5),
            True,
            r"y must be labels \(m,\) to be stratified, got shape \(10, 2\)",
        ),
        (
            numbered(10),
            np.zeros(10),
            (0.97, 0.03),
            False,
            "fractions must give every part an example, got .* of 10 examples",
        ),
        (numbered(0), np.zeros(0), (1.0,), False, r"x must be at least one example .*, got shape \(0, 1\)"),
        (numbered(10), np.zeros(10), 0.8, False, "fractions must be one positive number per part, .* got 0.8"),
        (numbered(10), np.zeros(10), "0.8", False, "fractions must be one positive number per part, .* got '0.8'"),
        (1.0, 1.0, (0.5, 0.5), False, r"x must be at least one example \(m, ...\), got shape \(\)"),
        (numbered(10), np.zeros(10), (0.5, 0.5), "no", "stratify must be True or False, got 'no'"),
    ],
)
def test_split_raises(x, y, fractions, stratify, message):
    with pytest.raises(ValueError, match=message):
        jaxnn.split(x, y, fractions, seed=0, stratify=stratify)


# standardize


@pytest.mark.parametrize("shape", [(50, 4), (50, 2, 3), (50,), (1, 3)])
def test_standardize_is_scikit_learns(shape):
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=shape) * 7 + 3, rng.normal(size=shape)
    stats = jaxnn.data.fit_standardizer(train)
    scaler = StandardScaler().fit(train.reshape(shape[0], -1))
    for x in (train, test):
        expected = scaler.transform(x.reshape(shape[0], -1)).reshape(shape)
        np.testing.assert_allclose(jaxnn.standardize(stats, x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("constant", [0.0, 0.1, 0.3, 1.1, 1 / 3, 60000 / 7])
def test_constant_feature_becomes_exactly_zero(constant, dtype):
    """Its mean has rounding errors, and its deviation may be noise: the result must not be 0/0 or noise/noise."""
    x = np.full((1000, 2), constant, dtype)
    x[:, 1] = np.arange(1000) % 2
    stats = jaxnn.data.fit_standardizer(x)
    assert stats.mean.dtype == stats.std.dtype == np.promote_types(dtype, np.float32)
    out = jaxnn.standardize(stats, x)
    assert not np.any(out[:, 0])
    np.testing.assert_allclose(out[:, 1], 2 * x[:, 1] - 1)
    assert stats.std[0] == 1


@pytest.mark.parametrize("shape", [(20, 4, 5, 3), (20, 4, 3), (20, 3), (6, 4, 5, 1)])
def test_channels_are_standardized_as_scikit_learn_does_pixels(shape):
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=shape) * 7 + np.arange(shape[-1]), rng.normal(size=shape)
    stats = jaxnn.data.fit_standardizer(train, per_channel=True)
    assert stats.mean.shape == stats.std.shape == shape[-1:]
    scaler = StandardScaler().fit(train.reshape(-1, shape[-1]))
    for x in (train, test):
        expected = scaler.transform(x.reshape(-1, shape[-1])).reshape(shape)
        np.testing.assert_allclose(jaxnn.standardize(stats, x), expected, rtol=1e-12, atol=1e-12)


def test_constant_channel_becomes_exactly_zero():
    """A channel that is constant only within each image is not constant."""
    x = np.full((50, 3, 3, 2), 1 / 3, np.float32)
    x[..., 1] = np.arange(50)[:, None, None]
    out = jaxnn.standardize(jaxnn.data.fit_standardizer(x, per_channel=True), x)
    assert not np.any(out[..., 0])
    np.testing.assert_allclose([out[..., 1].mean(), out[..., 1].std()], [0, 1], atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.uint8])
def test_statistics_have_more_digits_than_few_bits(dtype):
    x = np.random.default_rng(0).integers(0, 256, (1000, 4)).astype(dtype)
    stats, wide = jaxnn.data.fit_standardizer(x), x.astype(np.float64)
    np.testing.assert_allclose(stats.mean, wide.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(stats.std, wide.std(axis=0), rtol=1e-7)
    out = jaxnn.standardize(stats, x)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, (wide - wide.mean(axis=0)) / wide.std(axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("smallest", [1e-45, 1e-40])
def test_deviation_too_small_for_its_dtype_divides_nothing_by_zero(smallest):
    """Subnormal numbers are 0 in compiled programs."""
    x = np.zeros((1001, 1), np.float32)
    x[0] = smallest
    for standardize in (jaxnn.standardize, jax.jit(jaxnn.standardize)):
        assert np.isfinite(standardize(jaxnn.data.fit_standardizer(x), x)).all()


def test_what_is_too_far_from_the_training_set_raises():
    stats = jaxnn.data.fit_standardizer(np.array([[0.0], [1e-3]], np.float32))
    with pytest.raises(
        ValueError, match=r"x must be near enough to the training set to be standardized in float32, got 0 to 3e\+38"
    ):
        jaxnn.standardize(stats, np.array([[0], [3e38]], np.float32))
    # What was not finite before is left to `check_batch`.
    assert np.isinf(jaxnn.standardize(stats, np.array([[np.inf]], np.float32)))


def test_large_offsets_keep_their_digits():
    x = (1e6 + np.arange(8.0)[:, None]).astype(np.float32)
    out = jaxnn.standardize(jaxnn.data.fit_standardizer(x), x)
    np.testing.assert_allclose(out[:, 0], (np.arange(8) - 3.5) / np.arange(8).std(), rtol=1e-5)


def test_pixels_in_bytes_become_floats():
    stats = jaxnn.data.fit_standardizer(np.array([[0], [255]], np.uint8))
    assert stats.mean.dtype == np.float32
    np.testing.assert_allclose(jaxnn.standardize(stats, np.array([[0], [255]], np.uint8)), [[-1], [1]])


def test_standardize_inside_a_program():
    stats = jax.tree.map(jnp.asarray, jaxnn.data.fit_standardizer(np.array([[1.0, 5], [3, 5]], np.float32)))
    np.testing.assert_allclose(compiled(jaxnn.standardize)(stats, jnp.array([[2.0, 6.0]])), [[0, 1]])
    images = jnp.tile(jnp.array([2.0, 6.0]), (2, 3, 3, 1))
    np.testing.assert_allclose(
        compiled(jaxnn.standardize)(stats, images), jnp.broadcast_to(jnp.arange(2.0), (2, 3, 3, 2))
    )


@pytest.mark.parametrize(
    ("own", "shape"),
    [((1,), (5, 4)), ((4,), (5, 1)), ((4,), (5,)), ((), (5, 4)), ((4,), (4,)), ((1, 4), (5, 4)), ((3,), (5, 3, 4))]
    + [((1,), (5, 3, 4)), ((3, 4), (5, 4)), ((5, 4), (5, 4)), ((), ())],
    ids=str,
)
def test_standardize_raises_for_statistics_of_another_shape(own, shape):
    stats = jaxnn.data.Standardizer(np.zeros(own), np.ones(own))
    fix = r"pass one example as x\[None\]" if own == shape != () else "fit it"
    with pytest.raises(ValueError, match=rf"x must be examples of the standardizer's shape \(.*\), got \(.*\): {fix}"):
        jaxnn.standardize(stats, np.ones(shape))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((0, 3)), r"x must be training examples as rows, \(m, ...\), got shape \(0, 3\)"),
        (np.float64(3), r"x must be training examples as rows, \(m, ...\), got shape \(\)"),
        (np.array([[1.0, np.nan]]), r"x must be finite, got nan at \(0, 1\) and 1 such values"),
        (np.full((2, 2), "1"), r"x must be real numbers, got <U1"),
        (np.ones((2, 2), object), "x must be real numbers, got object"),
        (np.full((2, 2), 1j), "x must be real numbers, got complex128"),
        (np.zeros((2, 2), "M8[s]"), "x must be real numbers, got datetime64"),
        (None, "x must be an array, got None"),
        (np.ma.masked_array([[1.0], [99.0]], [[False], [True]]), "x must have no masked entries, got 1"),
    ],
)
def test_standardizer_raises(x, message):
    with pytest.raises(ValueError, match=message):
        jaxnn.data.fit_standardizer(x)


@pytest.mark.parametrize("shape", [(5,), (5, 0), (0, 4, 3)])
def test_standardizer_by_channel_raises(shape):
    with pytest.raises(ValueError, match=r"x must be (\(m, ..., c\)|training examples).*, got shape"):
        jaxnn.data.fit_standardizer(np.ones(shape), per_channel=True)


# one_hot


@pytest.mark.parametrize(("dtype", "classes"), [("int64", 4), ("uint8", 300), ("int8", 130)])
def test_one_hot_is_scikit_learns(dtype, classes):
    """300 classes in 8 bits: class 256 is not class 0."""
    y = np.array([3, 0, 1, 1, 2], dtype)
    expected = OneHotEncoder(categories=[np.arange(classes)], sparse_output=False).fit_transform(y[:, None].astype(int))
    np.testing.assert_array_equal(jaxnn.data.one_hot(y, classes), expected)


def test_one_hot_in_a_dtype_and_in_a_program():
    out = compiled(lambda y: jaxnn.data.one_hot(y, 3, jnp.bfloat16))(jnp.array([2, 5, 0]))
    assert out.dtype == jnp.bfloat16
    assert out.astype(int).tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([0.0, 1.0]), r"an integer dtype, got float\d+"),
        (np.array([0, 3]), "y must be labels of 3 classes, from 0 to 2, got 0 to 3"),
        (np.array([-1, 1]), "y must be labels of 3 classes, from 0 to 2, got -1 to 1"),
        (np.array([[0], [1]]), r"y must be whole numbers of an integer dtype \(m,\), got int64 \(2, 1\): y.ravel\(\)"),
        (np.eye(3, dtype=int), r"y must be whole numbers .* \(m,\), got int64 \(3, 3\)"),
        (np.int64(1), r"y must be whole numbers .* \(m,\), got 1"),
        (["a", "b"], "an integer dtype, got <U1"),
        (None, "y must be an array, got None"),
    ],
)
def test_one_hot_raises(y, message):
    with pytest.raises(ValueError, match=message):
        jaxnn.data.one_hot(y, 3)


# batch_indices

PAIRS = [
    (1, 1),
    (2, 1),
    (2, 2),
    (5, 2),
    (5, 3),
    (5, 4),
    (6, 3),
    (7, 7),
    (10, 9),
    (64, 10),
    (100, 32),
    (2048, 700),
    (2049, 700),
]


@pytest.fixture(scope="module")
def batches():
    """(m, batch_size) -> in order, under one key, under another: all in one program."""

    @compiled
    def run(one, other):
        return [[jaxnn.data.batch_indices(key, *pair) for key in (None, one, other)] for pair in PAIRS]

    return dict(zip(PAIRS, jax.device_get(run(jax.random.key(0), jax.random.key(1))), strict=True))


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_batches_hold_every_example_once(pair, batches):
    m, batch_size = pair
    for indices, weight in batches[pair]:
        assert indices.shape == weight.shape == (-(-m // batch_size), batch_size)
        assert indices.dtype == np.int32
        assert np.array_equal(np.sort(indices[weight == 1]), np.arange(m))
        padding = indices.size - m
        assert np.array_equal(weight.ravel(), [1] * m + [0] * padding)
        assert not np.any(indices[weight == 0])


def test_batches_follow_their_key(batches):
    (in_order, _), (one, _), (other, _) = batches[100, 32]
    assert np.array_equal(in_order.ravel()[:100], np.arange(100))
    assert not np.array_equal(one, in_order) and not np.array_equal(one, other)


def test_every_example_is_as_often_in_every_place():
    keys = jax.random.split(jax.random.key(2), 4000)
    orders = np.asarray(jax.jit(jax.vmap(lambda key: jaxnn.data.batch_indices(key, 6, 6)[0][0]))(keys))
    counts = np.stack([(orders == i).sum(axis=0) for i in range(6)])
    expected = len(keys) / 6
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert chi_squared < 52.6  # 25 degrees of freedom: so much, or more, once in 1000 keys


@pytest.mark.parametrize("batch_size", [0, -1, 6])
def test_batch_size_outside_the_data_raises(batch_size):
    with pytest.raises(ValueError, match=f"from 1 to the number of examples, 5, got {batch_size}"):
        jaxnn.data.batch_indices(None, 5, batch_size)


# check_batch. The errors of `fit` are in tests/train.


def test_check_batch_returns_the_same_arrays():
    x, y, weight = jnp.ones((2, 3), jnp.bfloat16), np.array([True, False]), np.array([1, 0])
    batch = jaxnn.data.check_batch(x, y, weight)
    assert batch.x is x and batch.y is y and batch.weight is weight


@pytest.mark.parametrize("asarray", [np.asarray, jnp.asarray])
def test_check_batch_names_the_labels(asarray):
    with pytest.raises(ValueError, match="y must be labels of 2 classes, from 0 to 1, got 0 to 2"):
        jaxnn.data.check_batch(asarray(np.ones((2, 3), np.float32)), asarray([0, 2]), classes=2)
    with pytest.raises(ValueError, match="y must be labels of 3 classes, from 0 to 2, got -1 to 1"):
        jaxnn.data.check_batch(asarray(np.ones((2, 3), np.float32)), asarray([-1, 1]), classes=3)


@pytest.mark.parametrize("asarray", [np.asarray, jnp.asarray])
def test_check_batch_finds_nonfinite_values(asarray):
    x = np.ones((4, 3), np.float32)
    x[2, 1] = -np.inf
    with pytest.raises(ValueError, match=r"x must be finite, got -inf at \(2, 1\) and 1 such values"):
        jaxnn.data.check_batch(asarray(x), asarray([0, 1, 0, 1]))


def test_what_is_infinite_to_a_program_is_not_finite():
    with pytest.raises(ValueError, match="x must be finite, got .* and 4 such values"):
        jaxnn.data.check_batch(np.full((4, 1), 1e39), np.zeros(4))
    with pytest.raises(ValueError, match="weight must be real numbers, got complex128"):
        jaxnn.data.check_batch(np.ones((4, 1)), np.zeros(4), np.full(4, 1j))


def test_weights_of_any_scale_become_ones_that_a_program_can_add():
    """Those of 1e-46, which float32 rounds to 0, too; digits are kept where they differ."""
    x, y = np.ones((4, 1)), np.zeros(4)
    for value in (1e-46, 1e-320, 1e300, 7, 2**63):
        assert jaxnn.data.check_batch(x, y, [value, value, 0, value]).weight.tolist() == [1, 1, 0, 1]
    weight = np.array([1.0, 3.0, 0.3, 0.0])
    assert jaxnn.data.check_batch(x, y, weight).weight is weight
    for factor in (2.0**100, 2.0**-1000):
        assert jaxnn.data.check_batch(x, y, weight * factor).weight.tolist() == (weight / 4).tolist()


@pytest.mark.parametrize("classes", ["3", 0, -1, 3.0, None, True, ["a", "b"]])
def test_invalid_number_of_classes_raises(classes):
    for ask in (
        lambda: jaxnn.data.one_hot(np.array([0, 1]), classes),
        lambda: jaxnn.metrics.confusion_matrix([0, 1], [0, 1], classes),
    ):
        with pytest.raises(ValueError, match="classes must be a whole number of at least 1, got"):
            ask()


@pytest.mark.parametrize("seed", [-1, 0.5, "a", None, jax.random.key(0), np.random.default_rng(0)])
def test_invalid_seed_raises(seed):
    """`None` would be another shuffle each time, and a generator too."""
    x, y = numbered(4), np.zeros(4)
    for ask in (
        lambda: jaxnn.split(x, y, (0.5, 0.5), seed=seed),
        lambda: jaxnn.data.k_folds(y, 2, seed=seed),
        lambda: jaxnn.data.host_batches(x, y, 2, seed=seed),
    ):
        with pytest.raises(ValueError, match="seed must be a whole number of at least 0, got"):
            ask()


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((4, 1), object), np.zeros(4), r"x must be floats, got object: x.astype\('float32'\)$"),
        (None, np.zeros(4), "x must be an array, got None"),
        ([[1.0], [1.0, 2.0]], np.zeros(2), "x must be an array, got .*, whose entries differ in shape"),
        (
            np.ma.masked_array(np.ones((4, 1)), [[0], [0], [1], [1]]),
            np.zeros(4),
            "x must have no masked entries, got 2",
        ),
        (np.ones((4, 1)), np.full(4, 1j), "y must be real numbers, got complex128"),
        (np.ones((4, 1)), np.ones(4, object), "y must be real numbers, got object"),
    ],
)
def test_check_batch_raises(x, y, message):
    with pytest.raises(ValueError, match=message):
        jaxnn.data.check_batch(x, y)


def test_data_inside_a_program_raise():
    for ask in (
        jaxnn.data.fit_standardizer,
        lambda x: jaxnn.data.check_batch(x, x[:, 0]),
        lambda x: jaxnn.split(x, x, (0.5, 0.5), seed=0),
    ):
        with pytest.raises(
            ValueError, match="x must be concrete, got a traced array: .* outside of jit, vmap and grad"
        ):
            jax.make_jaxpr(ask)(np.ones((4, 1), np.float32))


@pytest.mark.parametrize(
    ("stats", "x", "message"),
    [
        (
            (np.zeros(1), np.ones(1)),
            np.ones((2, 1)),
            "stats must be the result of fit_standardizer, got .*: x comes second",
        ),
        (np.ones((2, 1)), np.ones((2, 1)), r"stats must be the result of fit_standardizer, got float64 \(2, 1\)"),
        (jaxnn.data.Standardizer(np.zeros(1), np.ones(1)), np.full((2, 1), "1"), "x must be real numbers, got <U1"),
        (
            jaxnn.data.Standardizer(np.zeros(1), np.ones(1)),
            np.ones((2, 1), object),
            "x must be real numbers, got object",
        ),
    ],
)
def test_standardize_raises(stats, x, message):
    with pytest.raises(ValueError, match=message):
        jaxnn.standardize(stats, x)


@pytest.mark.parametrize(
    ("key", "m", "batch_size", "message"),
    [
        (0, 5, 2, "key must be one random key, got 0"),
        (None, 5, 2.0, "from 1 to the number of examples, 5, got 2.0"),
        (None, 5, "2", "got '2'"),
        (None, 5, True, "got True"),
        (None, 5.0, 2, "m must be a whole number of at least 1, got 5.0"),
    ],
)
def test_batch_indices_raises(key, m, batch_size, message):
    with pytest.raises(ValueError, match=message):
        jaxnn.data.batch_indices(key, m, batch_size)


def test_standardizing_one_example_without_its_batch_axis_raises():
    stats = jaxnn.data.fit_standardizer(np.arange(8.0).reshape(4, 2))
    with pytest.raises(ValueError, match=r"got \(2,\): pass one example as x\[None\]"):
        jaxnn.data.standardize(stats, np.ones(2))
