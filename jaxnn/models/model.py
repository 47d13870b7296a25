"""A network with its loss and the meaning of its outputs."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxnn.caching import bounded_cache
from jaxnn.constraints import ArrayTree, ParamsTree, RandomKey, checked
from jaxnn.factories.decorator import factory_made
from jaxnn.factories.representation import shown
from jaxnn.losses.loss import Loss
from jaxnn.nn.boundaries import run_init
from jaxnn.nn.layer import Layer
from jaxnn.nn.shapes import from_hashable, hashable
from jaxnn.nn.summaries import summary
from jaxnn.typing import Array, ArrayLike, Key, Params, Shapes, Statistics


def _shown(model: "Model") -> str:
    """Return the repr of a model: its network, in_shape and loss, and the number of its params."""
    try:
        n = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes_of_params(model.network, model.in_shape)))
        params = f", {n} params"
    except Exception:  # the network does not accept such examples: `init` raises with the reason
        params = ""
    return f"Model({shown(model.network)}, in_shape={shown(model.in_shape)}, loss={shown(model.loss)}{params})"


@partial(factory_made, shown=_shown)
class Model(NamedTuple):
    """A network with its loss and the functions for its kind of output.

    Inputs x are examples as rows, (m, n_in): an array or an array-like, such as lists or a data frame. A
    single example (n_in,) is accepted too; its results have no axis of examples.

    Attributes:
      network: the `Layer` that maps x (m, n_in) to outputs z (m, k): logits, if the loss takes logits.
      in_shape: the shape of one example, as `network.init` takes it.
      loss: the `Loss` on those outputs.
      probabilities: maps outputs (m, k) to probabilities (m, k), or to the predicted values themselves.
      labels: maps outputs (m, k) to class labels (m,), or to values (m, k) for regression.
    """

    network: Layer
    in_shape: Shapes
    loss: Loss
    probabilities: Callable[[Array], Array]
    labels: Callable[[Array], Array]

    @checked(key=RandomKey())
    def init(self, key: Key) -> Params:
        """Initialize params of the network from one random key, in one compiled program.

        Raises:
          ValueError: if it is not one random key.
        """
        # Inside a trace, in which every operation returns a tracer, it becomes part of the program traced.
        if isinstance(jax.random.key_data(key), Tracer):
            return run_init(self.network, key, self.in_shape)[0]
        return _init_program(self.network, hashable(self.in_shape))(key)

    def summary(self) -> str:
        """Return a table of the network's layers, their shapes, params and cost, as `jaxnn.nn.summary` does."""
        return summary(self.network, self.in_shape)

    @checked(params=ParamsTree(), x=ArrayTree())
    def outputs(self, params: Params, x: ArrayLike, stats: Statistics = ()) -> Array:
        """Return outputs z (m, k) for inputs x (m, n_in), as in inference.

        Args:
          params: of the network.
          x: inputs, an array-like, or a pytree of arrays if the network takes one.
          stats: of the network, `Fit.stats`; `()` for one without any.

        Raises:
          ValueError: if params, statistics or the shape of x are those of another network, or x is not numbers.
        """
        if (
            isinstance(x, jax.Array) and x.shape == self.in_shape
        ):  # one example, also of layers that need the axis of examples
            return self.network.infer(params, stats, x[None])[0]
        return self.network.infer(params, stats, x)

    def predict_proba(self, params: Params, x: ArrayLike, stats: Statistics = ()) -> Array:
        """Return probabilities (m, k) for inputs x (m, n_in), or values (m, k) for regression.

        Raises:
          ValueError: as `outputs`.
        """
        return self.probabilities(self.outputs(params, x, stats))

    def predict(self, params: Params, x: ArrayLike, stats: Statistics = ()) -> Array:
        """Return labels (m,) for inputs x (m, n_in), or values (m, k) for regression.

        Raises:
          ValueError: as `outputs`.
        """
        return self.labels(self.outputs(params, x, stats))


@bounded_cache
def _init_program(network: Layer, shape: Any) -> Callable[[Key], Params]:
    in_shape = from_hashable(shape)
    # It runs once, so compile time matters: this LLVM level halves it and gives the same numbers.
    return jax.jit(
        lambda key: run_init(network, key, in_shape)[0], compiler_options={"xla_backend_optimization_level": 1}
    )


def shapes_of_params(network: Layer, in_shape: Shapes) -> Params:
    """Return the shapes and dtypes of a network's params without computing them."""
    return jax.eval_shape(lambda: run_init(network, jax.random.key(0), in_shape)[0])


def probabilities_of_logits(z: Array) -> Array:
    """Return the probability of 1 for each logit of z (m, k)."""
    return jax.nn.sigmoid(z)


def class_probabilities(z: Array) -> Array:
    """Return the probability of each class, (m, k), for logits z (m, k)."""
    return jax.nn.softmax(z)


def class_of_logits(z: Array) -> Array:
    """Return the class of the largest logit of z (m, k), (m,)."""
    return jnp.argmax(z, axis=-1)


def labels_of_logits(z: Array) -> Array:
    """Return label 1 for each positive logit of z (m, k), else 0: (m, k), or (m,) for k = 1."""
    # One logit per example gives labels (m,); k independent ones give (m, k).
    labels = (z > 0).astype(jnp.int32)
    return labels[..., 0] if labels.shape[-1] == 1 else labels


def unchanged(z: Array) -> Array:
    """Return z (m, k)."""
    return z
