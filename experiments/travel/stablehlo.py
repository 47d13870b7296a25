"""A function with the params inside, by `jax.export`: StableHLO, which JAX compiles anywhere, without jaxnn."""

import jax.export
import jax.numpy as jnp

import jaxnn
from experiments.network_file import StoredNetwork
from experiments.networks import NetworkSpec

OUTPUT = "predict(x)"

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def encode(network: StoredNetwork) -> bytes:
    """The bytes of the file: x (m, n_in) in float32, for any m, to what `Model.predict` gives, inputs standardised."""
    model, stats = network.spec.model(), network.standardizer
    if stats is not None:
        stats = jaxnn.Standardizer(*(jnp.asarray(a, jnp.float32) for a in stats))

    def predict(x):
        return model.predict(network.params, x if stats is None else jaxnn.standardize(stats, x))

    x = jax.ShapeDtypeStruct((*jax.export.symbolic_shape("m"), *model.in_shape), jnp.float32)
    return bytes(jax.export.export(jax.jit(predict), platforms=PLATFORMS)(x).serialize())


def code(spec: NetworkSpec, file: str) -> str:
    """Lines that load the function; they need the packages jax and flatbuffers."""
    return f"""\
import pathlib, jax.export
file = pathlib.Path({file!r})
predict = jax.export.deserialize(bytearray(file.read_bytes())).call"""
