"""Losses: the terms of each example, paired with their gradient.

Each file names in `__all__` what it adds, and ends with its CASES, on which the proofs of all losses run.
"""
# ruff: noqa: F403

from types import ModuleType as _ModuleType

from jaxnn.losses.binary import *
from jaxnn.losses.categorical import *
from jaxnn.losses.composition import *
from jaxnn.losses.kullback_leibler import *
from jaxnn.losses.loss import *
from jaxnn.losses.margins import *
from jaxnn.losses.over_sequences import *
from jaxnn.losses.regression import *
from jaxnn.losses.temporal_classification import *

# The files' own names are modules here, and no part of what is public. Type checkers, which run no loop, take the names
# of the stars as exported.
__all__ = sorted(  # pyright: ignore[reportUnsupportedDunderAll]
    name for name, a in globals().items() if not (name.startswith("_") or isinstance(a, _ModuleType))
)
