"""Rescaling: numbers of another range, such as the bytes of images, to what a network is trained on."""

import jax
import jax.numpy as jnp

from jaxnn.arrays import zero_cotangent
from jaxnn.constraints import Numbers, Real, checked
from jaxnn.factories.decorator import factory
from jaxnn.nn.layer import Layer
from jaxnn.nn.shapes import structs
from jaxnn.typing import Array, Scalar

__all__ = ["rescale", "rescale_backward", "rescale_forward"]

_OPTIONS = dict(scale=Real(), offset=Real())


@checked(x=Numbers(), **_OPTIONS)
def rescale_forward(x: Array, scale: Scalar = 1 / 255, offset: Scalar = 0.0) -> tuple[Array, Array]:
    """Compute y = scale x + offset.

    Bytes, as images are stored in, so come to the device as they are, and need a quarter of the memory of floats.

    Args:
      x: numbers of any shape; whole ones become floats here, of JAX's default float dtype.
      scale: the factor; by default 1/255, so that bytes become numbers from 0 to 1.
      offset: what is added.

    Returns:
      y, floats in the shape of x, and the cache, which has no elements and carries the dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> print(rescale_forward(jnp.array([0, 51, 255], jnp.uint8))[0])
      [0.  0.2 1. ]
    """
    x = jnp.asarray(x)
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.result_type(float)
    return x.astype(dtype) * jnp.asarray(scale, dtype) + jnp.asarray(offset, dtype), jnp.zeros(0, x.dtype)


@checked(like=Numbers("0"), dy=Numbers(), scale=_OPTIONS["scale"])
def rescale_backward(like: Array, dy: Array, scale: Scalar = 1 / 255) -> Array:
    """Compute dx = scale dy, since y = scale x + offset; a float0 for whole numbers, as `jax.vjp` has it.

    Derivation. Each entry of y is scale times that of x, plus offset: its derivative is scale, and it has no other x.

    Example:
      >>> import jax.numpy as jnp
      >>> y, cache = rescale_forward(jnp.ones(2), 0.5)
      >>> print(rescale_backward(cache, jnp.ones(2), 0.5))
      [0.5 0.5]
    """
    if jnp.issubdtype(like.dtype, jnp.floating):
        return dy.astype(like.dtype) * jnp.asarray(scale, like.dtype)
    return zero_cotangent(jax.ShapeDtypeStruct(dy.shape, like.dtype))


@factory(computes="rescale_forward(x)")
@checked(**_OPTIONS)
def rescale(scale: Scalar = 1 / 255, offset: Scalar = 0.0) -> Layer:
    """Return the layer y = scale x + offset, also of whole numbers; `rescale_backward` derives its gradient.

    Args:
      scale: the factor, a scalar; by default 1/255, for images of 0 to 255. May be traced.
      offset: what is added, a scalar; may be traced.

    Returns:
      A `Layer` without params, from numbers (...) to floats (...).

    Raises:
      ValueError: if scale or offset is not a finite number; at `init`, if an example is not one array.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> images = jnp.zeros((8, 28, 28, 1), jnp.uint8)
      >>> network = jaxnn.chain(rescale(), jaxnn.flatten(), jaxnn.dense(10))
      >>> params, out_shape = network.init(jax.random.key(0), jaxnn.nn.shapes_of(images))
      >>> network.infer(params, (), images).shape
      (8, 10)
    """

    def init(key, in_shape):
        return (), tuple(structs(in_shape).shape)

    def forward(params, x, key=None):
        return rescale_forward(x, scale, offset)

    return Layer(init, forward, lambda params, like, dy: ((), rescale_backward(like, dy, scale)))


CASES = {
    "rescale": (rescale, (5,)),
    "rescale_bytes": (lambda: rescale(0.5, -1.0), jax.ShapeDtypeStruct((2, 3), "uint8")),
}
