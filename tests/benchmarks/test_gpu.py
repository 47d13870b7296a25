"""The last line of `scripts/gpu-check` counts what was checked, and what was not."""

import time

from scripts.benchmarks import gpu, layers

RAN, LATE, FAILED = ({"status": status} for status in (0, 124, 1))


def test_a_command_that_took_too_long_did_not_run_to_the_end():
    found = {"gradients": {"relu": {}}, "layers": {}, "speed": {"mnist": RAN, "lstm": LATE}, "presets": {"a": LATE}}
    text, failed = gpu.verdict(found, True)
    start = f"gradients of 1 of {len(layers.rows())} layers, all within 2e-05; times of 0; 1 of 4 trainings and 0 of "
    assert text.startswith(start) and text.endswith("ran to the end") and not failed


def test_a_command_that_failed_is_counted():
    found = {"gradients": {}, "layers": {}, "speed": {"mnist": FAILED}, "presets": {"a": FAILED, "b": RAN}}
    text, failed = gpu.verdict(found, False)
    assert failed and "not all within" in text and text.endswith("ran to the end, 2 failed")


def test_without_time_nothing_is_right():
    assert gpu.check_gradients(time.monotonic()) == ({}, False)
