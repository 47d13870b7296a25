"""Checks of rates."""

from typing import Any

from jaxnn.validation import described, is_number


def check_rate(rate: Any) -> None:
    """Raise a ValueError unless a learning rate is a positive, finite number."""
    check_positive("a learning rate", rate, "the optimiser itself goes downhill")


def check_positive(what: str, value: Any, why: str) -> None:
    """Raise a ValueError unless a value is a positive, finite number; `why` ends the message."""
    if not is_number(value, lambda value: 0 < value < float("inf")):
        raise ValueError(f"{what} must be positive and finite, got {described(value)}: {why}")
