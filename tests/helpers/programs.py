"""Functions of layers as compiled programs, and comparison of numbers."""

from functools import partial

import chex
import jax
import numpy as np
import pytest

from jaxnn.nn.boundaries import call_forward

BATCH_SIZES = (1, 2, 7)


TOLERANCE = {"float64": dict(rtol=1e-12, atol=1e-12), "float32": dict(rtol=1e-5, atol=1e-6)}


BFLOAT16_EPS = 2**-7


dtypes = pytest.mark.parametrize("dtype", ["float64", "float32"])


compiled = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def is_float0(a):
    """Whether it is the cotangent of whole numbers, which has a shape and no value."""
    return getattr(a, "dtype", None) == jax.dtypes.float0


def numbers(tree):
    """The tree without its float0s."""
    return jax.tree.map(lambda a: None if is_float0(a) else a, tree)


@partial(compiled, static_argnums=0)
def value_and_slopes(loss, z, y):
    """A loss, and the gradient of its sum by the loss and by JAX, in one program: alone, each operation compiles."""
    return loss.value(z, y), loss.gradient(z, y), jax.grad(lambda z: loss.value(z, y).sum())(z)


@partial(compiled, static_argnums=0)
def curvatures(loss, z, y):
    """The gradient of the sum of the gradient, of the loss's own and of JAX's."""
    by_jax = jax.grad(lambda z: loss.value(z, y).sum())
    return [jax.grad(lambda z, first=first: first(z).sum())(z) for first in (lambda z: loss.gradient(z, y), by_jax)]


def same(got, expected, rtol, atol):
    """Equal in structure, shapes, dtypes and, to the tolerance, in value."""
    chex.assert_trees_all_equal_shapes_and_dtypes(got, expected)
    chex.assert_trees_all_close(numbers(got), numbers(expected), rtol=rtol, atol=atol)


def same_in_float32(got, expected):
    """Equal to five digits, or to 8 roundings of the largest number of all: sums of them lose that much.

    A gradient that is 0 by its nature, as of a bias before a norm, is nothing but such roundings.
    """
    sizes = (np.abs(np.asarray(a)) for a in jax.tree.leaves(numbers(expected)))
    largest = max((a.max(initial=0.0, where=np.isfinite(a)) for a in sizes), default=0.0)
    same(got, expected, rtol=TOLERANCE["float32"]["rtol"], atol=TOLERANCE["float32"]["atol"] * max(1.0, float(largest)))


def same_in_bfloat16(got, expected):
    """Equal to 8 bits of the leaf's largest element: sums of bfloat16 products keep no more."""
    chex.assert_trees_all_equal_shapes_and_dtypes(got, expected)
    for one, other in zip(jax.tree.leaves(numbers(got)), jax.tree.leaves(numbers(expected)), strict=True):
        one, other = np.asarray(one, np.float32), np.asarray(other, np.float32)
        np.testing.assert_allclose(one, other, rtol=0, atol=_rounding(other))


def close_in_bfloat16(one, other):
    """Whether two arrays are equal to 8 bits of the second's largest element."""
    one, other = np.asarray(one, np.float32), np.asarray(other, np.float32)
    return np.allclose(one, other, rtol=0, atol=_rounding(other))


def _rounding(a):
    return 2 * BFLOAT16_EPS * max(1, np.abs(a).max(initial=0))


def hand(layer, params, x, dy, key, rows=None):
    """(y, dparams, dx) by the layer's own backward."""
    y, cache = call_forward(layer, params, x, key, rows)
    return (y, *layer.backward(params, cache, dy))


# In every situation that the checker knows, one of each sort; the others at the given arguments alone, unless `--full`
# asks for more.
THOROUGH = {"relu", "dense_lecun"}
