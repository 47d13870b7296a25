"""scikit-learn, a population one network after another."""

from functools import partial

from scripts.benchmarks.speed.peers import loop, with_sklearn

population = partial(loop.population, with_sklearn.train)
