"""What arguments must be, declared beside the function that takes them and checked where it begins.

The model is scikit-learn's `_param_validation`; axes of arrays are named as in jaxtyping.
"""

from jaxnn.constraints.declaration import AnyOf, Call, Constraint, Each, checked
from jaxnn.constraints.shapes import Floats, Leaves, Mask, Numbers
from jaxnn.constraints.values import (
    Count,
    ExampleShape,
    Flag,
    FloatDtype,
    Function,
    Instance,
    Nothing,
    OneOf,
    ParamsTree,
    RandomKey,
    Real,
    VectorShape,
)

__all__ = [
    "AnyOf",
    "Call",
    "Constraint",
    "Count",
    "Each",
    "ExampleShape",
    "Flag",
    "FloatDtype",
    "Floats",
    "Function",
    "Instance",
    "Leaves",
    "Mask",
    "Nothing",
    "Numbers",
    "OneOf",
    "ParamsTree",
    "RandomKey",
    "Real",
    "VectorShape",
    "checked",
]
