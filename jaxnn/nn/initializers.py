"""Initial weights by name."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnn.factories.decorator import factory
from jaxnn.typing import Array, Initializer
from jaxnn.validation import described

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


@factory
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
    deviations = {
        **dict.fromkeys(("zeros", "normal"), lambda n_in, n_out: 1.0),
        **dict.fromkeys(("lecun", "he"), lambda n_in, n_out: n_in**-0.5),
        "glorot": lambda n_in, n_out: (n_in + n_out) ** -0.5,
    }
    if not isinstance(name, str) or name not in deviations:
        raise ValueError(f"init must be one of {sorted(deviations)} if widths are given, got {described(name)}")

    def initializer(key, shape, dtype=jnp.float32):
        n_rows, n_columns = (jnp.asarray(n, dtype) for n in (n_in, n_out))
        scale = deviations[name](n_rows, n_columns) / deviations[name](*(float(n) for n in shape))
        rows, columns = (jax.lax.broadcasted_iota(jnp.int32, shape, axis) for axis in (0, 1))
        corner = (rows < n_in) & (columns < n_out)
        return jnp.where(corner, INITIALIZERS[name]()(key, shape, dtype) * scale, 0)

    return initializer
