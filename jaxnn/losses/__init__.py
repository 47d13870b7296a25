"""Losses: pairs of the loss of each example and its gradient."""
