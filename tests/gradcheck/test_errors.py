"""Checks that cannot be run: each raises a GradcheckError with what was expected and what it got."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import gradcheck
from jaxnn.gradcheck import GradcheckError
from tests.helpers.gradients import B, W, X, dense

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)


@jax.custom_vjp
def ruled(x):
    return x * x


ruled.defvjp(lambda x: (x * x, x), lambda x, dy: (2 * x * dy,))


def _raises(args, dy):
    raise RuntimeError("broken")


def identity_backward(args, dy):
    return (dy,)


def check_identity(*args, **options):
    return gradcheck.vjp(lambda x: x, identity_backward, *args, **options)


def check_sum(*args, **options):
    return gradcheck.gradient(lambda x: x.sum(), jnp.ones_like, *args, **options)


CANNOT_BE_RUN = {
    "f has the rule": (
        lambda: gradcheck.vjp(ruled, identity_backward, X),
        "the check would be vacuous; pass the undecorated function",
    ),
    "f contains the rule": (
        lambda: gradcheck.vjp(lambda x: ruled(x) + 1, identity_backward, X),
        r"f must not contain custom derivative rules, got a jax\.custom_vjp rule",
    ),
    "f is not pure": (
        lambda: gradcheck.vjp(lambda x: x + RNG.normal(), identity_backward, X),
        "f must be pure, got two results from two calls",
    ),
    "the backward is not pure": (
        lambda: gradcheck.vjp(lambda x: x, lambda args, dy: (dy + RNG.normal(),), X),
        "the backward must be pure, got two results from two calls",
    ),
    "a backward of each argument": (
        lambda: gradcheck.vjp(jnp.multiply, lambda x, y, dy: (y * dy, x * dy), X, X),
        r"backward must be a function backward\(args, dy\), got a function of \(x, y, dy\)",
    ),
    "no backward": (
        lambda: gradcheck.vjp(jnp.sin, None, X),
        r"backward must be a function backward\(args, dy\), got N",
    ),
    "no gradient": (
        lambda: gradcheck.gradient(lambda x: x.sum(), 3, X),
        r"grad_f must be a function grad_f\(x\), got 3",
    ),
    "a fwd of other arguments": (
        lambda: gradcheck.rule(lambda x, y: x * y, lambda x: (x, x), lambda r, dy: (dy, dy), X, X),
        r"fwd must be a function fwd\(x, y\), got a function of \(x\)",
    ),
    "a bwd without residuals": (
        lambda: gradcheck.rule(jnp.sin, lambda x: (x, x), lambda dy: (dy,), X),
        r"bwd must be a function bwd\(residuals, dy\), got a function of \(dy\)",
    ),
    "a bwd without its constants": (
        lambda: gradcheck.rule(lambda n, x: x**n, lambda n, x: (x, x), lambda r, dy: (dy,), 3, X, nondiff_argnums=(0,)),
        r"bwd must be a function bwd\(n, residuals, dy\), got a function of \(r, dy\)",
    ),
    "no rule": (
        lambda: gradcheck.custom(3, lambda x: x, X),
        r"f_with_rule must be a function f_with_rule\(x\), got 3",
    ),
    "nondiff_argnums out of range": (
        lambda: gradcheck.rule(jnp.multiply, lambda x, y: (x * y, x), lambda x, dy: (dy,), X, X, nondiff_argnums=(4,)),
        r"nondiff_argnums must be a list of numbers of arguments, from 0 to 1, got \(4,\)",
    ),
    "nondiff_argnums below 0": (
        lambda: gradcheck.rule(jnp.sin, lambda x: (x, x), lambda x, dy: (dy,), X, nondiff_argnums=[-1]),
        r"nondiff_argnums must be .*, from 0 to 0, got \[-1\]",
    ),
    "nondiff_argnums is a number": (
        lambda: gradcheck.rule(jnp.sin, lambda x: (x, x), lambda x, dy: (dy,), X, nondiff_argnums=0),
        "nondiff_argnums must be a list of numbers of arguments, from 0 to 0, got 0",
    ),
    "fwd returns the value alone": (
        lambda: gradcheck.rule(jnp.sin, jnp.sin, lambda x, dy: (dy,), X),
        r"what fwd returns must be a pair \(y, residuals\), got float64 \(4, 3\): return the value of f and what bwd",
    ),
    "fwd returns two rows": (
        lambda: gradcheck.rule(jnp.sin, jnp.sin, lambda x, dy: (dy,), X[:2]),
        r"what fwd returns must be a pair \(y, residuals\), got float64 \(2, 3\)",
    ),
    "fwd returns three": (
        lambda: gradcheck.rule(jnp.sin, lambda x: (x, x, x), lambda x, dy: (dy,), X),
        r"what fwd returns must be a pair \(y, residuals\), got a tuple",
    ),
    "too few entries": (
        lambda: gradcheck.vjp(dense, identity_backward, X, W, B),
        r"one entry for each of the 3 arguments \(x, W, b\), got 1 entries",
    ),
    "no tuple": (
        lambda: gradcheck.vjp(lambda x: x, lambda args, dy: dy, X),
        r"one entry for each of the 1 arguments \(x\), got float64 \(4, 3\)",
    ),
    "another structure": (
        lambda: gradcheck.vjp(lambda p: p["a"], lambda args, dy: ({"b": dy},), {"a": X}),
        "gradient of p must have the structure of the argument",
    ),
    "the backward raises": (
        lambda: gradcheck.vjp(lambda x: x, _raises, X),
        "the backward raised RuntimeError: broken",
    ),
    "NaN": (
        lambda: check_identity(X.at[1, 2].set(jnp.nan)),
        r"x must not hold NaN, got NaN first at \[1, 2\]",
    ),
    "a bool output": (
        lambda: gradcheck.vjp(lambda x: x > 0, identity_backward, X),
        "f must return at least one floating array, got bool",
    ),
    "integers only": (
        lambda: gradcheck.vjp(lambda i: i * 1.0, lambda args, dy: (None,), jnp.array([1, 2])),
        r"args must hold at least one floating array, got \['i: int32'\]",
    ),
    "no scalar": (
        lambda: gradcheck.gradient(lambda x: x, lambda x: x, X),
        r"f must return one real scalar, got .*float32 \(4, 3\).*: use vjp",
    ),
    "outside the domain": (
        lambda: gradcheck.vjp(lambda x: jnp.log(x), identity_backward, -jnp.abs(X)),
        "the value of f must be a number at the given arguments",
    ),
    "an infinite slope": (
        lambda: gradcheck.vjp(lambda x: jnp.sqrt(x), identity_backward, 0 * X),
        "the derivative of f must be finite at the given arguments",
    ),
    "f raises": (
        lambda: gradcheck.vjp(lambda x: x.reshape(99), identity_backward, X),
        "f raised TypeError: ",
    ),
    "no arguments": (check_identity, "args must hold at least one array, got none"),
    "f is a number": (
        lambda: gradcheck.gradient(3, lambda x: x, X),
        r"f must be a function f\(arg0\), got 3",
    ),
    "f takes nothing": (
        lambda: gradcheck.gradient(lambda: 1.0, lambda x: x, X),
        r"f must be a function f\(arg0\), got a function of \(\)",
    ),
    "a list as gradient": (
        lambda: gradcheck.gradient(lambda x: x.sum(), lambda x: x.tolist(), X),
        "the gradient of x must be an array, got a list",
    ),
    "empty": (lambda: check_sum(X[:0]), "args must hold a floating array that is not empty"),
    "batch": (lambda: check_sum(X, batch=0), "batch must be a whole number of at least 1.*, got 0"),
    "fast": (lambda: check_sum(X, fast="yes"), "fast must be True or False, got 'yes'"),
    "seed": (lambda: check_sum(X, seed=None), "seed must be a whole number of at least 0, got None"),
    "traced": (
        lambda: jax.make_jaxpr(lambda x: check_sum(x).passed)(X),
        "x must be a concrete array, got a tracer: call gradcheck outside of jax.jit",
    ),
    "a factory for a layer": (
        lambda: gradcheck.layer(jaxnn.relu, (4,)),
        "layer must be a Layer, .* call the factory",
    ),
    "a model for a layer": (
        lambda: gradcheck.layer(jaxnn.mlp((4, 1)), (4,)),
        "must be a Layer, got a Model: pass its network",
    ),
    "a factory for a loss": (
        lambda: gradcheck.loss(jaxnn.squared_error, X, X),
        "loss must be a jaxnn.Loss, got the function squared_error: ",
    ),
    "a factory for a regularizer": (
        lambda: gradcheck.regularizer(jaxnn.l2, {"W": W}),
        "regularizer must be a jaxnn.regularizers.Regularizer, got the function l2: ",
    ),
}


@pytest.mark.representatives(
    "another structure",
    "empty",
    "f is not pure",
    "fwd returns three",
    "no tuple",
    "the backward is not pure",
    "the backward raises",
    "traced",
)
@pytest.mark.parametrize("name", CANNOT_BE_RUN)
def test_a_check_that_cannot_be_run_raises(name):
    run, message = CANNOT_BE_RUN[name]
    with pytest.raises(GradcheckError, match=message):
        run()


@pytest.mark.parametrize("gradient", [lambda t: 3 + 0j, lambda t: np.complex64(3), lambda t: 3 * jnp.exp(0j)])
def test_a_complex_gradient_raises(gradient):
    with pytest.raises(gradcheck.GradcheckError, match="the gradient of t must be real, got "):
        gradcheck.gradient(lambda t: 3 * t, gradient, 2.0)
