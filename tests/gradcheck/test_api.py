"""Each form of gradient that can be checked, and the options."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import gradcheck

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(4, 3)), jnp.float32)
W = jnp.asarray(RNG.normal(size=(2, 3)), jnp.float32)
B = jnp.asarray(RNG.normal(size=2), jnp.float32)


@pytest.mark.full
def test_pytrees_and_integer_arguments():
    def f(params, index):
        return params["table"][index] * params["scale"]

    def backward(args, dy):
        params, index = args
        table = jnp.zeros_like(params["table"]).at[index].add(dy * params["scale"])
        return {"table": table, "scale": (dy * params["table"][index]).sum()}, None

    params = {"table": X, "scale": jnp.float32(2.0)}
    assert gradcheck.vjp(f, backward, params, jnp.array([0, 2, 2, 1, 3]))


@pytest.mark.full
def test_custom_jvp_and_rule():
    @jax.custom_jvp
    def cube(x):
        return x**3

    cube.defjvps(lambda t, y, x: 3 * x**2 * t)
    assert gradcheck.custom(cube, lambda x: x**3, X)
    square, slope = lambda x: (x**2, x), lambda x, dy: (3 * x**2 * dy,)
    report = gradcheck.rule(lambda x: x**3, square, slope, X, fast=True)
    assert [row.test_point for row in report.rows if row.status == "fail"] == ["value of the rule"]


def test_without_rules_removes_a_nested_rule():
    wrong = jax.custom_vjp(lambda x: x**2)
    wrong.defvjp(lambda x: (x**2, x), lambda x, dy: (x * dy,))
    plain = gradcheck.without_rules(lambda x: wrong(x).sum())
    assert jax.grad(plain)(3.0) == 6.0


@pytest.mark.full
def test_jaxnn_values():
    assert gradcheck.layer(jaxnn.dropout(0.3), (4,), key=jax.random.key(0))
    assert gradcheck.loss(jaxnn.softmax_cross_entropy(), X, jnp.array([0, 1, 2, 2]))
    assert gradcheck.regularizer(jaxnn.l1(0.1), {"W": W, "b": B})
    halved = jaxnn.stateless(lambda x: (x, ()), lambda cache, dy: dy / 2)
    assert kinds(gradcheck.layer(halved, (4,), fast=True)) == ["constant factor"]


def kinds(report):
    return [diagnosis.kind for diagnosis in report.diagnoses]


@jax.custom_vjp
def ruled(x):
    return x * x


ruled.defvjp(lambda x: (x * x, x), lambda x, dy: (2 * x * dy,))


PLAIN = {
    "gradient": lambda **options: gradcheck.gradient(jnp.sum, jnp.ones_like, X, **options),
    "vjp": lambda **options: gradcheck.vjp(jnp.sin, lambda args, dy: (dy * jnp.cos(args[0]),), X, **options),
    "rule": lambda **options: gradcheck.rule(jnp.exp, lambda x: (x, x), jnp.multiply, X, **options),
    "custom": lambda **options: gradcheck.custom(ruled, ruled.fun, X, **options),
    "layer": lambda **options: gradcheck.layer(jaxnn.relu(), (4,), **options),
    "loss": lambda **options: gradcheck.loss(jaxnn.squared_error(), X, X, **options),
    "regularizer": lambda **options: gradcheck.regularizer(jaxnn.l2(0.1), {"W": W}, **options),
}


@pytest.mark.parametrize("name", PLAIN)
def test_options_are_keywords_that_an_editor_shows(name):
    parameters = inspect.signature(getattr(gradcheck, name)).parameters
    assert {"fast", "seed"} <= {p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY}
    with pytest.raises(TypeError, match=f"^{name}.. got an unexpected keyword argument 'tol'"):
        PLAIN[name](tol=1)


@pytest.mark.representatives("f32-True")
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("at", [2.0, np.float64(2), np.float32(2), jnp.array(2.0)], ids=["float", "f64", "f32", "JAX"])
def test_a_python_number_is_a_gradient(at, fast):
    for gradient in (lambda t: 3.0, lambda t: 3, lambda t: np.int64(3)):
        assert gradcheck.gradient(lambda t: 3 * t, gradient, at, fast=fast).passed
    assert not gradcheck.gradient(lambda t: 3 * t, lambda t: 2.0, at, fast=fast).passed
