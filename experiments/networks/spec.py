"""Specifications of networks, from which the same network can be rebuilt.

A `NetworkSpec` has dense layers only, and is described by their sizes. A `LayersSpec` has any layers, such as
convolutions, and is described by the calls that made them. Both have model(), stored_model(), output, kind, and the
sizes in_shape, n_outputs, depth, width and n_params.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, TypeAlias

import jax
import numpy as np

import jaxnn
from jaxnn.models.model import shapes_of_params
from jaxnn.models.outputs import OUTPUTS
from jaxnn.nn.shapes import is_sizes, simplified, structs
from jaxnn.typing import Initializer, Shape, Shapes

# From this depth and up to this width, a scan does not slow down a step, measured on two CPU cores: it only saves
# compile time. Wider layers copy more: a step through 64 layers of 512 units took 1.1 times as long.
SCAN_DEPTH, SCAN_WIDTH = 64, 64


@dataclass(frozen=True)
class NetworkSpec:
    """An L-layer network of `jaxnn.mlp`; `init` only affects initialization and is not stored."""

    sizes: tuple[int, ...]
    activation: str = "relu"
    output: str = "binary"
    init: str | Initializer = "lecun"

    in_dtype = "float32"
    statistics = ()
    """Dense layers observe nothing."""

    def model(self) -> jaxnn.Model:
        """Build the model."""
        return jaxnn.mlp(self.sizes, self.activation, output=self.output, init=self.init, scan=self.is_deep)

    def stored_model(self) -> jaxnn.Model:
        """Build the model as a file has it: its equal layers are not scanned."""
        return jaxnn.mlp(self.sizes, self.activation, output=self.output)

    @property
    def is_deep(self) -> bool:
        """Return whether enough consecutive layers have the same size for the model to scan them."""
        runs = [(size, len(list(run))) for size, run in groupby(self.sizes[1:])]
        return any(n >= SCAN_DEPTH and size <= SCAN_WIDTH for size, n in runs)

    @property
    def kind(self) -> str:
        """Return what the sizes do not show."""
        return f"{self.activation}, {self.output}"

    @property
    def in_shape(self) -> Shape:
        """Return the shape of one example."""
        return self.sizes[:1]

    @property
    def n_outputs(self) -> int:
        """Return the number of outputs for one example."""
        return self.sizes[-1]

    @property
    def depth(self) -> int:
        """Return the number of layers with weights."""
        return len(self.sizes) - 1

    @property
    def width(self) -> int:
        """Return the largest number of activations of a layer for one example."""
        return max(self.sizes)

    @property
    def n_params(self) -> int:
        """Return the number of weights and biases."""
        return sum((n_in + 1) * n_out for n_in, n_out in zip(self.sizes, self.sizes[1:], strict=False))

    def __str__(self) -> str:
        return "-".join(map(str, self.sizes))


@dataclass(frozen=True)
class LayersSpec:
    """A network made by jaxnn's factories, such as a chain of convolutions and dense layers.

    Attributes:
      network: the layer, as its factory made it.
      in_shape: the sizes of one example; or the shape of a row of a table, as `tables.in_shape_of` returns it.
      output: what the outputs mean, as of `jaxnn.mlp`.
      in_dtype: of examples that are whole numbers, such as "int32" for an embedding; "float32" for floats.
    """

    network: jaxnn.Layer
    in_shape: Shapes
    output: str = "softmax"
    in_dtype: str = "float32"

    def model(self) -> jaxnn.Model:
        """Build the model."""
        return jaxnn.Model(self.network, self.example, *OUTPUTS[self.output])

    stored_model = model
    """The model as a file has it."""

    @property
    def example(self) -> Any:
        """Return the shape of one example, as `init` takes it."""
        if not is_sizes(self.in_shape):
            return self.in_shape
        return simplified(jax.ShapeDtypeStruct(self.in_shape, np.dtype(self.in_dtype)))

    @cached_property
    def statistics(self) -> Any:
        """Return the shapes of what the layers observe and inference needs; `()` for a network without any."""
        params = shapes_of_params(self.network, self.example)
        x = jax.tree.map(lambda a: jax.ShapeDtypeStruct((2, *a.shape), a.dtype), structs(self.example))

        def observed(params, x, key):
            return self.network.observe(self.network.forward(params, x, key)[1])

        stats = jax.eval_shape(observed, params, x, jax.random.key(0))
        return stats if jax.tree.leaves(stats) else ()

    @property
    def kind(self) -> str:
        """Return what the sizes do not show."""
        return self.output

    @property
    def layers(self) -> tuple[jaxnn.Layer, ...]:
        """Return the layers of a chain; for another network, only itself."""
        return self.network.factory_call.arguments.get("layers", (self.network,))

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """Return the shape of one example, and those after each layer with weights."""
        after = ((params, _sizes(shape)) for params, shape in self._after_layers)
        return _sizes(self.example), *(shape for params, shape in after if jax.tree.leaves(params))

    @cached_property
    def _after_layers(self) -> list[tuple[Any, Any]]:
        """Return the params and the shape after each layer."""
        after = []

        def init(key):
            shape = self.example
            for layer in self.layers:
                params, shape = layer.init(key, shape)
                after.append((params, shape))
            return key

        jax.eval_shape(init, jax.random.key(0))
        return after

    @property
    def n_outputs(self) -> int:
        """Return the number of outputs for one example."""
        return _sizes(self._after_layers[-1][1])[-1]

    @property
    def depth(self) -> int:
        """Return the number of layers with weights."""
        return len(self.shapes) - 1

    @property
    def width(self) -> int:
        """Return the largest number of activations of a layer with weights for one example."""
        return max(map(math.prod, self.shapes))

    @cached_property
    def n_params(self) -> int:
        """Return the number of weights and biases."""
        return sum(leaf.size for leaf in jax.tree.leaves(shapes_of_params(self.network, self.example)))

    def __str__(self) -> str:
        return "-".join("x".join(map(str, shape)) for shape in self.shapes)


def _sizes(shape: Any) -> Shape:
    """Return the sizes of an array; of several side by side, the number of their activations."""
    leaves = jax.tree.leaves(structs(shape))
    return tuple(leaves[0].shape) if len(leaves) == 1 else (sum(math.prod(leaf.shape) for leaf in leaves),)


Spec: TypeAlias = NetworkSpec | LayersSpec


def class_probabilities(model: jaxnn.Model, params: Any, x: np.ndarray, stats: Any = ()) -> np.ndarray:
    """Return the probability of each class, (m, k), also for a binary model with one output."""
    probabilities = np.asarray(jax.jit(model.predict_proba)(params, x, stats))
    return np.hstack([1 - probabilities, probabilities]) if probabilities.shape[1] == 1 else probabilities
