"""From the pattern of the errors to a known mistake. A wrong diagnosis is worse than none.

Each explanation is verified to many digits in float64 and, if it could hold by chance, at several test points.
"""

from jaxnn.gradcheck.diagnosis.diagnosing import KINDS, diagnose

__all__ = ["KINDS", "diagnose"]
