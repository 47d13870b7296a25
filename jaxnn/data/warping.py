"""Warp images by displacement fields.

Pixel p of the new image is read from the old one at p + d(p), by bilinear interpolation between pixels, and is 0
outside the image. `warp` adds fields and interpolates once, since every interpolation blurs.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from jaxnn.constraints import Each, Function, Numbers, Real, checked
from jaxnn.data.augmentation import FLOAT_IMAGE, IMAGE, Augmentation
from jaxnn.factories.decorator import factory
from jaxnn.typing import Array, Key

Field: TypeAlias = Callable[[Key, int, int], Array]
"""`field(key, h, w) -> d`, (2, h, w): down and right, in pixels, float32."""


@factory
@checked(fields=Each(Function("key", "h", "w", called="field")))
def warp(*fields: Field) -> Augmentation:
    """Displace the pixels of an image: new(p) = old(p + Σ d(p)), bilinearly, 0 outside.

    Args:
      fields: such as `random_shift`, `random_rotation`, `random_scale`, `random_shear` and
        `elastic_deformation`, each with a separate random key.

    Returns:
      An augmentation of float images (h, w) or (h, w, channels); all channels get the same displacement.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> image = jnp.zeros((28, 28)).at[8:20, 13:15].set(1)
      >>> augment = warp(random_rotation(15), elastic_deformation(alpha=34, sigma=4))
      >>> augment(jax.random.key(0), image).shape
      (28, 28)
    """

    @checked(image=IMAGE)
    def warped(key, image):
        h, w = image.shape[:2]
        coordinates = jnp.stack(jnp.meshgrid(jnp.arange(h), jnp.arange(w), indexing="ij")).astype(jnp.float32)
        for i, field in enumerate(fields):
            coordinates = coordinates + field(jax.random.fold_in(key, i), h, w)
        return bilinear(image, coordinates)

    return lambda key, image: image if key is None else warped(key, image)


@checked(image=FLOAT_IMAGE, coordinates=Numbers("2 ..."))
def bilinear(image: Array, coordinates: Array) -> Array:
    """Interpolate an image between its pixels by the weighted mean of the four neighbors; pixels outside are 0.

    At (r, c), with r = i + s and c = j + t, 0 <= s, t < 1:

        (1-s)(1-t) x_{i,j} + (1-s) t x_{i,j+1} + s (1-t) x_{i+1,j} + s t x_{i+1,j+1}.

    Args:
      image: (h, w) or (h, w, channels), floats.
      coordinates: rows and columns (2, ...), floats; pixel (0, 0) is at (0, 0).

    Returns:
      The values, (...) or (..., channels), in the image's dtype.

    Raises:
      ValueError: if the image is not an array of floats, or the coordinates are not (2, ...).

    Example:
      >>> import jax.numpy as jnp
      >>> image = jnp.array([[0.0, 4.0], [8.0, 12.0]])
      >>> bilinear(image, jnp.array([[0.0, 0.5, 1.0], [0.25, 0.5, 1.5]])).tolist()
      [1.0, 6.0, 6.0]
    """

    def of_channel(channel):
        return map_coordinates(channel, list(coordinates), order=1, mode="constant", cval=0)

    return of_channel(image) if image.ndim == 2 else jax.vmap(of_channel, in_axes=-1, out_axes=-1)(image)


@factory
@checked(pixels=Real(0))
def random_shift(pixels: Array | float) -> Field:
    """Shift the image vertically and horizontally: d(p) = u, u ~ U(-pixels, pixels)².

    Example:
      >>> import jax, jax.numpy as jnp
      >>> bool(jnp.abs(random_shift(2)(jax.random.key(0), 5, 5)).max() <= 2)
      True
    """
    return lambda key, h, w: jnp.broadcast_to(_uniform(key, pixels, 2)[:, None, None], (2, h, w))


@factory
@checked(degrees=Real(0))
def random_rotation(degrees: Array | float) -> Field:
    """Rotate the image about its center c by an angle θ ~ U(-degrees, degrees): d(p) = (R(θ) - I)(p - c).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> d = random_rotation(90)(jax.random.key(0), 3, 3)
      >>> d[:, 1, 1].tolist()  # the center is fixed
      [0.0, 0.0]
    """

    def field(key, h, w):
        angle = jnp.deg2rad(_uniform(key, degrees, 1)[0])
        cos, sin = jnp.cos(angle) - 1, jnp.sin(angle)
        return _linear(jnp.array([[cos, -sin], [sin, cos]]), h, w)

    return field


@factory
@checked(fraction=Real(0, 1, "left"))
def random_scale(fraction: Array | float) -> Field:
    """Scale height and width independently: d(p) = u ⊙ (p - c), u ~ U(-fraction, fraction)².

    A length l becomes l/(1 + u).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> bool(jnp.abs(random_scale(0.5)(jax.random.key(0), 3, 3)).max() <= 0.5)
      True
    """
    return lambda key, h, w: _linear(jnp.diag(_uniform(key, fraction, 2)), h, w)


@factory
@checked(degrees=Real(0, 90, "left"))
def random_shear(degrees: Array | float) -> Field:
    """Slant vertical lines by an angle φ ~ U(-degrees, degrees): rows move by tan φ · (row - c).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> d = random_shear(45)(jax.random.key(0), 3, 3)
      >>> bool((d[0] == 0).all()), bool((d[1, 0] == -d[1, 2]).all())
      (True, True)
    """

    def field(key, h, w):
        slope = jnp.tan(jnp.deg2rad(_uniform(key, degrees, 1)[0]))
        return _linear(jnp.array([[0, 0], [slope, 0]]), h, w)

    return field


@factory
@checked(alpha=Real(0), sigma=Real(0, closed="right", fix="it is in pixels"))
def elastic_deformation(alpha: Array | float, sigma: Array | float) -> Field:
    """Distort the image elastically, like variations in handwriting: d = α · G_σ * u, u ~ U(-1, 1).

    A random number for each pixel and direction, smoothed by a Gaussian of standard deviation σ (the numbers are 0
    outside the image), times α. With a small σ the image dissolves; with a large σ it moves as a whole.
    Far from the border the standard deviation of a displacement is α / (2σ √(3π)), 1.4 pixels for α = 34 and σ = 4.

    The Gaussian is separable, so smoothing is two products with Toeplitz matrices, G u Gᵀ.

    Args:
      alpha: the strength, at least 0, in pixels.
      sigma: the range, above 0, in pixels.

    Source: Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied to visual document
    analysis", 2003, who took α = 34 and σ = 4 for images of 28 x 28.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> d = elastic_deformation(alpha=34, sigma=4)(jax.random.key(0), 100, 100)
      >>> d.shape, bool(1 < d.std() < 2)
      ((2, 100, 100), True)
    """

    def field(key, h, w):
        u = jax.random.uniform(key, (2, h, w), minval=-1, maxval=1)
        return alpha * (_gaussian(h, sigma) @ u @ _gaussian(w, sigma).T)

    return field


def _gaussian(n: int, sigma: Array | float) -> Array:
    """Return the matrix (n, n) that smooths n numbers, by a kernel whose sum is 1 if σ < 2n."""

    def bell(offset):
        return jnp.exp(-0.5 * (offset / sigma) ** 2)

    i = jnp.arange(n, dtype=jnp.float32)
    return bell(i[:, None] - i[None]) / bell(jnp.arange(-8 * n, 8 * n + 1, dtype=jnp.float32)).sum()


def _linear(matrix: Array, h: int, w: int) -> Array:
    """Return d(p) = matrix (p - c), c the center of the image."""
    rows = (jnp.arange(h, dtype=jnp.float32) - (h - 1) / 2).reshape(1, h, 1)
    columns = (jnp.arange(w, dtype=jnp.float32) - (w - 1) / 2).reshape(1, 1, w)
    return matrix[:, :1, None] * rows + matrix[:, 1:, None] * columns


def _uniform(key: Key, bound: Array | float, n: int) -> Array:
    return bound * jax.random.uniform(key, (n,), minval=-1, maxval=1)
