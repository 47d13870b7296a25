"""Means of losses and their gradients against PyTorch, where it is installed: scripts/test-torch installs it."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from tests.helpers.programs import TOLERANCE
from tests.losses.test_categorical import SETTINGS, by_numpy, drawn

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)


def test_numpys_mean_is_pytorchs():
    z, y = RNG.normal(size=8), RNG.integers(0, 2, 8).astype(float)
    loss = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0, dtype=torch.float64))
    mean = loss(torch.tensor(z), torch.tensor(y)).item()
    objective = jaxnn.objective(jaxnn.nn.identity(), jaxnn.sigmoid_cross_entropy(3.0))
    np.testing.assert_allclose(objective.evaluate((), (), jaxnn.Batch(jnp.asarray(z), y)), mean, rtol=1e-5)
    for weight, ignore in SETTINGS:
        z, y = drawn(ignore)
        weights = None if weight is None else torch.tensor(weight, dtype=torch.float64)
        loss = torch.nn.CrossEntropyLoss(weights, ignore_index=-100 if ignore is None else ignore)
        at = torch.tensor(z, requires_grad=True)
        mean = loss(at.movedim(-1, 1), torch.tensor(y))
        mean.backward()
        value, dz = by_numpy(z, y, weight, ignore)
        np.testing.assert_allclose(mean.item(), value, **TOLERANCE["float64"])
        np.testing.assert_allclose(at.grad.numpy(), dz, **TOLERANCE["float64"])
