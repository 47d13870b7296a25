"""What many rooms check of their arguments: numbers, names, keys and functions, told apart by type and shape alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import checks

KEY, OLD = jax.random.key(0), jax.random.PRNGKey(0)


@pytest.mark.parametrize("n", [1, np.int64(7), np.uint8(255)])
def test_counts(n):
    assert checks.is_count(n)


@pytest.mark.parametrize("n", [0, -1, True, 1.0, "1", None, np.array([1, 2]), jnp.array(1), np.True_, [1]])
def test_no_counts(n):
    assert not checks.is_count(n)


@pytest.mark.parametrize("value", [0, 0.5, np.float32(0.5), np.array(0.5), jnp.array(0.5), jnp.bfloat16(0.5)])
def test_numbers(value):
    assert checks.is_number(value) and checks.is_number(value, lambda v: 0 <= v < 1)
    assert not checks.is_number(value, lambda v: v > 1)


@pytest.mark.parametrize("value", ["0.5", None, True, np.True_, [0.5], np.zeros(1), 1j, np.str_("a"), KEY, len])
def test_no_numbers(value):
    assert not checks.is_number(value)


def test_of_a_traced_number_the_range_is_not_known():
    within = []
    jax.make_jaxpr(lambda v: within.append(checks.is_number(v, lambda v: v > 1)))(0.5)
    jax.make_jaxpr(lambda v: within.append(checks.is_number(v)))(np.zeros(2))
    assert within == [True, False]


@pytest.mark.parametrize("key", [KEY, OLD, np.asarray(OLD)])
def test_keys_of_either_kind(key):
    checks.check_key(key)
    jax.eval_shape(checks.check_key, key)
    keys = jnp.stack([key, key])
    jax.eval_shape(jax.vmap(checks.check_key), keys)
    with pytest.raises(ValueError, match=r"key holds \(2,\) random keys, expected one: .* jax.vmap over them"):
        checks.check_key(keys)


@pytest.mark.parametrize(
    ("key", "got"),
    [(0, "0"), (0.5, "0.5"), (None, "None"), ("a", "'a'"), (np.int64(3), "3"), (True, "True"), (np.zeros(2), "float64")]
    + [(np.random.default_rng(0), "a Generator"), (np.uint32(3), "3"), (jnp.array([1, 2]), r"int32 \(2,\)")],
)
def test_no_keys(key, got):
    with pytest.raises(ValueError, match=f"^key is {got}.*, expected a random key: jax.random.key"):
        checks.check_key(key)


@pytest.mark.parametrize("seed", [-1, 0.5, "a", None, True, KEY, OLD, np.random.default_rng(0)])
def test_no_seeds(seed):
    with pytest.raises(ValueError, match="^seed is .*, expected a whole number of at least 0"):
        checks.check_seed(seed)
    for good in (0, 3, np.int64(2)):
        checks.check_seed(good)


@pytest.mark.parametrize("value", ["no", 1, None, [True], np.array([True, False])])
def test_no_flags(value):
    with pytest.raises(ValueError, match="^shuffle is True or False, got"):
        checks.check_flag("shuffle", value)
    checks.check_flag("shuffle", np.True_)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("Relu", "did you mean 'relu'"), ("LeakyReLU", "did you mean 'leaky_relu'"), ("swish", r"'relu'\]")],
)
def test_a_near_name_is_told(name, hint):
    with pytest.raises(ValueError, match=rf"^unknown activation '{name}': expected one of \['leaky_relu', .*{hint}"):
        checks.check_name("activation", name, ["relu", "leaky_relu"])


@pytest.mark.parametrize("name", [None, ["relu"], b"relu", len, np.zeros(2), {}])
def test_what_is_no_name(name):
    with pytest.raises(ValueError, match="^unknown activation .*: expected one of"):
        checks.check_name("activation", name, {"relu": 1})


@pytest.mark.parametrize("shape", [4, (0,), (-1,), (4.0,), "4", None, np.zeros((2, 3)), (True,)])
def test_no_shapes(shape):
    with pytest.raises(ValueError, match="^in_shape is .*, expected the shape of one example"):
        checks.check_shape(shape)


def test_functions_are_told_by_what_they_take():
    good = [lambda a, b: 0, lambda *a: 0, lambda a, b, c=1: 0, jax.jit(lambda a, b: 0), functools.partial(pow, 1), max]
    for function in good:
        checks.check_callable("measure", function, "params", "batch")
    for bad in (lambda: 0, lambda a: 0, lambda a, b, c: 0, jax.jit(lambda a: 0), lambda a, *, b: 0):
        with pytest.raises(ValueError, match=r"^measure takes \(.*\), expected a function measure\(params, batch\)"):
            checks.check_callable("measure", bad, "params", "batch")
    for none in (None, "accuracy", 3, {}):
        with pytest.raises(ValueError, match=r"^measure is .*, expected a function measure\(params, batch\)"):
            checks.check_callable("measure", none, "params", "batch")


@pytest.mark.parametrize("value", [np.zeros((50, 50)), jnp.zeros((50, 50)), list(range(1000)), len, "x" * 999, KEY, {}])
def test_a_message_stays_one_short_line(value):
    assert len(checks.described(value)) <= 60 and "\n" not in checks.described(value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.ma.masked_array([1.0, 2.0], [True, False]), r"x is masked at 1 places: fill them in, x.filled\(value\)"),
        ([[1.0], [1.0, 2.0]], r"x is \[\[1.0\], \[1.0, 2.0\]\], whose entries differ in shape"),
        (None, "x is None, expected an array"),
        ("abc", "x is 'abc', expected an array"),
        ({"a": 1}, r"x is \{'a': 1\}, expected an array"),
    ],
)
def test_what_makes_no_array(given, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        checks.as_array("x", given)
