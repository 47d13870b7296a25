"""Learning rates that depend on the step, by name."""

from collections.abc import Callable
from typing import Any, Literal

import optax

from jaxnn.constraints import Count, OneOf, checked
from jaxnn.factories.decorator import factory
from jaxnn.optim.arguments import RATE
from jaxnn.optim.interface import promoting
from jaxnn.typing import Scalar

ScheduleName = Literal["constant", "step", "cosine", "inverse"]

SCHEDULES: dict[ScheduleName, Callable[[Any, int], optax.Schedule]] = {
    "constant": lambda rate, steps: optax.constant_schedule(rate),
    "step": lambda rate, steps: optax.piecewise_constant_schedule(rate, {-(-steps * i // 3): 0.1 for i in (1, 2)}),
    "cosine": optax.cosine_decay_schedule,
    "inverse": lambda rate, steps: lambda step: rate / (1 + 9 * step / steps),
}
"""name -> `schedule(learning_rate, steps)`, a function of the step."""


@factory
@checked(name=OneOf(SCHEDULES, of="the schedules "), learning_rate=RATE, steps=Count(), warmup=Count(0))
def schedule(name: ScheduleName, learning_rate: Scalar, steps: int, *, warmup: int = 0) -> optax.Schedule:
    """Return a learning rate that depends on the step, by name, to be passed to an optimizer as its rate.

    With the rate α, t steps after the warm-up and T steps after it in all:

        constant    α
        step        α/10^⌊3t/T⌋                divided by 10 after each third
        cosine      α (1 + cos(π t/T))/2       down to 0
        inverse     α/(1 + 9t/T)               as 1/t, down to a tenth

    Args:
      name: one of `SCHEDULES`.
      learning_rate: the highest rate, a positive, finite scalar. May be traced.
      steps: total number of steps, at least 1: epochs times ceil(m/batch_size).
      warmup: number of first steps in which the rate rises linearly: α/(warmup + 1), 2α/(warmup + 1), ...

    Returns:
      `schedule(step) -> rate`, both scalars; the step may be traced.

    Raises:
      ValueError: if the name is unknown, the rate is not positive and finite, steps is below 1, or the warm-up is not
        shorter.

    Example:
      >>> rate = schedule("cosine", 0.1, 7, warmup=3)
      >>> [round(float(rate(step)), 3) for step in range(8)]
      [0.025, 0.05, 0.075, 0.1, 0.085, 0.05, 0.015, 0.0]

    Sources: Robbins and Monro 1951 (1/t); Loshchilov and Hutter 2017 (cosine); Goyal et al. 2017 (warm-up).
    """
    if warmup >= steps:
        raise ValueError(f"warmup must be below the number of steps, {steps}, got {warmup}")
    rate_after = SCHEDULES[name](learning_rate, int(steps - warmup))
    if warmup > 0:
        rate_after = optax.join_schedules(
            [lambda step: learning_rate * (step + 1) / (warmup + 1), rate_after], [warmup]
        )

    def rate(step):
        with promoting():
            return rate_after(step)

    return rate
