"""Checks of what jaxnn's networks and objectives are made of: layers, losses and regularizers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.constraints import (
    ArrayTree,
    Count,
    ExampleTree,
    Flag,
    Instance,
    Nothing,
    RandomKey,
    checked,
)
from jaxnn.factories.decorator import calls_of
from jaxnn.gradcheck.api import gradient_as_vjp
from jaxnn.gradcheck.checker import report_on
from jaxnn.gradcheck.inference import inference_rows
from jaxnn.gradcheck.options import Kinks, make_options
from jaxnn.gradcheck.problem import as_gradcheck_error, make_problem
from jaxnn.gradcheck.promises import ROWS, cotangent_of, weight_rows, whole_number_rows
from jaxnn.gradcheck.report import Report
from jaxnn.gradcheck.wrong_parts import line_of_wrong_part
from jaxnn.losses.loss import Loss
from jaxnn.losses.terms import beside_terms
from jaxnn.nn.boundaries import call_forward, run_init
from jaxnn.nn.freezing import frozen
from jaxnn.nn.from_functions import layer_from
from jaxnn.nn.layer import LAYER, Layer
from jaxnn.nn.shapes import shapes_of, simplified, structs
from jaxnn.regularizers import Regularizer
from jaxnn.typing import Key, Params, PyTree, Shapes


@as_gradcheck_error()
@checked(
    layer=LAYER,
    in_shape=ExampleTree() | Nothing(),
    key=RandomKey() | Nothing(),
    m=Count(),
    x=ArrayTree() | Nothing(),
    infers_as_forward=Flag(),
    seed=Count(0),
)
def layer(
    layer: Layer,
    in_shape: Shapes | None = None,
    *,
    key: Key | None = None,
    m: int = 5,
    x: PyTree = None,
    infers_as_forward: bool = True,
    kinks: Kinks = "jax",
    fast: bool = False,
    seed: int = 0,
) -> Report:
    """Check a jaxnn `Layer`, in training and in inference.

    The backward is compared with the plain forward, with JAX's slope at every kink; of a layer that looks across
    examples, also where these count 0, 1 and 2. Whole numbers must have a float0 as their cotangent. `infer` must be
    finite and have a finite gradient. Unless the layer is random, `infer` must return what forward does if it gets the
    statistics that forward observed, and an example of weight 0 must be as none, one of weight 2 as two.

    Args:
      layer: the `Layer`.
      in_shape: the shape of one example, as `layer.init` takes it; without it, that of x.
      key: a random key for the forward, for a random layer such as dropout; `None` by default.
      m: the batch size.
      x: inputs to check at; by default floats are drawn from a normal distribution, and whole numbers are 0 or 1.
      infers_as_forward: whether inference is to agree with training; False for a layer that means another function
        there.
      kinks: "jax" accepts only JAX's slope at a kink, as jaxnn's own layers have it; "any" every slope between those on
        its sides, with a note.
      fast: check only the given arguments, in float64 and in their own precision.
      seed: seed of the params, the inputs and all other random numbers; the same seed gives the same report.

    Returns:
      A `Report`, true if the backward is right and inference is as described.

    Raises:
      GradcheckError: if the check cannot be run.

    Example:
      >>> import jaxnn
      >>> bool(layer(jaxnn.dense(3), (4,))), bool(layer(jaxnn.nn.embedding(9, 2), x=jnp.array([[8, 3], [3, 0]])))
      (True, True)
    """
    rng = np.random.default_rng(seed)
    in_shape = _SHAPE.check("in_shape", shapes_of(x) if in_shape is None and x is not None else in_shape)
    like = jax.eval_shape(lambda: run_init(layer, jax.random.key(0), simplified(in_shape))[0])
    params = jax.tree.map(lambda leaf: (rng.normal(size=leaf.shape) / 2).astype(leaf.dtype), like)
    if x is None:
        x = jax.tree.map(lambda a: _drawn(rng, (m, *a.shape), a.dtype), structs(in_shape))

    def training(params, x, weighted):
        rows = jnp.asarray(np.resize(ROWS, jax.tree.leaves(x)[0].shape[0])) if weighted else None
        return call_forward(layer, params, x, key, rows)

    whole, part = _held_apart(layer, params, lambda: training(params, x, False))

    def check(weighted):
        def forward(params, x):
            return training(whole(params), x, weighted)[0]

        def manual(args, dy):
            params, x = whole(args[0]), args[1]
            dparams, dx = layer.backward(params, training(params, x, weighted)[1], dy)
            return part(dparams), dx

        problem = make_problem("layer", forward, manual, (part(params), x))
        return report_on(problem, make_options(fast=fast, seed=seed, batch=m, kinks=kinks))

    report = Report("layer", ())
    if any(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves((part(params), x))):
        report = check(weighted=False)
        if report and layer.across:
            report = check(weighted=True)
        if not report:
            line = line_of_wrong_part(layer, params, x, key, seed)
            return replace(report, line=line) if line else report

    def forward(x, rows):
        return call_forward(layer, params, x, key, rows)

    rows = list(whole_number_rows(forward, layer, params, x))
    if key is None:
        rows += weight_rows(forward, layer, params, x)
    compared = infers_as_forward and key is None
    rows += inference_rows(lambda: forward(x, None), layer, params, x, compared)
    assumed = (*report.assumed, *(f"{call}: its backward is by autodiff" for call in calls_of(layer, layer_from)))
    return replace(report, rows=(*report.rows, *rows), assumed=assumed)


def _held_apart(layer: Layer, params: Params, training: Callable[[], Any]) -> tuple[Callable, Callable]:
    """Return the functions from the params that have a gradient to all, and back: those of `frozen` have none."""
    if not calls_of(layer, frozen):
        return (lambda params: params), (lambda params: params)
    y, cache = training()
    leaves, structure = jax.tree.flatten(params)
    held = [
        not np.any(leaf) for leaf in jax.tree.leaves(layer.backward(params, cache, cotangent_of(y, jnp.ones_like))[0])
    ]

    def whole(some):
        rest = iter(some)
        return structure.unflatten([leaf if fixed else next(rest) for leaf, fixed in zip(leaves, held, strict=True)])

    def part(tree):
        return [leaf for leaf, fixed in zip(jax.tree.leaves(tree), held, strict=True) if not fixed]

    return whole, part


_SHAPE = ExampleTree()


def _drawn(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    floating = jnp.issubdtype(dtype, jnp.floating)
    return (rng.normal(size=shape) if floating else rng.integers(0, 2, shape)).astype(dtype)


@as_gradcheck_error()
@checked(loss=Instance(Loss, "a jaxnn.Loss", "squared_error() makes one"))
def loss(loss: Loss, z: Any, y: Any, *, fast: bool = False, seed: int = 0) -> Report:
    """Check a jaxnn `Loss`: its gradient with respect to the outputs z against its terms.

    Args:
      loss: the `Loss`.
      z: outputs, such as (m, k) or (m,), or a pytree of arrays.
      y: targets for them, such as (m,) or (m, k), or a pytree of arrays.
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
    z, y = map(_arrays, (z, y))

    def value(z, y):
        return loss.value(z, y)

    def manual(args, dy):
        return beside_terms(jnp.multiply, loss.gradient(*args), dy), None

    options = make_options(fast=fast, seed=seed, kinks="jax")
    return report_on(make_problem("loss", value, manual, (z, y), wrt=(True, False)), options)


def _arrays(tree: Any) -> Any:
    """Return a pytree of arrays unchanged; convert a number, or a list or tuple of numbers, to an array."""
    return tree if all(hasattr(leaf, "dtype") for leaf in jax.tree.leaves(tree)) else jnp.asarray(tree)


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
