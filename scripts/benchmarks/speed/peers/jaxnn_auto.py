"""jaxnn with automatic gradients."""

from functools import partial

from scripts.benchmarks.speed.peers import jaxnn_fit

NETWORKS = jaxnn_fit.NETWORKS
train = partial(jaxnn_fit.train, gradients="auto")
population = partial(jaxnn_fit.population, gradients="auto")
