"""Metrics: how good predictions are, how far probabilities can be trusted, and where errors come from."""
