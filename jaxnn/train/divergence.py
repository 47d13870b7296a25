"""What overflowed first in a step whose loss or update is not finite."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnn.caching import bounded_cache
from jaxnn.data.batches import Batch
from jaxnn.data.shards import Shards
from jaxnn.explicit_axes import on_any_axes, whole
from jaxnn.train.drawing import batch_at
from jaxnn.train.examination import Examination, Quantity, are_finite, examine_step, quantities
from jaxnn.train.objectives import Gradients, Objective
from jaxnn.train.steps import TrainState
from jaxnn.typing import PyTree
from jaxnn.validation import warn_outside


class Divergence(NamedTuple):
    """Where a training first produced a number that is not finite; `str` gives a sentence.

    Attributes:
      step: the number of the step, from 0.
      what: what was not finite first, in the order in which a step computes: "params" or "inputs" (which the step
        began with), "activations" (forward), "loss", "gradient" (backward) or "update" (by the optimizer); `None` if
        the step is finite when it is recomputed alone: members of a population round slightly differently.
      layer: the number of the layer, from 1, if it belongs to one. Activations, dropout and each copy that `repeat`
        makes count as layers.
      layers: the number of layers of the network; `None` if unknown.
      path: the place in params: of the layer, or of a leaf.
      largest: the largest finite magnitude among the numbers that it was computed from.

    Example:
      >>> print(Divergence(7, "activations", 3, 5, "params[2]", 2e38))
      step 7: the activations of layer 3 of 5 (params[2]) overflowed first, computed from numbers up to 2e+38
    """

    step: int
    what: str | None
    layer: int | None = None
    layers: int | None = None
    path: str | None = None
    largest: float | None = None

    def __str__(self) -> str:
        if self.what is None:
            return f"step {self.step} was not finite; recomputed alone it is (rounding)"
        if self.layer is not None:
            where = f"the {self.what} of layer {self.layer} of {self.layers} ({self.path})"
        elif self.what in ("params", "inputs"):
            return f"step {self.step}: {self.path or 'the inputs'} not finite at the start"
        else:
            where = f"the {self.what}" + ("" if self.path is None else f" of {self.path}")
        return f"step {self.step}: {where} overflowed first, computed from numbers up to {self.largest:.3g}"


class DivergenceWarning(UserWarning):
    """Warn that a training ended before its last epoch, because a loss or an update was not finite.

    `fit`, `fit_stream`, `fit_population` and their callers issue it once, with what overflowed first and the likely
    fix. `Fit.divergence` holds the same as a value. If trainings may diverge, as in a search over rates:
    `warnings.simplefilter("ignore", jaxnn.train.DivergenceWarning)`.
    """


def warn_of_divergence(divergence: Divergence, params: PyTree, who: str = "the training") -> None:
    """Issue a `DivergenceWarning`, at the line outside of jaxnn that called it.

    Args:
      divergence: what overflowed first.
      params: the params at that step.
      who: the subject of the message.
    """
    warn_outside(f"{who} diverged at {divergence}; {_fix(divergence, params)}", DivergenceWarning)


def _fix(divergence: Divergence, params: PyTree) -> str:
    if divergence.what == "params" and divergence.step == 0:
        return "start from finite params"
    if divergence.what == "inputs" and divergence.layer is None:
        return "drop those examples, or fill them in"
    if any(getattr(leaf, "dtype", None) == jnp.float16 for leaf in jax.tree.leaves(params)):
        return (
            "keep params in float32 and compute in float16: jaxnn.with_dtype(network, jnp.float16) under "
            "jaxnn.optim.with_loss_scale(optimizer)"
        )
    if divergence.step == 0 and divergence.what != "update":
        return "no update was made yet: standardize inputs and targets, or begin with smaller params"
    return "try a smaller learning rate, clipping (jaxnn.optimizer(..., clip_norm=1.0)) or standardized inputs"


def first_not_finite(step: int, quantities: Iterable[Quantity]) -> Divergence:
    """Return the first of the quantities of a step, in the order in which they are computed, that is not finite."""
    for one in quantities:
        if not are_finite(one.sizes):
            largest = max((float(size.largest) for size in one.sources), default=0.0)
            return Divergence(step, one.what, one.layer, one.layers, one.path, largest)
    return Divergence(step, None)


@bounded_cache
def batch_program(batch_size: int, shuffle: bool, shards: Shards | None = None) -> Callable[[TrainState, Batch], Batch]:
    """Compile `batch_at`: the batch of the step that comes next."""

    def batch(state, data):
        return batch_at(state, data, batch_size, shuffle, shards=shards)

    return jax.jit(on_any_axes(batch, lambda batch, state, data: whole(batch)))


def explain(
    objective: Objective, optimizer: optax.GradientTransformation, gradients: Gradients, state: TrainState, batch: Batch
) -> Divergence:
    """Return what overflows first in the step from this state on this batch."""
    program = _examination_program(objective, optimizer, gradients)
    return first_not_finite(int(state.step), quantities(jax.device_get(program(state, batch))))


@bounded_cache
def _examination_program(
    objective: Objective, optimizer: optax.GradientTransformation, gradients: Gradients
) -> Callable[[TrainState, Batch], Examination]:
    # It runs once per divergence, so compile time is what matters.
    examine = partial(examine_step, objective, optimizer, gradients)
    return jax.jit(examine, compiler_options={"xla_backend_optimization_level": 1})
