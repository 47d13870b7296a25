"""Train a network on batches that are made afresh in each epoch."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxnn
from experiments.runs.folder import RunError, RunFolder
from experiments.runs.processes import fit_stream
from experiments.runs.proof import make_proof
from experiments.studies.speech import Options
from experiments.studies.speech.augmentation import SPEED, varied
from experiments.studies.speech.data import Recordings, features_of
from experiments.studies.speech.networks import Candidate
from experiments.studies.speech.strings import examples, training_strings
from jaxnn.typing import Params, Statistics

STRINGS_PER_EPOCH = 2048
_PROVED_ON = 16
"""Examples for the check of gradients, which is in float64."""

Batches = Callable[[int], Iterator[Any]]
"""From the number of an epoch to its batches."""


class Trained(NamedTuple):
    """A trained network: its params, its statistics, and the difference of its gradients; see `proof.DEFINITION`."""

    params: Params
    stats: Statistics
    difference: float


def digit_batches(candidate: Candidate, recordings: Recordings, seed: int) -> Batches:
    """Return the batches of recordings of one digit: each epoch in another order, with other noise and speed."""
    size = candidate.batch_size

    def batches(epoch: int) -> Iterator[Any]:
        rng = np.random.default_rng((seed, epoch))
        order = rng.permutation(len(recordings.digits))
        for rows in (order[i : i + size] for i in range(0, len(order), size)):
            x = features_of([varied(rng, recordings.samples[i]) for i in rows])
            yield candidate.inputs(x), recordings.digits[rows]

    return batches


def string_batches(candidate: Candidate, recordings: Recordings, seed: int) -> Batches:
    """Return the batches of strings, which are other ones in each epoch."""

    def batches(epoch: int) -> Iterator[Any]:
        rng = np.random.default_rng((seed, epoch))
        for _ in range(STRINGS_PER_EPOCH // candidate.batch_size):
            yield examples(training_strings(rng, recordings, candidate.batch_size, SPEED))

    return batches


class Training:
    """Trainings of one network, from several seeds and on several data, by the same compiled programs.

    Args:
      name: of the network.
      candidate: the network.
      loss: of its outputs.
      steps: updates in an epoch, by which the learning rate falls.
      options: of the run.
    """

    def __init__(self, name: str, candidate: Candidate, loss: jaxnn.Loss, steps: int, options: Options) -> None:
        self.candidate, self._options = candidate, options
        self.epochs = options.epochs or candidate.epochs
        rate = jaxnn.optim.schedule("cosine", candidate.learning_rate, self.epochs * steps)
        self._optimizer = jaxnn.optimizer("adam", rate, clip_norm=1.0)
        self._objective = jaxnn.objective(candidate.network, loss)
        self._prove = make_proof(name, self._objective, jax.random.key(options.seed))
        self._init = jax.jit(lambda key: candidate.network.init(key, candidate.in_shape)[0])

    def run(
        self,
        name: str,
        batches: Batches,
        seed: int,
        folder: RunFolder,
        show: Callable[[int, str], None],
    ) -> Trained:
        """Train from a seed, and check the gradients before and after.

        Raises:
          RunError: if the training diverges, or the gradients are wrong.
        """
        init_key, fit_key = jax.random.split(jax.random.key(seed))
        params = self._init(init_key)
        few = jaxnn.Batch(*jax.tree.map(lambda a: a[:_PROVED_ON], next(batches(0))))
        before = self._prove(params, few)

        def log(entry: dict[str, Any]) -> None:
            folder.log(training=name, **entry)
            show(entry["epoch"], f"{name}, loss {entry['loss']:.3g}")

        fit = fit_stream(
            self._objective,
            self._optimizer,
            params,
            batches,
            key=fit_key,
            epochs=self.epochs,
            callback=log,
            on_nan=self._options.on_nan,
            checkpoints=folder.checkpoints(name),
        )
        if fit.diverged_at is not None:
            raise RunError(f"{name} diverged at {fit.divergence}")
        return Trained(fit.params, fit.stats, max(before, self._prove(fit.params, few)))
