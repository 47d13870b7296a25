"""The checks in the files beside this one, each in a process with four devices on the CPU."""

import os
import subprocess
import sys

import pytest

from tests.helpers.sources import ROOT

DEVICES = 4


FILES = [
    f"tests/parallel/devices_{name}.py" for name in "functional layers metrics placement populations training".split()
]


def run(*arguments):
    """Run files in a process with four devices, without XLA's optimizations: each program runs once or twice."""
    devices = f"--xla_force_host_platform_device_count={DEVICES}"
    env = os.environ | {"XLA_FLAGS": devices, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    for variable in [variable for variable in env if variable.startswith("PYTEST_")]:
        del env[variable]
    argv = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT, env=env)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


QUICK = [file for file in FILES if any(name in file for name in ("layers", "placement", "training"))]


def test_a_case_of_each(full):
    """In one process, which imports JAX once; with --full, the tests below run all cases."""
    if full:
        pytest.skip("all cases run, file by file")
    run(*QUICK)


@pytest.mark.full
@pytest.mark.parametrize("file", FILES)
def test_all_cases(file):
    run(file, "--full")
