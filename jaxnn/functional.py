"""The pure functions of layers and losses, on one page: forward with backward, value with gradient.

A forward returns the output and a cache; its backward takes the cache and the cotangent of the output, and returns the
cotangents of params and input. The value of a loss is one number for each example, or for each position in it, and its
gradient is with respect to the network's output. These are the functions that `jaxnn.nn` and `jaxnn.losses` export.

Example:
  >>> import jax.numpy as jnp
  >>> from jaxnn import functional
  >>> a, cache = functional.relu_forward(jnp.array([-1.0, 2.0]))
  >>> print(a, functional.relu_backward(cache, jnp.ones(2)))
  [0. 2.] [0. 1.]
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jaxnn import losses, nn

_SUFFIXES = ("_forward", "_backward", "_value", "_gradient")

if TYPE_CHECKING:  # so that type checkers see the names and signatures
    from jaxnn.losses import *  # noqa: F403
    from jaxnn.nn import *  # noqa: F403

globals().update({name: f for module in (nn, losses) for name, f in vars(module).items() if name.endswith(_SUFFIXES)})

# A type checker reads no loop: it takes all names of the two stars as exported.
__all__ = sorted(name for name in globals() if name.endswith(_SUFFIXES))  # pyright: ignore[reportUnsupportedDunderAll]

if not TYPE_CHECKING:  # a type checker would take every name for defined

    def __getattr__(name: str) -> Callable[..., Any]:
        raise AttributeError(f"name must be a function of jaxnn.functional, got {name!r}: one of {', '.join(__all__)}")
