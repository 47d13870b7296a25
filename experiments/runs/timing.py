"""Time compilation and training steps with hand-derived and with automatic gradients."""

import math
import threading
import time
from functools import cache
from statistics import median
from typing import Any, NamedTuple

import jax
import optax

import jaxnn

_STEPS = 500
"""Steps per program: enough to make the overhead of a call negligible."""
_ROUNDS = 7
_SECONDS_PER_ROUND = 0.4


class Speed(NamedTuple):
    """Seconds to trace and compile a program, and its steps per second.

    `compile_seconds` is `None` if the program was loaded from the compilation cache.
    """

    compile_seconds: float | None
    steps_per_second: float


def time_steps(
    objective: jaxnn.Objective, optimizer: optax.GradientTransformation, params: Any, batch: jaxnn.Batch
) -> dict[str, Speed]:
    """Return the speed of the same training steps, on one batch, with "hand" and with "auto" gradients.

    The program of many steps is compiled ahead of time, after training has warmed up JAX. Steps are timed in rounds, of
    which the median counts. The two programs alternate, so that neither always runs after the other.
    """
    clock = compile_clock()
    states = {name: jaxnn.train_state(params, optimizer, jax.random.key(0)) for name in ("hand", "auto")}
    programs, compiling = {}, {}
    for name in states:
        cached, start = clock.cached, time.perf_counter()
        programs[name] = jaxnn.train.make_steps(objective, optimizer, _STEPS, name).lower(states[name], batch).compile()
        compiling[name] = time.perf_counter() - start if clock.cached == cached else None

    def seconds(name: str, calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            states[name], _ = programs[name](states[name], batch)
        jax.block_until_ready(states[name])
        return time.perf_counter() - start

    calls = max(1, round(_SECONDS_PER_ROUND / max(seconds(name, 2) / 2 for name in states)))
    rates: dict[str, list[float]] = {name: [] for name in states}
    for i in range(_ROUNDS):
        for name in list(states)[:: 1 if i % 2 == 0 else -1]:
            rates[name].append(calls * _STEPS / seconds(name, calls))
    return {name: Speed(compiling[name], median(rates[name])) for name in states}


class CompileClock:
    """Measure the time that the process spends tracing, lowering and compiling, from JAX's monitoring events.

    Programs may be traced inside one another, and compiled concurrently: every second counts once.

    Attributes:
      programs: the number of programs that were compiled or loaded.
      cached: the number of them that were loaded from the compilation cache.
    """

    def __init__(self) -> None:
        self.programs, self.cached = 0, 0
        self._spans: list[tuple[float, float]] = []  # disjoint, in ascending order
        self._lock = threading.Lock()
        jax.monitoring.register_event_duration_secs_listener(self._add)
        jax.monitoring.register_event_listener(self._count)

    @property
    def seconds(self) -> float:
        """Return the seconds spent so far, including loading from the compilation cache."""
        return self.since(-math.inf)

    def since(self, began: float) -> float:
        """Return the seconds spent since that time of `time.perf_counter`."""
        with self._lock:
            return sum(end - max(start, began) for start, end in self._spans if end > began)

    def __str__(self) -> str:
        return f"{self.cached} of {self.programs} programs came from the compilation cache"

    def _add(self, event: str, seconds: float, **_: Any) -> None:
        if event.startswith("/jax/core/compile/"):
            end = time.perf_counter()
            start = end - seconds
            with self._lock:
                while self._spans and self._spans[-1][1] >= start:
                    start = min(start, self._spans.pop()[0])
                self._spans.append((start, end))
            self.programs += event == "/jax/core/compile/backend_compile_duration"

    def _count(self, event: str, **_: Any) -> None:
        self.cached += event == "/jax/compilation_cache/cache_hits"


class Stopwatch:
    """Print as the seconds since its creation, and the share spent on tracing, compiling and loading programs."""

    def __init__(self) -> None:
        self._began, self._clock = time.perf_counter(), compile_clock()

    def __str__(self) -> str:
        compiling, seconds = self._clock.since(self._began), time.perf_counter() - self._began
        return f"{seconds:.1f} s in total, {compiling / seconds:.0%} of it to trace and compile; {self._clock}"


@cache
def compile_clock() -> CompileClock:
    """Return the only clock of the process: JAX's listeners cannot be removed."""
    return CompileClock()
