"""What the arguments of `fit` and its relatives must be."""

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxnn.constraints import Call, Count, Flag, Function, Instance, Nothing, OneOf, UpTo
from jaxnn.constraints.objects import signature_of
from jaxnn.train.checkpoints import Checkpointer
from jaxnn.train.early_stopping import EarlyStopping
from jaxnn.train.objectives import GRADIENTS
from jaxnn.train.statistics import DECAY
from jaxnn.typing import PyTree

NanPolicy = Literal["stop", "skip"]
"""What to do when a loss or an update is not finite."""


def check_not_traced(name: str, *trees: PyTree) -> None:
    """Raise a ValueError if a number that the named function reads on the host is traced.

    A traced number that an objective or an optimizer closes over, such as a rate, shows only in a program's output.
    """
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(trees)):
        raise ValueError(
            f"{name} must be called outside of jit, vmap and grad, since it reads numbers between its programs: use "
            "make_steps inside, or fit_population for many values of a number"
        )


def check_not_inside(name: str, *trees: PyTree) -> None:
    """Raise a ValueError inside a program that JAX traces, also if no leaf is traced."""
    # Inside `jax.jit` an operation without arguments is traced too; unlike zeros, iota takes no number from the host.
    check_not_traced(name, *trees, jax.lax.iota(jnp.int32, 1))


class WithStatistics(Function):
    """A function of params, and of others, that may take the statistics of the network between them."""

    def accepts(self, value: Any) -> bool:
        """Return whether it is a function of these arguments, or of the statistics too."""
        return super().accepts(value) or takes_statistics(value, *self.arguments[1:])

    def expected(self, name: str, call: Call) -> str:
        """Return the function as it is called, in both ways."""
        return f"{super().expected(name, call)}, or {name}({', '.join(_with_statistics(self.arguments))})"


def _with_statistics(arguments: tuple[str, ...]) -> tuple[str, ...]:
    return arguments[0], "stats", *arguments[1:]


def takes_statistics(function: Any, *others: str) -> bool:
    """Return whether a function is called as `function(params, stats, *others)`: if it needs all, or names `stats`.

    Example:
      >>> [takes_statistics(f) for f in (lambda params, stats: 0, lambda params: 0, lambda params, x=None: 0)]
      [True, False, False]
    """
    arguments = ("params", *others)
    if not Function(*_with_statistics(arguments)).accepts(function):
        return False
    parameters = getattr(signature_of(function), "parameters", {})
    return "stats" in parameters or not Function(*arguments).accepts(function)


LOOP = {
    "stats_decay": DECAY,
    "epochs": Count(),
    "report_every": Count(),
    "gradients": GRADIENTS,
    "callback": Function("report") | Nothing(),
    "early_stopping": Instance(EarlyStopping, "a jaxnn.EarlyStopping", "EarlyStopping('dev_loss')") | Nothing(),
    "checkpoints": Instance(Checkpointer, "a jaxnn.Checkpointer(restore, save)") | Nothing(),
    "on_nan": OneOf(get_args(NanPolicy)),
    "progress": Flag(),
}
"""The constraints of the arguments that all trainings have."""

BATCH_SIZE = UpTo("x", "the number of examples") | Nothing()
"""The constraint of the number of examples in a batch; `None` for all of them."""
