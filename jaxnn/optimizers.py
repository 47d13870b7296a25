"""Optimisers and schedules by name, and max-norm. They are optax's: any other of its can be passed in their place."""

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxnn.checks import check_callable, check_name, described, is_count, is_number
from jaxnn.factories import factory
from jaxnn.layout import accepting, check_optimizer, with_layout
from jaxnn.penalties import is_weight
from jaxnn.typing import Array


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
    return optax.adamw(learning_rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay)


def _lbfgs(learning_rate, memory_size=10):
    return optax.lbfgs(learning_rate, memory_size=memory_size)


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
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

SCHEDULES: dict[str, Callable[[Any, int], optax.Schedule]] = {
    "constant": lambda rate, steps: optax.constant_schedule(rate),
    "step": lambda rate, steps: optax.piecewise_constant_schedule(rate, {-(-steps * i // 3): 0.1 for i in (1, 2)}),
    "cosine": optax.cosine_decay_schedule,
    "inverse": lambda rate, steps: lambda step: rate / (1 + 9 * step / steps),
}
"""name -> `schedule(learning_rate, steps)`, a function of the step."""


promoting = partial(jax.numpy_dtype_promotion, "standard")
"""The context of optax's own code, which mixes dtypes: users' `jax_numpy_dtype_promotion=strict` is for theirs."""


@factory
def optimizer(
    name: str, learning_rate: float | optax.Schedule, *, clip_norm: float | None = None, **coefficients: Any
) -> optax.GradientTransformation:
    """Return the optimizer of that name.

    With the gradient g and the rate α, from v = s = 0, where products and roots are of each number by itself:

        sgd         w := w - α g
        momentum    v := β v + g               w := w - α v                      beta=0.9
        nesterov    v := β v + g               w := w - α (g + β v)              beta=0.9
        adagrad     s := s + g²                w := w - α g/√(s + ε)             initial_accumulator_value=0.1 (s at the
                                                                                 start), eps=1e-7
        rmsprop     s := ρ s + (1 - ρ) g²      w := w - α g/√(s + ε)             decay=0.9 (ρ), eps=1e-8
        adam        v := β₁ v + (1 - β₁) g     w := w - α v̂/(√ŝ + ε)             b1=0.9, b2=0.999, eps=1e-8
                    s := β₂ s + (1 - β₂) g²    v̂ = v/(1 - β₁ᵗ), ŝ = s/(1 - β₂ᵗ) at step t = 1, 2, ...
        adamw       as adam                    w := w - α (v̂/(√ŝ + ε) + λ w)     and weight_decay=1e-4 (λ)
        lbfgs       searches along its direction for the length of each step     memory_size=10

    "momentum" is the form of optax and PyTorch, whose v is a sum: at a steady gradient its steps are 1/(1 - β) times as
    long as those of "sgd". Courses often write the average, v := β v + (1 - β) g: that is `average=True`, and the same
    as a rate of (1 - β) α without it.

    Args:
      name: one of `OPTIMIZERS`. "sgd" is batch, mini-batch or stochastic gradient descent by the batch size. "adamw"
        decays all params, biases too. "lbfgs" is for full batches: the learning rate scales the step that is tried
        first, and mostly taken: for it, 1 is right.
      learning_rate: a positive, finite scalar, or a schedule from the step to one.
      clip_norm: the largest norm of the whole gradient, all params taken together; a longer one is shortened to it, so
        g := g min(1, clip_norm/|g|). By default none is. May be traced.
      **coefficients: those in the table, of the optimizer of that name. Numbers may be traced.

    Returns:
      An `optax.GradientTransformation`.

    Raises:
      ValueError: if the name is unknown; the rate or clip_norm is not positive, or not finite, or no number; a
        coefficient is not one that this optimizer takes, or is outside its range; or clip_norm is passed to lbfgs.

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
    check_name("optimizer", name, OPTIMIZERS)
    if callable(learning_rate):
        check_callable("learning_rate", learning_rate, "step")
    else:
        _check_rate(learning_rate)
    taken = [parameter for parameter in inspect.signature(OPTIMIZERS[name]).parameters if parameter != "learning_rate"]
    for coefficient, value in coefficients.items():
        if coefficient not in taken:
            also = ["learning_rate", *taken, "clip_norm"]
            hint = _hint(coefficient, also)
            raise ValueError(f"arguments of {name} must be of {', '.join(also)}, got {coefficient}{hint}")
        right, expected = _RANGES[coefficient]
        if not right(value):
            raise ValueError(f"{coefficient} must be {expected}, got {described(value)}")
    made = OPTIMIZERS[name](learning_rate, **coefficients)
    if clip_norm is None:
        return made
    _check_positive("clip_norm", clip_norm, "leave it out to clip nothing")
    if name == "lbfgs":
        raise ValueError("lbfgs searches for the length of its steps by the gradient as it is: leave clip_norm out")
    return optax.chain(optax.clip_by_global_norm(clip_norm), made)


def _hint(coefficient: str, taken: list[str]) -> str:
    """Return what an unknown coefficient may stand for, the end of a message."""
    near = get_close_matches(coefficient, taken, 1, cutoff=0.55)
    if near:
        return f": did you mean {near[0]}?"
    if coefficient == "momentum":
        return ": 'momentum' and 'nesterov' take beta"
    others = [repr(name) for name, make in OPTIMIZERS.items() if coefficient in inspect.signature(make).parameters]
    return f": {' and '.join(others)} take{'s' * (len(others) == 1)} it" if others else ""


def _is_share(value: Any) -> bool:
    return is_number(value, lambda value: 0 <= value < 1)


def _is_not_negative(value: Any) -> bool:
    return is_number(value, lambda value: 0 <= value < float("inf"))


_RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("beta", "b1", "b2", "decay"), (_is_share, "a number from 0 to below 1")),
    **dict.fromkeys(
        ("eps", "weight_decay", "initial_accumulator_value"), (_is_not_negative, "a finite number of at least 0")
    ),
    "average": (lambda value: isinstance(value, bool), "True or False"),
    "memory_size": (is_count, "a whole number of at least 1"),
}


@factory
def schedule(name: str, learning_rate: float, steps: int, *, warmup: int = 0) -> optax.Schedule:
    """The learning rate as a function of the step, by name, to be given to an optimiser in place of a rate.

    With the rate α, t steps done after the warm-up and T steps to do:

        constant    α
        step        α/10^⌊3t/T⌋                a tenth from each third to the next
        cosine      α (1 + cos(π t/T))/2       down to 0
        inverse     α/(1 + 9t/T)               as 1/t, down to a tenth

    Args:
      name: one of `SCHEDULES`.
      learning_rate: the highest rate, a positive, finite scalar. May be traced.
      steps: how many steps there will be in all, at least 1: epochs times ceil(m/batch_size).
      warmup: how many of them, from the first on, lead up to the rate in equal parts:
        α/(warmup + 1), 2α/(warmup + 1), ...

    Returns:
      `schedule(step) -> rate`, both scalars; the step may be traced.

    Raises:
      ValueError: an unknown name, a rate that is not positive, or not finite, steps below 1, a warm-up of all steps.

    Example:
      >>> rate = schedule("cosine", 0.1, 7, warmup=3)
      >>> [round(float(rate(step)), 3) for step in range(8)]
      [0.025, 0.05, 0.075, 0.1, 0.085, 0.05, 0.015, 0.0]

    Sources: Robbins and Monro 1951 (1/t); Loshchilov and Hutter 2017 (cosine); Goyal et al. 2017 (warm-up).
    """
    check_name("schedule", name, SCHEDULES)
    _check_rate(learning_rate)
    if not (is_count(steps) and is_count(warmup, least=0) and warmup < steps):
        raise ValueError(
            "a schedule takes a whole number of at least 1 step, and a warm-up shorter than that, got "
            f"{described(steps)} steps and {described(warmup)} of warm-up"
        )
    made = SCHEDULES[name](learning_rate, int(steps - warmup))
    if warmup > 0:
        made = optax.join_schedules([lambda step: learning_rate * (step + 1) / (warmup + 1), made], [warmup])

    def rate(step):
        with promoting():
            return made(step)

    return rate


@factory
def max_norm(limit: float) -> optax.GradientTransformation:
    """No unit's incoming weights get longer than the limit: after each update, w := w min(1, limit/|w|).

    The projection on the ball of that radius of each row w of each weight `W`; biases are free. It is the last of a
    chain, since it looks at what the update before it leads to: `optax.chain(optax.sgd(0.1), max_norm(3.0))`.

    Args:
      limit: the largest Euclidean norm of a row, positive and finite, a scalar. May be traced.

    Returns:
      An `optax.GradientTransformation`, whose update needs params.

    Raises:
      ValueError: a limit that is not positive, or not finite; when called, params without a weight.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"W": jnp.array([[3.0, 0.0], [0.1, 0.2]]), "b": jnp.array([9.0, 9.0])}
      >>> optimizer = optax.chain(optax.sgd(1.0), max_norm(2.0))
      >>> grads = {"W": jnp.array([[0.0, -4.0], [0.0, 0.1]]), "b": jnp.zeros(2)}
      >>> updates, _ = optimizer.update(grads, optimizer.init(params), params)
      >>> print(optax.apply_updates(params, updates)["W"])
      [[1.2 1.6]
       [0.1 0.1]]

    Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014, section 5.1.
    """
    _check_positive("max_norm", limit, "weights of length 0 learn nothing")

    def project(path, update, w):
        if not is_weight(path):
            return update
        after = w + update
        norm = jnp.linalg.norm(after, axis=-1, keepdims=True)
        return jnp.where(norm > limit, after * (limit / norm) - w, update).astype(update.dtype)

    def update(updates, state, params=None):
        if params is None or not any(is_weight(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)):
            raise ValueError("max_norm takes params with weights, leaves called W: update(updates, state, params)")
        return jax.tree_util.tree_map_with_path(project, updates, params), state

    return with_layout(optax.GradientTransformation(lambda params: optax.EmptyState(), update), "jaxnn")


@factory
def skip_nonfinite(optimizer: optax.GradientTransformation, in_a_row: int = 10) -> optax.GradientTransformation:
    """The optimiser, which leaves out the update of a step whose loss or gradient is not finite, and counts it.

    It is `optax.apply_if_finite`, told of the loss too where the step passes it as `value`, as those of `make_step` do.
    A skipped step changes neither the params nor the optimiser's state. One bad batch is so left out; where step after
    step fails, leaving out helps no more: the update after `in_a_row` skipped ones is made as it is.

    Args:
      optimizer: any optax optimiser.
      in_a_row: so many steps one after another may be skipped, at least 1.

    Returns:
      An `optax.GradientTransformation`, whose state counts what was skipped: `skipped_updates`.

    Raises:
      ValueError: in_a_row below 1, or what is no optax optimiser.

    Example:
      >>> import jax.numpy as jnp
      >>> careful = skip_nonfinite(optax.sgd(0.1))
      >>> updates, state = careful.update(jnp.array([jnp.nan]), careful.init(jnp.array([1.0])))
      >>> print(updates, skipped_updates(state))
      [0.] 1
    """
    check_optimizer(optimizer)
    if not is_count(in_a_row):
        raise ValueError(f"skip_nonfinite leaves out at least 1 step in a row, got {described(in_a_row)}")
    careful = optax.apply_if_finite(accepting(optimizer), in_a_row)

    def update(grads, state, params=None, **given):
        # 0 where the loss is finite, else NaN.
        unsound = 0 * jnp.asarray(given.get("value", 0.0))
        seen = jax.tree.map(lambda g: g + unsound.astype(g.dtype), grads)
        return careful.update(seen, state, params, **given)

    return optax.GradientTransformationExtraArgs(careful.init, update)


def skipped_updates(opt_state: Any) -> Array | None:
    """How many updates an optimiser left out, by its state: int32, a scalar; `None` where it leaves out none."""
    leaves = jax.tree.leaves(opt_state, is_leaf=_counts_skipped)
    return next((leaf.total_notfinite for leaf in leaves if _counts_skipped(leaf)), None)


def skips(optimizer: optax.GradientTransformation, params: Any) -> bool:
    """Whether the optimiser already leaves out what is not finite; a scalar decision, nothing is computed."""
    return skipped_updates(jax.eval_shape(optimizer.init, params)) is not None


def _counts_skipped(node: Any) -> bool:
    return isinstance(node, optax.ApplyIfFiniteState)


def _check_rate(rate: Any) -> None:
    _check_positive("a learning rate", rate, "the optimiser itself goes downhill")


def _check_positive(what: str, value: Any, why: str) -> None:
    if not is_number(value, lambda value: 0 < value < float("inf")):
        raise ValueError(f"{what} must be positive and finite, got {described(value)}: {why}")
