"""JAX alone, a population on one device, a CPU with the threads that XLA takes."""

from functools import partial

from scripts.benchmarks.speed.peers import raw

population = partial(raw.population, devices=1)
