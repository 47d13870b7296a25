"""The share of compilation in a run's time, also for concurrent compilations."""

import threading
import time

import pytest

from experiments.runs import timing

COMPILE, TRACE = "/jax/core/compile/backend_compile_duration", "/jax/core/compile/jaxpr_trace_duration"


@pytest.fixture
def clock(monkeypatch):
    """A clock, and `at(end, seconds, event)`: an event that is reported at that time."""
    now = 0.0
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now)
    clock = timing.CompileClock()

    def at(end, seconds, event=COMPILE):
        nonlocal now
        now = end
        clock._add(event, seconds)

    clock.at = at
    return clock


def test_overlapping_spans_count_once(clock):
    clock.at(2, 1)  # 1 .. 2
    clock.at(3, 0.5)  # 2.5 .. 3
    clock.at(3, 1, TRACE)  # 2 .. 3, around it
    clock.at(6, 1)  # 5 .. 6
    clock.at(6.5, 1)  # 5.5 .. 6.5, in another thread
    clock.at(9, 0.25)
    assert clock.seconds == 1 + 1 + 1.5 + 0.25
    assert clock.since(2.5) == 0.5 + 1.5 + 0.25
    assert clock.since(6) == 0.5 + 0.25
    assert clock.since(9) == 0
    clock.at(10, 9)  # around all
    assert clock.seconds == 9
    assert clock.programs == 6


def test_stopwatch_share_is_at_most_one(clock, monkeypatch):
    monkeypatch.setattr(timing, "compile_clock", lambda: clock)
    clock.at(4, 3)
    watch = timing.Stopwatch()
    for end in (6, 6.5, 7, 8):
        clock.at(end, 6)
    assert str(watch).startswith("4.0 s in total, 100% of it to trace and compile; 0 of 5 programs")


def test_events_of_many_threads(clock, monkeypatch):
    monkeypatch.undo()
    began = time.perf_counter()

    def work():
        for _ in range(200):
            clock._add(COMPILE, 1.0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.programs == 800
    assert 1.0 <= clock.seconds <= time.perf_counter() - began + 1.0
