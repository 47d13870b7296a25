"""Checks of what jaxnn's networks and objectives are made of: layers, losses and regularizers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.constraints import Count, ExampleShape, Instance, Nothing, RandomKey, checked
from jaxnn.gradcheck.api import gradient_as_vjp
from jaxnn.gradcheck.checker import report_on
from jaxnn.gradcheck.options import make_options
from jaxnn.gradcheck.problem import as_gradcheck_error, make_problem
from jaxnn.gradcheck.report import Report
from jaxnn.losses.loss import Loss
from jaxnn.nn.layer import LAYER, Layer
from jaxnn.regularizers import Regularizer
from jaxnn.typing import Key, Shape


@as_gradcheck_error()
@checked(layer=LAYER, in_shape=ExampleShape(), key=RandomKey() | Nothing(), m=Count(), seed=Count(0))
def layer(
    layer: Layer, in_shape: Shape, *, key: Key | None = None, m: int = 5, fast: bool = False, seed: int = 0
) -> Report:
    """Check a jaxnn `Layer`: its backward against its plain forward, with JAX's slope at every kink.

    Args:
      layer: the `Layer`.
      in_shape: the shape of one example, as `layer.init` takes it.
      key: a random key for the forward, for a random layer such as dropout; `None` by default.
      m: the batch size.
      fast: check only the given arguments, in float64 and in their own precision.
      seed: seed of the params, the inputs and all other random numbers; the same seed gives the same report.

    Returns:
      A `Report`, true if the backward is right.

    Raises:
      GradcheckError: if the check cannot be run.

    Example:
      >>> import jaxnn
      >>> bool(layer(jaxnn.dense(3), (4,)))
      True
    """
    rng = np.random.default_rng(seed)
    like = jax.eval_shape(lambda: layer.init(jax.random.key(0), tuple(in_shape))[0])
    params = jax.tree.map(lambda leaf: (rng.normal(size=leaf.shape) / 2).astype(leaf.dtype), like)
    x = rng.normal(size=(m, *in_shape)).astype(jnp.result_type(float))

    def forward(params, x):
        return layer.forward(params, x, key)[0]

    def manual(args, dy):
        return layer.backward(args[0], layer.forward(*args, key)[1], dy)

    options = make_options(fast=fast, seed=seed, batch=m, kinks="jax")
    return report_on(make_problem("layer", forward, manual, (params, x)), options)


@as_gradcheck_error()
@checked(loss=Instance(Loss, "a jaxnn.Loss", "squared_error() makes one"))
def loss(loss: Loss, z: Any, y: Any, *, fast: bool = False, seed: int = 0) -> Report:
    """Check a jaxnn `Loss`: its gradient with respect to the outputs z against its value.

    Args:
      loss: the `Loss`.
      z: outputs, (m, k) or (m,).
      y: targets for them, (m,) or (m, k).
      fast: check only the given arguments, in float64 and in their own precision.
      seed: seed of all random numbers in the check; the same seed gives the same report.

    Returns:
      A `Report`, true if the gradient is right.

    Raises:
      GradcheckError: if the check cannot be run.

    Example:
      >>> import jax.numpy as jnp, jaxnn
      >>> bool(loss(jaxnn.squared_error(), jnp.array([1.0, -2.0, 0.5]), jnp.array([0.0, 1.0, 0.3])))
      True
    """
    z, y = (a if hasattr(a, "dtype") else jnp.asarray(a) for a in (z, y))

    def value(z, y):
        return loss.value(z, y)

    def manual(args, dy):
        gradient = loss.gradient(*args)
        return gradient * dy.reshape(-1, *[1] * (gradient.ndim - 1)), None

    options = make_options(fast=fast, seed=seed, kinks="jax")
    return report_on(make_problem("loss", value, manual, (z, y), wrt=(True, False)), options)


@as_gradcheck_error()
@checked(regularizer=Instance(Regularizer, "a jaxnn.regularizers.Regularizer", "l2(0.1) makes one"))
def regularizer(regularizer: Regularizer, params: Any, *, fast: bool = False, seed: int = 0) -> Report:
    """Check a jaxnn `Regularizer`: its gradient against its value.

    Args:
      regularizer: the `Regularizer`.
      params: params to check it at, a pytree of arrays.
      fast: check only the given arguments, in float64 and in their own precision.
      seed: seed of all random numbers in the check; the same seed gives the same report.

    Returns:
      A `Report`, true if the gradient is right.

    Raises:
      GradcheckError: if the check cannot be run.

    Example:
      >>> import jax.numpy as jnp, jaxnn
      >>> bool(regularizer(jaxnn.l2(0.1), {"W": jnp.array([[1.0, -2.0]]), "b": jnp.array([3.0])}))
      True
    """
    manual = gradient_as_vjp(lambda params: (regularizer.gradient(params),), 1)
    options = make_options(fast=fast, seed=seed, kinks="jax")
    return report_on(make_problem("regularizer", regularizer.value, manual, (params,), scalar=True), options)
