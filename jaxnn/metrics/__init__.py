"""Metrics of predictions, calibration of probabilities, and analysis of errors."""

from jaxnn.metrics.calibration import Reliability, expected_calibration_error, reliability_curve
from jaxnn.metrics.classification import accuracy, confusion_matrix, error_rate, log_loss
from jaxnn.metrics.error_analysis import ErrorAnalysis, analyze_errors

__all__ = [
    "ErrorAnalysis",
    "Reliability",
    "accuracy",
    "analyze_errors",
    "confusion_matrix",
    "error_rate",
    "expected_calibration_error",
    "log_loss",
    "reliability_curve",
]
