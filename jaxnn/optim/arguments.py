"""Validate rates."""

from typing import Any

from jaxnn.validation import described, is_number


def check_rate(rate: Any) -> None:
    """Raise ValueError unless a learning rate is a positive, finite number."""
    check_positive("learning_rate", rate, "updates already descend")


def check_positive(name: str, value: Any, hint: str) -> None:
    """Raise ValueError unless a value is a positive, finite number; `hint` ends the message."""
    if not is_number(value, lambda value: 0 < value < float("inf")):
        raise ValueError(f"{name} must be positive and finite, got {described(value)}: {hint}")
