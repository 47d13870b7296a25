"""Rearranging: the entries of an example in another shape, or its times in another order."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.constraints import Constraint, Count, Each, checked
from jaxnn.factories.decorator import factory
from jaxnn.nn.layer import Layer, stateless
from jaxnn.nn.reshaping import ONE_ARRAY
from jaxnn.nn.shapes import simplified, structs

__all__ = ["permute", "reshape"]

_WITH_TIMES = Constraint("the shape of one sequence, (T, ...)", test=bool)


@factory
@checked(sizes=Each(Count(0)))
def reshape(*sizes: int) -> Layer:
    """Return the layer that gives each example another shape: y has the entries of x in the same, row-major order.

    Derivation. Each entry of y is one of x, so dx has the entries of dy in the shape of x.

    Args:
      *sizes: of an example; reshape() makes numbers of examples with one entry.

    Returns:
      A `Layer` without params, from arrays (m, ...) of any dtype to (m, *sizes).

    Raises:
      ValueError: if a size is below 0; at `init` and when called, if an example has another number of entries.

    Example:
      An image, pixel by pixel:

      >>> import jax, jaxnn
      >>> from jaxnn import nn
      >>> network = jaxnn.chain(reshape(28 * 28, 1), nn.recurrent(nn.lstm_cell(8), "last"), jaxnn.dense(10))
      >>> network.init(jax.random.key(0), (28, 28, 1))[1]
      (10,)
    """
    n = math.prod(sizes)
    fits = Constraint(f"of examples with {n} entries, for {sizes}", test=lambda shape: math.prod(shape) == n)

    def forward(x):
        fits.check("x", x.shape[1:])
        return x.reshape(x.shape[0], *sizes), x[:0]

    def out_shape(in_shape):
        like = structs(ONE_ARRAY.check("in_shape", in_shape))
        fits.check("in_shape", tuple(like.shape))
        return simplified(jax.ShapeDtypeStruct(sizes, like.dtype))

    return stateless(forward, lambda like, dy: dy.reshape(dy.shape[0], *like.shape[1:]), out_shape, whole_numbers=True)


@factory
@checked(seed=Count(0))
def permute(seed: int = 0) -> Layer:
    """Return the layer that puts the times of sequences in one fixed random order π: y_t = x_π(t), t = 0, ..., T - 1.

    A sequence has the same numbers then, but what belongs together is far apart: the usual test of long memory, on the
    pixels of an image.

    Derivation. Each time of x is one of y, so dx_π(t) = dy_t.

    Args:
      seed: π is `numpy.random.default_rng(seed).permutation(T)`.

    Returns:
      A `Layer` without params, from arrays (m, T, ...) of any dtype to the same shape.

    Raises:
      ValueError: if the seed is below 0; at `init`, if an example is not one sequence (T, ...).

    Example:
      >>> import jax.numpy as jnp
      >>> permute(1).infer((), (), jnp.arange(5)[None]).tolist()
      [[4, 0, 1, 2, 3]]

    Source: Le, Jaitly and Hinton, "A simple way to initialize recurrent networks of rectified linear units", 2015,
    section 4.2.
    """

    def order(n_steps):
        return np.random.default_rng(seed).permutation(n_steps)

    def backward(cache, dy):
        times = order(dy.shape[1])
        if not isinstance(dy, jax.Array):
            return dy[:, np.argsort(times)]
        # As autodiff: on a CPU, XLA adds rows at their places in half of the time in which it gathers them.
        return jnp.zeros_like(dy).at[:, times].add(dy)

    def out_shape(in_shape):
        _WITH_TIMES.check("in_shape", tuple(structs(ONE_ARRAY.check("in_shape", in_shape)).shape))
        return in_shape

    return stateless(lambda x: (x[:, order(x.shape[1])], ()), backward, out_shape, whole_numbers=True)


CASES = {
    "reshape": (lambda: reshape(3, 4, 1), (2, 6)),
    "permute": (lambda: permute(3), (7, 2)),
}
