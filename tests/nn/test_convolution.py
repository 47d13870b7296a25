"""Convolution, transposed convolution and pooling against loops in NumPy, over cases of odd sizes."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import functional
from jaxnn.nn import correlation
from tests.helpers.oracle import pooling, windows
from tests.helpers.programs import compiled
from tests.helpers.window_cases import convolution_cases, pooling_cases, transposed_cases

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(7)


def same(got, expected, dtype):
    tolerance = dict(rtol=1e-12, atol=1e-12) if dtype == "float64" else dict(rtol=1e-5, atol=1e-5)
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == dtype
        np.testing.assert_allclose(one, other, **tolerance)


def convolved(name, case, dtype):
    """y, dx, dK and db by jaxnn, and by loops."""
    forward, backward = getattr(functional, f"{name}_forward"), getattr(functional, f"{name}_backward")
    value, gradient = ORACLE[name]
    y = value(case.x, case.K, case.b, **case.kwargs)
    dy = RNG.normal(size=y.shape)
    params = {"K": jnp.asarray(case.K, dtype), "b": jnp.asarray(case.b, dtype)}

    @compiled
    def run(params, x, dy):
        z, cache = forward(params, x, **case.kwargs)
        dparams, dx = backward(params, cache, dy, **case.kwargs)
        return z, dx, dparams["K"], dparams["b"]

    return run(params, jnp.asarray(case.x, dtype), jnp.asarray(dy, dtype)), (
        y,
        *gradient(case.x, case.K, case.b, **case.kwargs, dy=dy),
    )


ORACLE = {
    "conv": (windows.convolution, windows.d_convolution),
    "conv_transpose": (windows.transposed_convolution, windows.d_transposed_convolution),
}


@pytest.mark.parametrize("case", [*convolution_cases()], ids=lambda case: case.name)
def test_convolution_is_its_loops(case, x64):
    same(*convolved("conv", case, "float64"), "float64")


@pytest.mark.parametrize("case", [*transposed_cases()], ids=lambda case: case.name)
def test_transposed_convolution_is_its_loops(case, x64):
    same(*convolved("conv_transpose", case, "float64"), "float64")


GROUPED = [case for case in [*convolution_cases(), *transposed_cases()] if case.kwargs["groups"] > 1]


@pytest.mark.parametrize("case", GROUPED, ids=lambda case: case.name)
def test_groups_by_one_convolution_of_xla(case, x64, monkeypatch):
    """As on all devices but CPUs."""
    monkeypatch.setattr(correlation, "_on_a_cpu", lambda special, by_xla, groups, *arrays: by_xla(*arrays))
    same(*convolved("conv_transpose" if "output_padding" in case.kwargs else "conv", case, "float64"), "float64")


def pooled(name, case, value, gradient, dtype, **options):
    """y and dx by jaxnn, and by loops."""
    forward, backward = getattr(functional, f"{name}_forward"), getattr(functional, f"{name}_backward")
    y = value(case.x, **case.kwargs, **options)
    dy = RNG.normal(size=y.shape)

    @compiled
    def run(x, dy):
        y, cache = forward(x, **case.kwargs, **options)
        return y, backward(cache, dy, **case.kwargs, **options)

    expected = y, gradient(case.x, **case.kwargs, **options, dy=dy)
    same(run(jnp.asarray(case.x, dtype), jnp.asarray(dy, dtype)), expected, dtype)


@pytest.mark.parametrize("case", [*pooling_cases()], ids=lambda case: case.name)
def test_pooling_is_its_loops(case, x64):
    pooled("max_pool", case, pooling.max_pooling, pooling.d_max_pooling, "float64")
    for count_padding in (True, False):
        oracle = pooling.average_pooling, pooling.d_average_pooling
        pooled("avg_pool", case, *oracle, "float64", count_padding=count_padding)
