"""jaxnn with the network in bfloat16, on float32 params."""

from functools import partial

import jax.numpy as jnp

from scripts.benchmarks.speed.peers import jaxnn_fit

NETWORKS = jaxnn_fit.NETWORKS
train = partial(jaxnn_fit.train, dtype=jnp.bfloat16)
population = partial(jaxnn_fit.population, dtype=jnp.bfloat16)
