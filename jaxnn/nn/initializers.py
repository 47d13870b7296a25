"""Initial weights by name."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jaxnn.roles import WEIGHTS
from jaxnn.typing import Array, Initializer, Key, Shape
from jaxnn.validation import described, is_number

__all__ = ["INITIALIZERS", "InitializerName"]

InitializerName = Literal["zeros", "normal", "lecun", "glorot", "he", "orthogonal"]

INITIALIZERS: dict[InitializerName, Callable[[], Initializer]] = {
    "zeros": lambda: jax.nn.initializers.zeros,
    "normal": lambda: jax.nn.initializers.normal(0.01),
    "lecun": jax.nn.initializers.lecun_normal,
    "glorot": jax.nn.initializers.glorot_normal,
    "he": jax.nn.initializers.he_normal,
    "orthogonal": jax.nn.initializers.orthogonal,
}
"""Initializers of weights by name. With n_in inputs and n_out units, the standard deviation of a weight is
0 (zeros), 0.01 (normal), sqrt(1/n_in) (lecun), sqrt(2/(n_in + n_out)) (glorot), sqrt(2/n_in) (he). The inputs of a
filter are its size times the channels that it sees. Orthogonal weights keep the norm of what they multiply.

Sources: LeCun et al., "Efficient BackProp", 1998; Glorot and Bengio, "Understanding the difficulty of training
deep feedforward neural networks", 2010; He et al., "Delving deep into rectifiers", 2015; Saxe, McClelland and Ganguli,
"Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", 2014."""


def initial_weights(init: InitializerName | Initializer, key: Key, shape: Shape, name: str) -> Array:
    """Draw the weights of this name and shape in JAX's default float dtype.

    Initializers of JAX take the inputs n_in from the last axis but one and the units from the last, both times the
    sizes of all other axes: the table of weights states which axes those are.

    Raises:
      ValueError: if the initializer returns others.
    """
    initializer = init if callable(init) else INITIALIZERS[init]()
    last = [len(shape) + axis for axis in (WEIGHTS[name].inputs, WEIGHTS[name].units)]
    drawn = tuple(shape[i] for i in (*(i for i in range(len(shape)) if i not in last), *last))
    W = initializer(key, drawn, jnp.result_type(float))
    if getattr(W, "shape", None) != drawn or not jnp.issubdtype(W.dtype, jnp.floating):
        axes = "*size, " * (len(drawn) > 2) + "n_in, n_out"
        fix = ": call the factory (`he_normal()`, not `he_normal`)" if callable(W) else ""
        raise ValueError(f"init must return floats ({axes}), {drawn}, got {described(W)}{fix}")
    return jnp.moveaxis(jnp.asarray(W), (-2, -1), last)


def scale_hint(init: Any) -> str:
    """Return the end of a message for a number given as an initializer."""
    return f"jax.nn.initializers.normal({init}) has that standard deviation" if is_number(init) else ""
