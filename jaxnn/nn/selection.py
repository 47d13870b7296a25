"""Selection: one entry of what several branches return, without the others."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.arrays import zero_cotangent
from jaxnn.constraints import Constraint, checked
from jaxnn.factories.decorator import factory
from jaxnn.nn.combinators import carrying_nothing
from jaxnn.nn.layer import Layer
from jaxnn.nn.shapes import simplified, structs
from jaxnn.sequences import Sequences
from jaxnn.typing import PyTree

__all__ = ["select"]

_ENTRY = Constraint(
    "the number of an entry, from 0, or its name",
    rejects=(-1, 1.0, True, None),
    test=lambda entry: isinstance(entry, str) or (isinstance(entry, int) and type(entry) is not bool and entry >= 0),
)


@factory
@checked(entry=_ENTRY)
def select(entry: int | str) -> Layer:
    """Return the layer that passes one entry of its input on, y = x_entry, such as a decoder's without its memory.

    Derivation. y depends on that entry alone, so its cotangent is dy, and those of the others are zeros.

    Args:
      entry: the number of the entry of a tuple, from 0, or its name in a dictionary.

    Returns:
      A `Layer` without params.

    Raises:
      ValueError: if it is neither; at `init` and when called, if the input has no such entry, or it has no array.

    Example:
      >>> import jax, jaxnn
      >>> from jaxnn import nn
      >>> words, memory = jax.ShapeDtypeStruct((7, 8), float), jax.ShapeDtypeStruct((20, 8), float)
      >>> decoder = jaxnn.chain(nn.transformer_block(2, 16, causal=True, memory=True), select(0))
      >>> decoder.init(jax.random.key(0), (words, memory))[1]
      (7, 8)
    """
    has_entry = Constraint(
        f"a tuple with an entry {entry}" if isinstance(entry, int) else f"a dictionary with an entry {entry!r}",
        fix="combinators such as parallel and fan_out make several entries",
        test=lambda x: (
            type(x) is tuple and entry < len(x) and not all(isinstance(one, int) for one in x)
            if isinstance(entry, int)
            else isinstance(x, dict) and entry in x
        ),
    )

    def init(key, in_shape):
        chosen = has_entry.check("in_shape", in_shape)[entry]
        _HAS_ARRAYS.check(_of_entry("in_shape", entry), structs(chosen))
        return (), simplified(chosen)

    def forward(params, x, key=None):
        chosen = _HAS_ARRAYS.check(_of_entry("x", entry), has_entry.check("x", x)[entry])
        return chosen, jax.tree.map(lambda a: a[:0], _without_entry(x, entry))

    def backward(params, others, dy):
        m = len(jax.tree.leaves(dy)[0])
        zeros = jax.tree.map(lambda a: _zero(a, m), others)
        return (), _with_entry(zeros, entry, jax.tree.map(_of_floats, dy))

    return carrying_nothing(Layer(init, forward, backward))


_HAS_ARRAYS = Constraint(
    "one array or several",
    rejects=((), {}, None),
    fix="select another entry, or leave this one out",
    test=lambda chosen: bool(jax.tree.leaves(chosen)),
)


def _of_entry(name: str, entry: int | str) -> str:
    return f"{name}[{entry!r}]"


def _zero(like: Any, m: int) -> Any:
    """Return the cotangent 0 of an array of which `like` has no example, (0, ...)."""
    return zero_cotangent(jax.ShapeDtypeStruct((m, *like.shape[1:]), like.dtype))


def _of_floats(dy: Any) -> Any:
    """Return the cotangent of floats; of whole numbers, such as lengths, a float0, which is all that they have."""
    return zero_cotangent(dy) if jnp.issubdtype(dy.dtype, jnp.integer) or dy.dtype == bool else dy


def _without_entry(x: PyTree, entry: Any) -> PyTree:
    return _with_entry(x, entry, ())


def _with_entry(x: PyTree, entry: Any, one: Any) -> PyTree:
    return {**x, entry: one} if isinstance(x, dict) else (*x[:entry], one, *x[entry + 1 :])


_PADDED = Sequences(jax.ShapeDtypeStruct((5, 4), "float32"), jax.ShapeDtypeStruct((), "int32"))
_WORDS = jax.ShapeDtypeStruct((4,), "int32")

CASES = {
    "select": (lambda: select(0), (_PADDED, _WORDS)),
    "select_named": (lambda: select("b"), {"a": _PADDED, "b": jax.ShapeDtypeStruct((3,), "float32")}),
}
