"""linear_collapse in a short run, against scikit-learn's logistic regression."""

import json
import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from experiments.cli import main
from experiments.studies.linear_collapse import run as linear_collapse


def test_the_closest_affine_function():
    random = np.random.default_rng(0)
    x = random.normal(size=(30, 4))
    affine = x @ random.normal(size=4) + 2
    np.testing.assert_allclose(linear_collapse.best_affine(x, affine), affine, rtol=1e-10)
    rest = x[:, 0] ** 2 - linear_collapse.best_affine(x, x[:, 0] ** 2)
    np.testing.assert_allclose([rest.sum(), *(rest @ x)], 0, atol=1e-10)
    assert abs(rest).max() > 0.1


@pytest.mark.full
def test_short_run(tmp_path, monkeypatch):
    monkeypatch.setattr(linear_collapse, "NETWORKS", {"identities": ("identity",), "a tanh": ("tanh",)})
    argv = ["run", "linear_collapse", "--iterations", "150", "--runs-dir", str(tmp_path)]
    assert main.main(argv) == 0
    (folder,) = tmp_path.iterdir()
    identities, curved = json.loads((folder / "results.json").read_text())
    data = linear_collapse.load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(data.x, data.y)
    p = theirs.predict_proba(data.x)[np.arange(len(data.y)), data.y]
    # The cost is strictly convex in the weights of one layer, so the same cost is the same decision function.
    np.testing.assert_allclose(identities["cost"], -np.log(p).mean(), rtol=1e-8)
    np.testing.assert_allclose(identities["accuracy"], theirs.score(data.x, data.y))
    assert identities["to_logistic"] == 0 and curved["to_logistic"] > 1
    assert identities["to_affine"] < 1e-9 < 0.1 < curved["to_affine"]
    assert curved["cost"] < identities["cost"]
