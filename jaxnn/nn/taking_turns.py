"""Functions of which a CPU computes one after another under `jax.vmap`: a primitive that wraps a function.

It changes batching alone. JAX differentiates the function that it wraps, so autodiff does not depend on any rule of
ours.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core
from jax.interpreters import ad, batching, mlir

from jaxnn.typing import Array

Function = Callable[..., Array]

IN_TURN = core.Primitive("in_turn")
"""The call of a function of arrays, its parameter `function`, that returns an array."""


def in_turn(function: Function) -> Function:
    """Return the function of arrays, which a CPU computes one after another if `jax.vmap` batches all of its arguments.

    Convolutions with different filters need it: together, they are one convolution in groups, which is slow on a CPU.
    """
    return lambda *arrays: IN_TURN.bind(*arrays, function=function)


def _evaluate(*arrays: Array, function: Function) -> Array:
    return function(*arrays)


def _shape(*arrays: Any, function: Function) -> Any:
    y = jax.eval_shape(function, *arrays)
    return arrays[0].update(shape=y.shape, dtype=y.dtype, weak_type=False)


def _differentiate(primals: Sequence[Array], tangents: Sequence[Any], *, function: Function) -> tuple[Array, Any]:
    moving = [i for i, tangent in enumerate(tangents) if not isinstance(tangent, ad.Zero)]

    def of_moving(*arrays: Array) -> Array:
        given = dict(zip(moving, arrays, strict=True))
        return function(*(given.get(i, primal) for i, primal in enumerate(primals)))

    return jax.jvp(of_moving, [primals[i] for i in moving], [tangents[i] for i in moving])


def _batch(arrays: Sequence[Array], axes: Sequence[int | None], *, function: Function) -> tuple[Array, int]:
    at_once = jax.vmap(function, axes)
    if None in axes:
        return in_turn(at_once)(*arrays), 0

    def one_by_one(*arrays: Array) -> Array:
        return lax.map(lambda one: in_turn(function)(*one), arrays)

    fronted = [jnp.moveaxis(array, axis or 0, 0) for array, axis in zip(arrays, axes, strict=True)]
    return lax.platform_dependent(*fronted, cpu=one_by_one, default=jax.vmap(function)), 0


IN_TURN.def_impl(_evaluate)
IN_TURN.def_abstract_eval(_shape)
mlir.register_lowering(IN_TURN, mlir.lower_fun(_evaluate, multiple_results=False))
ad.primitive_jvps[IN_TURN] = _differentiate
batching.primitive_batchers[IN_TURN] = _batch
