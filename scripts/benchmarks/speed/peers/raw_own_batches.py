"""JAX alone, a population whose members have batches of their own: no product is common to them."""

from functools import partial

from scripts.benchmarks.speed.peers import raw

population = partial(raw.population, own=True)
