"""Two processes that train together give what one does, each with all rows or its own ones."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from scripts.benchmarks.processes import free_port
from tests.helpers.sources import ROOT

CLOSE = dict(rtol=1e-4, atol=1e-5)


def run(n, *words, module="tests.parallel.in_processes"):
    """What each of n processes printed."""
    address = f"localhost:{free_port()}"
    started = [
        subprocess.Popen(
            [sys.executable, "-m", module, address, str(n), str(i), *words],
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


@pytest.mark.full
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


@pytest.mark.full
def test_checkpoints_of_split_params_are_written_by_all_processes_and_restored(tmp_path):
    """Those of docs/processes.md: interrupted, and resumed in two processes bit for bit, in one to rounding."""
    module, begun = "tests.parallel.split_checkpoints", tmp_path / "begun"
    whole, other = run(2, "", "whole", module=module)
    assert whole == other and whole["split"] > 0
    assert run(2, str(begun), "interrupted", module=module) == [{"interrupted": [1, 2, 3, 4]}] * 2
    (newest,) = [step for step in begun.iterdir() if step.name == "12"]  # three epochs of four steps
    parts = [sum(file.stat().st_size for file in (newest / "states" / f"ocdbt.process_{i}").rglob("*")) for i in (0, 1)]
    # Adam has two averages of each param: each process wrote at least its half of all three.
    assert min(parts) >= 3 * 4 * sum(np.size(a) for a in whole["params"]) // 2, parts
    shutil.copytree(begun, tmp_path / "alone")
    first, second = run(2, str(begun), "whole", module=module)
    assert first == second == whole
    (alone,) = run(1, str(tmp_path / "alone"), "whole", module=module)
    np.testing.assert_allclose(alone["losses"], whole["losses"], **CLOSE)
    assert [report["epoch"] for report in alone["history"]] == [1, 2, 3, 4, 5, 6]
    assert alone["losses"][:12] == whole["losses"][:12]
    for a, b in zip(alone["params"], whole["params"], strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


@pytest.mark.full
def test_first_batches_that_differ_are_an_error_in_all_processes():
    first, second = run(2, module="tests.parallel.unlike_rows")
    same = "x float32 (8, 6), y int64 (8,), weight float64 (8,)"
    for name, other in {
        "rows": "x float32 (16, 6), y int64 (16,), weight float64 (16,)",
        "targets": "x float32 (8, 6), y float32 (8, 3), weight float64 (8,)",
        "normalizer": f"{same}, normalizer float64 16.0",
    }.items():
        words = f"the first batch must have the same arrays in each process, got {same} in process 0, but {other} in "
        assert first.pop(name) == second.pop(name) == f"{words}process 1"
    assert first.pop("losses") == second.pop("losses")
    # What is an error in the second process alone ends the first one with the same words.
    assert set(first) == set(second) == {"features", "file", "none"} and second["file"] == "no such file"
    assert first == {
        name: f"the first batch of process 1 must be valid, but there: {error}" for name, error in second.items()
    }
