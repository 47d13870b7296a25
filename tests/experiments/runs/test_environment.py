"""Versions, machine, environment and data in config.json."""

import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from experiments.runs import environment

ROOT = Path(environment.__file__).parents[2]


@pytest.fixture
def found(monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_ENABLE_X64", "0")
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/somewhere")
    monkeypatch.setenv("PASSWORD", "secret")
    file = tmp_path / "a.h5"
    file.write_bytes(b"data")
    return environment.describe_environment([file])


def test_versions_of_installed_packages(found):
    versions = found["versions"]
    assert versions["python"] == platform.python_version()
    assert versions["jax"] == jax.__version__
    assert versions["scikit-learn"] == importlib.metadata.version("scikit-learn")


def test_the_machine(found):
    assert found["device"] == {"platform": "cpu", "kind": "cpu", "count": len(jax.devices())}
    assert found["machine"]["cores"] >= 1 and found["machine"]["cpu"]


def test_variables_that_choose_how_numbers_are_computed_and_no_others(found):
    environment = found["environment"]
    assert environment["JAX_ENABLE_X64"] == "0" and environment["XLA_FLAGS"] == ""
    assert not {"PASSWORD", "JAX_COMPILATION_CACHE_DIR", "PATH"} & set(environment)


def test_data_files_are_recorded_with_their_digests(found):
    assert found["data"] == {"a.h5": hashlib.sha256(b"data").hexdigest()}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not tie processes to cores")
def test_cores_are_those_available_to_the_process():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
    code += "from experiments.runs.environment import _cores; print(_cores())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "1\n"


def test_code_digest_covers_all_files_at_any_location(tmp_path, monkeypatch):
    first = environment._source()
    for package in ("jaxnn", "experiments"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    monkeypatch.setattr("jaxnn.__file__", str(tmp_path / "jaxnn" / "__init__.py"))
    monkeypatch.setattr("experiments.__file__", str(tmp_path / "experiments" / "__init__.py"))
    assert environment._source() == first
    with (tmp_path / "experiments" / "studies" / "sweep" / "plan.py").open("a") as file:
        file.write("\n")
    assert environment._source() != first
