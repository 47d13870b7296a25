"""Outputs of a network for any number of rows, by few compiled programs."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxnn.caching import bounded_cache
from jaxnn.models.model import Model
from jaxnn.nn.layer import Layer
from jaxnn.typing import Array, Params

LEAST, MOST = 64, 8192
"""Rows are filled up to a power of two between these, so that there are at most eight programs."""


def outputs_in_parts(model: Model, params: Params, x: Any, dtype: str) -> np.ndarray:
    """Return the network's outputs (m, k) for dense or sparse inputs (m, n_in).

    Sparse inputs are made dense part by part: at most 8192 rows are dense at a time.
    """
    program, parts = _outputs_program(model.network), []
    for start in range(0, x.shape[0], MOST):
        rows = x[start : start + MOST]
        rows = np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows, dtype)
        n = max(LEAST, 1 << (len(rows) - 1).bit_length())
        filled = np.zeros((n, rows.shape[1]), dtype)
        filled[: len(rows)] = rows
        parts.append(np.array(program(params, filled))[: len(rows)])
    return np.concatenate(parts)


@bounded_cache
def _outputs_program(network: Layer) -> Callable[[Params, Array], Array]:
    return jax.jit(lambda params, x: network.infer(params, (), x))
