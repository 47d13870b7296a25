"""The reports of the gradient checker, made at the build, or taken from the one before if the sources are the same."""

import hashlib
import importlib
import json
import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxnn import Layer, Loss, gradcheck
from jaxnn.regularizers import Regularizer
from scripts.benchmarks.gradbench.cases import WRONG
from scripts.website.pages import ROOT


class Proof(NamedTuple):
    """What was checked, and the report.

    Attributes:
      call: the program whose last line is the report.
      report: the report, as it is printed.
      right: whether the gradient is right.
    """

    call: str
    report: str
    right: bool


def program(module: str, name: str) -> str:
    """Return the program that checks one of the `CASES` at the end of a module of layers, losses or regularizers."""
    make, *rest = importlib.import_module(module).CASES[name]
    made, lines = make(), [f"from {module} import CASES"]
    if isinstance(made, Layer):
        options = dict(*rest[1:])
        lines = ["import jax", ""] * ("random" in options) + _imports(lines)
        lines.append(f"make, in_shape{', _' * bool(options)} = CASES[{name!r}]")
        key = "key=jax.random.key(4), " * ("random" in options)
        call = f"gradcheck.layer(make(), in_shape, {key}fast=True)"
    elif isinstance(made, Loss):
        lines = ["import jax", "import jax.numpy as jnp", "import numpy as np", "", *_imports(lines)]
        lines.append(f"make, draw = CASES[{name!r}]")
        lines.append("z, y = jax.tree.map(jnp.asarray, draw(np.random.default_rng(5), 5))")
        call = "gradcheck.loss(make(), z, y, fast=True)"
    elif isinstance(made, Regularizer):
        lines = ["import jax.numpy as jnp", "", *_imports(lines)]
        lines.append(f"(make,) = CASES[{name!r}]")
        lines.append('params = {"W": jnp.array([[0.0, -1.5], [0.25, 2.0]]), "b": jnp.array([1.0, -1.0])}')
        call = "gradcheck.regularizer(make(), params, fast=True)"
    else:
        raise TypeError(f"case must make a layer, a loss or a regularizer, got {made!r}")
    return "\n".join([*lines, f"# make() is {' '.join(repr(made).split())}", call])


def of_case(module: str, name: str) -> Proof:
    """Run the program of a case."""
    *lines, call = program(module, name).splitlines()
    namespace: dict[str, Any] = {}
    exec("\n".join(lines), namespace)
    report = eval(call, namespace)
    return Proof("\n".join([*lines, call]), str(report), report.passed)


def of_slip(_: str, name: str) -> Proof:
    """Check a wrong gradient of the bench."""
    [case] = [case for case in WRONG if case.name == name]
    report = getattr(gradcheck, case.form)(case.f, case.manual, *case.args, fast=True, **case.options)
    return Proof(f"gradcheck.{case.form}", str(report), report.passed)


def proofs(wanted: Iterable[tuple[str, str]], cache: Path) -> dict[tuple[str, str], Proof]:
    """Return the proof of each (module, case), or ("", slip), checked in as many processes as there are cores."""
    wanted = sorted(set(wanted))
    kept = json.loads(cache.read_text()) if cache.is_file() else {}
    found = {tuple(key): Proof(*proof) for key, proof in kept["proofs"]} if kept.get("sources") == sources() else {}
    missing = [key for key in wanted if key not in found]
    if missing:
        # Most of a check is compilation of programs that run once.
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
        workers = min(4, os.cpu_count() or 1, len(missing))
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            found |= dict(zip(missing, pool.map(_proof, missing), strict=True))
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text(json.dumps({"sources": sources(), "proofs": list(found.items())}))
    return {key: found[key] for key in wanted}


def sources() -> str:
    """Return a digest of what a report depends on: the library, the bench, and JAX."""
    digest = hashlib.sha256(jax.__version__.encode())
    folders = (ROOT / folder for folder in ("jaxnn", "scripts/benchmarks/gradbench"))
    for file in [Path(__file__), *(file for folder in folders for file in sorted(folder.rglob("*.py")))]:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _proof(key: tuple[str, str]) -> Proof:
    module, name = key
    return (of_case if module else of_slip)(module, name)


def _imports(lines: list[str]) -> list[str]:
    return ["from jaxnn import gradcheck", *lines, ""]
