"""Cost of checkpoints: 784-512-512-10 with Adam on 60 000 images of 28 x 28, with one after every epoch, or none.

Trainings with and without checkpoints alternate in the same process. The images are synthetic: only the number matters.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import jax
import numpy as np
import optax

import jaxnn
from experiments.runs.checkpoints import RunCheckpoints

EPOCHS = 6
"""The number of epochs of a training, the first of which does not count."""


def train(problem: tuple, every: float, folder: Path) -> tuple[list[float], list[float]]:
    """Return the seconds of each epoch, and the seconds in which it waited for its checkpoint."""
    kept = RunCheckpoints(every, 2, print)
    kept.begin(folder)
    checkpoints, waits, ends = kept.of("mnist"), [], []

    def save(make, ended):
        began = time.perf_counter()
        if every:
            checkpoints.save(make, ended)
        ends.append(time.perf_counter())
        waits.append(ends[-1] - began)

    load = checkpoints.load if every else lambda start: None
    plan = {"key": jax.random.key(1), "epochs": EPOCHS, "batch_size": 128}
    jaxnn.fit(*problem, **plan, checkpoints=jaxnn.Checkpointer(load, save))
    kept.wait()
    return np.diff(ends).tolist(), waits[1:]


def _problem() -> tuple:
    random = np.random.default_rng(0)
    x = random.uniform(size=(60_000, 784)).astype(np.float32)
    model = jaxnn.mlp((784, 512, 512, 10), output="softmax")
    objective = jaxnn.objective(model.network, model.loss)
    return objective, optax.adam(1e-3), model.init(jax.random.key(0)), x, random.integers(0, 10, len(x))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench checkpoints", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="trainings of each kind (default: 3)")
    repeats = parser.parse_args(argv).repeats
    if repeats < 1:
        parser.error(f"--repeats must be at least 1, got {repeats}")
    problem = _problem()
    epochs: dict[bool, list[float]] = {True: [], False: []}
    waits: list[float] = []
    for _ in range(repeats):
        for saving in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                seconds, waited = train(problem, 1e-9 if saving else 0, Path(folder))
            epochs[saving] += seconds
            waits += waited if saving else []
    without, beside, wait = median(epochs[False]), median(epochs[True]), median(waits)
    print(f"an epoch: {without:.3f} s; {beside:.3f} s with a checkpoint after each: {beside / without - 1:+.1%}")
    print(f"of which training waits {1000 * wait:.1f} ms, {wait / without:.1%}; the rest is written in the background")
    print(f"with the default, one per minute: {wait / 60:.3%}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
