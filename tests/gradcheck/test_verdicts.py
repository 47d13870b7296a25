"""Right gradients that look wrong, and wrong ones that look right. The benchmark holds more of both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import gradcheck

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(4, 3)), jnp.float32)
W = jnp.asarray(RNG.normal(size=(2, 3)), jnp.float32)
B = jnp.asarray(RNG.normal(size=2), jnp.float32)


def softmax(z):
    e = jnp.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_backward(args, dy):
    a = softmax(*args)
    return (a * (dy - (dy * a).sum(-1, keepdims=True)),)


def scatter_backward(args, dy):
    return dy, dy[args[2]], None


def entropy(p):
    return -jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1)), 0).sum(-1)


def entropy_backward(args, dy):
    (p,) = args
    return (jnp.where(p > 0, -jnp.log(jnp.where(p > 0, p, 1)) - 1, 0) * dy[..., None],)


def solve_backward(args, dy):
    a, b = args
    db = jnp.linalg.solve(a.T, dy)
    return -jnp.outer(db, jnp.linalg.solve(a, b)), db


def contrast(a, b):
    return -jnp.diag(jax.nn.log_softmax(a @ b.T, 1)).mean()


def contrast_gradient(a, b):
    ds = (jax.nn.softmax(a @ b.T, 1) - jnp.eye(a.shape[0], dtype=a.dtype)) / a.shape[0]
    return ds @ b, ds.T @ a


SQUARE = jnp.asarray(RNG.normal(size=(3, 3)) + 3 * np.eye(3), jnp.float32)
RIGHT = {
    "saturated: a common formula loses digits": lambda: gradcheck.vjp(
        softmax, softmax_backward, jnp.array([[3.0, 0, 1]])
    ),
    "indices into an axis that is cut": lambda: gradcheck.vjp(
        lambda x, v, i: x.at[i].add(v), scatter_backward, X, X[:2] + 1, jnp.array([3, 3])
    ),
    "a kink with an infinite slope": lambda: gradcheck.vjp(entropy, entropy_backward, jnp.array([[0.2, 0.8, 0.0]])),
    "no bfloat16": lambda: gradcheck.vjp(jnp.linalg.solve, solve_backward, SQUARE, B[:1].repeat(3)),
    "a batch in two arguments": lambda: gradcheck.gradient(contrast, contrast_gradient, X, X[::-1] + 1, batch=4),
    "a batch that f takes in one of them": lambda: gradcheck.gradient(contrast, contrast_gradient, X, X[::-1] + 1),
}


@pytest.mark.representatives("indices into an axis that is cut")
@pytest.mark.parametrize("name", RIGHT)
def test_right_gradients_that_look_wrong(name, no_rank_promotion_rule):
    report = RIGHT[name]()
    assert report, report


def first_example_backward(args, dy):
    x, w = args
    return (dy @ w.T) * jnp.cos(x[:1]), jnp.sin(x).T @ dy


def halved_in_bfloat16(x, w):
    dw = x.astype(jnp.promote_types(w.dtype, jnp.float32)).sum(0)
    return jnp.broadcast_to(w, x.shape), (dw / 2 if w.dtype == jnp.bfloat16 else dw).astype(w.dtype)


def running_sum(args, dy):
    x, b = args
    return dy, jax.lax.scan(lambda c, d: (c + d, None), jnp.zeros_like(b), dy)[0]


MANY = jnp.abs(jnp.asarray(RNG.normal(size=(500, 2)), jnp.float32))
WRONG = {
    "one example": lambda: gradcheck.vjp(lambda x, w: jnp.sin(x) @ w, first_example_backward, X[:1], W.T),
    "a mask that is all True": lambda: gradcheck.vjp(
        lambda x, m: jnp.where(m, jnp.sin(x), 0), lambda a, dy: (dy * jnp.cos(a[0]), None), B, jnp.array([True, True])
    ),
    "half of a long sum in bfloat16": lambda: gradcheck.gradient(
        lambda x, w: (x * w).sum(), halved_in_bfloat16, MANY, MANY[0]
    ),
    "a running sum in bfloat16": lambda: gradcheck.vjp(
        lambda x, b: x + b, running_sum, jnp.tile(MANY, (4, 1)), MANY[0]
    ),
}


@pytest.mark.representatives("a mask that is all True")
@pytest.mark.parametrize("name", WRONG)
def test_wrong_gradients_that_look_right(name, no_rank_promotion_rule):
    assert not WRONG[name]()


@pytest.mark.full
def test_undecided_if_autodiff_and_finite_differences_disagree():
    """A stop_gradient makes autodiff wrong; the manual gradient is right: no verdict for one against the other."""

    def f(x):
        return jax.lax.stop_gradient(x) * x

    report = gradcheck.vjp(f, lambda args, dy: (2 * args[0] * dy,), X)
    assert not report
    assert report.counts["undecided"] == 1
    assert not report.diagnoses
    assert "stop_gradient" in str(report)
    # That of autodiff is what the stop_gradient means: the report notes that finite differences disagree.
    report = gradcheck.vjp(f, lambda args, dy: (args[0] * dy,), X)
    assert report and report.counts["note"]


@pytest.mark.full
def test_points_outside_the_domain_are_skipped():
    report = gradcheck.vjp(jnp.log, lambda args, dy: (dy / args[0],), jnp.abs(X) + 0.1)
    assert report
    assert report.counts["skip"] > 0


@pytest.mark.full
def test_labels_are_not_changed():
    y = jax.nn.one_hot(jnp.array([0, 2, 1, 1]), 3)

    def loss(z, y):
        return -(y * jax.nn.log_softmax(z)).sum(1)

    def backward(args, dy):
        z, y = args
        return (jax.nn.softmax(z) - y) * dy[:, None], -jax.nn.log_softmax(z) * dy[:, None]

    assert gradcheck.vjp(loss, backward, X, y)


def test_a_numpy_number_that_promotes_in_other_precisions_is_noted():
    report = gradcheck.vjp(lambda x: x / np.sqrt(3), lambda args, dy: (dy / np.sqrt(3),), B)
    assert report
    texts = {row.text for row in report.rows if row.status == "note" and row.test_point == "given, bfloat16"}
    assert texts == {"dtype must be bfloat16, that of the argument, got float32: cast the gradient"}


@pytest.mark.full
def test_a_backward_in_numpy_is_checked_and_noted():
    def right(x):
        return np.cos(np.asarray(x))

    report = gradcheck.gradient(lambda x: jnp.sin(x).sum(), right, B)
    assert report and [row.status for row in report.rows if row.test_point == "jit"] == ["note"]
    assert not gradcheck.gradient(lambda x: jnp.sin(x).sum(), lambda x: -right(x), B)


@pytest.mark.full
def test_a_backward_that_depends_on_concrete_values_is_checked_and_noted():
    def backward(args, dy):
        return (dy * 2 if float(dy.sum()) > -1e9 else dy,)

    report = gradcheck.vjp(lambda x: 2 * x, backward, X)
    assert report and [row.status for row in report.rows if row.test_point == "jit"] == ["note"]
    assert not gradcheck.vjp(lambda x: 3 * x, backward, X)


def test_if_only_the_dtype_is_wrong_only_the_dtype_is_reported():
    report = gradcheck.gradient(lambda x: (3 * x).sum(), lambda x: np.full(2, 3), np.ones(2), fast=True)
    assert not report.passed and "dtype must be float64, got int64" in str(report) and "difference" not in str(report)


@pytest.mark.full
def test_a_float32_gradient_is_right_if_f_closes_over_float32_data():
    x, y = np.float32([[1, 2], [0.5, -1], [1, 1]]), np.float32([1, -1, 1])

    def gradient(w):
        return ((1 - y * (x @ w) > 0) * -y / len(y)) @ x

    report = gradcheck.gradient(lambda w: jnp.maximum(0, 1 - y * (x @ w)).mean(), gradient, np.float32([0.4, 0.3]))
    assert report.passed and "must be float64" not in str(report)
