"""Compute a layer in less memory (`remat`) or in another dtype (`with_dtype`)."""

from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import cast_like, promote_large_integers
from jaxnn.constraints import Constraint, checked
from jaxnn.factories.decorator import factory
from jaxnn.nn.activations import sigmoid, tanh
from jaxnn.nn.batch_normalization import batch_norm
from jaxnn.nn.boundaries import call_forward
from jaxnn.nn.composition import chain
from jaxnn.nn.layer import LAYER, Layer, observe_nothing, observes
from jaxnn.nn.linear import dense
from jaxnn.nn.rectifiers import gelu
from jaxnn.nn.stochastic import dropout
from jaxnn.typing import Array, DTypeLike
from jaxnn.validation import described

__all__ = ["remat", "with_dtype"]


@factory
@checked(layer=LAYER)
def remat(layer: Layer) -> Layer:
    """Return the layer with gradient checkpointing: it caches only its input and runs its forward again in backward.

    Derivation. It is the same function, so values and gradients are those of `layer`.

    Memory between forward and backward falls from the whole
    cache to x; time grows by one forward. The key is cached too, so dropout drops the same units.

    On a CPU, XLA merges the two forwards of a network without loops nevertheless, as it does for `jax.checkpoint`, and
    then no memory is saved. Under `repeat` they are in two loops, which are never merged.

    Args:
      layer: any `Layer`; the longer the chain inside, the more memory is saved.

    Returns:
      A `Layer` with the params of `layer`, whose cache has x, the key and what the layer observed.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> network = remat(jaxnn.chain(jaxnn.dense(64), jaxnn.tanh(), jaxnn.dense(64), jaxnn.tanh()))
      >>> params, _ = network.init(jax.random.key(0), (8,))
      >>> y, cache = network.forward(params, jnp.ones((2, 8)))
      >>> [leaf.shape for leaf in jax.tree.leaves(cache)]
      [(2, 8)]

    Source: Chen et al., "Training deep nets with sublinear memory cost", 2016.
    """

    def forward(params, x, key=None, rows=None):
        x = jax.tree.map(promote_large_integers, x)
        y, cache = call_forward(layer, params, x, key, rows)
        return y, (x, key, rows, layer.observe(cache))

    def backward(params, cache, dy):
        x, key, rows, _ = cache
        # Without the barrier XLA merges the two equal forwards and keeps the cache that was to be recomputed.
        params, x, dy = jax.lax.optimization_barrier((params, x, dy))
        _, cache = call_forward(layer, params, x, key, rows)
        return layer.backward(params, cache, dy)

    observe = itemgetter(-1) if observes(layer) else observe_nothing
    carried = layer.carried and layer.carried._replace(layer=remat(layer.carried.layer))
    return layer._replace(forward=forward, backward=backward, infer=layer.infer, observe=observe, carried=carried)


class _FloatDtype(Constraint):
    """A floating dtype."""

    def __init__(self):
        super().__init__("a floating dtype, such as jnp.bfloat16", ("int32", jnp.int32, None, "no dtype", 3))

    def accepts(self, value: Any) -> bool:
        """Return whether NumPy or JAX reads it as a floating dtype."""
        try:
            return value is not None and jnp.issubdtype(jnp.dtype(value), jnp.floating)
        except TypeError:
            return False

    def got(self, value: Any) -> str:
        """Return the name of another dtype."""
        try:
            return described(value) if value is None else jnp.dtype(value).name
        except TypeError:
            return described(value)


@factory
@checked(layer=LAYER, dtype=_FloatDtype())
def with_dtype(layer: Layer, dtype: DTypeLike) -> Layer:
    """Return the layer computed in another precision, on params and inputs that keep theirs.

    y = cast(f(cast(params), cast(x))): params (the master copy) and x are cast to `dtype` on the way in, y back
    to the dtype of x on the way out, or, if x is whole numbers, to that of params.

    Derivation. The vector-Jacobian product of a cast is the cast back, so dparams has the dtype of params and dx that
    of x.

    Args:
      layer: any `Layer`.
      dtype: a floating dtype, such as `jnp.bfloat16`. Whole numbers are not cast, nor are statistics.

    Returns:
      A `Layer` with the params of `layer`, whose cache has `dtype` and the dtypes of x.

    Raises:
      ValueError: if the dtype is not a floating dtype.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> layer = with_dtype(jaxnn.dense(4), jnp.bfloat16)
      >>> params, _ = layer.init(jax.random.key(0), (3,))
      >>> y, cache = layer.forward(params, jnp.ones((2, 3)))
      >>> params["W"].dtype.name, cache[0].dtype.name, y.dtype.name
      ('float32', 'bfloat16', 'float32')

    Source: Micikevicius et al., "Mixed precision training", 2017, section 3.1.
    """
    if not isinstance(dtype, np.dtype):
        return with_dtype(layer, jnp.dtype(dtype))  # so that equal dtypes make equal layers

    def inside(tree):
        return jax.tree.map(lambda a: _cast_float(a, dtype), tree)

    def outside(y, x, params):
        # As x, or, if x has no floats, as params.
        wide = next((a.dtype for a in jax.tree.leaves((x, params)) if _is_floating(a.dtype)), dtype)
        return jax.tree.map(lambda a: _cast_float(a, wide), y)

    def forward(params, x, key=None, rows=None):
        y, cache = call_forward(layer, inside(params), inside(x), key, rows)
        return outside(y, x, params), (cache, _Dtypes(tuple(jnp.result_type(a) for a in jax.tree.leaves(x))))

    def backward(params, cache, dy):
        cache, of_x = cache
        dparams, dx = layer.backward(inside(params), cache, inside(dy))
        dparams = jax.tree.map(cast_like, params, dparams)
        leaves, structure = jax.tree.flatten(dx)
        return dparams, structure.unflatten(map(_cast_float, leaves, of_x.dtypes))

    def infer(params, stats, x):
        return outside(layer.infer(inside(params), stats, inside(x)), x, params)

    def observe(cache):
        return layer.observe(cache[0])

    observe = observe if observes(layer) else observe_nothing
    carried = layer.carried and layer.carried._replace(layer=with_dtype(layer.carried.layer, dtype))
    return layer._replace(forward=forward, backward=backward, infer=infer, observe=observe, carried=carried)


@jax.tree_util.register_static
@dataclass(frozen=True)
class _Dtypes:
    """The dtypes of the leaves of x, part of a cache's structure."""

    dtypes: tuple[np.dtype, ...]


def _is_floating(dtype: DTypeLike) -> bool:
    return jnp.issubdtype(dtype, jnp.floating)


def _cast_float(a: Array, dtype: DTypeLike) -> Array:
    return a.astype(dtype) if _is_floating(a.dtype) and _is_floating(dtype) else a


CASES = {
    "remat": (lambda: remat(chain(dense(4), gelu(), dense(3))), (5,)),
    "remat_dropout": (lambda: remat(chain(dense(5), sigmoid(), dropout(0.4))), (5,), {"random": True}),
    "remat_batch_norm": (lambda: remat(chain(batch_norm(0.5), dense(4))), (5,)),
    "with_dtype_same": (lambda: with_dtype(chain(dense(5), tanh()), jnp.float32), (5,), {"inside": "float32"}),
    "with_dtype_bfloat16": (lambda: with_dtype(chain(dense(4), tanh()), jnp.bfloat16), (5,), {"inside": "bfloat16"}),
    "with_dtype_batch_norm": (lambda: with_dtype(batch_norm(), jnp.bfloat16), (5,), {"inside": "bfloat16"}),
}
