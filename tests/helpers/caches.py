"""A separate compilation cache for tests."""

import warnings
from contextlib import contextmanager

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache as jax_cache

from experiments.runs import compilation_cache

STATE = ("jax_enable_compilation_cache", "jax_compilation_cache_dir", *compilation_cache._SETTINGS)


@contextmanager
def own_cache(folder):
    """JAX's cache as a new process has it, and this folder for caches."""
    before = {name: getattr(jax.config, name) for name in STATE}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("XDG_CACHE_HOME", str(folder))
        for name in STATE:
            patch.delenv(name.upper(), raising=False)
        jax.config.update("jax_enable_compilation_cache", True)
        jax.config.update("jax_compilation_cache_dir", None)
        jax_cache.reset_cache()
        yield folder
    for name, value in before.items():
        jax.config.update(name, value)
    jax_cache.reset_cache()
