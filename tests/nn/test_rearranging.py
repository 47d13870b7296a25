"""Other shapes and other orders of time: each entry goes where NumPy puts it, and its cotangent back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import nn


@pytest.mark.parametrize(
    ("shape", "sizes"), [((2, 6), (3, 4, 1)), ((4,), (2, 2)), ((), (1,)), ((1, 1), ()), ((0, 3), (5, 0))]
)
@pytest.mark.parametrize("m", [0, 1, 3])
def test_reshape_is_that_of_numpy(shape, sizes, m):
    x = np.arange(m * np.prod(shape, dtype=int), dtype=np.float32).reshape(m, *shape)
    layer = nn.reshape(*sizes)
    y, cache = layer.forward((), x)
    np.testing.assert_array_equal(y, x.reshape(m, *sizes))
    assert layer.init(jax.random.key(0), shape)[1] == sizes
    np.testing.assert_array_equal(layer.backward((), cache, y)[1], x)


def test_permute_keeps_each_time_whole_and_has_one_order():
    x = np.arange(60).reshape(2, 10, 3)
    layer = nn.permute(4)
    y, cache = layer.forward((), x)
    order = np.random.default_rng(4).permutation(10)
    for t in range(10):
        np.testing.assert_array_equal(y[:, t], x[:, order[t]])
    dy = jnp.asarray(np.random.default_rng(0).normal(size=y.shape))
    dx = layer.backward((), cache, dy)[1]
    for t in range(10):
        np.testing.assert_array_equal(dx[:, order[t]], dy[:, t])
    assert not np.array_equal(nn.permute(5).infer((), (), x), y)
    np.testing.assert_array_equal(jax.jit(lambda x: layer.infer((), (), x))(x), y)


def test_whole_numbers_stay_whole_numbers():
    for layer in (nn.reshape(2, 2), nn.permute()):
        y, cache = layer.forward((), jnp.arange(8, dtype="int32").reshape(2, 4))
        assert y.dtype == "int32"
        assert layer.backward((), cache, np.zeros(y.shape, jax.dtypes.float0))[1].dtype == jax.dtypes.float0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.reshape(-1), "argument 0 of reshape must be a whole number of at least 0, got -1"),
        (lambda: nn.reshape((2, 3)), "argument 0 of reshape must be a whole number"),
        (lambda: nn.permute(-1), "seed must be a whole number of at least 0, got -1"),
        (
            lambda: nn.reshape(3).init(jax.random.key(0), (2, 2)),
            r"in_shape must be of examples with 3 entries, for \(3,\), got \(2, 2\)",
        ),
        (lambda: nn.reshape(3).infer((), (), jnp.ones((2, 4))), r"x must be of examples with 3 entries"),
        (lambda: nn.permute().init(jax.random.key(0), ()), r"in_shape must be the shape of one sequence, \(T, ...\)"),
        (
            lambda: jaxnn.chain(nn.permute(), jaxnn.flatten()).init(
                jax.random.key(0), nn.shapes_of(nn.Sequences(jnp.ones((2, 3, 1)), jnp.array([1, 3])))
            ),
            r"layer 1 of 2, permute\(\): in_shape must be the shape of one array",
        ),
    ],
)
def test_errors_are_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
