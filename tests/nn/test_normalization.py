"""Layer and RMS normalization: gradients of NumPy and Flax, extreme inputs, small dtypes, the cache, the known slip."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn.functional import layer_norm_backward, layer_norm_forward, rms_norm_backward, rms_norm_forward
from jaxnn.nn import layer_norm, rms_norm
from tests.helpers.oracle.differences import complex_step
from tests.helpers.oracle.slips import COURSE_SLIPS
from tests.helpers.oracle.targets import LAYER_NORM_TARGET
from tests.helpers.programs import TOLERANCE, compiled, hand, same

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(11)
M, N, EPS = 6, 5, 1e-5
X = RNG.normal(size=(M, N)) * np.array([[1], [1], [30], [0.1], [1e-3], [1]]) + RNG.normal(size=(M, 1))
GAMMA, BETA, DY = 1 + RNG.normal(size=N) / 2, RNG.normal(size=N), RNG.normal(size=(M, N))
ROWS = RNG.normal(size=(3, 4))
PARAMS = {"gamma": jnp.ones(4), "beta": jnp.zeros(4)}


def oracle(x, gamma, beta, eps=EPS):
    """The formula of the paper, in the dtype of x; analytic, so also for complex numbers."""
    centered = x - x.mean(axis=-1, keepdims=True)
    deviation = np.sqrt((centered**2).mean(axis=-1, keepdims=True) + eps)
    return gamma * centered / deviation + beta


def oracle_gradients(x, gamma, dy, eps=EPS):
    """(dgamma, dbeta, dx) by the Jacobian of each row, n x n: of the centering, then of the division by σ."""
    n = x.shape[-1]
    centering = np.eye(n, dtype=x.dtype) - 1 / x.dtype.type(n)
    dx = np.empty_like(x)
    normalized = oracle(x, 1, 0, eps)
    for row, d, out in zip(x, gamma * dy, dx, strict=True):
        c = centering @ row
        sigma = np.sqrt(c @ c / n + eps)
        out[:] = d @ (np.eye(n, dtype=x.dtype) - np.outer(c / sigma, c / sigma) / n) @ centering / sigma
    return (dy * normalized).sum(0), dy.sum(0), dx


# One program for each ε, dtype and shape, whichever numbers it is run on.
by_hand = compiled(hand, static_argnums=0)


def run(x, gamma, beta, dy, dtype, eps=EPS):
    """(y, dgamma, dbeta, dx) of the layer, in a program."""
    params = {"gamma": jnp.asarray(gamma, dtype), "beta": jnp.asarray(beta, dtype)}
    y, dparams, dx = by_hand(layer_norm(eps), params, jnp.asarray(x, dtype), jnp.asarray(dy, dtype), None)
    return y, dparams["gamma"], dparams["beta"], dx


def test_the_oracle_s_gradients_are_its_slopes():
    by_numbers = complex_step(lambda *given: (DY * oracle(*given)).sum(), (X, GAMMA, BETA), (1, 2, 0))
    for got, expected in zip(oracle_gradients(X, GAMMA, DY), by_numbers, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.representatives("float64-1e-05", "float32-1e-12")
@pytest.mark.parametrize("eps", [1e-5, 1e-12, 0.3])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values_and_gradients_match_numpy(dtype, eps, x64):
    got = run(X, GAMMA, BETA, DY, dtype, eps)
    expected = oracle(X, GAMMA, BETA, eps), *oracle_gradients(X, GAMMA, DY, eps)
    # A row whose mean is 1000 deviations away loses three digits.
    tolerance = dict(rtol=1e-9, atol=1e-11) if dtype == "float64" else dict(rtol=3e-4, atol=2e-5)
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == dtype
        scale = np.abs(b).max(axis=-1, keepdims=True)
        np.testing.assert_allclose(a / scale, b / scale, **tolerance)


@pytest.mark.full
def test_values_and_gradients_match_flax(x64, no_rank_promotion_rule):
    linen = pytest.importorskip("flax.linen")
    theirs = linen.LayerNorm(epsilon=EPS, use_fast_variance=False)
    params = {"params": {"scale": jnp.asarray(GAMMA), "bias": jnp.asarray(BETA)}}
    y, pullback = jax.vjp(theirs.apply, params, jnp.asarray(X))
    dparams, dx = pullback(jnp.asarray(DY))
    expected = y, dparams["params"]["scale"], dparams["params"]["bias"], dx
    same(run(X, GAMMA, BETA, DY, "float64"), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [
        *(("float32", scale) for scale in (1e-42, 1e-38, 1e-30, 1e-10, 1e10, 1e15, 1e16, 1e19, 1e30, 1e38)),
        *(("float64", scale) for scale in (1e-310, 1e-200, 1e120, 1e125, 1e160, 1e307)),
        *(("bfloat16", scale) for scale in (1e-30, 1e30, 1e38)),
        ("float16", 2e4),
    ],
)
def test_large_and_tiny_inputs(dtype, scale, x64):
    """Compared with long doubles, whose squares neither overflow nor underflow; small dtypes use rounded inputs."""
    x = np.asarray(jnp.asarray(ROWS * scale, dtype)).astype(np.longdouble)
    dy = np.asarray(jnp.asarray(DY[:3, :4], dtype)).astype(np.longdouble)
    one, eps = np.ones(4, np.longdouble), np.longdouble(EPS)
    got = run(x.astype(float), np.ones(4), np.zeros(4), dy.astype(float), dtype)
    expected = oracle(x, one, 0 * one, eps), *oracle_gradients(x, one, dy, eps)
    tolerance = 20 * float(jnp.finfo(dtype).eps)
    tiny = 8 * float(jnp.finfo(dtype).tiny) / EPS**0.5
    for a, b in zip(got, expected, strict=True):
        a, b = np.asarray(a).astype(np.longdouble), np.asarray(b)
        # A quarter of a number may count as 0 below the smallest normal one, before it is divided by σ.
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * float(np.abs(b).max()) + tiny)


def test_the_largest_floats():
    """x - μ overflows, and y does not."""
    limit = np.finfo(np.float32).max
    x = np.array([[limit, limit, limit, -limit], [limit, -limit, limit, -limit]], np.float32)
    y, dgamma, _, dx = run(x, np.ones(4), np.zeros(4), DY[:2, :4], "float32")
    third = 3**-0.5
    expected = [[third, third, third, -3 * third], [1, -1, 1, -1]]
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    np.testing.assert_allclose(dgamma, (DY[:2, :4] * expected).sum(0), rtol=1e-5)
    assert np.isfinite(dx).all()


@pytest.mark.representatives("1-7.3", "3-0.0", "3-7.3", "3--1e-40", "3-1e+30", "3-3.4e+38")
@pytest.mark.parametrize("value", [0.0, 7.3, -1e-40, 1e30, 3.4e38])
@pytest.mark.parametrize("n", [1, 3, 4, 64])
def test_rows_of_equal_numbers(n, value):
    """β, up to the rounding of their mean: from large numbers it may differ by a unit in the last place."""
    x, one = np.full((2, n), value, np.float32), np.ones(n)
    y, dgamma, dbeta, dx = run(x, one, 2 * one, np.ones((2, n)), "float32")
    assert all(np.isfinite(a).all() for a in (y, dgamma, dbeta, dx))
    exact = n in (1, 4) or abs(value) < 1e-30
    np.testing.assert_allclose(y, np.full((2, n), 2.0), atol=0 if exact else 1e-3 if value < 10 else 1.001)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_statistics_of_small_dtypes_are_in_float32(dtype):
    """In a small dtype, the sum of 4096 numbers of mean 3 would stop growing, and the square of 300 overflow."""
    x = jnp.asarray(RNG.normal(size=(2, 4096)) * np.array([[1], [300]]) + 3, dtype)
    dy, wide = jnp.asarray(RNG.normal(size=x.shape), dtype), np.asarray(x).astype(np.float64)
    params = {"gamma": jnp.ones(4096, dtype), "beta": jnp.zeros(4096, dtype)}
    y, dparams, dx = compiled(lambda *given: hand(layer_norm(), *given, None))(params, x, dy)
    assert {y.dtype, dx.dtype, dparams["gamma"].dtype, dparams["beta"].dtype} == {jnp.dtype(dtype)}
    expected = oracle(wide, 1, 0)
    np.testing.assert_allclose(np.asarray(y, np.float64), expected, rtol=float(jnp.finfo(dtype).eps), atol=1e-3)
    d, n = np.asarray(dy).astype(np.float64), 4096
    sigma = wide.std(axis=1, keepdims=True)
    slope = (d - d.mean(1, keepdims=True) - expected * (d * expected).sum(1, keepdims=True) / n) / sigma
    np.testing.assert_allclose(np.asarray(dx, np.float64) * sigma, slope * sigma, rtol=0.01, atol=1e-2)


@pytest.mark.full
def test_dtypes_of_params_and_inputs_may_differ():
    params = {"gamma": jnp.ones(4), "beta": jnp.zeros(4)}
    x = jnp.asarray(ROWS, jnp.bfloat16)
    y, dparams, dx = hand(layer_norm(), params, x, jnp.asarray(ROWS, jnp.float32), None)
    assert (y.dtype, dparams["gamma"].dtype, dx.dtype) == (jnp.float32, jnp.float32, jnp.bfloat16)
    y, cache = layer_norm_forward(params, np.arange(8).reshape(2, 4))
    assert y.dtype == cache[0].dtype == jnp.float32


@pytest.mark.full
def test_leading_axes_are_examples():
    """An image of rows and a single row give the same as a batch of rows."""
    x, dy = (jnp.asarray(RNG.normal(size=(2, 3, 4)), jnp.float32) for _ in range(2))
    y, dparams, dx = hand(layer_norm(), PARAMS, x, dy, None)
    flat = hand(layer_norm(), PARAMS, x.reshape(6, 4), dy.reshape(6, 4), None)
    same((y.reshape(6, 4), dparams, dx.reshape(6, 4)), flat, **TOLERANCE["float32"])
    alone = hand(layer_norm(), PARAMS, x[0, 0], dy[0, 0], None)
    same((alone[0], alone[2]), (y[0, 0], dx[0, 0]), **TOLERANCE["float32"])


def test_the_mean_and_the_scale_of_a_row_change_nothing():
    """So the gradient has no part along either, up to ε."""
    x, dy = X[:3, :], DY[:3, :]
    with jax.enable_x64(True):
        y, _, _, dx = map(np.asarray, run(x, GAMMA, BETA, dy, "float64", 1e-20))
        moved = run(3 * x + 7, GAMMA, BETA, dy, "float64", 1e-20)[0]
    np.testing.assert_allclose(moved, y, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(dx.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose((dx * x).sum(axis=1), 0, atol=1e-11)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_keeps_its_input_and_two_numbers_for_each_row(dtype):
    """No more than `jax.vjp` of the plain forward keeps."""
    x = jnp.asarray(RNG.normal(size=(8, 64)), dtype)
    params = {"gamma": jnp.ones(64, dtype), "beta": jnp.zeros(64, dtype)}
    _, cache = layer_norm_forward(params, x)
    assert cache[0] is x and [(a.shape, a.dtype) for a in cache[1:]] == [((8, 1), jnp.float32)] * 2
    pullback = jax.eval_shape(lambda x: jax.vjp(lambda x: layer_norm_forward(params, x)[0], x)[1], x)
    assert sum(a.nbytes for a in cache) <= sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(pullback))


def test_eps_may_vary_over_a_population():
    eps, x = jnp.array([1e-5, 0.5]), jnp.asarray(ROWS, jnp.float32)
    y = jax.vmap(lambda eps: layer_norm(eps).forward(PARAMS, x)[0])(eps)
    for one, value in zip(y, eps.tolist(), strict=True):
        np.testing.assert_allclose(one, oracle(ROWS, 1, 0, value), rtol=1e-5, atol=1e-6)


def test_a_network_of_it_trains_and_shrinks_only_weights():
    block = jaxnn.chain(layer_norm(), jaxnn.relu())
    model = jaxnn.mlp((4, 8, 8, 1), block)
    params = model.init(jax.random.key(0))
    assert [leaf.shape for leaf in jax.tree.leaves(params[1])] == [(8,), (8,)]
    gradient = jaxnn.l2(1.0).gradient(params)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient[1]))
    assert np.any(gradient[0]["W"])


def test_gamma_stays_inside_the_means(x64):
    """The oracle's gradient; the slip that takes γ out of the means fails the same check."""
    x, gamma, beta, dy = given = LAYER_NORM_TARGET.arguments(np.random.default_rng(1))
    _, dgamma, dbeta, dx = run(x, gamma, beta, dy, "float64")
    right, (wrong, *others) = LAYER_NORM_TARGET.gradient(*given), slip().function(*given)
    for got, expected in zip((dx, dgamma, dbeta), right, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
    for got, expected in zip((dgamma, dbeta), others, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        np.testing.assert_allclose(dx, wrong, rtol=0.3)


@pytest.mark.full
def test_the_slip_is_found_by_gradcheck():
    """A layer whose backward takes γ out of the means."""
    right = layer_norm()

    def backward(params, cache, dy):
        ones = {"gamma": jnp.ones_like(params["gamma"]), "beta": params["beta"]}
        dparams, dx = right.backward(ones, cache, dy)
        return dparams, params["gamma"][None] * dx

    report = jaxnn.gradcheck.layer(right._replace(backward=backward), (4,), fast=True)
    assert not report
    assert jaxnn.gradcheck.layer(right, (4,), fast=True)


def slip():
    [found] = [slip for slip in COURSE_SLIPS if slip.target is LAYER_NORM_TARGET]
    return found


def test_rms_normalization_does_not_depend_on_the_scale_of_a_row():
    """So the gradient has no part along it, up to ε; unlike layer normalization's, y depends on the mean."""
    x, params = X[:3, :4], {"gamma": jnp.ones(4)}
    with jax.enable_x64(True):
        layer = rms_norm(1e-20)
        y, dparams, dx = hand(layer, params, jnp.asarray(x), jnp.asarray(DY[:3, :4]), None)
        np.testing.assert_allclose(layer.forward(params, jnp.asarray(3 * x))[0], y, rtol=1e-12)
        np.testing.assert_allclose((dx * x).sum(1), 0, atol=1e-12)
        assert not np.allclose(layer.forward(params, jnp.asarray(x + 7))[0], y)
    np.testing.assert_allclose(np.square(y).mean(1), 1, rtol=1e-10)
    assert dparams.keys() == {"gamma"}


@pytest.mark.parametrize("eps", [0, 0.0, -1e-5, float("nan"), float("inf"), "1e-5", None, True])
def test_eps_is_above_0(eps):
    with pytest.raises(ValueError, match="eps must be "):
        layer_norm(eps)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: layer_norm().init(jax.random.key(0), ()),
            r"in_shape must be the shape of one example with at least one axis, got \(\)",
        ),
        (
            lambda: layer_norm_forward(PARAMS, jnp.ones((2, 1))),
            r"x must be floats \(..., n=4\) for gamma \(4,\) and beta \(4,\), got .* \(2, 1\)",
        ),
        (
            lambda: layer_norm_forward(PARAMS, jnp.ones((2, 3))),
            r"x must be floats \(..., n=4\) for gamma \(4,\) and beta \(4,\), got .* \(2, 3\)",
        ),
        (
            lambda: layer_norm_forward(PARAMS, jnp.ones(())),
            r"x must be floats \(..., n=4\) for gamma \(4,\) and beta \(4,\), got 1.0",
        ),
        (
            lambda: layer_norm_forward(dict(PARAMS, beta=jnp.zeros((1, 4))), jnp.ones((2, 4))),
            r"beta: float32 \(1, 4\): beta.ravel\(\)",
        ),
        (
            lambda: layer_norm_backward(PARAMS, layer_norm_forward(PARAMS, jnp.ones((2, 4)))[1], jnp.ones((2, 1))),
            r"dy must have the shape of x, \(2, 4\), got",
        ),
        (lambda: layer_norm(jnp.ones((2, 4))), r"compute with layer_norm_forward\(params, x\)"),
        (lambda: rms_norm(0.0), "eps must be positive and finite, got 0.0"),
        (lambda: rms_norm().init(jax.random.key(0), ()), "in_shape must be the shape of one example with at least one"),
        (
            lambda: rms_norm_forward(PARAMS, jnp.ones((2, 4))),
            r"params must be \{gamma: \(n,\)\}, got gamma: float32 \(4,\)",
        ),
        (
            lambda: rms_norm_backward(
                {"gamma": PARAMS["gamma"]}, rms_norm_forward({"gamma": jnp.ones(4)}, jnp.ones((2, 4)))[1], jnp.ones(4)
            ),
            r"dy must have the shape of x, \(2, 4\), got float32 \(4,\)",
        ),
    ],
)
def test_other_shapes_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call()
