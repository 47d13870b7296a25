"""Random changes of images that keep their class, so that every epoch trains on new images.

An augmentation is a pure function `(key, image) -> image` of one image, (h, w) or (h, w, channels); without a key it
returns the image unchanged, except that a crop takes the center. `jaxnn.train.with_augmentation` adds one to an
objective, so that it runs inside the compiled training step, on the device, with new random numbers at every step.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import promote_large_integers
from jaxnn.constraints import Constraint, Count, Each, Function, Real, checked
from jaxnn.factories.decorator import factory
from jaxnn.typing import Array, Key

Augmentation: TypeAlias = Callable[[Key | None, Array], Array]
"""`augment(key, image) -> image`."""


def _is_image(value: Any) -> bool:
    return len(getattr(value, "shape", ())) in (2, 3)


def _is_floating(value: Any) -> bool:
    return jnp.issubdtype(getattr(value, "dtype", None) or int, jnp.floating)


def _way_to_image(value: Any) -> str:
    if _is_image(value):
        return "images of whole numbers become floats by image.astype('float32') / 255"
    return "pass image_shape for examples that are rows, use jax.vmap for several images"


IMAGE = Constraint(
    "an array (h, w) or (h, w, channels)",
    ("image", None, [[1.0]], np.zeros(3)),
    _way_to_image,
    test=_is_image,
    convert=promote_large_integers,
)
"""The constraint of an image whose numbers stay what they are."""

FLOAT_IMAGE = Constraint(
    "an array of floats (h, w) or (h, w, channels)",
    ("image", None, [[1.0]], np.zeros(3), np.zeros((2, 2), int)),
    _way_to_image,
    test=lambda value: _is_image(value) and _is_floating(value),
    convert=promote_large_integers,
)
"""The constraint of an image that a change computes with: whole numbers would be rounded."""

_FLOATS = Constraint(
    "an array of floats",
    (None, np.zeros((2, 2), int)),
    "image.astype('float32') / 255",
    test=_is_floating,
    convert=promote_large_integers,
)


@factory
@checked(augmentations=Each(Function("key", "image", called="augment")))
def compose(*augmentations: Augmentation) -> Augmentation:
    """Apply augmentations one after another, each with a separate random key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> augment = compose(random_flip(), random_crop(2, 2))
      >>> augment(jax.random.key(0), jnp.ones((3, 3))).shape
      (2, 2)
    """

    def augment(key, image):
        for i, augmentation in enumerate(augmentations):
            # By index: one added at the end does not change the random numbers of the others.
            image = augmentation(None if key is None else jax.random.fold_in(key, i), image)
        return image

    return augment


@factory
@checked(axis=Real(0, 1, whole=True, description="0 (top and bottom) or 1 (left and right)"))
def random_flip(axis: int = 1) -> Augmentation:
    """Mirror an image with probability 1/2: left and right (axis 1), or top and bottom (axis 0).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> image = jnp.array([[1, 2, 3]])
      >>> [random_flip()(jax.random.key(seed), image).tolist() for seed in range(4)]
      [[[1, 2, 3]], [[3, 2, 1]], [[1, 2, 3]], [[3, 2, 1]]]
    """

    @checked(image=IMAGE)
    def augment(key, image):
        return image if key is None else jnp.where(jax.random.bernoulli(key), jnp.flip(image, axis), image)

    return augment


@factory
@checked(height=Count(), width=Count())
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

    @checked(image=IMAGE)
    def augment(key, image):
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
@checked(deviation=Real(0))
def gaussian_noise(deviation: Array | float) -> Augmentation:
    """Add noise to each number of an image: x + ε, ε ~ N(0, deviation²).

    Args:
      deviation: at least 0, in units of the image; may be traced, such as a hyperparameter.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> print(gaussian_noise(0.1)(jax.random.key(0), jnp.zeros(2)))
      [0.162 0.203]
    """

    @checked(image=_FLOATS)
    def noisy(key, image):
        return image + jnp.asarray(deviation, image.dtype) * jax.random.normal(key, image.shape, image.dtype)

    return lambda key, image: image if key is None else noisy(key, image)
