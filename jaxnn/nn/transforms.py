"""A layer that computes the same in less memory (`remat`) or in another dtype (`with_dtype`)."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import held
from jaxnn.factories.decorator import factory
from jaxnn.nn.layer import Layer, check_layers, map_layers
from jaxnn.validation import described


@factory
def remat(layer: Layer) -> Layer:
    """Gradient checkpointing by hand: remember only the input, run the forward again in the backward.

    Values and gradients are those of `layer`. Memory between forward and backward falls from the whole
    cache to x; time grows by one forward. The key is remembered too, so dropout drops the same units.

    On a CPU, XLA merges the two forwards of one straight line all the same, as it does for `jax.checkpoint`, and then
    nothing is saved. Under `repeat` they are in two loops, which nothing merges.

    Args:
      layer: any `Layer`; the longer the chain inside, the more is saved.

    Returns:
      A `Layer` with the params of `layer` and the cache (x, key).

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> network = remat(jaxnn.chain(jaxnn.dense(64), jaxnn.tanh(), jaxnn.dense(64), jaxnn.tanh()))
      >>> params, _ = network.init(jax.random.key(0), (8,))
      >>> y, cache = network.forward(params, jnp.ones((2, 8)))
      >>> [leaf.shape for leaf in jax.tree.leaves(cache)]
      [(2, 8)]

    Source: Chen et al., "Training deep nets with sublinear memory cost", 2016.
    """
    check_layers("remat", (layer,))

    def forward(params, x, key=None):
        x = held(x)
        y, _ = layer.forward(params, x, key)
        return y, (x, key)

    def backward(params, cache, dy):
        x, key = cache
        # Without the barrier XLA sees the same forward twice, merges the two, and keeps what was to be forgotten.
        params, x, dy = jax.lax.optimization_barrier((params, x, dy))
        _, cache = layer.forward(params, x, key)
        return layer.backward(params, cache, dy)

    return Layer(layer.init, forward, backward, layer.parts, lambda f: remat(map_layers(f, layer)))


@factory
def with_dtype(layer: Layer, dtype: jnp.dtype) -> Layer:
    """The layer computed in another precision, on params and inputs that keep theirs.

    y = cast(f(cast(params), cast(x))): params (the master copy) and x are cast to `dtype` on the way in, y back
    to x's dtype on the way out. A cast's vector-Jacobian product is the cast back, so dparams comes in
    the dtype of params and dx in that of x.

    Args:
      layer: any `Layer`.
      dtype: a floating dtype, such as `jnp.bfloat16`. Integer leaves are left as they are.

    Returns:
      A `Layer` with the params of `layer`, whose cache is held in `dtype`.

    Raises:
      ValueError: the dtype is not a floating one.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> layer = with_dtype(jaxnn.dense(4), jnp.bfloat16)
      >>> params, _ = layer.init(jax.random.key(0), (3,))
      >>> y, cache = layer.forward(params, jnp.ones((2, 3)))
      >>> params["W"].dtype.name, cache.dtype.name, y.dtype.name
      ('float32', 'bfloat16', 'float32')

    Source: Micikevicius et al., "Mixed precision training", 2017, section 3.1.
    """
    check_layers("with_dtype", (layer,))
    try:
        name = "None" if dtype is None else jnp.dtype(dtype).name
    except TypeError:  # NumPy knows no such dtype
        name = described(dtype)
    if not name.startswith(("float", "bfloat")):
        raise ValueError(f"with_dtype computes in a floating dtype, got {name}: try jnp.bfloat16")
    if not isinstance(dtype, np.dtype):
        return with_dtype(layer, jnp.dtype(dtype))  # by one name of many

    def cast(tree):
        return jax.tree.map(lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree)

    def forward(params, x, key=None):
        y, cache = layer.forward(cast(params), cast(x), key)
        return y.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else y, cache

    def backward(params, cache, dy):
        dparams, dx = layer.backward(cast(params), cache, dy.astype(dtype))
        # y went out in x's dtype, so dy's dtype is x's, and dx's too.
        return jax.tree.map(lambda d, p: d.astype(p.dtype), dparams, params), dx.astype(dy.dtype)

    def map_each(f):
        # Casts between layers change no number: what one gives out in `dtype` comes into the next as it was.
        return map_layers(lambda single: f(with_dtype(single, dtype)), layer)

    return Layer(layer.init, forward, backward, layer.parts, None if layer.map is None else map_each)
