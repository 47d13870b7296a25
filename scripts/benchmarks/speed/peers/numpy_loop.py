"""NumPy, a population one network after another."""

from functools import partial

from scripts.benchmarks.speed.peers import loop, with_numpy

population = partial(loop.population, with_numpy.train)
