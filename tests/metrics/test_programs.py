"""What metrics compile where they are called outside of a compiled program: one program, not one per operation."""

import jax
import jax.numpy as jnp
import pytest

from jaxnn import metrics

M = 37  # examples, as many as no other test has, whose programs would be there already

LABELS, SCORES = jnp.arange(M) % 3, jax.random.uniform(jax.random.key(0), (M, 3))
PROBABILITIES = SCORES / SCORES.sum(1, keepdims=True)
CALLS = {
    "accuracy": lambda: metrics.accuracy(LABELS, LABELS),
    "confusion_matrix": lambda: metrics.confusion_matrix(LABELS, LABELS, 3),
    "log_loss": lambda: metrics.log_loss(PROBABILITIES, LABELS),
    "roc_auc": lambda: metrics.roc_auc(SCORES, LABELS),
    "average_precision": lambda: metrics.average_precision(SCORES, LABELS),
    "top_k_accuracy": lambda: metrics.top_k_accuracy(SCORES, LABELS, 2),
    "r_squared": lambda: metrics.r_squared(SCORES, PROBABILITIES),
    "mean_absolute_error": lambda: metrics.mean_absolute_error(SCORES, PROBABILITIES),
    "expected_calibration_error": lambda: metrics.expected_calibration_error(PROBABILITIES, LABELS),
}
CONVERSIONS = 1
"""Programs that may remain: a conversion of the arguments, or what follows from counts."""


@pytest.mark.parametrize("name", CALLS)
def test_few_programs(name, caplog):
    jax.block_until_ready((LABELS, SCORES, PROBABILITIES))
    with jax.log_compiles(), caplog.at_level("WARNING", logger="jax"):
        CALLS[name]()
    compiled = [r.getMessage() for r in caplog.records if r.getMessage().startswith("Finished XLA compilation")]
    assert len(compiled) <= 1 + CONVERSIONS, compiled
