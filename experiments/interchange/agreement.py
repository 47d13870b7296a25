"""Measure the difference between an exported network, on raw float32 inputs, and the network of the run.

The run standardizes inputs in float64. In other libraries raw inputs are float32, in which a column with a large
|mean|/deviation, such as a time stamp, has few digits left: the spacing of float32 near 1.7e9 is 128.
"""

import jax
import numpy as np

import jaxnn
from experiments.interchange.standardization import raw_inputs
from experiments.networks.storage import StoredNetwork

BOUND = 1e-5
_ROWS = 256
_MOST_NAMED = 3


def difference(network: StoredNetwork, form: str) -> float:
    """Return the largest difference of outputs, relative to 1 + the largest output, on random rows.

    Rows have the training set's means and deviations. Outputs are those of the format: of `Model.outputs`, or of
    `Model.predict_proba` for a function.
    """
    stats = jaxnn.data.Standardizer(*(np.asarray(a, np.float64) for a in network.standardizer))
    model = network.spec.model()
    rows = np.random.default_rng(0).normal(stats.mean, stats.std, (_ROWS, *network.spec.in_shape))
    standardized = jaxnn.standardize(stats, rows).astype(np.float32)
    if form == "stablehlo":
        from experiments.interchange.stablehlo import function

        original, exported = (
            jax.jit(model.predict_proba)(network.params, standardized, network.stats),
            jax.jit(function(network))(np.float32(rows)),
        )
    else:
        raw = raw_inputs(network)
        original = jax.jit(model.outputs)(network.params, standardized, network.stats)
        exported = jax.jit(raw.spec.model().outputs)(raw.params, np.float32(rows), raw.stats)
    original, exported = np.asarray(original, np.float64), np.asarray(exported, np.float64)
    return float(np.abs(original - exported).max() / (1 + np.abs(original).max()))


def farthest(network: StoredNetwork, names: list[str]) -> str:
    """Return a list of the inputs with the largest |mean|/deviation, with that ratio."""
    ratios = (np.abs(network.standardizer.mean) / network.standardizer.std).ravel()
    order = [i for i in np.argsort(-ratios) if ratios[i] > ratios.max() / 10][:_MOST_NAMED]
    return ", ".join(f"{names[i]} {ratios[i]:.2g}" for i in order)
