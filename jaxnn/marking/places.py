"""The scopes (`jax.named_scope`) of the layers inside a network, by which profiles, graphs and explanations name them.

A layer that a combinator is made of is computed in a scope: its entry in the combinator's params, as in "[2]", or what
it is if it has all of the combinator's params. The scopes around an operation, from the outside in, are its place.
"""

import re
from collections.abc import Iterable

NETWORK, RESIDUAL, COPY, SHARED = "[network]", "[residual]", "[copy]", "[shared]"
MICRO_BATCH = "[micro-batch]"
_WHOLE = (NETWORK, RESIDUAL, COPY, SHARED, MICRO_BATCH)
_ENTRY = re.compile(r"\[(\d+|'[^']*')\]")

Place = tuple[str, ...]


def entry(i: int | str) -> str:
    """Return the scope of the layer whose params are entry i of the combinator's, a number or a name."""
    return f"[{i!r}]"


def keys_of(scopes: str) -> list[str]:
    """Return the keys of the entries that scopes one after another lead to.

    Example:
      >>> keys_of("[0]['image'][1]")
      ['0', 'image', '1']
    """
    return [key.strip("'") for key in _ENTRY.findall(scopes)]


def is_place(scope: str) -> bool:
    """Return whether a scope is that of a layer inside a network."""
    return scope in _WHOLE or _ENTRY.fullmatch(scope) is not None


def params_path(place: Iterable[str]) -> str:
    """Return the path, in the network's params, of the params of the layer at a place; empty if they are all of them.

    Example:
      >>> params_path(("[network]", "[1]", "[copy]", "[0]"))
      '[1][0]'
    """
    return "".join(scope for scope in place if is_place(scope) and scope not in _WHOLE)
