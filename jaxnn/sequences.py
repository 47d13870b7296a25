"""Sequences of different lengths, padded to one: what comes after a sequence's length has no influence."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import zero_cotangent
from jaxnn.constraints import Constraint, Numbers, checked
from jaxnn.indices import Indices
from jaxnn.typing import Array, PyTree

__all__ = ["Sequences"]


class Sequences(NamedTuple):
    """A batch of sequences with their lengths.

    Layers of sequences take it in place of an array (m, T, ...). They put 0 for what is beyond a length before any
    product, since 0 · NaN is NaN, and return 0 there, in y and in dx. As long as there is an axis of time, they return
    `Sequences` too.

    Attributes:
      x: (m, T, ...).
      lengths: whole numbers from 0 to T, (m,).

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> from jaxnn import nn
      >>> batch = Sequences(jnp.ones((2, 7, 3)), jnp.array([7, 4]))
      >>> network = jaxnn.chain(nn.recurrent(nn.lstm_cell(5), outputs="last"), jaxnn.dense(2))
      >>> params, out_shape = network.init(jax.random.key(0), nn.shapes_of(batch))
      >>> network.infer(params, (), batch).shape
      (2, 2)
    """

    x: Any
    lengths: Any


@checked(x=Numbers("m T place..."), lengths=Indices("m", below="T", also=True))
def _agreeing(x: Array, lengths: Array) -> Sequences:
    return Sequences(x, lengths)


_ONE_ARRAY = Constraint(
    "one array of sequences, or Sequences of it",
    fix="a layer of one sequence takes no memory, and select(0) passes one entry of several on",
    test=lambda x: not isinstance(x, tuple | dict),
)


def array_of(x: Any) -> Any:
    """Return the array of `Sequences`, or an array alone; likewise of their shapes."""
    return x.x if isinstance(x, Sequences) else x


def split_lengths(x: Any) -> tuple[Array, Array | None]:
    """Return the array of sequences and their lengths; `None` for an array alone, whose sequences are all of length T.

    Raises:
      ValueError: if it is several arrays, or lengths are not whole numbers from 0 to T, one for each sequence.
    """
    return tuple(_agreeing(*x)) if isinstance(x, Sequences) else (_ONE_ARRAY.check("x", x), None)


def on_host(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return concrete sequences as a NumPy array, and which times are within their lengths, (m, T)."""
    x, lengths = (y.x, np.asarray(y.lengths)) if isinstance(y, Sequences) else (y, np.full(len(y), y.shape[1]))
    return np.asarray(x), np.arange(x.shape[1]) < lengths[:, None]


def with_lengths(y: Any, lengths: Any) -> Any:
    """Return an array (m, T, ...) as `Sequences` if there are lengths."""
    return y if lengths is None else Sequences(y, lengths)


def cotangent_with_lengths(dx: Array, lengths: Array | None) -> Any:
    """Return dx as the cotangent of `Sequences` if there are lengths: that of lengths is a float0."""
    return dx if lengths is None else Sequences(dx, zero_cotangent(lengths))


def within(lengths: Array | None, n_steps: int) -> Array | None:
    """Return whether each time is within the length of its sequence, (m, T)."""
    return None if lengths is None else jnp.arange(n_steps, dtype="int32")[None] < lengths.astype("int32")[:, None]


def visible_keys(seen: Array | None, queries: int) -> Array | None:
    """Return whether each of a number of queries sees each key, (m, queries, keys): those within, (m, keys)."""
    return None if seen is None else jnp.broadcast_to(seen[:, None], (len(seen), queries, seen.shape[1]))


def zero_beyond(mask: Array | None, tree: PyTree) -> PyTree:
    """Put 0 where a mask is False, in arrays that begin with its axes."""
    if mask is None:
        return tree
    return jax.tree.map(lambda a: jnp.where(beside(mask, a), a, jnp.zeros((), jnp.result_type(a))), tree)


def beside(mask: Array, a: Array) -> Array:
    """Return the mask with axes of 1 after those that it shares with a."""
    return mask.reshape(mask.shape + (1,) * (a.ndim - mask.ndim))
