"""Analyses of a graph: its layers, the first value that is not finite, and the flow of gradients."""
