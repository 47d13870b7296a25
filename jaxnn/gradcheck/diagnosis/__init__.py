"""From the pattern of the errors to a known mistake. A wrong diagnosis is worse than none.

Each explanation is verified to many digits in float64, at several points.
"""

from jaxnn.gradcheck.diagnosis.diagnosing import KINDS, diagnose
from jaxnn.gradcheck.diagnosis.hints import hint

__all__ = ["KINDS", "diagnose", "hint"]
