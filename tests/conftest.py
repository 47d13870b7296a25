"""Strict settings: rank promotion raises, and warnings are errors (pyproject.toml)."""

import gc
import os
from collections import Counter
from pathlib import Path

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

LONG = (
    "parallel/test_processes.py",
    "parallel/test_runs_in_processes.py",
    "parallel/test_on_devices.py",
    "nn/test_proofs.py",
    "experiments/cli/test_repeat.py",
    "library/test_switches.py",
    "experiments/reports/test_pages_in_browser.py",
    "graph/test_derivatives.py",
    "experiments/runs/test_interrupts.py",
    "sklearn/test_checks.py",
    "experiments/cli/test_resume.py",
    "test_pages.py",
)
"""Files in which tests are long: they start first, so that no worker is alone with one at the end."""


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="every case of every test (half an hour on two cores)")


def pytest_configure(config):
    """Without --full, compile without optimization, also in workers and child processes: most programs run once.

    Examples of docstrings then run only in the files that the command line gives: without any, none is searched for.
    """
    if not config.getoption("--full"):
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
        jax.config.update("jax_disable_most_optimizations", True)
        if not any(arg.split("::")[0].endswith(".py") for arg in config.args):
            config.option.doctestmodules = False


def pytest_collection_modifyitems(config, items):
    """Order the tests; without --full, deselect those for the full run, except what the command line gives by id."""
    named = [arg.split("::", 1)[1] for arg in config.args if "::" in arg]
    if not named and not config.getoption("lf", False):
        check_representatives(items)
    if not config.getoption("--full"):
        kept = [item for item in items if not only_in_full(item) or item.nodeid.split("::", 1)[1] in named]
        # Examples of docstrings run in the full run, and in the files that the command line gives.
        files = {Path(arg).resolve() for arg in config.args if arg.endswith(".py")}
        kept = [item for item in kept if not isinstance(item, pytest.DoctestItem) or item.path in files]
        config.hook.pytest_deselected(items=list(set(items) - set(kept)))
        items[:] = kept
    items[:] = in_order(items)


@pytest.fixture(scope="module", autouse=True)
def _programs_of_a_file(request):
    """In the full run, drop the programs of a file after it: a process has no memory maps for those of all files."""
    yield
    if request.config.getoption("--full"):
        jax.clear_caches()


def pytest_collection_finish():
    """Leave what was imported and collected out of later garbage collections: it stays, and there is much of it."""
    gc.freeze()


def in_order(items):
    """Return the items by file: first the long files, then those of the most tests; in each, as they were."""
    sizes = Counter(item.path for item in items)
    rank = {(Path(__file__).parent / name).resolve(strict=True): i for i, name in enumerate(LONG)}
    return sorted(items, key=lambda item: (rank.get(item.path, len(LONG)), -sizes[item.path], item.path))


def case_of(item):
    return item.callspec.id if hasattr(item, "callspec") else None


def only_in_full(item):
    """Whether a test is marked `full`, or is a case of a test that others represent."""
    represented = item.get_closest_marker("representatives")
    return bool(item.get_closest_marker("full") or (represented and case_of(item) not in represented.args))


def check_representatives(items):
    """Raise if a representative is not a case of its test, for example after a renaming."""
    cases, named = {}, {}
    for item in items:
        if marker := item.get_closest_marker("representatives"):
            test = item.nodeid.split("[")[0]
            cases.setdefault(test, set()).add(case_of(item))
            named[test] = set(marker.args)
    for test, names in named.items():
        if missing := names - cases[test]:
            raise pytest.UsageError(f"{test}: representatives must be cases of the test, got {sorted(missing)}")


@pytest.fixture
def full(request):
    """Whether slow proofs run completely."""
    return request.config.getoption("--full")


@pytest.fixture
def x64():
    """64-bit floats for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def no_rank_promotion_rule():
    """Allow rank promotion, JAX's default, for user code."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def quick_compilation(request):
    """Compile without optimization, for hundreds of small programs that run once; also in child processes.

    Without --full, all tests do.
    """
    if not request.config.getoption("--full"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def optimized():
    """Compile with optimization, for a test of speed, memory or last digits among quick ones."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
