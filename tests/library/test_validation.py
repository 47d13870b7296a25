"""Validation of numbers, names, keys and functions, by type and shape."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import arrays, constraints, validation

KEY, OLD = jax.random.key(0), jax.random.PRNGKey(0)


@pytest.mark.parametrize("n", [1, np.int64(7), np.uint8(255)])
def test_counts(n):
    assert validation.is_count(n)


@pytest.mark.parametrize("n", [0, -1, True, 1.0, "1", None, np.array([1, 2]), jnp.array(1), np.True_, [1]])
def test_no_counts(n):
    assert not validation.is_count(n)


@pytest.mark.parametrize("value", [0, 0.5, np.float32(0.5), np.array(0.5), jnp.array(0.5), jnp.bfloat16(0.5)])
def test_numbers(value):
    assert validation.is_number(value) and validation.is_number(value, lambda v: 0 <= v < 1)
    assert not validation.is_number(value, lambda v: v > 1)


@pytest.mark.parametrize("value", ["0.5", None, True, np.True_, [0.5], np.zeros(1), 1j, np.str_("a"), KEY, len])
def test_no_numbers(value):
    assert not validation.is_number(value)


def test_range_of_a_traced_number_is_not_checked():
    within = []
    jax.make_jaxpr(lambda v: within.append(validation.is_number(v, lambda v: v > 1)))(0.5)
    jax.make_jaxpr(lambda v: within.append(validation.is_number(v)))(np.zeros(2))
    assert within == [True, False]


@pytest.mark.parametrize("number", [np.float32(0.5), jnp.float32(0.5), jnp.bfloat16(0.5)])
def test_number_that_is_not_traced_is_checked_inside_a_traced_function_too(number):
    found, outside = [], number + 1

    @jax.make_jaxpr
    def run(x):
        found.append(validation.is_number(number, lambda v: v > 1))
        found.extend((validation.is_constant(number, 0.5), validation.is_constant(number, 1)))
        found.append(validation.is_constant(x, 0.5))
        with pytest.raises(ValueError, match="^rate must be .*, got 1.5"):
            jaxnn.dropout(outside)
        for made in (jaxnn.dropout(number), jaxnn.l2(number), jaxnn.losses.huber(number)):
            assert made.factory_call is not None
        return jaxnn.losses.huber(number).value(x[None], x[None])

    run(0.5)
    assert found == [False, True, False, False]


@pytest.mark.parametrize("key", [KEY, OLD, np.asarray(OLD)])
def test_keys_of_either_kind(key):
    check = partial(constraints.RandomKey().check, "key")
    jax.eval_shape(check, key)
    keys = jnp.stack([check(key), key])
    jax.eval_shape(jax.vmap(check), keys)
    with pytest.raises(ValueError, match=r"key must be one random key, got .* \(2,.*\): .* jax.vmap over them"):
        check(keys)


@pytest.mark.parametrize(
    ("key", "got"),
    [(0, "0"), (0.5, "0.5"), (None, "None"), ("a", "'a'"), (np.int64(3), "3"), (True, "True"), (np.zeros(2), "float64")]
    + [(np.random.default_rng(0), "a Generator"), (np.uint32(3), "3"), (jnp.array([1, 2]), r"int32 \(2,\)")],
)
def test_no_keys(key, got):
    with pytest.raises(ValueError, match=f"^key must be one random key, got {got}.*: jax.random.key"):
        constraints.RandomKey().check("key", key)


def test_functions_are_checked_by_what_they_take():
    check = partial(constraints.Function("params", "batch").check, "measure")
    good = [lambda a, b: 0, lambda *a: 0, lambda a, b, c=1: 0, jax.jit(lambda a, b: 0), functools.partial(pow, 1), max]
    for function in good:
        assert check(function) is function
    for bad in (lambda: 0, lambda a: 0, lambda a, b, c: 0, jax.jit(lambda a: 0), lambda a, *, b: 0):
        with pytest.raises(
            ValueError, match=r"^measure must be a function measure\(params, batch\), got a function of \("
        ):
            check(bad)
    for none in (None, "accuracy", 3, {}):
        with pytest.raises(ValueError, match=r"^measure must be a function measure\(params, batch\), got "):
            check(none)


@pytest.mark.parametrize("value", [np.zeros((50, 50)), jnp.zeros((50, 50)), list(range(1000)), len, "x" * 999, KEY, {}])
def test_message_is_one_short_line(value):
    assert len(validation.described(value)) <= 60 and "\n" not in validation.described(value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            np.ma.masked_array([1.0, 2.0], [True, False]),
            r"x must have no masked entries, got 1: fill them with x.filled\(value\)",
        ),
        ([[1.0], [1.0, 2.0]], r"x must be an array, got \[\[1.0\], \[1.0, 2.0\]\], whose entries differ in shape"),
        (None, "x must be an array, got None"),
        ("abc", "x must be an array, got 'abc'"),
        ({"a": 1}, r"x must be an array, got \{'a': 1\}"),
    ],
)
def test_values_that_are_not_arrays(given, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        arrays.as_array("x", given)


def test_advice_for_inputs_is_true_of_them():
    cases = {
        "x.astype('float32')": [np.ones((4, 3), int), np.full((4, 3), 7, np.uint8), np.ones((4, 8, 8), np.uint8)],
        "x.astype('float32') / 255 for images of 0 to 255": [
            np.full((4, 8, 8), 9, np.uint8),
            np.full((4, 64), 9, "u1"),
        ],
        "words are not numeric, drop them or encode them, such as 0 and 1 for each word": [np.full((2, 2), "a")],
    }
    for advice, given in cases.items():
        assert [arrays.dtype_hint("x", a) for a in given] == [advice] * len(given)


class Frame:
    """The parts of a data frame that are used."""

    def __init__(self, **columns):
        self._of, self.columns = {name: np.asarray(column) for name, column in columns.items()}, list(columns)
        self.dtypes = [column.dtype for column in self._of.values()]

    def __getitem__(self, name):
        return self._of[name]

    def __array__(self, dtype=None, copy=None):
        return np.stack([column.astype(object) for column in self._of.values()], axis=1)


def test_data_frame_with_words_names_its_columns():
    frame = Frame(age=[1.0, 2.0], city=["a", "b"], day=np.array(["2020", "2021"], "datetime64[D]"), old=[True, False])
    for take in (lambda x: jaxnn.data.check_batch(x, [0, 1]), jaxnn.data.fit_standardizer):
        with pytest.raises(
            ValueError, match="^x must be .*, got object.*: columns 'city', 'day' are not numeric, drop"
        ):
            take(frame)
    with pytest.raises(ValueError, match=r"x.astype\('float32'\)$"):
        jaxnn.data.check_batch(Frame(age=[1.0, 2.0], old=[True, False]), [0, 1])


@pytest.mark.parametrize(
    ("x", "y", "fix"),
    [
        ((3, 6), (1, 6), "x.T and y.T"),
        ((3, 6), (6,), "x.T"),
        ((3, 6), (6, 2), "x.T"),
        ((6, 3), (1, 6), r"y.T or y.ravel\(\)"),
        ((6, 3), (2, 6), "y.T"),
    ],
)
def test_examples_in_columns_raise(x, y, fix):
    x, y = np.zeros(x), np.zeros(y, int)
    for take in (
        jaxnn.data.check_batch,
        lambda x, y: jaxnn.split(x, y, (0.5, 0.5), seed=0),
        lambda x, y: jaxnn.data.host_batches(x, y, 2, seed=0),
    ):
        with pytest.raises(ValueError, match=f": examples are rows, use {fix}$"):
            take(x, y)


def test_examples_in_columns_and_params_in_one_dictionary_raise():
    model = jaxnn.mlp((3, 4, 1))
    params = model.init(KEY)
    course = {"W1": np.zeros((4, 3)), "b1": np.zeros((4, 1)), "W2": np.zeros((1, 4)), "b2": np.zeros((1, 1))}
    cases = {
        r"examples are rows, use x.T$": lambda: model.predict_proba(params, np.zeros((3, 6), np.float32)),
        r"got a dict: .*params_from_arrays makes them": lambda: model.predict_proba(
            course, np.zeros((6, 3), np.float32)
        ),
        r"list\(arrays.values\(\)\)": lambda: jaxnn.models.params_from_arrays(model.network, (3,), course),
        r"\['b'\] must have shape \(4,\), got \(4, 1\): b.ravel\(\)$": lambda: jaxnn.models.params_from_arrays(
            model.network, (3,), list(course.values())
        ),
        r"\(4, 1\): b.ravel\(\)$": lambda: jaxnn.functional.dense_forward(
            {"W": course["W1"], "b": course["b1"]}, np.zeros((6, 3))
        ),
        r"normal\(10.0\) has that standard deviation": lambda: jaxnn.mlp((3, 4, 1), init=10.0),
        r"normal\(10\) has that standard deviation": lambda: jaxnn.dense(3, init=10),
        r"examples are rows, use y.T$": lambda: jaxnn.functional.sigmoid_cross_entropy_value(
            jnp.zeros((6, 1)), np.zeros((1, 6))
        ),
        r"got .* \(3, 6\): examples are rows, use y.T$": lambda: jaxnn.functional.softmax_cross_entropy_value(
            jnp.zeros((6, 3)), np.zeros((3, 6))
        ),
    }
    for message, run in cases.items():
        with pytest.raises(ValueError, match=message):
            run()


@pytest.mark.parametrize(
    "name", [name.removesuffix("_value") for name in jaxnn.losses.__all__ if name.endswith("_value")]
)
def test_a_loss_called_on_numbers_names_the_function(name):
    with pytest.raises(
        ValueError,
        match=rf"arguments of {name}\(\) must be those of a loss, got .*: compute with {name}_value\([za], y\)$",
    ):
        getattr(jaxnn.losses, name)(np.zeros((2, 3)), np.zeros(2))
    with pytest.raises(ValueError, match=r"must be those of a regularizer, .*: compute with no_regularizer\(\).value"):
        jaxnn.regularizers.no_regularizer({"W": 1})
    with pytest.raises(
        ValueError, match=r"strength must be .*, got {'W': 1}: compute with l2\(0.01\).value\(params\)$"
    ):
        jaxnn.l2({"W": 1})
