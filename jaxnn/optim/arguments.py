"""Constraints of rates."""

from jaxnn.constraints import Real

RATE = Real(0, closed="right", fix="updates already descend")
"""A learning rate: positive and finite."""
