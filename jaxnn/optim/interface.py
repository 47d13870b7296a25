"""What an optimizer of optax is called with, and what it must be."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import optax

from jaxnn.typing import Params
from jaxnn.validation import described

promoting = partial(jax.numpy_dtype_promotion, "standard")
"""The context of optax's own code, which mixes dtypes: users' `jax_numpy_dtype_promotion=strict` is for theirs."""


def check_optimizer(optimizer: Any) -> None:
    """Raise a ValueError unless it is an optax optimizer, or anything with functions init and update."""
    if not all(callable(getattr(optimizer, name, None)) for name in ("init", "update")):
        fix = f": call it, {optimizer.__name__}(0.01) say" if hasattr(optimizer, "__name__") else ""
        fix = f": jaxnn.optimizer({optimizer.lower()!r}, 0.01) makes one" if isinstance(optimizer, str) else fix
        raise ValueError(f"optimizer is {described(optimizer)}, expected an optax optimiser, optax.adam(0.01) say{fix}")
    if getattr(optimizer.init, "__qualname__", "").startswith("lookahead."):
        raise ValueError(NO_LOOKAHEAD)


NO_LOOKAHEAD = (
    "optimizer must be one that updates the network's params, got optax.lookahead, which updates "
    "optax.LookaheadParams: pass the optimizer that it was made of"
)


def accepting(optimizer: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Return the optimizer with an update that is passed those of its keyword arguments alone which it takes."""
    optimizer = optax.with_extra_args_support(optimizer)
    try:
        takes = inspect.signature(optimizer.update).parameters.values()
    except (TypeError, ValueError):  # a signature is not known
        return optimizer
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes):
        return optimizer
    names = {parameter.name for parameter in takes}

    def update(updates, state, params=None, **given):
        return optimizer.update(updates, state, params, **{name: given[name] for name in given if name in names})

    return optax.GradientTransformationExtraArgs(optimizer.init, update)


def extra_arguments(value: Any, grads: Params, value_fn: Callable[[Params], Any]) -> dict[str, Any]:
    """What a step passes to `update` beside the gradient, by the names that optax's optimizers have for it."""
    return {"value": value, "grad": grads, "value_fn": value_fn}
