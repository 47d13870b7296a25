"""JAX without a library, a population whose members have separate batches, so that no product is shared."""

from functools import partial

from scripts.benchmarks.speed.peers import raw

population = partial(raw.population, own=True)
