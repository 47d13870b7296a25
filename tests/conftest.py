"""A strict rig: shapes that only fit by adding axes raise, and warnings are errors (pyproject.toml)."""

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="the slow proofs at full length too (half an hour on 2 cores)")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--full"):
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(pytest.mark.skip(reason="one of those that only --full runs"))


@pytest.fixture
def full(request):
    """Whether the slow proofs are to be run at full length."""
    return request.config.getoption("--full")


@pytest.fixture
def x64():
    """64-bit floats for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def no_rank_promotion_rule():
    """JAX as users have it, for code that is theirs."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def quick_compilation():
    """For tests that compile hundreds of small programs, each run once; in processes that they start too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def optimized(quick_compilation):
    """Compilation as users have it, for one test among quick ones: of speed, memory or the last digits."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)
