"""Compiled programs, kept as long as they are used: a few of each kind, and no more.

What `jax.jit` compiles for a static argument, it keeps with that argument for ever. A program here is a jitted function
that closes over its network, objective or optimizer instead, found again by what it was made from, and dropped as a
whole. Equal layers are one key, so a loop that makes the same network anew compiles once.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any


def remembered(make: Callable[..., Any], most: int = 8) -> Callable[..., Any]:
    """Decorate a function that makes programs, so that the last ones are found again by equal arguments.

    Few, since a program holds what its objective closes over, and its own megabytes: a sweep must not fill the memory.
    """
    recent = lru_cache(maxsize=most)(make)

    @wraps(make)
    def made(*plan):
        try:
            return recent(*plan)
        except TypeError:  # callables without a hash, or what `make` raised itself, which comes again
            return make(*plan)

    return made
