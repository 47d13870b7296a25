"""An objective whose inputs are augmented at random in every step."""

import math

import jax

from jaxnn.arrays import promote_large_integers
from jaxnn.constraints import ExampleShape, Function, Nothing, RandomKey, checked
from jaxnn.data.augmentation import Augmentation
from jaxnn.data.batches import Batch
from jaxnn.factories.decorator import factory
from jaxnn.train.objectives import OBJECTIVE, Objective, no_carry
from jaxnn.typing import Key, Shape


@factory
@checked(objective=OBJECTIVE, augment=Function("key", "image"), image_shape=ExampleShape() | Nothing())
def with_augmentation(objective: Objective, augment: Augmentation, image_shape: Shape | None = None) -> Objective:
    """Make the objective of augmented examples: J of the batch with x_i replaced by augment(key_i, x_i).

    Each example has its own key, derived from the key of the step. Without a key, and in `evaluate`, the objective is
    the given one. An augmentation has no params, so there is no gradient to derive: the gradient is that of the given
    objective at the augmented inputs. Other randomness, such as dropout's, does not change.

    Args:
      objective: what to minimize.
      augment: a function `(key, image) -> image`.
      image_shape: (h, w) or (h, w, channels) if the examples are images flattened to rows; by default each example is
        an image.

    Returns:
      An `Objective`.

    Raises:
      ValueError: if objective, augmentation or image shape are of another type; when called, if the examples do not
        have h·w·channels numbers or are not images, or the key is not a random key.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> model = jaxnn.logistic_regression(4)
      >>> noisy = with_augmentation(
      ...     jaxnn.objective(model.network, model.loss), jaxnn.data.gaussian_noise(0.1), image_shape=(2, 2)
      ... )
      >>> params = jax.tree.map(jnp.ones_like, model.init(jax.random.key(0)))
      >>> batch = jaxnn.Batch(jnp.ones((3, 4)), jnp.array([1, 1, 0]))
      >>> [round(float(noisy.value(params, batch, key)[0]), 3) for key in (None, jax.random.key(0), jax.random.key(1))]
      [1.673, 1.658, 1.838]
    """

    @checked(key=RandomKey() | Nothing())
    def changed(batch: Batch, key: Key | None) -> Batch:
        if key is None:
            return batch
        x = promote_large_integers(batch.x)
        m = x.shape[0]
        shape = x.shape[1:] if image_shape is None else tuple(image_shape)
        if math.prod(shape) != math.prod(x.shape[1:]):
            raise ValueError(f"image_shape must have the size of examples {x.shape[1:]}, got {shape}")
        images = jax.vmap(augment)(jax.random.split(jax.random.fold_in(key, _AUGMENTATION), m), x.reshape(m, *shape))
        return batch._replace(x=images if image_shape is None else images.reshape(m, -1))

    def check(params, batch):
        x = jax.eval_shape(lambda x: changed(batch._replace(x=x), jax.random.key(0)).x, batch.x)
        objective.check(params, batch._replace(x=x))

    return Objective(
        lambda params, batch, key=None: objective.value(params, changed(batch, key), key),
        lambda params, batch, key=None, *scale: objective.value_and_grad(params, changed(batch, key), key, *scale),
        objective.evaluate,
        check,
        getattr(objective, "observes", True),
        getattr(objective, "start", no_carry),
    )


# No layer of a network has a key of this number.
_AUGMENTATION = 0x41554754
