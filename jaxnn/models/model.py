"""A network with its loss, and what its outputs mean."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.arrays import as_array, fix_of_dtype, floats
from jaxnn.caching import remembered
from jaxnn.factories.decorator import known
from jaxnn.factories.representation import shown
from jaxnn.losses.loss import Loss
from jaxnn.nn.layer import Layer, check_layers
from jaxnn.typing import Array, Key, Params, Shape
from jaxnn.validation import check_key, check_params, check_shape, described, is_real


def _shown(model: "Model") -> str:
    """The network with the number of its params, what it takes, and the loss."""
    try:
        n = sum(
            math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes_of_params("Model", model.network, model.in_shape))
        )
        params = f", {n} params"
    except Exception:  # a network that does not take such examples: `init` says why
        params = ""
    return f"Model({shown(model.network)}, in_shape={shown(model.in_shape)}, loss={shown(model.loss)}{params})"


@partial(known, shown=_shown)
class Model(NamedTuple):
    """A network with what belongs to its kind of output.

    Inputs x are examples as rows, (m, n_in), an array or what NumPy makes one of, such as lists or a data frame. A
    single example (n_in,) will do; its results are without the axis of m.

    Attributes:
      network: the `Layer` that maps x (m, n_in) to outputs z (m, k): logits, where the loss takes logits.
      in_shape: the shape of one example, as `network.init` takes it.
      loss: the `Loss` on those outputs.
      probabilities: maps outputs (m, k) to probabilities (m, k), or to the predicted values themselves.
      labels: maps outputs (m, k) to labels (m,) of classes, or to values (m, k) for regression.
    """

    network: Layer
    in_shape: Shape
    loss: Loss
    probabilities: Callable[[Array], Array]
    labels: Callable[[Array], Array]

    def init(self, key: Key) -> Params:
        """Fresh params of the network, from a random key (scalar), in one compiled program.

        Raises:
          ValueError: it is no random key, or several.
        """
        check_key(key)
        # Inside somebody's program, where any operation gives a tracer, it is a part of that.
        inside = isinstance(jax.random.key_data(key), jax.core.Tracer)
        return self.network.init(key, self.in_shape)[0] if inside else _init_program(self.network, self.in_shape)(key)

    def outputs(self, params: Params, x: Array) -> Array:
        """z, (m, k), for inputs x (m, n_in): the forward without randomness.

        Raises:
          ValueError: params or inputs that are not this network's, or inputs that are no numbers.
        """
        check_params(params)
        return self.network.forward(params, _inputs(x))[0]

    def predict_proba(self, params: Params, x: Array) -> Array:
        """Return probabilities (m, k) for inputs x (m, n_in), or values (m, k) for regression.

        Raises:
          ValueError: as `outputs`.
        """
        return self.probabilities(self.outputs(params, x))

    def predict(self, params: Params, x: Array) -> Array:
        """Return labels (m,) for inputs x (m, n_in), or values (m, k) for regression.

        Raises:
          ValueError: as `outputs`.
        """
        return self.labels(self.outputs(params, x))


@remembered
def _init_program(network: Layer, in_shape: Shape) -> Callable[[Key], Params]:
    # It runs once, so what counts is the time to compile it: half at this level of LLVM's, with the same numbers.
    return jax.jit(lambda key: network.init(key, in_shape)[0], compiler_options={"xla_backend_optimization_level": 1})


def shapes_of_params(name: str, network: Layer, in_shape: Shape) -> Params:
    """Shapes and dtypes of the params of a network, of any shapes."""
    check_layers(name, (network,))
    check_shape(in_shape)
    return jax.eval_shape(lambda: network.init(jax.random.key(0), in_shape)[0])


def _inputs(x: Any) -> Array:
    """Inputs (..., n_in) as an array, whatever they came in."""
    given, x = x, as_array("x", x)
    if not is_real(x.dtype) and x.dtype != bool:
        raise ValueError(f"x is {described(x)}, expected an array of numbers, (m, n_in): {fix_of_dtype('x', given)}")
    return floats(x)


def labels_of_logits(z: Array) -> Array:
    """Return label 1 for each positive logit of z (m, k), else 0: (m, k), or (m,) for k = 1."""
    # One logit an example makes labels (m,); k independent ones, (m, k).
    labels = (z > 0).astype(jnp.int32)
    return labels[..., 0] if labels.shape[-1] == 1 else labels


def unchanged(z: Array) -> Array:
    """Return z (m, k)."""
    return z
