"""Validate the arguments of `fit` and its relatives."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.data.batches import check_batch_size
from jaxnn.train.checkpoints import Checkpointer
from jaxnn.train.early_stopping import EarlyStopping
from jaxnn.typing import PyTree
from jaxnn.validation import check_callable, described, is_count


def check_not_traced(name: str, *trees: PyTree) -> None:
    """Raise a ValueError if a number that the named function reads on the host is traced.

    A traced number that an objective or an optimizer closes over, such as a rate, shows only in a program's output.
    """
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(trees)):
        raise ValueError(
            f"{name} must be called outside of jit, vmap and grad, since it reads numbers between its programs: use "
            "make_steps inside, or fit_population for many values of a number"
        )


def check_not_inside(name: str, *trees: PyTree) -> None:
    """Raise a ValueError inside a program that JAX traces, also if no leaf is traced."""
    # Inside `jax.jit` an operation without arguments is traced too; unlike zeros, iota takes no number from the host.
    check_not_traced(name, *trees, jax.lax.iota(jnp.int32, 1))


def check_on_nan(on_nan: Any) -> None:
    """Raise a ValueError unless it is "stop" or "skip"."""
    if not isinstance(on_nan, str) or on_nan not in ("stop", "skip"):
        raise ValueError(f'on_nan must be "stop" or "skip", got {described(on_nan)}')


def check_plan(m: int, epochs: Any, report_every: Any, batch_size: Any) -> int:
    """Validate the counts and return the batch size, m if it is `None`."""
    if not is_count(epochs) or not is_count(report_every):
        raise ValueError(
            f"epochs and report_every must be ints >= 1, got {described(epochs)} and {described(report_every)}"
        )
    check_batch_size(batch_size, m)
    return m if batch_size is None else batch_size


def check_loop(evaluate: Any, callback: Any, early_stopping: Any, checkpoints: Any, *evaluated: str) -> None:
    """Raise a ValueError unless each is `None` or what `loop.run` takes.

    `evaluated` are the names of what `evaluate` is called with.
    """
    if evaluate is not None:
        check_callable("evaluate", evaluate, *evaluated)
    if callback is not None:
        check_callable("callback", callback, "report")
    if early_stopping is not None and not isinstance(early_stopping, EarlyStopping):
        raise ValueError(
            f"early_stopping must be a jaxnn.EarlyStopping, got {described(early_stopping)}: "
            "EarlyStopping('dev_loss', patience=5)"
        )
    if checkpoints is not None:
        if not isinstance(checkpoints, Checkpointer):
            raise ValueError(f"checkpoints must be a jaxnn.Checkpointer(restore, save), got {described(checkpoints)}")
        check_callable("restore", checkpoints.restore, "start")
        check_callable("save", checkpoints.save, "make", "ended")
