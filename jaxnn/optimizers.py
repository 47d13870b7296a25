"""Optimisers by name. They are optax's, and any other of optax's can be passed wherever one of these can."""

from collections.abc import Callable

import jax
import optax

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "sgd": optax.sgd,
    "momentum": lambda learning_rate: optax.sgd(learning_rate, momentum=0.9),
    "rmsprop": optax.rmsprop,
    "adagrad": optax.adagrad,
    "adam": optax.adam,
}
"""name -> `optimizer(learning_rate)`, with optax's defaults, and 0.9 for the momentum."""


def optimizer(name: str, learning_rate: float | optax.Schedule) -> optax.GradientTransformation:
    """The optimiser of that name.

    Args:
      name: one of `OPTIMIZERS`: "sgd" (plain gradient descent: batch, mini-batch or stochastic by the batch size),
        "momentum", "rmsprop", "adagrad" or "adam".
      learning_rate: a positive, finite scalar, or a schedule from the step to one.

    Returns:
      An `optax.GradientTransformation`.

    Raises:
      ValueError: an unknown name, or a rate that is not positive, or not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> sgd = optimizer("sgd", 0.1)
      >>> updates, _ = sgd.update(jnp.array([2.0]), sgd.init(jnp.array([1.0])))
      >>> print(updates)
      [-0.2]

    Sources: Polyak 1964 (momentum); Tieleman and Hinton 2012, lecture 6.5 (RMSprop); Duchi, Hazan and Singer 2011
    (Adagrad); Kingma and Ba 2014 (Adam).
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {name!r}: expected one of {sorted(OPTIMIZERS)}")
    known = not callable(learning_rate) and not isinstance(learning_rate, jax.core.Tracer)
    if known and not 0 < learning_rate < float("inf"):
        raise ValueError(
            f"a learning rate must be positive and finite, got {learning_rate}: the optimiser itself goes downhill"
        )
    return OPTIMIZERS[name](learning_rate)
