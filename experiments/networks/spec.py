"""Specifications of networks, from which the same network can be rebuilt.

A `NetworkSpec` has dense layers only, and is described by their sizes. A `LayersSpec` has any layers, such as
convolutions, and is described by the calls that made them. Both have model(), output, kind, and the sizes in_shape,
n_outputs, depth, width and n_params.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, TypeAlias

import jax
import numpy as np

import jaxnn
from jaxnn.models.feedforward import OUTPUTS
from jaxnn.models.model import shapes_of_params
from jaxnn.nn.shapes import structs
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

    def model(self) -> jaxnn.Model:
        """Build the model."""
        return jaxnn.mlp(self.sizes, self.activation, output=self.output, init=self.init, scan=self.is_deep)

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
    """A network made by jaxnn's factories, such as a chain of convolutions and dense layers, without statistics.

    `in_shape` is that of one array of floats, or of a row of a table, as `tables.in_shape_of` returns it.
    """

    network: jaxnn.Layer
    in_shape: Shapes
    output: str = "softmax"

    def model(self) -> jaxnn.Model:
        """Build the model."""
        return jaxnn.Model(self.network, self.in_shape, *OUTPUTS[self.output])

    @property
    def kind(self) -> str:
        """Return what the sizes do not show."""
        return self.output

    @property
    def layers(self) -> tuple[jaxnn.Layer, ...]:
        """Return the layers of a chain; for another network, only itself."""
        return self.network.factory_call.arguments.get("layers", (self.network,))

    @cached_property
    def shapes(self) -> tuple[Shapes, ...]:
        """Return the shape of one example, and those after each layer with weights."""
        shapes = [self.in_shape]

        def init(key):
            shape = self.in_shape
            for layer in self.layers:
                params, shape = layer.init(key, shape)
                if jax.tree.leaves(params):
                    shapes.append(shape)
            return key

        jax.eval_shape(init, jax.random.key(0))
        return tuple(shapes)

    @property
    def n_outputs(self) -> int:
        """Return the number of outputs for one example."""
        return self.shapes[-1][-1]

    @property
    def depth(self) -> int:
        """Return the number of layers with weights."""
        return len(self.shapes) - 1

    @property
    def width(self) -> int:
        """Return the largest number of activations of a layer with weights for one example."""
        return max(sum(map(math.prod, _sizes(shape))) for shape in self.shapes)

    @cached_property
    def n_params(self) -> int:
        """Return the number of weights and biases."""
        return sum(leaf.size for leaf in jax.tree.leaves(shapes_of_params(self.network, self.in_shape)))

    def __str__(self) -> str:
        return "-".join("+".join("x".join(map(str, size)) or "1" for size in _sizes(shape)) for shape in self.shapes)


def _sizes(shape: Shapes) -> list[tuple[int, ...]]:
    """Return the shape of each array of an example: several for a row of numbers and categories."""
    return [tuple(leaf.shape) for leaf in jax.tree.leaves(structs(shape))]


Spec: TypeAlias = NetworkSpec | LayersSpec


def class_probabilities(model: jaxnn.Model, params: Any, x: np.ndarray) -> np.ndarray:
    """Return the probability of each class, (m, k), also for a binary model with one output."""
    probabilities = np.asarray(jax.jit(model.predict_proba)(params, x))
    return np.hstack([1 - probabilities, probabilities]) if probabilities.shape[1] == 1 else probabilities


def param_names(spec: Spec) -> list[str]:
    """Return the path of each array, in the order of `jaxnn.models.params_to_arrays`: 0/W, 0/b, 2/W, ...

    They are the paths in the params of an unscanned chain, and the same if equal layers are scanned.
    """
    dense = isinstance(spec, NetworkSpec)
    model = jaxnn.mlp(spec.sizes, spec.activation, output=spec.output) if dense else spec.model()
    paths = jax.tree_util.tree_flatten_with_path(jax.eval_shape(model.init, jax.random.key(0)))[0]
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths]
