"""Measure how far an exported network, on float32 inputs as they are in a file, is from the network of the run.

The run standardizes inputs in float64. Elsewhere inputs are float32, and a column with a large |mean|/deviation, such
as a time stamp, then has few digits left: float32 has steps of 128 near 1.7e9.
"""

import jax
import numpy as np

import jaxnn
from experiments.interchange.layers import network_of, raw_input_layers
from experiments.networks.storage import StoredNetwork

BOUND = 1e-5
_ROWS = 256
_MOST_NAMED = 3


def difference(network: StoredNetwork, form: str) -> float:
    """Return the largest difference of outputs, relative to 1 + the largest output, on rows drawn at random.

    Rows have the training set's means and deviations. Outputs are those of the format: of `Model.outputs`, or of a
    function `Model.predict_proba`.
    """
    stats = jaxnn.data.Standardizer(*(np.asarray(a, np.float64) for a in network.standardizer))
    model = network.spec.model()
    rows = np.random.default_rng(0).normal(stats.mean, stats.std, (_ROWS, network.spec.sizes[0]))
    standardized = jaxnn.standardize(stats, rows).astype(np.float32)
    if form == "stablehlo":
        from experiments.interchange.stablehlo import function

        here, there = (
            jax.jit(model.predict_proba)(network.params, standardized),
            jax.jit(function(network))(np.float32(rows)),
        )
    else:
        folded = network_of(raw_input_layers(network), network.spec.activation, network.spec.output)
        outputs = jax.jit(model.outputs)
        here, there = outputs(network.params, standardized), outputs(folded.params, np.float32(rows))
    here, there = np.asarray(here, np.float64), np.asarray(there, np.float64)
    return float(np.abs(here - there).max() / (1 + np.abs(here).max()))


def farthest(network: StoredNetwork, names: list[str]) -> str:
    """Return the names of the inputs with the largest |mean|/deviation, and that ratio."""
    ratios = np.abs(network.standardizer.mean) / network.standardizer.std
    order = [i for i in np.argsort(-ratios) if ratios[i] > ratios.max() / 10][:_MOST_NAMED]
    return ", ".join(f"{names[i]} {ratios[i]:.2g}" for i in order)
