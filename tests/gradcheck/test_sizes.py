"""Mistakes that show only at sizes, whole numbers and values other than the given ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import gradcheck

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def half_squares(w, x, y):
    return jnp.mean((x @ w - y) ** 2) / 2


def half_squares_backward(mean):
    def backward(a, dy):
        w, x, y = a
        r = (x @ w - y) * dy / (len(y) if mean else 1)
        return x.T @ r, jnp.outer(r, w), -r

    return backward


def cross_entropy(z, y):
    picked = jnp.take_along_axis(jax.nn.log_softmax(z), jnp.maximum(y, 0)[:, None], 1)[:, 0]
    return -jnp.where(y >= 0, picked, 0).sum()


def cross_entropy_backward(masked):
    def backward(a, dy):
        z, y = a
        dz = dy * (jax.nn.softmax(z) - jax.nn.one_hot(y, z.shape[1], dtype=z.dtype))
        return jnp.where((y >= 0)[:, None], dz, 0) if masked else dz, None

    return backward


def masked_sum(x, n):
    return jnp.where(jnp.arange(x.shape[1])[None] < n[:, None], x, 0).sum(1)


def masked_sum_backward(masked):
    def backward(a, dy):
        x, n = a
        kept = (jnp.arange(x.shape[1])[None] < n[:, None]) if masked else jnp.ones_like(x, bool)
        return jnp.where(kept, dy[:, None], 0), None

    return backward


def softmax_backward(axis):
    def backward(a, dy):
        p = jax.nn.softmax(a[0])
        return (p * (dy - (dy * p).sum(axis, keepdims=axis is not None)),)

    return backward


def centered_backward(n):
    def backward(a, dy):
        return (dy - dy.sum(-1, keepdims=True) / (n or dy.shape[-1]),)

    return backward


def sigmoid_backward(digits):
    def backward(a, dy):
        return (dy * (jax.nn.sigmoid(a[0]) if digits else 1 - 1 / (1 + jnp.exp(a[0]))),)

    return backward


def check_batch_of_one(right):
    return gradcheck.vjp(half_squares, half_squares_backward(right), normal(3), normal(1, 3), normal(1))


def check_padding(right):
    return gradcheck.vjp(cross_entropy, cross_entropy_backward(right), normal(4, 3), np.array([0, 2, 1, 1]))


def check_lengths(right):
    return gradcheck.vjp(masked_sum, masked_sum_backward(right), normal(3, 4), np.array([4, 4, 4]))


def check_one_row(right):
    return gradcheck.vjp(jax.nn.softmax, softmax_backward(-1 if right else None), normal(4))


def check_constant_size(right):
    return gradcheck.vjp(lambda x: x - x.mean(-1, keepdims=True), centered_backward(None if right else 4), normal(3, 4))


def check_digits(right):
    return gradcheck.vjp(jax.nn.softplus, sigmoid_backward(right), normal(6))


UNSEEN = {
    "the 1/m of a batch of one": (check_batch_of_one, "batch 1 -> 3"),
    "labels of padding": (check_padding, "-1 in y"),
    "lengths": (check_lengths, "other whole numbers"),
    "several rows": (check_one_row, "3 rows of x"),
    "a size in a constant": (check_constant_size, "size 4 -> 9"),
    "digits far out": (check_digits, "x near -17, float32"),
}


@pytest.mark.full
@pytest.mark.parametrize("name", UNSEEN)
def test_a_mistake_that_the_given_arguments_do_not_show(name):
    check, test_point = UNSEEN[name]
    assert check(True)
    report = check(False)
    assert not report
    assert test_point in {row.test_point for row in report.rows if row.status == "fail"}


@pytest.mark.full
@pytest.mark.parametrize("f", [jnp.tanh, jax.nn.sigmoid, jax.nn.elu])
def test_a_slope_from_the_value_may_lose_its_digits_where_the_value_has_all_of_them(f):
    slope = {
        jnp.tanh: lambda a, x: 1 - a * a,
        jax.nn.sigmoid: lambda a, x: a * (1 - a),
        jax.nn.elu: lambda a, x: jnp.where(x > 0, 1, a + 1),
    }[f]
    assert gradcheck.vjp(f, lambda a, dy: (dy * slope(f(a[0]), a[0]),), normal(6))
