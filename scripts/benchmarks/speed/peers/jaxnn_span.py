"""jaxnn in the span of the examples: the same iterates, if there are fewer examples than inputs."""

from functools import partial

import jaxnn
from scripts.benchmarks.speed.peers import jaxnn_fit

WORKLOADS = ("logistic", "course")

train = partial(jaxnn_fit.train, fit=jaxnn.contrib.fit_in_row_space)
