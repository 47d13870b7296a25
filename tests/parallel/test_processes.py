"""Two processes that train together give what one does: `fit`, `fit_stream`, and params that are split over both."""

import json
import socket
import subprocess
import sys

import numpy as np

from tests.helpers.sources import ROOT

CLOSE = dict(rtol=1e-4, atol=1e-5)


def free_port():
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


def run(n):
    """What each of n processes printed."""
    address = f"localhost:{free_port()}"
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.parallel.in_processes", address, str(n), str(i)],
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


def test_two_processes_are_one():
    (one,), (first, second) = run(1), run(2)
    assert first == second
    for name in ("fit", "stream"):
        np.testing.assert_allclose(first[name][0], one[name][0], **CLOSE)
        for report, expected in zip(first[name][1], one[name][1], strict=True):
            assert report.keys() == expected.keys()
            np.testing.assert_allclose([*report.values()], [*expected.values()], **CLOSE)
    np.testing.assert_allclose(first["split"][0], one["fit"][0], **CLOSE)
    for a, b in zip(first["params"], one["params"], strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)
