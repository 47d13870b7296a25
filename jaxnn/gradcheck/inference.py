"""Check what a layer computes in inference."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.comparison import Row
from jaxnn.gradcheck.promises import cotangent_of, difference, in_programs
from jaxnn.gradcheck.runner import raised
from jaxnn.nn.layer import Layer
from jaxnn.typing import Params, PyTree

_TOLERANCE = 1e-4
"""Of float32, whose rounding a normalization may enlarge."""


def inference_rows(
    training: Callable[[], Any], layer: Layer, params: Params, x: PyTree, compared: bool
) -> Iterator[Row]:
    """Yield rows on `infer`: that it is finite with its gradient and, if `compared`, that it agrees with forward.

    Args:
      training: returns (y, cache) of the forward.
      layer: whose inference it is.
      params: its params.
      x: inputs.
      compared: whether it must agree.
    """

    def trained():
        y, cache = training()
        return y, layer.observe(cache)

    ((y, stats),) = in_programs(trained, ())
    params, stats, x = jax.device_put((params, stats, x))  # explicit, for transfer guards
    try:
        inferred, gradients = jax.jit(_with_gradient, static_argnums=0)(layer, params, stats, x)
    except Exception as error:
        yield Row("inference", "all", "fail", text=raised(error, "infer raised {}"))
        return
    finite = all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves((inferred, gradients)))
    text = "" if finite else "infer, or the derivative that JAX takes of it, is not finite"
    yield Row("inference", "all", "pass" if finite else "fail", text=text)
    if not compared:
        return
    if jax.tree.map(jnp.shape, inferred) != jax.tree.map(jnp.shape, y):
        yield Row("inference", "y", "fail", text="infer returns other shapes than forward")
        return
    off = difference(inferred, y)
    if off > _TOLERANCE:
        # Fused in two programs, half precision inside of a layer is rounded at different places; not one by one.
        y, stats = trained()
        off = difference(layer.infer(params, stats, x), y)
    text = f"infer(params, observe(cache), x) is off from forward by {off:.2g} of its size; infers_as_forward=False"
    text += " if another function is meant"
    agrees = off <= _TOLERANCE
    yield Row("inference", "y", "pass" if agrees else "fail", max_rel=off, text="" if agrees else text)


def _with_gradient(layer: Layer, params: Params, stats: PyTree, x: PyTree) -> tuple[PyTree, PyTree]:
    y, pull = jax.vjp(lambda params, x: layer.infer(params, stats, x), params, x)
    gradients = pull(cotangent_of(y, jnp.ones_like))
    return y, [leaf for leaf in jax.tree.leaves(gradients) if leaf.dtype != jax.dtypes.float0]
