"""Every metric of rows on a mesh of four devices: the value of one device, in a program and outside of one."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import metrics
from tests.helpers.programs import same_in_float32
from tests.parallel.meshes import kinds, mesh, split

RNG = np.random.default_rng(0)
M, K = 64, 3
Y, CLASSES = RNG.integers(0, 2, M), RNG.integers(0, K, M)
P, PROBABILITIES = RNG.uniform(0.1, 0.9, M).astype("float32"), RNG.dirichlet(np.ones(K), M).astype("float32")
WEIGHT = RNG.uniform(0.5, 2, M).astype("float32")
OF_LABELS = {"accuracy": {}, "error_rate": {}, "class_scores": dict(classes=K), "confusion_matrix": dict(classes=K)}
OF_SCORES = ["average_precision", "expected_calibration_error", "log_loss", "reliability_curve", "roc_auc"]
OF_NUMBERS = ["mean_absolute_error", "r_squared"]
CASES = {
    **{
        name: (partial(getattr(metrics, name), **given), RNG.integers(0, K, M), CLASSES)
        for name, given in OF_LABELS.items()
    },
    **{name: (getattr(metrics, name), P, Y) for name in OF_SCORES},
    **{f"{name} of classes": (getattr(metrics, name), PROBABILITIES, CLASSES) for name in OF_SCORES},
    **{name: (getattr(metrics, name), P, WEIGHT) for name in OF_NUMBERS},
    "top_k_accuracy": (partial(metrics.top_k_accuracy, k=2), PROBABILITIES, CLASSES),
}
NOT_OF_ROWS = {"ClassScores", "ErrorAnalysis", "Reliability", "analyze_errors", "roc_curve"}
"""Results, the analysis of errors, and the curve, which is of NumPy."""


def test_every_metric_has_a_case():
    assert {name.split()[0] for name in CASES} | NOT_OF_ROWS == {*metrics.__all__}


@kinds
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["equal", "weighted"])
@pytest.mark.parametrize("name", CASES)
def test_it_is_that_of_one_device(name, weight, kind):
    metric, predicted, y = CASES[name]
    given = jax.tree.map(jnp.asarray, (predicted, y, weight))
    expected = metric(*given[:2], weight=given[2])
    four = mesh(4, kind)
    lying = split(given, four)
    with jax.set_mesh(four):
        for use in (jax.jit, lambda f: f):
            same_in_float32(use(lambda p, y, w: metric(p, y, weight=w))(*lying), expected)
