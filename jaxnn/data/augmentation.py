"""Random changes to images that leave their class as it is: every epoch then trains on images never seen before.

An augmentation is a pure function `(key, image) -> image` of one image, (h, w) or (h, w, channels); without a key it
changes nothing, or as little as it can. `jaxnn.train.with_augmentation` puts one into an objective, so that it runs
inside the compiled training step, on the device, with fresh randomness at every step.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from jaxnn.arrays import held
from jaxnn.factories.decorator import factory
from jaxnn.typing import Array, Key
from jaxnn.validation import check_callable, described, is_count, is_number

Augmentation: TypeAlias = Callable[[Key | None, Array], Array]
"""`augment(key, image) -> image`."""


@factory
def compose(*augmentations: Augmentation) -> Augmentation:
    """One augmentation after another, each with randomness of its own.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> augment = compose(random_flip(), random_crop(2, 2))
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
def random_flip(axis: int = 1) -> Augmentation:
    """Half of the images are mirrored: left and right change places (axis 1), or top and bottom (axis 0).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> image = jnp.array([[1, 2, 3]])
      >>> [random_flip()(jax.random.key(seed), image).tolist() for seed in range(4)]
      [[[1, 2, 3]], [[3, 2, 1]], [[1, 2, 3]], [[3, 2, 1]]]
    """
    if not is_number(axis, lambda axis: axis in (0, 1)):
        raise ValueError(f"random_flip takes axis 0 (top and bottom) or 1 (left and right), got {described(axis)}")

    def augment(key, image):
        image = as_image(image)
        return image if key is None else jnp.where(jax.random.bernoulli(key), jnp.flip(image, axis), image)

    return augment


@factory
def random_crop(height: int, width: int) -> Augmentation:
    """A window of the image, at a place where each is as likely; without a key, the one in the middle.

    Networks for windows are tested on windows too: `jax.vmap(partial(random_crop(24, 24), None))(images)`.

    Raises:
      ValueError: a window of no pixels, or one larger than the image.

    Example:
      >>> import jax.numpy as jnp
      >>> random_crop(1, 2)(None, jnp.arange(12).reshape(3, 4)).tolist()
      [[5, 6]]
    """
    if not (is_count(height) and is_count(width)):
        raise ValueError(
            f"random_crop takes a window of at least 1 x 1 pixels, got {described(height)} x {described(width)}"
        )

    def augment(key, image):
        image = as_image(image)
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
    check_amount("gaussian_noise", "a deviation", deviation)

    def augment(key, image):
        if key is None:
            return image
        image = held(image)
        check_floats(image)
        return image + jnp.asarray(deviation, image.dtype) * jax.random.normal(key, image.shape, image.dtype)

    return augment


def check_amount(name: str, what: str, amount: Any, below: float = float("inf")) -> None:
    """Raise a ValueError unless the amount is a number from 0 up to `below`."""
    if not is_number(amount, lambda amount: 0 <= amount < below):
        raise ValueError(f"{name} takes {what} of at least 0, got {described(amount)}")


def as_image(image: Any) -> Array:
    """Return an image (h, w) or (h, w, channels) as an array; raise a ValueError for any other shape."""
    if len(getattr(image, "shape", ())) not in (2, 3):
        raise ValueError(
            f"image is {described(image)}, expected an array (h, w) or (h, w, channels): image_shape tells how rows "
            "are laid out, jax.vmap takes many"
        )
    return held(image)


def check_floats(image: Any) -> None:
    """Raise a ValueError unless the image (h, w, ...) holds floats."""
    # Between whole numbers, the image would be rounded.
    if not jnp.issubdtype(getattr(image, "dtype", None) or int, jnp.floating):
        raise ValueError(f"image is {described(image)}, expected an array of floats: image.astype('float32') / 255")
