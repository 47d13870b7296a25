"""Random changes of images that keep their class, so that every epoch trains on new images.

An augmentation is a pure function `(key, image) -> image` of one image, (h, w) or (h, w, channels); without a key it
returns the image unchanged, except that a crop takes the center. `jaxnn.train.with_augmentation` adds one to an
objective, so that it runs inside the compiled training step, on the device, with new random numbers at every step.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from jaxnn.arrays import promote_large_integers
from jaxnn.factories.decorator import factory
from jaxnn.typing import Array, Key
from jaxnn.validation import check_callable, described, is_count, is_number

Augmentation: TypeAlias = Callable[[Key | None, Array], Array]
"""`augment(key, image) -> image`."""


@factory
def compose(*augmentations: Augmentation) -> Augmentation:
    """Apply augmentations one after another, each with a separate random key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> augment = compose(random_flip(), random_crop(2, 2))
      >>> augment(jax.random.key(0), jnp.ones((3, 3))).shape
      (2, 2)
    """
    for augmentation in augmentations:
        check_callable("augment", augmentation, "key", "image")

    def augment(key, image):
        for i, augmentation in enumerate(augmentations):
            # By index: one added at the end does not change the random numbers of the others.
            image = augmentation(None if key is None else jax.random.fold_in(key, i), image)
        return image

    return augment


@factory
def random_flip(axis: int = 1) -> Augmentation:
    """Mirror an image with probability 1/2: left and right (axis 1), or top and bottom (axis 0).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> image = jnp.array([[1, 2, 3]])
      >>> [random_flip()(jax.random.key(seed), image).tolist() for seed in range(4)]
      [[[1, 2, 3]], [[3, 2, 1]], [[1, 2, 3]], [[3, 2, 1]]]
    """
    if not is_number(axis, lambda axis: axis in (0, 1)):
        raise ValueError(f"axis must be 0 (top and bottom) or 1 (left and right), got {described(axis)}")

    def augment(key, image):
        image = as_image(image)
        return image if key is None else jnp.where(jax.random.bernoulli(key), jnp.flip(image, axis), image)

    return augment


@factory
def random_crop(height: int, width: int) -> Augmentation:
    """Crop a window at a uniformly random place; without a key, at the center.

    A network trained on windows is tested on windows too: `jax.vmap(partial(random_crop(24, 24), None))(images)`.

    Raises:
      ValueError: if the window has no pixels; when called, if it is larger than the image.

    Example:
      >>> import jax.numpy as jnp
      >>> random_crop(1, 2)(None, jnp.arange(12).reshape(3, 4)).tolist()
      [[5, 6]]
    """
    if not (is_count(height) and is_count(width)):
        raise ValueError(
            f"height and width must be whole numbers of at least 1, got {described(height)} and {described(width)}"
        )

    def augment(key, image):
        image = as_image(image)
        spare = (image.shape[0] - height, image.shape[1] - width)
        if min(spare) < 0:
            raise ValueError(f"image must be at least {height} x {width} for random_crop, got {image.shape}")
        if key is None:
            corner = jnp.array(spare) // 2
        else:
            corner = jax.random.randint(key, (2,), 0, jnp.array(spare) + 1)
        start, size = [*corner, *[0] * (image.ndim - 2)], (height, width, *image.shape[2:])
        return jax.lax.dynamic_slice(image, start, size)

    return augment


@factory
def gaussian_noise(deviation: Array | float) -> Augmentation:
    """Add noise to each number of an image: x + ε, ε ~ N(0, deviation²).

    Args:
      deviation: at least 0, in units of the image; may be traced, such as a hyperparameter.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> print(gaussian_noise(0.1)(jax.random.key(0), jnp.zeros(2)))
      [0.162 0.203]
    """
    check_amount("deviation", deviation)

    def augment(key, image):
        if key is None:
            return image
        image = promote_large_integers(image)
        check_floats(image)
        return image + jnp.asarray(deviation, image.dtype) * jax.random.normal(key, image.shape, image.dtype)

    return augment


def check_amount(name: str, amount: Any, below: float = float("inf")) -> None:
    """Raise ValueError unless the amount is a number from 0 to below `below`."""
    if not is_number(amount, lambda amount: 0 <= amount < below):
        upper = "finite" if below == float("inf") else f"below {below:g}"
        raise ValueError(f"{name} must be at least 0 and {upper}, got {described(amount)}")


def as_image(image: Any) -> Array:
    """Return an image (h, w) or (h, w, channels) as an array; raise ValueError for any other shape."""
    if len(getattr(image, "shape", ())) not in (2, 3):
        raise ValueError(
            f"image must be an array (h, w) or (h, w, channels), got {described(image)}: "
            "pass image_shape for examples that are rows, use jax.vmap for several images"
        )
    return promote_large_integers(image)


def check_floats(image: Any) -> None:
    """Raise ValueError unless the image holds floats."""
    # Whole numbers would be rounded.
    if not jnp.issubdtype(getattr(image, "dtype", None) or int, jnp.floating):
        raise ValueError(f"image must be an array of floats, got {described(image)}: image.astype('float32') / 255")
