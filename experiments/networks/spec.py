"""The specification of a network, from which the same network can be rebuilt."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import jax
import numpy as np

import jaxnn
from jaxnn.typing import Initializer

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
    def n_params(self) -> int:
        """Return the number of weights and biases."""
        return sum((n_in + 1) * n_out for n_in, n_out in zip(self.sizes, self.sizes[1:], strict=False))

    def __str__(self) -> str:
        return "-".join(map(str, self.sizes))


def class_probabilities(model: jaxnn.Model, params: Any, x: np.ndarray) -> np.ndarray:
    """Return the probability of each class, (m, k), also for a binary model with one output."""
    probabilities = np.asarray(jax.jit(model.predict_proba)(params, x))
    return np.hstack([1 - probabilities, probabilities]) if probabilities.shape[1] == 1 else probabilities


def param_names(spec: NetworkSpec) -> list[str]:
    """Return the path of each array, in the order of `jaxnn.models.params_to_arrays`: 0/W, 0/b, 2/W, ...

    They are the paths in the params of an unscanned chain, and the same if equal layers are scanned.
    """
    model = jaxnn.mlp(spec.sizes, spec.activation, output=spec.output)
    paths = jax.tree_util.tree_flatten_with_path(jax.eval_shape(model.init, jax.random.key(0)))[0]
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths]
