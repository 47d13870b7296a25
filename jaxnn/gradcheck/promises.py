"""Check what a layer promises besides its gradient: float0s for whole numbers, and examples that count as weighted."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import zero_cotangent
from jaxnn.gradcheck.comparison import Row
from jaxnn.nn.layer import Layer
from jaxnn.typing import Params, PyTree

ROWS = np.array([1.0, 0.0, 2.0], np.float32)
"""How much examples count in the checks, in turn."""
_TOLERANCE = 0.02
"""A sum in another order may round in half precision; a weight that is left out changes it by as much as its size."""

_ROUNDINGS = 30
"""How many roundings of the largest number a difference may have where all numbers should be 0."""

_ACROSS = "one across examples has across=True and forward(params, x, key, rows)"

Forward = Callable[[PyTree, Any], tuple[PyTree, Any]]
"""`forward(x, rows) -> (y, cache)`."""


def whole_number_rows(forward: Forward, layer: Layer, params: Params, x: PyTree) -> Iterator[Row]:
    """Yield a row on the cotangent of each array of whole numbers, which must be a float0 in its shape."""
    whole = [not jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in jax.tree.leaves(x)]
    if not any(whole):
        return
    y, cache = forward(x, None)
    _, dx = layer.backward(params, cache, cotangent_of(y, jnp.ones_like))
    leaves = jax.tree.leaves(dx)
    for i, (leaf, of_whole) in enumerate(zip(jax.tree.leaves(x), whole, strict=True)):
        if of_whole:
            got = f"{leaves[i].dtype} {leaves[i].shape}" if len(leaves) == len(whole) else f"{len(leaves)} arrays"
            right = got == f"{np.dtype(jax.dtypes.float0)} {leaf.shape}"
            text = "" if right else f"dx of whole numbers must be np.zeros(x.shape, jax.dtypes.float0), got {got}"
            yield Row("whole numbers", "x", "pass" if right else "fail", text=text)


def weight_rows(forward: Forward, layer: Layer, params: Params, x: PyTree) -> Iterator[Row]:
    """Yield rows on weights: 0 must be as without the example, 2 as with it twice, and without `across` none matter."""
    weight = np.resize(ROWS, jax.tree.leaves(x)[0].shape[0])
    rows = np.repeat(np.arange(weight.size), weight.astype(int))
    one_of_each = np.unique(rows, return_index=True)[1]

    def run(params, x, weight):
        return _observed_and_pulled(forward, layer, params, x, weight)

    def examples(tree, which):
        return jax.tree.map(lambda a: np.asarray(a)[which], tree)

    alone = params, examples(x, rows), np.ones(rows.size, np.float32)
    weighted, repeated = in_programs(run, (params, x, weight), alone)
    y = examples(weighted[0], np.unique(rows)), examples(repeated[0], one_of_each)
    pairs = {"y": y, "what observe returns": (weighted[1], repeated[1]), "dparams": (weighted[2], repeated[2])}
    for name, (one, other) in pairs.items():
        off = difference(one, other)
        fix = "use rows in forward and backward" if layer.across else _ACROSS
        text = f"{name} at weights of 0 and 2 is not as without and with examples twice: {fix}"
        right = off <= _TOLERANCE
        yield Row("weights of 0, 1, 2", name, "pass" if right else "fail", max_rel=off, text="" if right else text)


def in_programs(function: Callable[..., Any], *arguments: tuple[Any, ...]) -> list[Any]:
    """Return what a function of arrays returns for each of some arguments.

    It is compiled as one program: otherwise JAX compiles each of its operations separately, for each shape, which takes
    longer. A function that cannot be traced, such as a backward in NumPy, is called as it is.
    """
    compiled = jax.jit(function)
    try:
        return [compiled(*jax.device_put(given)) for given in arguments]  # explicit, for transfer guards
    except Exception:
        return [function(*given) for given in arguments]


def _observed_and_pulled(forward: Forward, layer: Layer, params: Params, x: PyTree, weight: Any) -> Any:
    y, cache = forward(x, jnp.asarray(weight, jnp.float32))

    def weighted(a):
        return (jnp.cos(a) * weight.reshape(-1, *[1] * (a.ndim - 1))).astype(a.dtype)

    return y, layer.observe(cache), layer.backward(params, cache, cotangent_of(y, weighted))[0]


def cotangent_of(y: PyTree, function: Callable[[Any], Any]) -> PyTree:
    """Return a cotangent: a function of each array of floats, and a float0 for whole numbers."""
    return jax.tree.map(lambda a: function(a) if jnp.issubdtype(a.dtype, jnp.inexact) else zero_cotangent(a), y)


def difference(one: PyTree, other: PyTree) -> float:
    """Return the largest difference of two trees of arrays, relative to the largest number of each array.

    A gradient that is 0 by its nature, as of a bias before a norm, consists of rounding errors, whose size is in
    proportion to the other arrays: so the largest number of all counts too, times some roundings.
    """
    dtypes = [a.dtype for a in jax.tree.leaves(other)]
    ones, others = ([np.asarray(a, np.float64) for a in jax.tree.leaves(tree)] for tree in (one, other))
    largest = [np.abs(b).max(initial=0.0) for b in others]
    floors = [_ROUNDINGS * _eps(dtype) * max(largest) / _TOLERANCE + np.finfo(np.float32).tiny for dtype in dtypes]
    return max(
        (
            float(np.abs(a - b).max(initial=0.0) / max(most, floor))
            for a, b, most, floor in zip(ones, others, largest, floors, strict=True)
        ),
        default=0.0,
    )


def _eps(dtype: Any) -> float:
    return float(jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, jnp.floating) else 0.0
