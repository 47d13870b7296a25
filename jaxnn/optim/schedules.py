"""Learning rates that depend on the step, by name."""

from collections.abc import Callable
from typing import Any

import optax

from jaxnn.factories.decorator import factory
from jaxnn.optim.arguments import check_rate
from jaxnn.optim.interface import promoting
from jaxnn.validation import check_name, described, is_count

SCHEDULES: dict[str, Callable[[Any, int], optax.Schedule]] = {
    "constant": lambda rate, steps: optax.constant_schedule(rate),
    "step": lambda rate, steps: optax.piecewise_constant_schedule(rate, {-(-steps * i // 3): 0.1 for i in (1, 2)}),
    "cosine": optax.cosine_decay_schedule,
    "inverse": lambda rate, steps: lambda step: rate / (1 + 9 * step / steps),
}
"""name -> `schedule(learning_rate, steps)`, a function of the step."""


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
    check_rate(learning_rate)
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
