"""Checks of what `fit` and its relatives are called with."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.data.batches import check_batch_size
from jaxnn.typing import PyTree
from jaxnn.validation import check_callable, described, is_count


def check_not_traced(name: str, *trees: PyTree) -> None:
    """Raise a ValueError if a number that the function of that name is to look at is traced, of any shape.

    What an objective or an optimizer closes over, such as a rate, shows in what a program gives, and not before.
    """
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(trees)):
        raise ValueError(
            f"{name} looks at numbers between its programs: call it outside of jit, vmap and grad; make_steps works "
            "inside, and fit_population trains one member for each number"
        )


def check_not_inside(name: str, *trees: PyTree) -> None:
    """Raise a ValueError inside a program that JAX traces, also if no leaf (of any shape) is traced there."""
    # Inside of `jax.jit`, what has no arguments is traced too; and unlike zeros, it takes no number from the host.
    check_not_traced(name, *trees, jax.lax.iota(jnp.int32, 1))


def check_on_nan(on_nan: Any) -> None:
    """A ValueError unless it is one of the two words."""
    if not isinstance(on_nan, str) or on_nan not in ("stop", "skip"):
        raise ValueError(f'on_nan is "stop" or "skip", got {described(on_nan)}')


def check_plan(m: int, epochs: Any, report_every: Any, batch_size: Any) -> int:
    """The size of a batch, a scalar, `None` being all m examples; a ValueError where one of the counts is none."""
    if not is_count(epochs) or not is_count(report_every):
        raise ValueError(
            "epochs and report_every are whole numbers of at least 1, "
            f"got {described(epochs)} and {described(report_every)}"
        )
    check_batch_size(batch_size, m)
    return m if batch_size is None else batch_size


def check_reports(evaluate: Any, callback: Any) -> None:
    """A ValueError unless each is `None`, or a function that can be called as `fit` calls it."""
    if evaluate is not None:
        check_callable("evaluate", evaluate, "params")
    if callback is not None:
        check_callable("callback", callback, "report")
