"""At a kink: which slopes are right, and the diagnosis of the others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import gradcheck

pytestmark = pytest.mark.usefixtures("quick_compilation")


def hinge(w):
    return jnp.maximum(0, 1 - w).mean()


SUBGRADIENTS = {
    "|x| by sign": (lambda x: jnp.abs(x).sum(), jnp.sign, [0.0, 1.0, -1.0]),
    "max(x, 0) by x > 0": (lambda x: jnp.maximum(x, 0).sum(), lambda x: (x > 0) * 1.0, [0.0, 1.0]),
    "max(x, 0) by x >= 0": (lambda x: jnp.maximum(x, 0).sum(), lambda x: (x >= 0) * 1.0, [0.0, 1.0]),
    "hinge": (hinge, lambda w: jnp.where(w < 1, -1.0, 0.0) / w.size, [0.5, 1.5, 1.0]),
    "relu by 1/2": (lambda x: jax.nn.relu(x).sum(), lambda x: jnp.where(x == 0, 0.5, x > 0), [0.0, 1.0, -1.0]),
    "the first of two largest": (jnp.max, lambda x: jax.nn.one_hot(x.argmax(), x.size, dtype=x.dtype), [1.0, 1.0, 0.0]),
}


@pytest.mark.representatives("|x| by sign-True", "the first of two largest-True")
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("name", SUBGRADIENTS)
def test_a_subgradient_at_a_kink_is_right_and_noted(name, fast):
    f, gradient, at = SUBGRADIENTS[name]
    report = gradcheck.gradient(f, gradient, jnp.array(at), fast=fast)
    assert report.passed and not report.diagnoses
    assert name.startswith("max(x, 0) by") or [row.status for row in report.rows if row.test_point == "kink"]


NO_SUBGRADIENTS = {
    "|x| by 2 at 0": (lambda x: jnp.abs(x).sum(), lambda x: jnp.where(x == 0, 2, jnp.sign(x)), [0.0, 1.0, -1.0]),
    "NaN at 0": (lambda x: jnp.abs(x).sum(), lambda x: x / jnp.abs(x), [0.0, 1.0, -1.0]),
    "both of two largest": (jnp.max, lambda x: (x == x.max()) * 1.0, [1.0, 1.0, 0.0]),
    "wrong beside the kink": (lambda x: jnp.abs(x).mean(), jnp.sign, [0.0, 1.0, -1.0]),
}


@pytest.mark.representatives("|x| by 2 at 0", "NaN at 0")
@pytest.mark.parametrize("name", NO_SUBGRADIENTS)
def test_a_gradient_outside_the_one_sided_slopes_is_wrong(name):
    f, gradient, at = NO_SUBGRADIENTS[name]
    report = gradcheck.gradient(f, gradient, jnp.array(at), fast=True)
    assert report.counts["fail"]


@pytest.mark.representatives("abs")
@pytest.mark.parametrize("f", [jnp.abs, lambda x: jnp.maximum(x, 0)], ids=["abs", "max"])
def test_kinks_may_be_held_to_the_slope_of_jax(f):
    slopes = {0: jnp.sign, 1: lambda x: (x > 0).astype(x.dtype)}[int(f(-1.0) == 0)]
    at = jnp.array([0.0, 1.0, -1.0])
    assert gradcheck.vjp(f, lambda args, dy: (dy * slopes(args[0]),), at, fast=True)
    report = gradcheck.vjp(f, lambda args, dy: (dy * slopes(args[0]),), at, fast=True, kinks="jax")
    assert not report.passed and {d.kind for d in report.diagnoses} == {"only at the kink"}


def windows(x):
    return x.reshape(-1, 4).max(1)


def first_of_window(args, dy):
    rows = args[0].reshape(-1, 4)
    return ((jax.nn.one_hot(rows.argmax(1), 4, dtype=dy.dtype) * dy[:, None]).reshape(-1),)


@pytest.mark.full
def test_one_tie_among_many_windows_is_judged_separately():
    x = jax.random.permutation(jax.random.key(0), jnp.arange(384.0)).reshape(-1, 4).at[7].set(400.0).ravel()
    assert gradcheck.vjp(windows, first_of_window, x, fast=True)

    def all_of_tied(args, dy):
        rows = args[0].reshape(-1, 4)
        return ((dy[:, None] * (rows == rows.max(1, keepdims=True))).reshape(-1),)

    assert not gradcheck.vjp(windows, all_of_tied, x, fast=True)


def test_one_zero_among_thousands_is_a_kink():
    x = jnp.asarray(np.random.default_rng(0).normal(size=2000), jnp.float32).at[0].set(0)
    assert gradcheck.vjp(jax.nn.relu, lambda args, dy: (dy * (args[0] > 0),), x, fast=True)
    wrong = gradcheck.vjp(jax.nn.relu, lambda args, dy: (dy * jnp.where(args[0] == 0, 2, args[0] > 0),), x, fast=True)
    assert wrong.counts["fail"]


@pytest.mark.full
def test_a_division_by_zero_is_not_diagnosed_as_a_kink():
    report = gradcheck.gradient(jnp.prod, lambda x: jnp.prod(x) / x, jnp.array([2.0, 0.5, 3.0, -1.0]))
    assert {d.kind for d in report.diagnoses} == {"nan where smooth"}
