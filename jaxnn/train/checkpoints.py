"""Checkpoints: the value that an interrupted training resumes from. The caller keeps it, on disk for example."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.constraints import Function, Instance, Nothing, checked
from jaxnn.typing import PyTree


class Checkpoint(NamedTuple):
    """A training at a report: all that is needed to resume it to the same end.

    The order of the examples and all other randomness are drawn by index from the key in the state, so nothing else has
    to be kept.

    Attributes:
      state: where the next step starts: a `TrainState`; for `fit_population`, those of all members, and the step at
        which each stopped.
      history: the reports so far, as `Fit.history`.
      losses: the objective before each update so far, (steps,), or (n, steps) for n members; NumPy, or `None` before
        the first.
      best: with early stopping, the index of the best report in the history; otherwise `None`.
      best_state: the state at that report; otherwise `None`.
      stopped_by: why the training ended, if it ended before all its epochs: "patience", "callback" or "divergence".
      diverged_at: as `Fit.diverged_at`.

    For `fit_population`, `best`, `stopped_by` and `diverged_at` are lists with an entry for each member.
    """

    state: PyTree
    history: list[dict[str, Any]]
    losses: np.ndarray | None
    best: int | None | list[int | None] = None
    best_state: PyTree = None
    stopped_by: str | None | list[str | None] = None
    diverged_at: int | None | list[int | None] = None


@checked(restore=Function("start"), save=Function("make", "ended"))
class Checkpointer(NamedTuple):
    """Two functions: one returns the checkpoint to resume from, the other saves checkpoints.

    Attributes:
      restore: called once, with the state in which the training would start; returns a `Checkpoint` of the same
        training, on the same data with the same arguments, to resume from, or `None` to start afresh. Its state must
        have the structure, shapes and random key of the initial one.
      save: called after each report, after a divergence, and when no epochs are left, as `save(make, ended)`: `make()`
        returns the `Checkpoint` of the last report, at the cost of a copy of the losses, and `ended` is true if the
        training has ended. An error in `save` ends the training.

    Example:
      >>> import jax, jaxnn, numpy as np, optax
      >>> x, y = np.array([[-2.0], [-1.0], [1.0], [2.0]], np.float32), np.array([0, 0, 1, 1])
      >>> model = jaxnn.logistic_regression(1)
      >>> saved = []
      >>> checkpoints = Checkpointer(
      ...     restore=lambda start: saved[-1] if saved else None, save=lambda make, ended: saved.append(make())
      ... )
      >>> def train(epochs, checkpoints=None):
      ...     objective, key = jaxnn.objective(model.network, model.loss), jax.random.key(0)
      ...     plan = dict(key=key, epochs=epochs, batch_size=2, checkpoints=checkpoints)
      ...     return jaxnn.fit(objective, optax.adam(0.1), model.init(key), x, y, **plan)
      >>> _ = train(3, checkpoints)  # as if interrupted after three epochs
      >>> np.array_equal(train(5, checkpoints).losses, train(5).losses)
      True
    """

    restore: Callable[[PyTree], Checkpoint | None]
    save: Callable[[Callable[[], Checkpoint], bool], None]


def restored(
    checkpoints: Checkpointer, start: PyTree, epochs: int, callback: Callable[[dict], Any] | None
) -> Checkpoint | None:
    """Restore the checkpoint to resume from, calling the callback with its reports again; `None` without one.

    Raises:
      ValueError: if the checkpoint is not a `Checkpoint`, or belongs to another training or to more epochs.
    """
    found = _RESTORED.check("result of restore", checkpoints.restore(start))
    if found is None:
        return None
    _check_like(found.state, start)
    if found.best is not None:
        _check_like(found.best_state, start)
    if found.history and found.history[-1]["epoch"] > epochs:
        raise ValueError(f"epochs must be at least the checkpoint's {found.history[-1]['epoch']}, got {epochs}")
    if callback is not None:
        for report in found.history:
            callback(report)
    return found


_RESTORED = Instance(Checkpoint, "a Checkpoint, as make() of save returns") | Nothing()


def _check_like(state: PyTree, start: PyTree) -> None:
    """Raise a ValueError unless the state is one of the training that starts in `start`."""
    found, expected = _leaves(state), _leaves(start)
    for name in expected | found:
        if found.get(name) != expected.get(name):
            want, got = (str(leaves.get(name))[:99] for leaves in (expected, found))
            raise ValueError(f"checkpoint must be of this training, with {name} {want}, got that of another: {got}")


def _leaves(state: PyTree) -> dict[str, str]:
    """Return the dtypes, the shapes and the random keys of a state by name, and at the end its structure."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(state)
    words = {f"state{jax.tree_util.keystr(path)}": f"{leaf.dtype} {leaf.shape}" for path, leaf in leaves}
    for path, leaf in leaves:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            words[f"state{jax.tree_util.keystr(path)}"] += f" {jax.random.key_data(leaf).tolist()}"
    return words | {"state": str(structure)}
