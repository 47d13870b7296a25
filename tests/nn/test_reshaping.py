"""Flatten: images to rows in NumPy's order, and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn


@pytest.mark.parametrize("shape", [(3, 4, 5, 2), (3, 6), (3,), (1, 2, 2), (0, 2, 3)])
def test_rows_in_row_major_order_and_back(shape):
    x = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    layer = jaxnn.flatten()
    params, out_shape = layer.init(jax.random.key(0), shape[1:])
    y, cache = layer.forward(params, jnp.asarray(x))
    assert params == ()
    assert cache.size == 0
    np.testing.assert_array_equal(y, x.reshape(shape[0], int(np.prod(shape[1:]))))
    assert out_shape == y.shape[1:]
    dparams, dx = layer.backward(params, cache, y)
    assert dparams == ()
    np.testing.assert_array_equal(dx, x)


def test_image_of_the_notes():
    """64 x 64 x 3 pixels are 12 288 features, red, green and blue of one pixel side by side."""
    x = np.arange(64 * 64 * 3, dtype=np.float32).reshape(1, 64, 64, 3)
    y, _ = jaxnn.functional.flatten_forward(jnp.asarray(x))
    assert y.shape == (1, 12288)
    assert y[0, :3].tolist() == x[0, 0, 0].tolist()
