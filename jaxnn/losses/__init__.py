"""Losses: the loss of each example, paired with its gradient."""

from jaxnn.losses.cross_entropy import (
    binary_cross_entropy,
    binary_cross_entropy_gradient,
    binary_cross_entropy_value,
    sigmoid_cross_entropy,
    sigmoid_cross_entropy_gradient,
    sigmoid_cross_entropy_value,
    softmax_cross_entropy,
    softmax_cross_entropy_gradient,
    softmax_cross_entropy_value,
)
from jaxnn.losses.loss import Loss
from jaxnn.losses.regression import squared_error, squared_error_gradient, squared_error_value

__all__ = [
    "Loss",
    "binary_cross_entropy",
    "binary_cross_entropy_gradient",
    "binary_cross_entropy_value",
    "sigmoid_cross_entropy",
    "sigmoid_cross_entropy_gradient",
    "sigmoid_cross_entropy_value",
    "softmax_cross_entropy",
    "softmax_cross_entropy_gradient",
    "softmax_cross_entropy_value",
    "squared_error",
    "squared_error_gradient",
    "squared_error_value",
]
