"""Embedding: a vector for each whole number, such as a word's."""

from typing import Literal

import jax
import jax.numpy as jnp

from jaxnn.arrays import as_index, zero_cotangent
from jaxnn.constraints import (
    Constraint,
    Count,
    Floats,
    Function,
    Integers,
    Leaves,
    OneOf,
    RandomKey,
    checked,
)
from jaxnn.explicit_axes import backward_on_any_axes, forward_on_any_axes
from jaxnn.factories.decorator import factory
from jaxnn.indices import Indices
from jaxnn.nn.initializers import INITIALIZERS, initial_weights, scale_hint
from jaxnn.nn.layer import Layer
from jaxnn.typing import Array, Initializer, Params
from jaxnn.validation import unless_lengths

__all__ = ["embedding", "embedding_backward", "embedding_forward"]

_PARAMS = Leaves(E="vocabulary n")
_NORMAL = jax.nn.initializers.normal(1.0)
_NAMES = ("zeros", "normal", "lecun")
"""The named initializers whose deviation does not depend on the number of units, which a row of E does not have."""


_SHAPE_OF_WORDS = Constraint(
    "the shape of whole numbers, such as jax.ShapeDtypeStruct((4,), int)",
    rejects=((4,), 4, None, jax.ShapeDtypeStruct((4,), "float32")),
    fix=lambda shape: unless_lengths(shape, "nn.shapes_of(x) makes it of a batch"),
    test=lambda value: isinstance(value, jax.ShapeDtypeStruct) and jnp.issubdtype(value.dtype, jnp.integer),
)


@forward_on_any_axes
@checked(params=_PARAMS, x=Indices("...", below="vocabulary"))
def embedding_forward(params: Params, x: Array) -> tuple[Array, Array]:
    """Look up y = E[x], the row of E for each whole number of x.

    Args:
      params: `{"E": (vocabulary, n)}`.
      x: whole numbers from 0 to vocabulary - 1, of any shape (...).

    Returns:
      y, (..., n), and the cache, which is x itself. A number outside of the vocabulary has NaN, since a compiled
      program cannot raise.

    Raises:
      ValueError: if x is not of an integer dtype, or, unless it is traced, a number is outside of the vocabulary.

    Example:
      >>> import jax.numpy as jnp
      >>> embedding_forward({"E": jnp.array([[0.0, 1.0], [2.0, 3.0]])}, jnp.array([1, 1, 0]))[0].tolist()
      [[2.0, 3.0], [2.0, 3.0], [0.0, 1.0]]
    """
    return params["E"].at[as_index(x, params["E"].shape[0])].get(mode="fill", fill_value=jnp.nan), x


@backward_on_any_axes
@checked(params=_PARAMS, x=Integers("..."), dy=Floats("... n"))
def embedding_backward(params: Params, x: Array, dy: Array) -> tuple[Params, Array]:
    """Compute dE_v, the sum of dy over the places where x is v; dx is a float0, as `jax.vjp` has it for whole numbers.

    Derivation. With i for a place of x, E_v for row v of E, and [x_i = v] for 1 if x_i is v and 0 otherwise,
    y_i = E[x_i] = Σ_v [x_i = v] E_v, so dE_v = Σ_i [x_i = v] dy_i: rows that were not looked up have none, and one that
    was looked up twice has the sum. A number outside of the vocabulary, whose y is NaN, adds to none.

    Example:
      >>> import jax.numpy as jnp
      >>> params, x = {"E": jnp.zeros((3, 1))}, jnp.array([1, 1, 0])
      >>> embedding_backward(params, x, jnp.array([[1.0], [2.0], [3.0]]))[0]["E"].tolist()
      [[3.0], [3.0], [0.0]]

    Source: Bengio et al., "A neural probabilistic language model", 2003.
    """
    E = params["E"]
    dE = jnp.zeros_like(E).at[as_index(x, E.shape[0])].add(dy.astype(E.dtype), mode="drop")
    return {"E": dE}, zero_cotangent(x)


@factory(computes="embedding_forward(params, x)")
@checked(vocabulary=Count(), n=Count(), init=OneOf(_NAMES, fix=scale_hint) | Function("key", "shape", "dtype"))
def embedding(vocabulary: int, n: int, init: Literal["zeros", "normal", "lecun"] | Initializer = _NORMAL) -> Layer:
    """Return a layer that looks up n numbers for each whole number; `embedding_backward` derives its gradient.

    Args:
      vocabulary: how many whole numbers there are, 0 to vocabulary - 1.
      n: the size of a vector.
      init: how E is initialized, "zeros", "normal" (with the deviation 0.01 of `INITIALIZERS`), "lecun" (1/√n, as W of
        a dense layer of n inputs, for an E that is `tied` to one), or any initializer of `jax.nn.initializers`; a
        standard normal by default. With "normal", a row that training never looks up stays near 0, and adds almost
        nothing.

    Returns:
      A `Layer` with params `{"E": (vocabulary, n)}`, from whole numbers (...) to floats (..., n).

    Raises:
      ValueError: if a number is below 1 or the initializer is unknown; at `init`, if examples are floats; when called,
        if x is not of an integer dtype.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> words = jnp.array([[3, 1, 4, 1], [5, 9, 2, 6]])
      >>> network = jaxnn.chain(embedding(10, 3), jaxnn.flatten(), jaxnn.dense(2))
      >>> params, out_shape = network.init(jax.random.key(0), jaxnn.nn.shapes_of(words))
      >>> network.infer(params, (), words).shape
      (2, 2)
    """

    @checked(key=RandomKey(), in_shape=_SHAPE_OF_WORDS)
    def init_params(key, in_shape):
        if init == "lecun":
            return {"E": initial_weights(init, key, (vocabulary, n), "W")}, (*in_shape.shape, n)
        initializer = init if callable(init) else INITIALIZERS[init]()
        return {"E": initializer(key, (vocabulary, n), jnp.result_type(float))}, (*in_shape.shape, n)

    forward = embedding_forward.with_sizes(vocabulary=vocabulary, n=n)  # pyright: ignore[reportFunctionMemberAccess]
    return Layer(init_params, lambda params, x, key=None: forward(params, x), embedding_backward)


CASES = {
    "embedding": (lambda: embedding(7, 3), jax.ShapeDtypeStruct((), "int32")),
    "embedding_words": (lambda: embedding(7, 3, "normal"), jax.ShapeDtypeStruct((4,), "int32")),
}
