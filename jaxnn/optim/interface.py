"""The interface of optax optimizers: validation, and the arguments of `update`."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import optax

from jaxnn.constraints import Constraint
from jaxnn.typing import Params

promoting = partial(jax.numpy_dtype_promotion, "standard")
"""The context in which code of optax runs: it mixes dtypes, also if the user's own promotion is strict."""


NO_LOOKAHEAD = "optax.lookahead updates optax.LookaheadParams, pass the optimizer that it was made of"


def _is_optimizer(value: Any) -> bool:
    has_both = all(callable(getattr(value, name, None)) for name in ("init", "update"))
    return has_both and not _is_lookahead(value)


def _is_lookahead(value: Any) -> bool:
    # Its params are not those of the network.
    return getattr(getattr(value, "init", None), "__qualname__", "").startswith("lookahead.")


def _likely_optimizer(value: Any) -> str:
    if _is_lookahead(value):
        return NO_LOOKAHEAD
    if isinstance(value, str):
        return f"jaxnn.optimizer({value.lower()!r}, 0.01) makes one"
    return f"call the factory, {value.__name__}(0.01)" if hasattr(value, "__name__") else ""


OPTIMIZER = Constraint(
    "an optax optimizer, such as optax.adam(0.01)",
    (optax.adam, "Adam", 0.1, None),
    _likely_optimizer,
    test=_is_optimizer,
)
"""The constraint of an argument that is an optimizer: an object with functions init and update."""


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
