"""Initial weights by name."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.constraints import OneOf, checked
from jaxnn.factories.decorator import factory
from jaxnn.typing import Array, Initializer, Key
from jaxnn.validation import described, is_number

INITIALIZERS: dict[str, Callable[[], Initializer]] = {
    "zeros": lambda: jax.nn.initializers.zeros,
    "normal": lambda: jax.nn.initializers.normal(0.01),
    "lecun": jax.nn.initializers.lecun_normal,
    "glorot": jax.nn.initializers.glorot_normal,
    "he": jax.nn.initializers.he_normal,
}
"""Initializers of W by name. With n_in inputs and n_out units, the standard deviation of a weight is
0 (zeros), 0.01 (normal), sqrt(1/n_in) (lecun), sqrt(2/(n_in + n_out)) (glorot), sqrt(2/n_in) (he).

Sources: LeCun et al., "Efficient BackProp", 1998; Glorot and Bengio, "Understanding the difficulty of training
deep feedforward neural networks", 2010; He et al., "Delving deep into rectifiers", 2015."""


def initial_weights(init: str | Initializer, key: Key, shape: tuple[int, int]) -> Array:
    """Draw weights (n_in, n_out) in JAX's default float dtype; raise ValueError if the initializer returns others."""
    initializer = INITIALIZERS[init]() if isinstance(init, str) else init
    W = initializer(key, shape, jnp.result_type(float))
    if getattr(W, "shape", None) != shape or not jnp.issubdtype(W.dtype, jnp.floating):
        fix = ": call the factory (`he_normal()`, not `he_normal`)" if callable(W) else ""
        raise ValueError(f"init must return floats (n_in, n_out), {shape}, got {described(W)}{fix}")
    return jnp.asarray(W)


def scale_hint(init: Any) -> str:
    """Return the end of a message for a number given as an initializer."""
    return f"jax.nn.initializers.normal({init}) has that standard deviation" if is_number(init) else ""


_DEVIATIONS = {
    **dict.fromkeys(("zeros", "normal"), lambda n_in, n_out: 1.0),
    **dict.fromkeys(("lecun", "he"), lambda n_in, n_out: n_in**-0.5),
    "glorot": lambda n_in, n_out: (n_in + n_out) ** -0.5,
}


@factory
@checked(name=OneOf(_DEVIATIONS, of="the initializers "))
def sliced_initializer(name: str, n_in: Array | int, n_out: Array | int) -> Initializer:
    """Return the named initializer of a layer of n_in inputs and n_out units, in the corner of a larger weight matrix.

    Args:
      name: one of `INITIALIZERS`.
      n_in: inputs that are used; may be traced.
      n_out: units that are used; may be traced.

    Returns:
      An initializer: for the shape (N_in, N_out) it draws what the named one draws, scales it to the standard deviation
      of the shape (n_in, n_out), and sets weights outside of that corner to 0.

    Raises:
      ValueError: if the name is unknown, or a function, whose standard deviation is unknown.

    Example:
      >>> import jax
      >>> print(sliced_initializer("normal", 1, 2)(jax.random.key(0), (2, 3)) != 0)
      [[ True  True False]
       [False False False]]
    """

    def initializer(key, shape, dtype=jnp.float32):
        n_rows, n_columns = (jnp.asarray(n, dtype) for n in (n_in, n_out))
        scale = _DEVIATIONS[name](n_rows, n_columns) / _DEVIATIONS[name](*(float(n) for n in shape))
        rows, columns = (jax.lax.broadcasted_iota(jnp.int32, shape, axis) for axis in (0, 1))
        corner = (rows < n_in) & (columns < n_out)
        return jnp.where(corner, INITIALIZERS[name]()(key, shape, dtype) * scale, 0)

    return initializer
