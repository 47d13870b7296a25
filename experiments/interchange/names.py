"""Find layers in named arrays: names of arrays begin with the name of their module, such as layers.0 of a layer."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cmp_to_key
from itertools import pairwise, zip_longest
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments.networks.spec import LayersSpec

Modules = dict[str, dict[str, np.ndarray]]
"""The arrays of each module by their names in it."""


class Contents(NamedTuple):
    """What a file has.

    Attributes:
      modules: its arrays; in the order of the layers, if the file has these too.
      spec: the network, if the file states its layers.
      output: what its outputs mean, if its last layer shows that; "" if not.
    """

    modules: Modules
    spec: LayersSpec | None = None
    output: str = ""


_OF_TRAINING = re.compile(
    r"(optimizer|optim|opt_state|lr_scheduler|scheduler)[./].*|(.*[./])?(rngs|seed_generator)[./].*"
)
"""Names of training state and random numbers, which are not part of the network."""


def grouped(arrays: Mapping[str, np.ndarray], pattern: str, example: str) -> Modules:
    """Return the arrays by module.

    Args:
      arrays: the arrays by name. Those of an optimizer or of random numbers are ignored.
      pattern: the regular expression of names, with the groups `module` and `array`, the array's name in it.
      example: valid names, for the error message.

    Raises:
      ValueError: if there is no array, or one has another name or is not of floats.
    """
    modules: Modules = {}
    for name, array in arrays.items():
        if _OF_TRAINING.fullmatch(name):
            continue
        match = re.fullmatch(pattern, name)
        if not match:
            raise ValueError(f"{name!r} must be the name of a layer's array, such as {example}")
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(f"{name!r} is {array.dtype}, expected floats: quantized networks cannot be imported")
        with np.errstate(over="ignore"):  # what is too large is found when the network is filled
            modules.setdefault(match["module"] or "", {})[match["array"]] = np.asarray(array, np.float32)
    if not modules:
        raise ValueError(f"there are no weights: expected arrays called {example}")
    return modules


def in_order(names: Iterable[str], words: Sequence[str] = ()) -> list[str]:
    """Return the names ordered by number: fc1, fc2; layers.0.linear, layers.1.linear; 0, 2; and nested 0.0, 0.2, 1.

    Two names are compared where they first differ: by their numbers there, or by their words if these are among the
    ordered `words`. A single name needs no number.

    Raises:
      ValueError: if neither numbers nor words order two names.

    Example:
      >>> in_order(["fc10", "fc2"]), in_order(["conv1", "fc1", "conv2"], ["conv", "fc"])
      (['fc2', 'fc10'], ['conv1', 'conv2', 'fc1'])
    """
    ordered = sorted(names, key=cmp_to_key(lambda one, other: _compared(one, other, words)))
    for one, other in pairwise(ordered):
        if not _compared(one, other, words):
            raise ValueError(f"{_both(one, other)} have the same number, so one layer occurs twice")
    return ordered


_DIRECTIONS = ("forward", "backward")
"""The order of the two directions of a recurrence, for which no `words` are needed."""


def _compared(one: str, other: str, words: Sequence[str]) -> int:
    for a, b in zip_longest(_parts(one), _parts(other)):
        if a == b:
            continue
        if a is None or b is None:  # a name before the longer one that it begins
            return -1 if a is None else 1
        if isinstance(a, int) and isinstance(b, int):
            return a - b
        for known in (words, _DIRECTIONS):
            if str(a) in known and str(b) in known:
                return known.index(str(a)) - known.index(str(b))
        first, second = sorted((str(a), str(b)))
        raise ValueError(
            f"{_both(one, other)} have no numbers to order the layers by: give their words in order, such as "
            f"--order {first} {second}"
        )
    return 0


def _parts(name: str) -> list[str | int]:
    """Return the words and numbers of a name."""
    return [int(part) if part.isdigit() else part for part in re.findall(r"\d+|[^\W\d_]+", name)]


def _both(one: str, other: str) -> str:
    return " and ".join(map(repr, sorted((one, other))))
