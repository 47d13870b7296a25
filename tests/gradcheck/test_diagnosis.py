"""Names of mistakes: each is given where it is true, and not where a rival is, or where nothing is certain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import gradcheck

pytestmark = pytest.mark.usefixtures("quick_compilation")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def positive(*shape, seed=0):
    return np.abs(normal(*shape, seed=seed)) + np.float32(0.3)


X, V, P, W = normal(4, 3), normal(5), positive(5), normal(3, 3, seed=1)
DATA, TARGETS = normal(6, 4, seed=8), normal(6, seed=9)
MIXED = np.float32([0.5, 3, -1, 2, 1])
SIGNED = np.float32([-2, -0.5, 0.4, 1.5, 2.5])
ROWS = np.float32([0.5, 2, 3, 0.2])[:, None]
ORDER = np.array([2, 0, 1])


def vjp(f, backward, *args, **options):
    return lambda: gradcheck.vjp(f, backward, *args, **options)


def sine(backward, x=V, **options):
    """Return the check of a backward of the sine, which is given x and dy."""
    return vjp(jnp.sin, lambda args, dy: (backward(args[0], dy),), x, **options)


def dense(x, w):
    return x @ w


def mean_square(w):
    return ((jnp.asarray(DATA, w.dtype) @ w - jnp.asarray(TARGETS, w.dtype)) ** 2).mean() / 2


def sum_square_gradient(w):
    data = jnp.asarray(DATA, w.dtype)
    return data.T @ (data @ w - jnp.asarray(TARGETS, w.dtype))


def chain(x, w):
    return jnp.tanh(x @ w) @ jnp.asarray(W, x.dtype)


def chain_backward(args, dy):
    # The outer factor is not transposed.
    x, w = args
    h = jnp.tanh(x @ w)
    dz = (dy @ jnp.asarray(W, dy.dtype)) * (1 - h * h)
    return dz @ w.T, x.T @ dz


def recurrence(w, xs):
    return jax.lax.scan(lambda h, x: (jnp.tanh(w * h + x), None), jnp.zeros((), xs.dtype), xs)[0]


def truncated(args, dy):
    w, xs = args
    before = jax.lax.stop_gradient(recurrence(w, xs[:-1]))
    return jax.vjp(lambda w, x: jnp.tanh(w * before + x[-1]), w, xs)[1](dy)


def softmax_diagonal(args, dy):
    p = jax.nn.softmax(args[0])
    return (p * (1 - p) * dy,)


def unit(x):
    return x / jnp.sqrt((x * x).sum() + 1e-2)


def unit_without_epsilon(args, dy):
    (x,) = args
    n = jnp.sqrt((x * x).sum())
    return (dy / n - x * (x * dy).sum() / n**3,)


def at_other_sizes(args, dy):
    p = jax.nn.softmax(args[0])
    return (p * (dy - (p * dy).sum(0, keepdims=True)),)


def swap_scaled(args, dy):
    x, y = args
    return 2 * jnp.sin(x) * y * dy, jnp.cos(x) * y**2 * dy


NAMED = {
    "constant factor": sine(lambda x, dy: 1.01 * dy * jnp.cos(x), fast=True),
    "missing 1/m": vjp(
        lambda x, b: (x + b[None]).mean(0), lambda a, dy: (jnp.ones_like(a[0]) * dy[None], dy), X, V[:3]
    ),
    "missing 1/m: closed-over data": lambda: gradcheck.gradient(mean_square, sum_square_gradient, V[:4]),
    "1/m twice: closed-over data": lambda: gradcheck.gradient(
        mean_square, lambda w: sum_square_gradient(w) / 36, V[:4]
    ),
    "sign": sine(lambda x, dy: -dy * jnp.cos(x), fast=True),
    "transpose: of the gradient": vjp(dense, lambda a, dy: (dy @ a[1].T, (a[0].T @ dy).T), X, W, fast=True),
    "transpose: of a factor": vjp(dense, lambda a, dy: (dy @ a[1], a[0].T @ dy), X, W, fast=True),
    "transpose: of a factor within": vjp(chain, chain_backward, X, W, fast=True),
    "swapped": vjp(lambda x, y: jnp.sin(x) * y**2, swap_scaled, V, P),
    "zero": sine(lambda x, dy: 0 * dy, fast=True),
    "missing sum": vjp(lambda x, b: x + b[None], lambda a, dy: (dy, dy[0]), X, V[:3]),
    "missing sum: a shape too large": vjp(lambda x, b: x + b[None], lambda a, dy: (dy, dy), X, V[:3], fast=True),
    "sum for mean": vjp(lambda x: x.mean(1), lambda a, dy: (jnp.ones_like(a[0]) * dy[:, None],), X),
    "cotangent ignored": sine(lambda x, dy: jnp.cos(x), fast=True),
    "g for g'": vjp(jnp.tanh, lambda a, dy: (jnp.tanh(a[0]) * dy,), V, fast=True),
    "only for z < 0": vjp(jax.nn.leaky_relu, lambda a, dy: (dy * (a[0] > 0),), SIGNED),
    "only for z > 0": vjp(lambda x: jnp.where(x > 0, 3 * x, x), lambda a, dy: (dy,), SIGNED),
    "only at the kink": vjp(jnp.abs, lambda a, dy: (jnp.where(a[0] == 0, 3, jnp.sign(a[0])) * dy,), V),
    "only when saturated": vjp(jax.nn.softplus, lambda a, dy: (dy * jnp.exp(a[0]) / (1 + jnp.exp(a[0])),), V),
    "only in low precision": sine(lambda x, dy: dy * jnp.cos(x) * (1 + (dy.dtype == jnp.bfloat16))),
    "truncated recurrence": vjp(recurrence, truncated, np.float32(0.7), V, fast=True),
    "epsilon: added": vjp(jnp.log, lambda a, dy: (dy / (a[0] + 1e-4),), P, fast=True),
    "epsilon: dropped": vjp(unit, unit_without_epsilon, V),
    "not linear in dy: clipped": sine(lambda x, dy: jnp.clip(dy, -0.1, 0.1) * jnp.cos(x), fast=True),
    "not linear in dy: its positive part": sine(lambda x, dy: jnp.maximum(dy, 0) * jnp.cos(x), fast=True),
    "permutation: of a sort": vjp(jnp.sort, lambda a, dy: (dy[jnp.argsort(a[0])],), MIXED, fast=True),
    "permutation: of columns": vjp(lambda x: x[:, ORDER] ** 2, lambda a, dy: (2 * a[0][:, ORDER] * dy,), X, fast=True),
    "summed too much": vjp(
        lambda x, b: x + b,
        lambda a, dy: (dy, jnp.broadcast_to(dy.sum(0, keepdims=True), dy.shape)),
        X,
        X + 1,
        fast=True,
    ),
    "diagonal alone": vjp(jax.nn.softmax, softmax_diagonal, X, fast=True),
    "factor per row": vjp(
        lambda x: jnp.asarray(ROWS, x.dtype) * jnp.sin(x), lambda a, dy: (jnp.cos(a[0]) * dy,), X, fast=True
    ),
    "factor of an argument": vjp(
        lambda x, s: s * jnp.sin(x), lambda a, dy: (jnp.cos(a[0]) * dy, (jnp.sin(a[0]) * dy).sum()), V, np.float32(1.7)
    ),
    "factor of an argument: a whole number": vjp(
        lambda x, n: x**n, lambda a, dy: (dy * a[0] ** (a[1] - 1), None), P, 3, fast=True
    ),
    "straight-through": vjp(jnp.floor, lambda a, dy: (dy,), 3 * V),
    "straight-through: beyond the bounds of a clip": vjp(lambda x: jnp.clip(x, -0.5, 0.5), lambda a, dy: (dy,), V),
    "nan where smooth": vjp(jnp.prod, lambda a, dy: (dy * jnp.prod(a[0]) / a[0],), np.float32([2, 0, 3, -1])),
    "nan where smooth: at other arguments": vjp(lambda x: x**3, lambda a, dy: (3 * dy * a[0] ** 3 / a[0],), P),
}
REPRESENTATIVES = (
    "permutation: of a sort", "transpose: of a factor within"
)  # fmt: skip


@pytest.mark.representatives(*REPRESENTATIVES)
@pytest.mark.parametrize("name", NAMED)
def test_a_mistake_is_named(name):
    report = NAMED[name]()
    assert not report.passed
    assert {d.kind for d in report.diagnoses} == {name.split(":")[0]}


def columns_of_bias(args, dy):
    return dy, dy.sum(0).at[1].set(0)


UNNAMED = {
    "dy for every element is no sum, though a softmax sums to 1": vjp(
        lambda x: jax.scipy.special.logsumexp(x, 1), lambda a, dy: (dy[:, None] * jnp.ones_like(a[0]),), X
    ),
    "wrong beyond 1, not for all positive ones": sine(
        lambda x, dy: dy * jnp.where(x > 1, 0.7, jnp.cos(x)), np.float32([-3, -2, 1.5, 2.5])
    ),
    "two equal gradients are not swapped": vjp(
        lambda x, y: x * y, lambda a, dy: (jnp.sin(a[1]) * dy, jnp.sin(a[1]) * dy), V, V
    ),
    "another gradient's values in one of two": vjp(
        lambda x, y: jnp.sin(x) * y**2, lambda a, dy: 2 * (jnp.cos(a[0]) * a[1] ** 2 * dy,), V, P
    ),
    "a column of zeros is no missing sum": vjp(lambda x, b: x + b[None], columns_of_bias, X, V[:3]),
    "a maximum at another place is no permutation": vjp(
        jnp.max, lambda a, dy: (dy * jax.nn.one_hot(jnp.argmin(a[0]), 5, dtype=a[0].dtype),), MIXED
    ),
    "the gradient of log(1 + x) is no epsilon": vjp(jnp.log, lambda a, dy: (dy / (a[0] + 1),), P),
}


@pytest.mark.full
@pytest.mark.parametrize("name", UNNAMED)
def test_no_mistake_is_named_where_none_is_certain(name):
    report = UNNAMED[name]()
    assert not report.passed
    assert not report.diagnoses


@pytest.mark.full
def test_a_factor_of_an_argument_is_neither_a_constant_nor_a_missing_sum():
    """The factor 1/2 is 1/m by chance: y has an axis of 2."""
    report = gradcheck.vjp(
        lambda a, b, s: (a, b), lambda x, dy: (dy[0] * x[2], dy[1] * x[2], None), normal(3), normal(2), 0.5
    )
    assert {(d.kind, d.text) for d in report.diagnoses} == {
        ("factor of an argument", "it is s times the gradient, and s is an argument")
    }
