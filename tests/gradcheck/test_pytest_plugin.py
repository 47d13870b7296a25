"""The `gradcheck` fixture in another test suite."""

import subprocess
import sys

import pytest

from jaxnn import gradcheck

pytestmark = pytest.mark.usefixtures("quick_compilation")

PLUGIN = """
import jax.numpy as jnp

def test_right(gradcheck):
    assert gradcheck.vjp(jnp.sin, lambda args, dy: (jnp.cos(args[0]) * dy,), jnp.ones(3), fast=True)

def test_wrong(gradcheck):
    gradcheck.vjp(jnp.sin, lambda args, dy: (-jnp.cos(args[0]) * dy,), jnp.ones(3), fast=True)
"""


def test_the_fixture_fails_the_test_with_the_report(tmp_path):
    """In another test suite, as installed; by name if jaxnn is used from the checkout without installation."""
    from importlib.metadata import entry_points

    (tmp_path / "test_it.py").write_text(PLUGIN)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    installed = any(point.value == "jaxnn.gradcheck.pytest_plugin" for point in entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", "jaxnn.gradcheck.pytest_plugin"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin, str(tmp_path)]
    path = str(gradcheck.__file__).rpartition("/jaxnn/")[0]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": path, "PATH": ""}, check=False
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "diagnosis: sign" in done.stdout
