"""Functions that run in float32 alone: sizes and transformations are checked in that precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import gradcheck

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)
X, W = (RNG.normal(size=shape).astype(np.float32) for shape in ((4, 3), (3, 2)))


def only_float32(a):
    if a.dtype != jnp.float32:
        raise TypeError("float32 alone")
    return a


def layer(x, W):
    return jnp.tanh(x @ W)


def narrow_layer(x, W):
    return layer(only_float32(x), only_float32(W))


def layer_backward(args, dy, m=None):
    """Right, but for a factor in the second gradient if m is given: that of a batch of m."""
    x, W = map(only_float32, args)
    dz = dy * (1 - jnp.tanh(x @ W) ** 2)
    return dz @ W.T, x.T @ dz * (m / len(x) if m else 1)


def check(f, backward, *args, **options):
    return gradcheck.vjp(f, backward, *args, dtypes=("float32",), **options)


@pytest.mark.representatives("narrow_layer")
@pytest.mark.parametrize("f", [layer, narrow_layer])
@pytest.mark.full
def test_what_runs_in_float32_alone_is_compared_at_other_sizes_and_transformed(f):
    report = check(f, layer_backward, X, W)
    assert report and "compared in float32" in report.assumed[0]
    points = {row.test_point for row in report.rows if row.status == "pass"}
    assert {"batch 4 -> 9", "batch 4 -> 1", "sizes 3 -> 6 and 2 -> 5", "vmap over x", "vmap of vmap", "scan"} <= points
    skipped = [row.text for row in report.rows if row.test_point == "numerical derivative"]
    assert skipped == ["autodiff is compared with finite differences in float64, and nothing was in this precision"]


@pytest.mark.full
@pytest.mark.parametrize("f", [layer, narrow_layer])
def test_a_factor_that_fits_one_size_alone_is_wrong(f):
    report = check(f, lambda args, dy: layer_backward(args, dy, m=4), X, W)
    failing = {row.test_point for row in report.rows if row.status == "fail"}
    assert failing == {"batch 4 -> 9", "batch 4 -> 9, negated", "batch 4 -> 1", "batch 4 -> 1, negated"}


@pytest.mark.full
def test_another_gradient_under_vmap_is_wrong():
    def backward(args, dy):
        (x,) = map(only_float32, args)
        return (jax.vmap(lambda x, dy: dy * jnp.cos(x))(x, dy) if x.ndim == 1 and not batched(x) else 2 * dy,)

    def batched(x):
        return "BatchTracer" in type(x).__name__

    report = check(jnp.sin, backward, X[0])
    assert {row.test_point for row in report.rows if row.status == "fail"} >= {"vmap over all"}


@pytest.mark.full
def test_a_jvp_rule_in_float32_alone_is_compared_in_forward_mode():
    def ruled(factor):
        f = jax.custom_jvp(lambda x: jnp.sin(only_float32(x)))
        f.defjvp(lambda x, t: (f(*x), factor * jnp.cos(only_float32(x[0])) * t[0]))
        return f

    for factor, status in ((1.0, "pass"), (1.5, "fail")):
        report = gradcheck.custom(ruled(factor), lambda x: jnp.sin(only_float32(x)), X[0], dtypes=("float32",))
        assert [row.status for row in report.rows if row.test_point == "forward mode"] == [status]


@pytest.mark.full
def test_a_callback_that_returns_float32_has_no_more_digits():
    def f(x):
        like = jax.ShapeDtypeStruct(x.shape, np.float32)
        return jax.pure_callback(lambda x: np.sin(x).astype(np.float32), like, x, vmap_method="expand_dims")

    for factor in (1.0, 1.01):
        report = check(f, lambda args, dy, factor=factor: ((factor * jnp.cos(args[0]) * dy).astype(args[0].dtype),), X)
        assert bool(report) is (factor == 1.0)
