"""The interface of optax optimizers: validation, and the arguments of `update`."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import optax

from jaxnn.typing import Params
from jaxnn.validation import described

promoting = partial(jax.numpy_dtype_promotion, "standard")
"""The context in which code of optax runs: it mixes dtypes, also if the user's own promotion is strict."""


def check_optimizer(optimizer: Any) -> None:
    """Raise ValueError unless it is an optax optimizer, or another object with functions init and update."""
    if not all(callable(getattr(optimizer, name, None)) for name in ("init", "update")):
        fix = f": call the factory, {optimizer.__name__}(0.01)" if hasattr(optimizer, "__name__") else ""
        fix = f": jaxnn.optimizer({optimizer.lower()!r}, 0.01) makes one" if isinstance(optimizer, str) else fix
        raise ValueError(
            f"optimizer must be an optax optimizer, such as optax.adam(0.01), got {described(optimizer)}{fix}"
        )
    if getattr(optimizer.init, "__qualname__", "").startswith("lookahead."):
        raise ValueError(NO_LOOKAHEAD)


NO_LOOKAHEAD = (
    "optimizer must be one that updates the network's params, got optax.lookahead, which updates "
    "optax.LookaheadParams: pass the optimizer that it was made of"
)


def accepting(optimizer: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Return the optimizer with an `update` that ignores keyword arguments that it does not take."""
    optimizer = optax.with_extra_args_support(optimizer)
    try:
        takes = inspect.signature(optimizer.update).parameters.values()
    except (TypeError, ValueError):  # a signature is not known
        return optimizer
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes):
        return optimizer
    names = {parameter.name for parameter in takes}

    def update(updates, state, params=None, **kwargs):
        return optimizer.update(updates, state, params, **{name: kwargs[name] for name in kwargs if name in names})

    return optax.GradientTransformationExtraArgs(optimizer.init, update)


def extra_arguments(value: Any, grads: Params, value_fn: Callable[[Params], Any]) -> dict[str, Any]:
    """Return the keyword arguments that a step passes to `update`, named as in optax."""
    return {"value": value, "grad": grads, "value_fn": value_fn}
