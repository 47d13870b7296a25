"""What an interrupted training is picked up from: a value, which whoever calls keeps, on disk say."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.typing import PyTree
from jaxnn.validation import check_callable, described


class Checkpoint(NamedTuple):
    """A training as it was at a report: all that is needed to go on from there to the same end.

    The order of the examples and all other randomness are drawn by index from the key in the state, so there is
    nothing else to be kept.

    Attributes:
      state: what the next step starts from: a `TrainState`; of `fit_population`, those of all members, and where each
        stopped.
      history: the reports so far, as `Fit.history`.
      losses: the objective before each update so far, (steps,), or (n, steps) of n members; NumPy, or `None` where
        there was none.
      best: with early stopping, which report of the history was the best, an index; else `None`.
      best_state: the state then; else `None`.
      stopped_by: why the training ended, if it did before all its epochs: "patience", "callback" or "divergence".
      diverged_at: as `Fit.diverged_at`.
    """

    state: PyTree
    history: list[dict[str, Any]]
    losses: np.ndarray | None
    best: int | None = None
    best_state: PyTree = None
    stopped_by: str | None = None
    diverged_at: int | None = None


class Checkpointer(NamedTuple):
    """Where a training's checkpoints go, and where the one to go on from comes from.

    Attributes:
      restore: called once, with the state that the training would start in; what it returns is gone on from: a
        `Checkpoint` of the same training, on the same data by the same plan, or `None` to start. What is checked is
        that its state has the structure, shapes and random key of that one.
      save: called after each report, after a divergence, and where there is nothing left to do: with a function that
        makes the `Checkpoint` of the training's last report, at the cost of a copy of the losses, to be called where it
        is wanted; and with whether the training has ended. What `save` raises ends the training.

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
      >>> _ = train(3, checkpoints)  # interrupted after three epochs, as it were
      >>> np.array_equal(train(5, checkpoints).losses, train(5).losses)
      True
    """

    restore: Callable[[PyTree], Checkpoint | None]
    save: Callable[[Callable[[], Checkpoint], bool], None]


def loaded(
    checkpoints: Checkpointer | None, start: PyTree, epochs: int, callback: Callable[[dict], Any] | None
) -> Checkpoint:
    """What to go on from: the checkpoint, whose reports the callback is told again, or one of nothing done yet.

    Raises:
      ValueError: the checkpoint is of another training, or of more epochs, or is none.
    """
    if checkpoints is not None:
        if not isinstance(checkpoints, Checkpointer):
            raise ValueError(f"checkpoints is {described(checkpoints)}, expected jaxnn.Checkpointer(restore, save)")
        check_callable("restore", checkpoints.restore, "start")
        check_callable("save", checkpoints.save, "make", "ended")
    found = None if checkpoints is None else checkpoints.restore(start)
    if found is None:
        return Checkpoint(start, [], None)
    if not isinstance(found, Checkpoint):
        raise ValueError(f"restore gave {described(found)}, expected what save's make() gave, a Checkpoint, or None")
    _check_like(found.state, start)
    if found.best is not None:
        _check_like(found.best_state, start)
    if found.history and found.history[-1]["epoch"] > epochs:
        raise ValueError(f"the checkpoint is of {found.history[-1]['epoch']} epochs, more than the {epochs} asked for")
    if callback is not None:
        for report in found.history:
            callback(report)
    return found


def _check_like(state: PyTree, start: PyTree) -> None:
    """A ValueError where a state is not one of the training that starts so."""
    (leaves, structure), (expected, expected_structure) = (
        jax.tree_util.tree_flatten_with_path(tree) for tree in (state, start)
    )
    if structure != expected_structure:
        raise ValueError(
            f"the checkpoint is of another training: its state is a {structure}, expected {expected_structure}"
        )
    for (path, leaf), (_, like) in zip(leaves, expected, strict=True):
        what = jax.tree_util.keystr(path)
        if leaf.shape != like.shape or leaf.dtype != like.dtype:
            raise ValueError(
                f"the checkpoint is of another training: state{what} is {leaf.dtype} {leaf.shape}, "
                f"expected {like.dtype} {like.shape}"
            )
        if jnp.issubdtype(like.dtype, jax.dtypes.prng_key) and not np.array_equal(
            *map(jax.random.key_data, (leaf, like))
        ):
            raise ValueError(f"the checkpoint is of another training: state{what} is another random key")
