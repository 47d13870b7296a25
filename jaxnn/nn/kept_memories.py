"""What a layer makes of a memory, carried from piece to piece: in decoding, the memory is the same at each step.

In training the memory may be another one with each piece, so what is made of it is carried on request alone: the carry
of `start_carry` has `Unread` where a memory is read, and `to_keep` replaces it, so that the first piece computes what
is kept, and the others take it from the carry.
"""

from typing import NamedTuple

import jax

from jaxnn.typing import PyTree


class Unread(NamedTuple):
    """The entry of a carry by which the memory is read with each piece."""


class ToKeep(NamedTuple):
    """The entry of a carry by which what the next piece makes of its memory is carried on."""


def to_keep(carry: PyTree) -> PyTree:
    """Return the carry by which layers keep what they make of the memory of the next piece."""
    return jax.tree.map(
        lambda one: ToKeep() if isinstance(one, Unread) else one, carry, is_leaf=lambda one: isinstance(one, Unread)
    )
