"""Initial weights by name."""

from collections.abc import Callable

import jax

from jaxnn.typing import Initializer

__all__ = ["INITIALIZERS"]

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
