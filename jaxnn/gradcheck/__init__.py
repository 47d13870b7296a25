"""A gradient checker for any JAX function: it finds wrong gradients and reports what is wrong with them.

A manual gradient is compared with three independent references: autodiff of the plain function, finite differences in
float64, and the order of the Taylor remainder. The comparison is made element by element, at the given arguments and at
others made from them, in four precisions, under `jit`, `vmap` and `scan`.

    report = gradcheck.vjp(f, backward, x, W)
    print(report)              # what is right, what is wrong, and why
    report.raise_if_failed()
"""

from jaxnn.gradcheck.api import gradient, vjp
from jaxnn.gradcheck.comparison import Row
from jaxnn.gradcheck.components import layer, loss, regularizer
from jaxnn.gradcheck.custom_rules import custom, rule, without_rules
from jaxnn.gradcheck.diagnosis import KINDS
from jaxnn.gradcheck.problem import GradcheckError
from jaxnn.gradcheck.report import Diagnosis, Report, WrongGradientError

__all__ = [
    "KINDS",
    "Diagnosis",
    "GradcheckError",
    "Report",
    "Row",
    "WrongGradientError",
    "custom",
    "rule",
    "gradient",
    "layer",
    "loss",
    "regularizer",
    "vjp",
    "without_rules",
]
