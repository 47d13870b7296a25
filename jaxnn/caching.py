"""A bounded cache of compiled programs.

`jax.jit` keeps what it compiled for a static argument, and the argument, forever. A program here is a jitted function
that closes over its network, objective or optimizer instead. It is cached by what it was made from and evicted as a
whole. Equal layers are equal keys, so a loop that makes the same network again compiles once.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any


def bounded_cache(make: Callable[..., Any], most: int = 8) -> Callable[..., Any]:
    """Decorate a function that makes programs, so that the most recent ones are reused for equal arguments.

    The cache is small, since a program holds what its objective closes over and megabytes of code: a sweep must not
    fill the memory.
    """
    recent = lru_cache(maxsize=most)(make)

    @wraps(make)
    def cached(*args):
        try:
            return recent(*args)
        except TypeError:  # an argument has no hash, or `make` raised it, in which case it is raised again
            return make(*args)

    return cached
