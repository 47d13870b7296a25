"""Metrics of predictions, calibration of probabilities, and analysis of errors."""

from jaxnn.metrics.calibration import Reliability, expected_calibration_error, reliability_curve
from jaxnn.metrics.classification import (
    ClassScores,
    accuracy,
    class_scores,
    confusion_matrix,
    error_rate,
    log_loss,
)
from jaxnn.metrics.error_analysis import ErrorAnalysis, analyze_errors
from jaxnn.metrics.ranking import average_precision, roc_auc, roc_curve, top_k_accuracy
from jaxnn.metrics.regression import mean_absolute_error, r_squared

__all__ = [
    "ClassScores",
    "ErrorAnalysis",
    "Reliability",
    "accuracy",
    "analyze_errors",
    "average_precision",
    "class_scores",
    "confusion_matrix",
    "error_rate",
    "expected_calibration_error",
    "log_loss",
    "mean_absolute_error",
    "r_squared",
    "reliability_curve",
    "roc_auc",
    "roc_curve",
    "top_k_accuracy",
]
