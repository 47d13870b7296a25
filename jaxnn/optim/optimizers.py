"""Optimizers of optax by name."""

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from typing import Literal, TypedDict, Unpack

import optax

from jaxnn.constraints import Count, Flag, Function, Nothing, OneOf, Real, checked
from jaxnn.factories.decorator import factory
from jaxnn.optim.arguments import RATE
from jaxnn.roles import weights_of
from jaxnn.typing import Scalar
from jaxnn.validation import described


def _momentum(learning_rate, beta=0.9, average=False):
    heavy_ball = optax.sgd(learning_rate, momentum=beta)
    return optax.chain(optax.scale(1 - beta), heavy_ball) if average else heavy_ball


def _nesterov(learning_rate, beta=0.9):
    return optax.sgd(learning_rate, momentum=beta, nesterov=True)


def _rmsprop(learning_rate, decay=0.9, eps=1e-8):
    return optax.rmsprop(learning_rate, decay=decay, eps=eps)


def _adagrad(learning_rate, initial_accumulator_value=0.1, eps=1e-7):
    return optax.adagrad(learning_rate, initial_accumulator_value=initial_accumulator_value, eps=eps)


def _adam(learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    return optax.adam(learning_rate, b1=b1, b2=b2, eps=eps)


def _adamw(learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=1e-4):
    return optax.adamw(learning_rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, mask=weights_of)


def _lbfgs(learning_rate, memory_size=10):
    return optax.lbfgs(learning_rate, memory_size=memory_size)


OptimizerName = Literal["sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adam", "adamw", "lbfgs"]

OPTIMIZERS: dict[OptimizerName, Callable[..., optax.GradientTransformation]] = {
    "sgd": lambda learning_rate: optax.sgd(learning_rate),
    "momentum": _momentum,
    "nesterov": _nesterov,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
    "adam": _adam,
    "adamw": _adamw,
    "lbfgs": _lbfgs,
}
"""name -> `optimizer(learning_rate, **coefficients)`, with optax's defaults, and 0.9 for the momentum."""


class Coefficients(TypedDict, total=False):
    """The coefficients of optimizers by name, as type checkers take them; which optimizer has which is in the table."""

    beta: Scalar
    average: bool
    b1: Scalar
    b2: Scalar
    decay: Scalar
    eps: Scalar
    weight_decay: Scalar
    initial_accumulator_value: Scalar
    memory_size: int


@factory
@checked(
    name=OneOf(OPTIMIZERS, of="the optimizers "),
    learning_rate=RATE | Function("step"),
    clip_norm=Real(0, closed="right", fix="omit it for no clipping") | Nothing(),
)
def optimizer(
    name: OptimizerName,
    learning_rate: Scalar | optax.Schedule,
    *,
    clip_norm: Scalar | None = None,
    **coefficients: Unpack[Coefficients],
) -> optax.GradientTransformation:
    """Return the optimizer of that name.

    With the gradient g and the rate α, starting from v = s = 0, elementwise:

        sgd         w := w - α g
        momentum    v := β v + g               w := w - α v                      beta=0.9
        nesterov    v := β v + g               w := w - α (g + β v)              beta=0.9
        adagrad     s := s + g²                w := w - α g/√(s + ε)             initial_accumulator_value=0.1 (initial
                                                                                 s), eps=1e-7
        rmsprop     s := ρ s + (1 - ρ) g²      w := w - α g/√(s + ε)             decay=0.9 (ρ), eps=1e-8
        adam        v := β₁ v + (1 - β₁) g     w := w - α v̂/(√ŝ + ε)             b1=0.9, b2=0.999, eps=1e-8
                    s := β₂ s + (1 - β₂) g²    v̂ = v/(1 - β₁ᵗ), ŝ = s/(1 - β₂ᵗ) at step t = 1, 2, ...
        adamw       as adam                    w := w - α (v̂/(√ŝ + ε) + λ w)     and weight_decay=1e-4 (λ)
        lbfgs       finds each step's length by a line search                    memory_size=10

    "momentum" is the form of optax and PyTorch, whose v is a sum: for a constant gradient its steps are 1/(1 - β) times
    as long as those of "sgd". Courses often write the average, v := β v + (1 - β) g: that is `average=True`, and equal
    to a rate of (1 - β) α without it.

    Args:
      name: one of `OPTIMIZERS`. "sgd" is batch, mini-batch or stochastic gradient descent, depending on the batch size.
        "adamw" decays weights (`jaxnn.roles`), not biases and gains, or all params if none has the name of a weight.
        "lbfgs" is for full batches; the learning rate scales the first step of
        its line search, for which 1 is usual.
      learning_rate: a positive, finite scalar, or a schedule that maps the step to one.
      clip_norm: the largest norm of the gradient of all params together; a longer gradient is scaled down to it,
        g := g min(1, clip_norm/|g|). By default it is not clipped. May be traced.
      **coefficients: of the named optimizer, as in the table. Numbers may be traced.

    Returns:
      An `optax.GradientTransformation`.

    Raises:
      ValueError: if the name is unknown, the rate or clip_norm is not a positive, finite number, a coefficient is
        unknown to this optimizer or outside its range, or clip_norm is passed to lbfgs.

    Example:
      >>> import jax.numpy as jnp
      >>> sgd = optimizer("sgd", 0.1)
      >>> updates, _ = sgd.update(jnp.array([2.0]), sgd.init(jnp.array([1.0])))
      >>> print(updates)
      [-0.2]
      >>> for options in ({}, {"beta": 0.5}, {"beta": 0.5, "average": True}):
      ...     momentum = optimizer("momentum", 0.1, **options)
      ...     state = momentum.init(jnp.array([1.0]))
      ...     first, state = momentum.update(jnp.array([2.0]), state)
      ...     second, _ = momentum.update(jnp.array([2.0]), state)
      ...     print(first, second)
      [-0.2] [-0.38]
      [-0.2] [-0.3]
      [-0.1] [-0.15]

    Sources: Polyak 1964 (momentum); Nesterov 1983, as Sutskever et al. 2013 write it; Tieleman and Hinton 2012, lecture
    6.5 (RMSprop); Duchi, Hazan and Singer 2011 (Adagrad); Kingma and Ba 2014 (Adam); Loshchilov and Hutter 2019
    (AdamW); Liu and Nocedal 1989 (L-BFGS); Pascanu, Mikolov and Bengio 2013 (clipping).
    """
    taken = [parameter for parameter in inspect.signature(OPTIMIZERS[name]).parameters if parameter != "learning_rate"]
    for coefficient, value in coefficients.items():
        if coefficient not in taken:
            also = ["learning_rate", *taken, "clip_norm"]
            hint = _hint(coefficient, also)
            raise ValueError(f"arguments of {name} must be of {', '.join(also)}, got {coefficient}{hint}")
        _COEFFICIENTS[coefficient].check(coefficient, value)
    transformation = OPTIMIZERS[name](learning_rate, **coefficients)
    if clip_norm is None:
        return transformation
    if name == "lbfgs":
        raise ValueError(
            f"clip_norm must be None for lbfgs, got {described(clip_norm)}: its line search needs the whole gradient"
        )
    return optax.chain(optax.clip_by_global_norm(clip_norm), transformation)


def _hint(coefficient: str, taken: list[str]) -> str:
    """Return the end of a message: what an unknown coefficient may mean."""
    near = get_close_matches(coefficient, taken, 1, cutoff=0.55)
    if near:
        return f": did you mean {near[0]}?"
    if coefficient == "momentum":
        return ": 'momentum' and 'nesterov' take beta"
    others = [repr(name) for name, make in OPTIMIZERS.items() if coefficient in inspect.signature(make).parameters]
    return f": {' and '.join(others)} take{'s' * (len(others) == 1)} it" if others else ""


_SHARE = Real(0, 1, "left", description="a number from 0 to below 1")
_NOT_NEGATIVE = Real(0, description="a finite number of at least 0")
_COEFFICIENTS = {
    **dict.fromkeys(("beta", "b1", "b2", "decay"), _SHARE),
    **dict.fromkeys(("eps", "weight_decay", "initial_accumulator_value"), _NOT_NEGATIVE),
    "average": Flag(),
    "memory_size": Count(),
}
