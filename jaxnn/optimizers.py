"""Optimisers and schedules by name, and max-norm. They are optax's: any other of its can be passed in their place."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxnn.checks import check_callable, check_name, described, is_count, is_number
from jaxnn.factories import factory
from jaxnn.penalties import is_weight
from jaxnn.typing import Array

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "sgd": optax.sgd,
    "momentum": lambda learning_rate: optax.sgd(learning_rate, momentum=0.9),
    "nesterov": lambda learning_rate: optax.sgd(learning_rate, momentum=0.9, nesterov=True),
    "rmsprop": optax.rmsprop,
    "adagrad": optax.adagrad,
    "adam": optax.adam,
    "adamw": optax.adamw,
    "lbfgs": optax.lbfgs,
}
"""name -> `optimizer(learning_rate)`, with optax's defaults, and 0.9 for the momentum."""

SCHEDULES: dict[str, Callable[[Any, int], optax.Schedule]] = {
    "constant": lambda rate, steps: optax.constant_schedule(rate),
    "step": lambda rate, steps: optax.piecewise_constant_schedule(rate, {-(-steps * i // 3): 0.1 for i in (1, 2)}),
    "cosine": optax.cosine_decay_schedule,
    "inverse": lambda rate, steps: lambda step: rate / (1 + 9 * step / steps),
}
"""name -> `schedule(learning_rate, steps)`, a function of the step."""


@factory
def optimizer(
    name: str, learning_rate: float | optax.Schedule, *, clip_norm: float | None = None
) -> optax.GradientTransformation:
    """The optimiser of that name.

    Args:
      name: one of `OPTIMIZERS`: "sgd" (plain gradient descent: batch, mini-batch or stochastic by the batch size),
        "momentum", "nesterov", "rmsprop", "adagrad", "adam", "adamw" (Adam, with 1e-4 of each param taken off beside
        it, biases too) or "lbfgs". The last is for full batches: it searches along its direction for the length of each
        step. The learning rate scales what is tried first, and mostly taken: for it, 1 is right.
      learning_rate: a positive, finite scalar, or a schedule from the step to one.
      clip_norm: the largest norm of the whole gradient, all params taken together; a longer one is shortened to it, so
        g := g min(1, clip_norm/|g|). By default none is. May be traced.

    Returns:
      An `optax.GradientTransformation`.

    Raises:
      ValueError: an unknown name, a rate or a clip_norm that is not positive, or not finite, or no number, or clipping
        before lbfgs.

    Example:
      >>> import jax.numpy as jnp
      >>> sgd = optimizer("sgd", 0.1)
      >>> updates, _ = sgd.update(jnp.array([2.0]), sgd.init(jnp.array([1.0])))
      >>> print(updates)
      [-0.2]

    Sources: Polyak 1964 (momentum); Nesterov 1983, as Sutskever et al. 2013 write it; Tieleman and Hinton 2012, lecture
    6.5 (RMSprop); Duchi, Hazan and Singer 2011 (Adagrad); Kingma and Ba 2014 (Adam); Loshchilov and Hutter 2019
    (AdamW); Liu and Nocedal 1989 (L-BFGS); Pascanu, Mikolov and Bengio 2013 (clipping).
    """
    check_name("optimizer", name, OPTIMIZERS)
    if callable(learning_rate):
        check_callable("learning_rate", learning_rate, "step")
    else:
        _check_rate(learning_rate)
    made = OPTIMIZERS[name](learning_rate)
    if clip_norm is None:
        return made
    _check_positive("clip_norm", clip_norm, "leave it out to clip nothing")
    if name == "lbfgs":
        raise ValueError("lbfgs searches for the length of its steps by the gradient as it is: leave clip_norm out")
    return optax.chain(optax.clip_by_global_norm(clip_norm), made)


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
    rest = SCHEDULES[name](learning_rate, int(steps - warmup))
    if warmup == 0:
        return rest
    return optax.join_schedules([lambda step: learning_rate * (step + 1) / (warmup + 1), rest], [warmup])


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

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


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
    careful = optax.apply_if_finite(optimizer, in_a_row)

    def update(grads, state, params=None, **given):
        sound = jnp.isfinite(given.get("value", 0.0))
        seen = jax.tree.map(lambda g: jnp.where(sound, g, jnp.nan), grads)
        return careful.update(seen, state, params, **given)

    return optax.GradientTransformationExtraArgs(careful.init, update)


def skipped_updates(opt_state: Any) -> Array | None:
    """How many updates an optimiser left out, by its state: int32, a scalar; `None` where it leaves out none."""
    leaves = jax.tree.leaves(opt_state, is_leaf=_counts_skipped)
    return next((leaf.total_notfinite for leaf in leaves if _counts_skipped(leaf)), None)


def skips(optimizer: optax.GradientTransformation, params: Any) -> bool:
    """Whether the optimiser already leaves out what is not finite; a scalar decision, nothing is computed."""
    return skipped_updates(jax.eval_shape(optimizer.init, params)) is not None


def check_optimizer(optimizer: Any) -> None:
    """A ValueError unless it is an optax optimiser, or anything with functions init and update."""
    if not all(callable(getattr(optimizer, name, None)) for name in ("init", "update")):
        fix = f": call it, {optimizer.__name__}(0.01) say" if hasattr(optimizer, "__name__") else ""
        fix = f": jaxnn.optimizer({optimizer.lower()!r}, 0.01) makes one" if isinstance(optimizer, str) else fix
        raise ValueError(f"optimizer is {described(optimizer)}, expected an optax optimiser, optax.adam(0.01) say{fix}")


def _counts_skipped(node: Any) -> bool:
    return isinstance(node, optax.ApplyIfFiniteState)


def _check_rate(rate: Any) -> None:
    _check_positive("a learning rate", rate, "the optimiser itself goes downhill")


def _check_positive(what: str, value: Any, why: str) -> None:
    if not is_number(value, lambda value: 0 < value < float("inf")):
        raise ValueError(f"{what} must be positive and finite, got {described(value)}: {why}")
