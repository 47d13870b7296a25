"""The checks in the files beside this one, each in a process with four devices on the CPU."""

import os
import subprocess
import sys

import pytest

from tests.helpers.sources import ROOT

DEVICES = 4


@pytest.mark.parametrize("name", ["functional", "layers", "placement", "populations", "training"])
def test_on_four_devices(name, full):
    env = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={DEVICES}"}
    for variable in [variable for variable in env if variable.startswith("PYTEST_")]:
        del env[variable]
    argv = ["-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", f"tests/parallel/devices_{name}.py"]
    done = subprocess.run(
        [sys.executable, *argv, *["--full"] * full], capture_output=True, text=True, check=False, cwd=ROOT, env=env
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
