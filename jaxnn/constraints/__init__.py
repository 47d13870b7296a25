"""What arguments must be, declared beside the function that takes them and checked where it begins.

The model is scikit-learn's `_param_validation`; axes of arrays are named as in jaxtyping.
"""

from jaxnn.constraints.declaration import NO_CALL, AnyOf, Call, Constraint, Each, checked
from jaxnn.constraints.numbers import Count, ListOf, Real, UpTo
from jaxnn.constraints.objects import (
    ExampleShape,
    ExampleTree,
    Flag,
    Function,
    Instance,
    Nothing,
    OneOf,
    ParamsTree,
    RandomKey,
)
from jaxnn.constraints.shapes import ArrayTree, Floats, Integers, Leaves, Mask, Numbers

__all__ = [
    "NO_CALL",
    "AnyOf",
    "ArrayTree",
    "Call",
    "Constraint",
    "Count",
    "Each",
    "ExampleShape",
    "ExampleTree",
    "Flag",
    "Floats",
    "Function",
    "Instance",
    "Integers",
    "Leaves",
    "ListOf",
    "Mask",
    "Nothing",
    "Numbers",
    "OneOf",
    "ParamsTree",
    "RandomKey",
    "Real",
    "UpTo",
    "checked",
]
