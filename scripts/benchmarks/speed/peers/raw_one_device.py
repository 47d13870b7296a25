"""JAX without a library, a population on one device, a CPU with XLA's threads."""

from functools import partial

from scripts.benchmarks.speed.peers import raw

population = partial(raw.population, devices=1)
