"""Train a fully connected network on the cat photos with augmentation, dropout and early stopping.

Photos are standardized per color channel, and flipped, shifted, rotated and scaled at random in every epoch. Early
stopping uses a fifth of the training photos as dev set, which also chose the hyperparameters; the test photos are used
once.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import optax

import jaxnn
from experiments.networks.spec import NetworkSpec
from experiments.reports import tables
from experiments.studies.catvnoncat.data import IMAGE_SHAPE, Photos

SPEC = NetworkSpec((64 * 64 * 3, 64, 1), init="he")
SEEDS = 8
EPOCHS = 500
"""The maximum number of epochs: early stopping ends most trainings before."""

_DEV_FRACTION = 0.2
_EPOCHS_PER_REPORT = 5
_EARLY_STOPPING = jaxnn.EarlyStopping("dev_loss", patience=30)


def _as_images(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1, *IMAGE_SHAPE)


class Regularized(NamedTuple):
    """Results by seed, (seeds,), each with a different dev set.

    Attributes:
      epochs: the number after which the params were best.
      dev: accuracy on the photos used for early stopping.
      probabilities: of a cat, for each test photo, (seeds, m).
    """

    epochs: np.ndarray
    dev: np.ndarray
    probabilities: np.ndarray


def train(
    photos: Photos,
    show: Callable[[int], None],
    checkpoints: Callable[[str], jaxnn.Checkpointer | None] = lambda training: None,
    seeds: int = SEEDS,
    epochs: int = EPOCHS,
) -> Regularized:
    """Train with several seeds; `show` is called with the epochs done, including those that early stopping skips."""
    model = jaxnn.mlp(SPEC.sizes, SPEC.activation, init=SPEC.init, dropout_rate=0.2)
    plain = jaxnn.objective(model.network, model.loss)
    changes = jaxnn.data.compose(
        jaxnn.data.random_flip(),
        jaxnn.data.warp(jaxnn.data.random_shift(8), jaxnn.data.random_rotation(15), jaxnn.data.random_scale(0.2)),
    )
    objective, optimizer = jaxnn.train.with_augmentation(plain, changes, IMAGE_SHAPE), optax.adam(1e-4)

    @jax.jit
    def measure(params, batch):
        accuracy = jaxnn.accuracy(model.predict(params, batch.x), batch.y)
        return {"dev_loss": plain.evaluate(params, (), batch), "dev_accuracy": accuracy}

    results = []
    for seed in range(seeds):
        fractions = (1 - _DEV_FRACTION, _DEV_FRACTION)
        part, dev = jaxnn.split(*photos.train[:2], fractions, seed=seed, stratify=True)
        standardizer = jaxnn.data.fit_standardizer(_as_images(part.x), per_channel=True)

        def prepared(x, standardizer=standardizer):
            return jaxnn.standardize(standardizer, _as_images(x)).reshape(len(x), -1)

        dev = dev._replace(x=prepared(dev.x))
        init_key, fit_key = jax.random.split(jax.random.key(seed))
        result = jaxnn.fit(
            objective,
            optimizer,
            model.init(init_key),
            prepared(part.x),
            part.y,
            key=fit_key,
            epochs=epochs,
            batch_size=min(32, len(part.x)),
            report_every=_EPOCHS_PER_REPORT,
            evaluate=lambda params, dev=dev: measure(params, dev),
            early_stopping=_EARLY_STOPPING,
            checkpoints=checkpoints(f"beyond-{seed}"),
            callback=lambda entry, seed=seed: show(seed * epochs + entry["epoch"]),
        )
        best = next(entry for entry in result.history if entry["epoch"] == result.best_epoch)
        results.append(
            (best["epoch"], best["dev_accuracy"], model.predict_proba(result.params, prepared(photos.test.x))[:, 0])
        )
        show((seed + 1) * epochs)
    return Regularized(*(np.stack(column) for column in zip(*results, strict=True)))


def lines(results: Regularized, y: np.ndarray) -> list[str]:
    """Return the results in words."""
    test = ((results.probabilities > 0.5) == y).mean(axis=1)
    together = ((results.probabilities.mean(axis=0) > 0.5) == y).mean()
    return [
        f"Beyond: {SPEC}, with augmentation, dropout and early stopping; {len(test)} seeds:",
        f"  test %, median (range)    {tables.median_and_range(100 * test)}",
        f"  test %, ensemble          {100 * together:.1f}",
        f"  dev %, median (range)     {tables.median_and_range(100 * results.dev)}, after "
        f"{np.median(results.epochs):.0f} epochs ({results.epochs.min()}-{results.epochs.max()})",
        f"  baseline: always predicting cat is right for {100 * y.mean():.0f} % of the test photos",
    ]
