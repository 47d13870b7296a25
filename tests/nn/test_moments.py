"""Layer, RMS, group and batch normalization: values, extreme numbers, small dtypes, second derivatives, the cache."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn.nn import batch_norm, differentiable, group_norm, layer_norm, rms_norm
from tests.helpers.oracle import normalization as oracle
from tests.helpers.programs import compiled, hand, same

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(19)

NORMS = {
    "layer": (layer_norm, oracle.LAYER_NORM, (3, 5)),
    "rms": (rms_norm, oracle.RMS_NORM, (3, 5)),
    "group": (lambda *eps: group_norm(2, *eps), oracle.group_norm(2), (2, 3, 4)),
    "group_of_vectors": (lambda *eps: group_norm(2, *eps), oracle.group_norm(2), (3, 6)),
    "instance": (lambda *eps: group_norm(4, *eps), oracle.group_norm(4), (2, 2, 2, 4)),
    "batch": (batch_norm, oracle.BATCH_NORM, (6, 3)),
    "batch_of_images": (batch_norm, oracle.BATCH_NORM, (2, 2, 2, 3)),
}
norms = pytest.mark.parametrize("name", NORMS)
OF_EXAMPLES = [name for name in NORMS if "batch" not in name]


def drawn(name, dtype=np.float64, scale=1.0, mean=0.5):
    """(x, gamma, beta, dy) of a norm."""
    shape = NORMS[name][2]
    x, dy = scale * (RNG.normal(size=shape) + mean), RNG.normal(size=shape)
    return [
        np.asarray(a).astype(dtype) for a in (x, 1 + RNG.normal(size=shape[-1]) / 2, RNG.normal(size=shape[-1]), dy)
    ]


# One program for each layer and dtype, whichever numbers it is run on.
by_hand = compiled(hand, static_argnums=0)


@partial(compiled, static_argnums=0)
def by_autodiff(layer, params, x):
    """The gradient of the sum of y."""
    return jax.grad(lambda params, x: layer.forward(params, x)[0].sum(), (0, 1))(params, x)


def run(layer, x, gamma, beta, dy, dtype):
    """(y, dx, dgamma, dbeta) of a layer, in a program; zeros for the dbeta of RMS normalization."""
    x, gamma, beta, dy = (jnp.asarray(a, dtype) for a in (x, gamma, beta, dy))
    params = layer.init(jax.random.key(0), x.shape[1:])[0]
    params = {leaf: {"gamma": gamma, "beta": beta}[leaf] for leaf in params}
    y, dparams, dx = by_hand(layer, params, x, dy, None)
    return y, dx, dparams["gamma"], dparams.get("beta", np.zeros_like(beta))


def expected(name, x, gamma, beta, dy, eps=1e-5):
    """The same by the oracle, in the precision of its arguments."""
    norm = NORMS[name][1]
    if not norm.center:
        beta = 0 * beta
    dx, dgamma, dbeta = oracle.d_normalization(norm, x, gamma, dy, eps)
    return oracle.normalization(norm, x, gamma, beta, eps), dx, dgamma, dbeta if norm.center else 0 * dbeta


@pytest.mark.representatives("layer-float64-0.3", "group-float64-1e-12", "batch-float64-0.3")
@pytest.mark.parametrize(("dtype", "eps"), [("float64", 1e-5), ("float64", 1e-12), ("float64", 0.3), ("float32", 1e-5)])
@norms
def test_values_and_gradients_match_the_oracle(name, dtype, eps, x64):
    given = drawn(name)
    for a, b in zip(run(NORMS[name][0](eps), *given, dtype), expected(name, *given, eps), strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(
            a, b, **{"float64": dict(rtol=1e-11, atol=1e-12)}.get(dtype, dict(rtol=1e-4, atol=1e-5))
        )


@pytest.mark.representatives("layer-1e-06", "batch-1e-06")
@pytest.mark.parametrize("scale", [1e-6, 1e-3])
@norms
def test_numbers_as_small_as_eps(name, scale):
    """What is scaled against overflow does not lose what is small beside ε: x̂ and 1/σ of numbers of the size of √ε."""
    given = drawn(name, np.float32, scale)
    for eps in (1e-5, 1e-12):
        wide = [a.astype(np.float64) for a in given]
        for a, b in zip(run(NORMS[name][0](eps), *given, "float32"), expected(name, *wide, eps), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5 * np.abs(b).max())


SCALES = [
    *(("float32", scale) for scale in (1e-42, 1e-30, 1e15, 1e19, 1e20, 1e30, 1e38)),
    *(("float64", scale) for scale in (1e-310, 1e-200, 1e154, 1e160, 1e290, 1e307)),
    *(("bfloat16", scale) for scale in (1e-30, 1e30, 1e38)),
    ("float16", 2e4),
]
"""Batch normalization, whose statistics could not be averaged, takes only numbers whose squares do not overflow."""


@pytest.mark.representatives(
    "layer-float32-1e+38", "rms-float32-1e-42", "group-bfloat16-1e+38", "batch-float16-20000.0"
)
@pytest.mark.parametrize(
    ("name", "dtype", "scale"),
    [(name, *one) for name in NORMS for one in SCALES if name in OF_EXAMPLES or one[1] < 1e18],
    ids=lambda one: str(one),
)
def test_large_and_tiny_numbers(name, dtype, scale, x64):
    """Compared with long doubles, whose squares neither overflow nor underflow; small dtypes use rounded inputs."""
    given = [np.asarray(jnp.asarray(a, dtype)) for a in drawn(name, scale=scale)]
    x, gamma, beta, dy = (a.astype(np.longdouble) for a in given)
    got = run(NORMS[name][0](), *given, dtype)
    tolerance = 20 * float(jnp.finfo(dtype).eps)
    tiny = 8 * float(jnp.finfo(dtype).tiny) / 1e-5**0.5
    for a, b in zip(got, expected(name, x, gamma, beta, dy, np.longdouble(1e-5)), strict=True):
        a, b = np.asarray(a).astype(np.longdouble), np.asarray(b)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * float(np.abs(b).max()) + tiny)


@pytest.mark.parametrize("name", OF_EXAMPLES)
def test_an_example_of_large_numbers_changes_no_other(name):
    """In the same batch, and in the same group where numbers of 1 stand beside one of 1e30."""
    x, gamma, beta, dy = drawn(name, np.float32)
    mixed = x.copy()
    mixed[0] *= np.float32(1e30)
    mixed[1].flat[0] = 1e30
    got = run(NORMS[name][0](), mixed, gamma, beta, dy, "float32")
    wide = expected(name, *(a.astype(np.float64) for a in (mixed, gamma, beta, dy)))
    for a, b in zip(got, wide, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())
    np.testing.assert_array_equal(got[0][2:], run(NORMS[name][0](), x, gamma, beta, dy, "float32")[0][2:])


@pytest.mark.representatives("group-0.0", "batch-0.0", "layer-0.0", "layer-7.25")
@pytest.mark.parametrize("value", [0.0, 7.25, -1e-40, 1e30])
@norms
def test_equal_numbers(name, value):
    """β, without a NaN; by autodiff too. RMS normalization of them is 1, up to ε."""
    layer, _, shape = NORMS[name]
    x, ones = np.full(shape, value, np.float32), np.ones(shape[-1], np.float32)
    got = run(layer(), x, ones, 2 * ones, np.ones(shape, np.float32), "float32")
    params = {"gamma": jnp.asarray(ones), "beta": jnp.asarray(2 * ones)}
    params = params if name != "rms" else {"gamma": params["gamma"]}
    auto = by_autodiff(layer(), params, x)
    assert all(np.isfinite(a).all() for a in (*got, *jax.tree.leaves(auto)))
    if name == "rms":
        np.testing.assert_allclose(got[0], np.full(shape, value / np.sqrt(value**2 + 1e-5)), rtol=1e-6, atol=1e-30)
    else:  # 1e30 may differ from its mean by a unit in the last place, which is then its deviation
        np.testing.assert_allclose(got[0], np.full(shape, 2.0), atol=1.001 if value == 1e30 else 1e-3 * (value > 1))


@pytest.mark.representatives("layer", "batch")
@norms
def test_bfloat16_of_mean_30(name):
    """E[x²] - E[x]² of N(30, 1) in bfloat16 is 0; here the statistics are those of the rounded numbers, in float32."""
    x, gamma, beta, dy = (np.asarray(jnp.asarray(a, jnp.bfloat16)) for a in drawn(name, mean=30.0))
    got = run(NORMS[name][0](), x, gamma, beta, dy, jnp.bfloat16)
    wide = expected(name, *(a.astype(np.float64) for a in (x, gamma, beta, dy)))
    for a, b in zip(got, wide, strict=True):
        assert a.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(a, np.float64), b, rtol=0, atol=0.02 * np.abs(b).max())


@pytest.mark.representatives("group", "batch")
@norms
def test_inside_with_dtype(name):
    """In bfloat16 on params and inputs in float32, which get their gradients in float32."""
    given = drawn(name, np.float32)
    got = run(jaxnn.with_dtype(NORMS[name][0](), jnp.bfloat16), *given, "float32")
    for a, b in zip(got, expected(name, *(a.astype(np.float64) for a in given)), strict=True):
        assert a.dtype == jnp.float32
        np.testing.assert_allclose(a, b, rtol=0, atol=0.05 * max(1, np.abs(b).max()))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@norms
def test_it_keeps_no_more_than_autodiff(name, dtype):
    """Leaves of the cache, or of the closure of `jax.vjp` of the plain formula, without params."""
    layer, norm, _ = NORMS[name]
    x = jnp.zeros({2: (64, 32), 3: (8, 16, 32), 4: (8, 4, 4, 32)}[len(NORMS[name][2])], dtype)
    params = jax.tree.map(lambda a: a.astype(dtype), layer().init(jax.random.key(0), x.shape[1:])[0])
    _, cache = jax.eval_shape(layer().forward, params, x)
    pullback = jax.eval_shape(lambda x: jax.vjp(lambda x: layer().forward(params, x)[0], x)[1], x)
    kept, by_autodiff = (sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(one)) for one in (cache, pullback))
    assert kept <= by_autodiff
    # x or x̂, and one or two numbers for each mean; batch normalization also the mean, the variance and the weights.
    assert (
        sum(a.size for a in jax.tree.leaves(cache)) - x.size
        <= (3 if "batch" in name else 2) * len(norm.sets(x.shape)) + 2
    )


@pytest.mark.full
@norms
def test_second_derivatives(name, x64):
    """Of the hand-derived backward by JAX, against those of the plain forward."""
    layer, _, shape = NORMS[name]
    x, gamma, beta, dy = map(jnp.asarray, drawn(name))
    params = {leaf: {"gamma": gamma, "beta": beta}[leaf] for leaf in layer().init(jax.random.key(0), shape[1:])[0]}

    def curvature(apply):
        def slope(params, x):
            gradient = jax.grad(lambda params, x: (dy * jnp.sin(apply(params, x))).sum(), (0, 1))(params, x)
            return sum((jnp.cos(jnp.arange(a.size)).reshape(a.shape) * a).sum() for a in jax.tree.leaves(gradient))

        return compiled(jax.grad(slope, (0, 1)))(params, x)

    same(
        curvature(differentiable(layer())),
        curvature(lambda params, x: layer().forward(params, x)[0]),
        rtol=1e-9,
        atol=1e-10,
    )


@pytest.mark.full
@norms
def test_eps_may_vary_over_a_population(name):
    layer, norm, shape = NORMS[name]
    x, gamma, beta, _ = drawn(name, np.float32)
    params = {leaf: {"gamma": gamma, "beta": beta}[leaf] for leaf in layer().init(jax.random.key(0), shape[1:])[0]}
    y = jax.vmap(lambda eps: layer(eps).forward(params, jnp.asarray(x))[0])(jnp.array([1e-5, 0.5]))
    for one, eps in zip(y, (1e-5, 0.5), strict=True):
        np.testing.assert_allclose(one, expected(name, x, gamma, beta, 0 * x, eps)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.full
@norms
def test_flax_computes_the_same(name, x64, no_rank_promotion_rule):
    linen = pytest.importorskip("flax.linen")
    exact = dict(epsilon=1e-5, use_fast_variance=False)
    theirs = {
        "layer": lambda: linen.LayerNorm(**exact),
        "rms": lambda: linen.RMSNorm(epsilon=1e-5),
        "group": lambda: linen.GroupNorm(2, **exact),
        "group_of_vectors": lambda: linen.GroupNorm(2, **exact),
        "instance": lambda: linen.GroupNorm(4, **exact),
        "batch": lambda: linen.BatchNorm(use_running_average=False, **exact),
        "batch_of_images": lambda: linen.BatchNorm(use_running_average=False, **exact),
    }[name]()
    x, gamma, beta, dy = map(jnp.asarray, drawn(name))
    variables = theirs.init(jax.random.key(0), x)
    own = {"scale": gamma, "bias": beta}
    own = {leaf: own[leaf] for leaf in variables["params"]}

    def apply(own, x):
        return theirs.apply({**variables, "params": own}, x, mutable=["batch_stats"])[0]

    y, pullback = jax.vjp(apply, own, x)
    dparams, dx = pullback(dy)
    flax = y, dx, dparams["scale"], dparams.get("bias", jnp.zeros_like(beta))
    same(run(NORMS[name][0](), x, gamma, beta, dy, "float64"), flax, rtol=1e-9, atol=1e-10)
