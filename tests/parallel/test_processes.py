"""Two processes that train together give what one does, each with all rows or its own ones."""

import json
import subprocess
import sys

import numpy as np
import pytest

from scripts.benchmarks.processes import free_port
from tests.helpers.sources import ROOT

CLOSE = dict(rtol=1e-4, atol=1e-5)


def run(n, part):
    """What each of n processes printed."""
    address = f"localhost:{free_port()}"
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.parallel.in_processes", address, str(n), str(i), part],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for i in range(n)
    ]
    ended = [(*one.communicate(timeout=300), one.returncode) for one in started]
    assert all(status == 0 for *_, status in ended), "\n".join(errors[-3000:] for _, errors, _ in ended)
    return [json.loads(printed.splitlines()[-1]) for printed, *_ in ended]


@pytest.mark.representatives("quick")
@pytest.mark.parametrize("part", ["quick", "whole"])
def test_two_processes_are_one(part):
    (one,), (first, second) = run(1, part), run(2, part)
    rows = [found.pop("rows read") for found in (one, first, second)]
    assert first == second
    # Of a short last batch each reads a row, though only the first has one of its own.
    assert rows[0] == 61 and max(rows[1:]) < 61
    for name in one.keys() - {"params", "diverged", "population"}:
        np.testing.assert_allclose(first[name][0], one[name][0], **CLOSE)
        for report, expected in zip(first[name][1], one[name][1], strict=True):
            assert report.keys() == expected.keys()
            np.testing.assert_allclose([*report.values()], [*expected.values()], **CLOSE)
    for a, b in zip(first["params"], one["params"], strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)
    if part == "whole":
        np.testing.assert_allclose(first["split"][0], one["fit"][0], **CLOSE)
        assert first["diverged"] == one["diverged"]
        for found, expected in zip(first["population"], one["population"], strict=True):
            assert found[1:3] == expected[1:3]
            np.testing.assert_allclose(found[0], expected[0], **CLOSE)
            np.testing.assert_allclose(found[3], expected[3], **CLOSE)
