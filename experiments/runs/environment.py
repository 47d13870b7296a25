"""Describe what results may depend on besides options: versions, machine, environment variables, data files."""

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import experiments
from experiments.readers.json_file import short_json
from experiments.runs.page import flatten

PACKAGES = ("jax", "jaxlib", "optax", "numpy", "scipy", "scikit-learn", "matplotlib", "pillow", "safetensors", "h5py")
ENVIRONMENT = ("JAX_", "XLA_", "LIBTPU_", "NVIDIA_TF32_OVERRIDE", "NPROC", "OMP_", "OPENBLAS_", "MKL_")
"""Prefixes of variables that affect how numbers are computed, such as the precision and the number of threads."""
PARTS = ("versions", "device", "machine", "environment", "data")
"""The parts of config.json that are compared if a repetition differs."""


def describe_environment(files: Iterable[Path]) -> dict[str, Any]:
    """Return the versions, device, machine, environment variables, and digests of the data files."""
    import jax  # slow to import, so not for --help

    import jaxnn

    device = jax.devices()[0]
    return {
        "versions": {
            "jaxnn": jaxnn.__version__,
            "source": _source(),
            "python": platform.python_version(),
            **_versions(),
        },
        "device": {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()},
        "machine": {"system": platform.system(), "cpu": _cpu(), "cores": _cores()},
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            # Results do not depend on the folder of compiled programs.
            if name.startswith(ENVIRONMENT) and "CACHE" not in name
        },
        "data": {path.name: digest(path) for path in files},
    }


def digest(path: Path) -> str:
    """Return the SHA-256 of a file; of a folder, that of the names and digests of the files in it and its folders."""
    if path.is_dir():
        files = sorted(file for file in (*path.iterdir(), *path.glob("*/*")) if file.is_file())
        names = [file.relative_to(path).as_posix() for file in files]
        lines = "".join(f"{name}\n{digest(file)}\n" for name, file in zip(names, files, strict=True))
        return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def changes(then: dict[str, Any], now: dict[str, Any], parts: Iterable[str] = PARTS) -> list[str]:
    """Return a line for each difference between two config.json: 'versions.jax was "0.10.2", and is "0.12.0"'."""
    lines = []
    for part in parts:
        before, after = (config.get(part) for config in (then, now))
        if isinstance(before, dict):
            before, after = flatten(before, f"{part}."), flatten(after, f"{part}.")
            lines += [
                f"{name} was {short_json(before.get(name, 'not there'))}, "
                f"and is {short_json(after.get(name, 'not there'))}"
                for name in before | after
                if before.get(name) != after.get(name)
            ]
    return lines


def _versions() -> dict[str, str]:
    """Return the versions of the installed packages, used or not."""
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _source() -> str:
    """Return a digest of the source code, which changes more often than its version."""
    import jaxnn

    digest = hashlib.sha256()
    for package in (jaxnn, experiments):
        for path in sorted(Path(package.__file__).parent.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _cpu() -> str:
    """Return the processor's name: the order of additions in compiled programs depends on its instructions."""
    with contextlib.suppress(OSError):
        named = re.search(r"^model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if named:
            return named[1]
    return platform.processor() or platform.machine()


def _cores() -> int:
    """Return the number of cores available to this process: the sums of large products are split among them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
