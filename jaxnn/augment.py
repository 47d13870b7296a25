"""Random changes to images that leave their class as it is: every epoch then trains on images never seen before.

An augmentation is a pure function `(key, image) -> image` of one image, (h, w) or (h, w, channels); without a key it
changes nothing, or as little as it can. `augmented` puts one into an objective, so that it runs inside the compiled
training step, on the device, with fresh randomness at every step.

Changes of place are displacement fields. Pixel p of the new image is read from the old one at p + d(p), between
pixels by bilinear interpolation, and outside the image there is 0. `displaced` adds up fields and reads once, since
every reading blurs.

Each factory refuses amounts that are no numbers, or outside their range, and functions of other arguments, and what it
makes refuses what is no image, with a ValueError.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from jaxnn.checks import check_callable, check_key, check_shape, described, held, is_count, is_number
from jaxnn.factories import factory
from jaxnn.objective import Objective, check_objective
from jaxnn.typing import Array, Batch, Key, Shape

Augmentation: TypeAlias = Callable[[Key | None, Array], Array]
"""`augment(key, image) -> image`."""
Field: TypeAlias = Callable[[Key, int, int], Array]
"""`field(key, h, w) -> d`, (2, h, w): down and right, in pixels, float32."""


@factory
def augmented(objective: Objective, augment: Augmentation, image_shape: Shape | None = None) -> Objective:
    """The objective of randomly changed examples: J of the batch with x_i replaced by augment(key_i, x_i).

    Each example is changed by a key of its own, made from the key of the step. Without a key, as in an evaluation,
    the objective is the one that was given. Nothing is learned by an augmentation, and it has no gradient to derive:
    the gradient is that of the given objective, at other inputs. Other randomness, dropout's say, stays as it was.

    Args:
      objective: what to minimise.
      augment: a function `(key, image) -> image`.
      image_shape: (h, w) or (h, w, channels), where the examples are images laid out as rows; by default each
        example is an image as it is.

    Returns:
      An `Objective`.

    Raises:
      ValueError: an objective, an augmentation or an image shape that is none; when called, examples that do not have
        h·w·channels numbers, or are no images, or no random key.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> model = jaxnn.logistic_regression(4)
      >>> noisy = augmented(jaxnn.objective(model.network, model.loss), gaussian_noise(0.1), image_shape=(2, 2))
      >>> params = jax.tree.map(jnp.ones_like, model.init(jax.random.key(0)))
      >>> batch = jaxnn.Batch(jnp.ones((3, 4)), jnp.array([1, 1, 0]))
      >>> [round(float(noisy.value(params, batch, key)), 3) for key in (None, jax.random.key(0), jax.random.key(1))]
      [1.673, 1.658, 1.838]
    """
    check_objective(objective)
    check_callable("augment", augment, "key", "image")
    if image_shape is not None:
        check_shape(image_shape)

    def changed(batch: Batch, key: Key | None) -> Batch:
        if key is None:
            return batch
        check_key(key)
        batch = batch._replace(x=held(batch.x))
        m = batch.x.shape[0]
        shape = batch.x.shape[1:] if image_shape is None else tuple(image_shape)
        if math.prod(shape) != math.prod(batch.x.shape[1:]):
            raise ValueError(f"examples of shape {batch.x.shape[1:]} are no images of shape {shape}: see image_shape")
        images = jax.vmap(augment)(
            jax.random.split(jax.random.fold_in(key, _AUGMENTATION), m), batch.x.reshape(m, *shape)
        )
        return batch._replace(x=images if image_shape is None else images.reshape(m, -1))

    def check(params, batch):
        x = jax.eval_shape(lambda x: changed(batch._replace(x=x), jax.random.key(0)).x, batch.x)
        objective.check(params, batch._replace(x=x))

    return Objective(
        lambda params, batch, key=None: objective.value(params, changed(batch, key), key),
        lambda params, batch, key=None, *scale: objective.value_and_grad(params, changed(batch, key), key, *scale),
        check,
        lambda params, batch, key=None, *scale: objective.watch(params, changed(batch, key), key, *scale),
    )


@factory
def in_turn(*augmentations: Augmentation) -> Augmentation:
    """One augmentation after another, each with randomness of its own.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> augment = in_turn(flips(), crops(2, 2))
      >>> augment(jax.random.key(0), jnp.ones((3, 3))).shape
      (2, 2)
    """
    for one in augmentations:
        check_callable("augment", one, "key", "image")

    def augment(key, image):
        for i, one in enumerate(augmentations):
            # By number: one more at the end leaves the others' randomness as it was.
            image = one(None if key is None else jax.random.fold_in(key, i), image)
        return image

    return augment


@factory
def flips(axis: int = 1) -> Augmentation:
    """Half of the images are mirrored: left and right change places (axis 1), or top and bottom (axis 0).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> image = jnp.array([[1, 2, 3]])
      >>> [flips()(jax.random.key(seed), image).tolist() for seed in range(4)]
      [[[1, 2, 3]], [[3, 2, 1]], [[1, 2, 3]], [[3, 2, 1]]]
    """
    if not is_number(axis, lambda axis: axis in (0, 1)):
        raise ValueError(f"flips takes axis 0 (top and bottom) or 1 (left and right), got {described(axis)}")

    def augment(key, image):
        image = _as_image(image)
        return image if key is None else jnp.where(jax.random.bernoulli(key), jnp.flip(image, axis), image)

    return augment


@factory
def crops(height: int, width: int) -> Augmentation:
    """A window of the image, at a place where each is as likely; without a key, the one in the middle.

    Networks for windows are tested on windows too: `jax.vmap(partial(crops(24, 24), None))(images)`.

    Raises:
      ValueError: a window of no pixels, or one larger than the image.

    Example:
      >>> import jax.numpy as jnp
      >>> crops(1, 2)(None, jnp.arange(12).reshape(3, 4)).tolist()
      [[5, 6]]
    """
    if not (is_count(height) and is_count(width)):
        raise ValueError(f"crops takes a window of at least 1 x 1 pixels, got {described(height)} x {described(width)}")

    def augment(key, image):
        image = _as_image(image)
        spare = (image.shape[0] - height, image.shape[1] - width)
        if min(spare) < 0:
            raise ValueError(f"a window of {height} x {width} does not fit into an image of shape {image.shape}")
        if key is None:
            corner = jnp.array(spare) // 2
        else:
            corner = jax.random.randint(key, (2,), 0, jnp.array(spare) + 1)
        start, size = [*corner, *[0] * (image.ndim - 2)], (height, width, *image.shape[2:])
        return jax.lax.dynamic_slice(image, start, size)

    return augment


@factory
def gaussian_noise(deviation: Array | float) -> Augmentation:
    """x + ε, ε ~ N(0, deviation²), drawn for each number of the image.

    Args:
      deviation: at least 0, in units of the image; may be traced, as a hyperparameter.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> print(gaussian_noise(0.1)(jax.random.key(0), jnp.zeros(2)))
      [0.162 0.203]
    """
    _check_amount("gaussian_noise", "a deviation", deviation)

    def augment(key, image):
        if key is None:
            return image
        image = held(image)
        _check_floats(image)
        return image + jnp.asarray(deviation, image.dtype) * jax.random.normal(key, image.shape, image.dtype)

    return augment


@factory
def displaced(*fields: Field) -> Augmentation:
    """new(p) = old(p + Σ d(p)): the image read at displaced places, bilinearly, 0 outside.

    Args:
      fields: of `shifts`, `rotations`, `scalings`, `shears` and `elastic`, each with randomness of its own.

    Returns:
      An augmentation for images (h, w) or (h, w, channels) of floats; all channels move alike.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> image = jnp.zeros((28, 28)).at[8:20, 13:15].set(1)
      >>> augment = displaced(rotations(15), elastic(alpha=34, sigma=4))
      >>> augment(jax.random.key(0), image).shape
      (28, 28)
    """
    for field in fields:
        check_callable("field", field, "key", "h", "w")

    def augment(key, image):
        if key is None:
            return image
        image = _as_image(image)
        h, w = image.shape[:2]
        places = jnp.stack(jnp.meshgrid(jnp.arange(h), jnp.arange(w), indexing="ij")).astype(jnp.float32)
        for i, field in enumerate(fields):
            places = places + field(jax.random.fold_in(key, i), h, w)
        return bilinear(image, places)

    return augment


def bilinear(image: Array, places: Array) -> Array:
    """The image between its pixels: the mean of the four around a place, each by how near it is; outside, pixels are 0.

    At (r, c), with r = i + s and c = j + t, 0 <= s, t < 1:

        (1-s)(1-t) x_{i,j} + (1-s) t x_{i,j+1} + s (1-t) x_{i+1,j} + s t x_{i+1,j+1}.

    Args:
      image: (h, w) or (h, w, channels), floats.
      places: rows and columns (2, ...), floats; pixel (0, 0) is at (0, 0).

    Returns:
      The values, (...) or (..., channels), in the image's dtype.

    Raises:
      ValueError: no image of floats, or places that are not (2, ...).

    Example:
      >>> import jax.numpy as jnp
      >>> image = jnp.array([[0.0, 4.0], [8.0, 12.0]])
      >>> bilinear(image, jnp.array([[0.0, 0.5, 1.0], [0.25, 0.5, 1.5]])).tolist()
      [1.0, 6.0, 6.0]
    """
    image, places = _as_image(image), held(places)
    _check_floats(image)
    if np.shape(places)[:1] != (2,):
        raise ValueError(f"places are {described(places)}, expected rows and columns, (2, ...)")

    def of_channel(channel):
        return map_coordinates(channel, list(places), order=1, mode="constant", cval=0)

    return of_channel(image) if image.ndim == 2 else jax.vmap(of_channel, in_axes=-1, out_axes=-1)(image)


@factory
def shifts(pixels: Array | float) -> Field:
    """The whole image moves by up to so many pixels, down or up and right or left: d(p) = u, u ~ U(-pixels, pixels)².

    Example:
      >>> import jax, jax.numpy as jnp
      >>> bool(jnp.abs(shifts(2)(jax.random.key(0), 5, 5)).max() <= 2)
      True
    """
    _check_amount("shifts", "a number of pixels", pixels)
    return lambda key, h, w: jnp.broadcast_to(_uniform(key, pixels, 2)[:, None, None], (2, h, w))


@factory
def rotations(degrees: Array | float) -> Field:
    """The image turns about its middle c by an angle θ ~ U(-degrees, degrees): d(p) = (R(θ) - I)(p - c).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> d = rotations(90)(jax.random.key(0), 3, 3)
      >>> d[:, 1, 1].tolist()  # the middle stays
      [0.0, 0.0]
    """
    _check_amount("rotations", "an angle in degrees", degrees)

    def field(key, h, w):
        angle = jnp.deg2rad(_uniform(key, degrees, 1)[0])
        cos, sin = jnp.cos(angle) - 1, jnp.sin(angle)
        return _linear(jnp.array([[cos, -sin], [sin, cos]]), h, w)

    return field


@factory
def scalings(fraction: Array | float) -> Field:
    """Height and width grow or shrink, each by itself: d(p) = u ⊙ (p - c), u ~ U(-fraction, fraction)².

    A length l becomes l/(1 + u).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> bool(jnp.abs(scalings(0.5)(jax.random.key(0), 3, 3)).max() <= 0.5)
      True
    """
    _check_amount("scalings", "a fraction below 1", fraction, below=1)
    return lambda key, h, w: _linear(jnp.diag(_uniform(key, fraction, 2)), h, w)


@factory
def shears(degrees: Array | float) -> Field:
    """Upright lines lean to the right or left by an angle φ ~ U(-degrees, degrees): rows move by tan φ · (row - c).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> d = shears(45)(jax.random.key(0), 3, 3)
      >>> bool((d[0] == 0).all()), bool((d[1, 0] == -d[1, 2]).all())
      (True, True)
    """
    _check_amount("shears", "an angle in degrees below 90", degrees, below=90)

    def field(key, h, w):
        slope = jnp.tan(jnp.deg2rad(_uniform(key, degrees, 1)[0]))
        return _linear(jnp.array([[0, 0], [slope, 0]]), h, w)

    return field


@factory
def elastic(alpha: Array | float, sigma: Array | float) -> Field:
    """Elastic distortion, as ink moves between one hand's letters and the next: d = α · G_σ * u, u ~ U(-1, 1).

    A random number for each pixel and direction, smoothed by a Gaussian of standard deviation σ (outside the image the
    numbers are 0), times α. Where σ is small the image dissolves; where it is large the image moves as a whole.
    Far from the border a displacement's standard deviation is α / (2σ √(3π)), 1.4 pixels for α = 34 and σ = 4.

    The Gaussian is the same along rows and columns, so smoothing is two products with a Toeplitz matrix, G u Gᵀ.

    Args:
      alpha: the strength, at least 0, in pixels.
      sigma: the range, above 0, in pixels.

    Source: Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied to visual document
    analysis", 2003, who took α = 34 and σ = 4 for images of 28 x 28.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> d = elastic(alpha=34, sigma=4)(jax.random.key(0), 100, 100)
      >>> d.shape, bool(1 < d.std() < 2)
      ((2, 100, 100), True)
    """
    _check_amount("elastic", "a strength alpha", alpha)
    if not is_number(sigma, lambda sigma: 0 < sigma < float("inf")):
        got = described(sigma)
        raise ValueError(f"elastic takes a range sigma above 0, in pixels, got {got}: Simard et al. took 4")

    def field(key, h, w):
        u = jax.random.uniform(key, (2, h, w), minval=-1, maxval=1)
        return alpha * (_gaussian(h, sigma) @ u @ _gaussian(w, sigma).T)

    return field


# No network's layer gets a key by this number.
_AUGMENTATION = 0x41554754


def _gaussian(n: int, sigma: Array | float) -> Array:
    """The smoothing of n numbers as a matrix (n, n), by a kernel whose sum is 1 as long as σ < 2n."""

    def bell(offset):
        return jnp.exp(-0.5 * (offset / sigma) ** 2)

    i = jnp.arange(n, dtype=jnp.float32)
    return bell(i[:, None] - i[None]) / bell(jnp.arange(-8 * n, 8 * n + 1, dtype=jnp.float32)).sum()


def _linear(matrix: Array, h: int, w: int) -> Array:
    """d(p) = matrix (p - c), c the middle of the image."""
    rows = (jnp.arange(h, dtype=jnp.float32) - (h - 1) / 2).reshape(1, h, 1)
    columns = (jnp.arange(w, dtype=jnp.float32) - (w - 1) / 2).reshape(1, 1, w)
    return matrix[:, :1, None] * rows + matrix[:, 1:, None] * columns


def _uniform(key: Key, bound: Array | float, n: int) -> Array:
    return bound * jax.random.uniform(key, (n,), minval=-1, maxval=1)


def _check_amount(name: str, what: str, amount: Any, below: float = float("inf")) -> None:
    if not is_number(amount, lambda amount: 0 <= amount < below):
        raise ValueError(f"{name} takes {what} of at least 0, got {described(amount)}")


def _as_image(image: Any) -> Array:
    if len(getattr(image, "shape", ())) not in (2, 3):
        raise ValueError(
            f"image is {described(image)}, expected an array (h, w) or (h, w, channels): image_shape tells how rows "
            "are laid out, jax.vmap takes many"
        )
    return held(image)


def _check_floats(image: Any) -> None:
    # Between whole numbers, the image would be rounded.
    if not jnp.issubdtype(getattr(image, "dtype", None) or int, jnp.floating):
        raise ValueError(f"image is {described(image)}, expected an array of floats: image.astype('float32') / 255")
