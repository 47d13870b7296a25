"""Means of losses and their gradients against PyTorch, where it is installed: scripts/test-torch installs it."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from tests.helpers.programs import TOLERANCE
from tests.losses.test_categorical import SETTINGS, by_numpy, drawn

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
Z, Y, BITS = RNG.normal(size=(6, 3)) * 3, RNG.normal(size=(6, 3)), RNG.integers(0, 2, (6, 3))
SOFT, SHARES, CLASSES = RNG.uniform(size=(6, 3)), RNG.dirichlet(np.ones(3), 6), RNG.integers(0, 2, 6)
losses, functions = jaxnn.losses, torch.nn.functional


def softened(y, smoothing=0.2):
    return (1 - smoothing) * y + smoothing / 2


# name -> (loss, z, targets, the sum over the examples in PyTorch, of tensors)
SUMS = {
    "absolute_error": (losses.absolute_error(), Z, Y, lambda z, y: functions.l1_loss(z, y, reduction="sum")),
    "absolute_error_ties": (losses.absolute_error(), Y, Y, lambda z, y: functions.l1_loss(z, y, reduction="sum")),
    "huber": (losses.huber(), Z, Y, lambda z, y: functions.huber_loss(z, y, reduction="sum")),
    "huber_delta": (losses.huber(2.5), Z, Y, lambda z, y: functions.huber_loss(z, y, reduction="sum", delta=2.5)),
    "smooth_l1": (
        losses.huber(0.5),
        Z,
        Y,
        lambda z, y: 0.5 * functions.smooth_l1_loss(z, y, reduction="sum", beta=0.5),
    ),
    "multiclass_hinge": (
        # Of two classes, of which PyTorch's mean over the classes has one term.
        losses.multiclass_hinge(),
        Z[:, :2],
        CLASSES,
        lambda z, y: 2 * functions.multi_margin_loss(z, y, reduction="sum"),
    ),
    "squared_hinge": (
        losses.squared_hinge(),
        Z[:, 0],  # the difference of the scores of two classes
        CLASSES,
        lambda z, y: 2 * functions.multi_margin_loss(torch.stack([0 * z, z], 1), y, p=2, reduction="sum"),
    ),
    "hinge_embedding": (
        # PyTorch's is max(0, 1 - z) for its label -1, and z itself for 1.
        losses.hinge(),
        Z,
        0 * BITS + 1,
        lambda z, y: functions.hinge_embedding_loss(z, -torch.ones_like(z), reduction="sum"),
    ),
    "kl_divergence": (
        losses.kl_divergence(),
        Z,
        SHARES,
        lambda z, y: functions.kl_div(functions.log_softmax(z, -1), y, reduction="sum"),
    ),
    "kl_divergence_temperature": (
        losses.kl_divergence(3.0),
        Z,
        SHARES,
        lambda z, y: 9 * functions.kl_div(functions.log_softmax(z / 3, -1), y, reduction="sum"),
    ),
    "sigmoid_smoothed": (
        losses.sigmoid_cross_entropy(4.0, 0.2),
        Z,
        BITS,
        lambda z, y: functions.binary_cross_entropy_with_logits(
            z, softened(y.double()), reduction="sum", pos_weight=torch.tensor(4.0)
        ),
    ),
    "binary_smoothed": (
        losses.binary_cross_entropy(0.2),
        SOFT,
        BITS,
        lambda z, y: functions.binary_cross_entropy(z, softened(y.double()), reduction="sum"),
    ),
    "softmax_smoothed": (
        losses.softmax_cross_entropy(0.2),
        Z,
        CLASSES,
        lambda z, y: functions.cross_entropy(z, y, label_smoothing=0.2, reduction="sum"),
    ),
}


@pytest.mark.parametrize("name", SUMS)
def test_sum_and_gradient_are_pytorchs(name, x64):
    loss, z, y, of_tensors = SUMS[name]
    at = torch.tensor(z, requires_grad=True)
    total = of_tensors(at, torch.tensor(y))
    total.backward()
    np.testing.assert_allclose(loss.value(z, y).sum(), total.item(), **TOLERANCE["float64"])
    np.testing.assert_allclose(loss.gradient(z, y), at.grad.numpy(), **TOLERANCE["float64"])


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
