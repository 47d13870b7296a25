"""A function with the params inside, by `jax.export`: StableHLO, which JAX compiles anywhere, without jaxnn."""

from collections.abc import Callable

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from experiments.networks.storage import StoredNetwork

OUTPUT = "predict(x)"

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def encode(network: StoredNetwork) -> bytes:
    """Return the bytes of a function of x (m, *in_shape), any m, to `Model.predict_proba` of x standardized."""
    spec = network.spec
    x = jax.ShapeDtypeStruct((*jax.export.symbolic_shape("m"), *spec.in_shape), jnp.dtype(spec.in_dtype))
    return bytes(jax.export.export(jax.jit(function(network)), platforms=PLATFORMS)(x).serialize())


def function(network: StoredNetwork) -> Callable[[jax.Array], jax.Array]:
    """Return the function, which subtracts each mean as two float32 numbers, since one has too few digits.

    With mean = high + low, x - high is exact if x is near the mean (Sterbenz, "Floating-Point Computation", 1974), so
    no digit of float32 inputs is lost.
    """
    model, stats = network.spec.model(), network.standardizer
    if stats is None:
        return lambda x: model.predict_proba(network.params, x, network.stats)
    mean, std = (np.asarray(a, np.float64) for a in stats)
    high = mean.astype(np.float32)
    low = (mean - high).astype(np.float32)

    def predict(x):
        # Without the barrier, a compiler might subtract high + low.
        shifted = jax.lax.optimization_barrier(x - high[None]) - low[None]
        return model.predict_proba(network.params, shifted / std.astype(np.float32)[None], network.stats)

    return predict


def code(network: StoredNetwork, file: str) -> str:
    """Return code that loads the function; it needs the packages jax and flatbuffers."""
    return f"""\
import pathlib, jax.export
file = pathlib.Path({file!r})
predict = jax.export.deserialize(bytearray(file.read_bytes())).call"""
