"""The reader of jaxprs, on jaxprs whose contents are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxnn.jaxprs import CALLS, RULES, bind, closed_jaxprs, consts_of, equations, inner_jaxprs, scan_sizes


@jax.custom_vjp
def with_vjp(x):
    return jnp.sin(x)


@jax.custom_jvp
def with_jvp(x):
    return jnp.sin(x)


with_vjp.defvjp(lambda x: (jnp.sin(x), x), lambda x, dy: (dy * jnp.cos(x),))
with_jvp.defjvp(lambda primals, tangents: (jnp.sin(*primals), tangents[0] * jnp.cos(*primals)))


def only_equation(f, *args):
    (equation,) = jax.make_jaxpr(f)(*args).jaxpr.eqns
    return equation


@pytest.mark.parametrize("transform", [jax.jit, jax.checkpoint, with_vjp, with_jvp], ids=["jit", "remat", "vjp", "jvp"])
def test_calls_hold_what_runs_a_jaxpr_once(transform):
    """With the names of the installed JAX."""
    equation = only_equation(transform if transform in (with_vjp, with_jvp) else transform(jnp.sin), 1.0)
    assert equation.primitive.name in CALLS
    assert (equation.primitive.name in RULES) == (transform in (with_vjp, with_jvp))
    assert [inner.primitive.name for inner in inner_jaxprs(equation)[0].eqns] == ["sin"]


def test_equations_are_found_in_every_inner_jaxpr():
    def f(x):
        y = jax.jit(lambda x: jax.checkpoint(jnp.sin)(x) * 2)(x)
        y = lax.cond(x > 0, jnp.cos, jnp.tanh, y)
        return (
            lax.while_loop(lambda c: c < 3, lambda c: c + 1, y) + lax.scan(lambda c, _: (c - 1, None), x, length=2)[0]
        )

    found = [equation.primitive.name for equation in equations(jax.make_jaxpr(f)(1.0).jaxpr)]
    once = ["cond", "while", "scan", "sin", "mul", "cos", "tanh", "lt", "sub"]
    assert {name: found.count(name) for name in once} == dict.fromkeys(once, 1)
    assert found.count("add") == 2  # in the loop, and of the loops
    assert found.index("jit") < found.index("sin") < found.index("mul")


def test_constants_are_those_of_the_first_jaxpr():
    table = np.arange(3.0, dtype=np.float32)
    equation = only_equation(lambda x: lax.scan(lambda c, t: (c * t, None), x, table)[0], 1.0)
    assert consts_of(equation) == []
    scanned = closed_jaxprs(equation)[0]
    assert [v.aval.shape for v in scanned.jaxpr.invars] == [(), ()]
    assert consts_of(jax.make_jaxpr(jnp.sin)(1.0).jaxpr.eqns[0]) == []


@pytest.mark.parametrize("n_consts", [0, 1, 2])
@pytest.mark.parametrize("n_carry", [0, 1, 2])
@pytest.mark.parametrize("n_xs", [1, 2])
def test_scan_sizes(n_consts, n_carry, n_xs):
    def scanned(consts, carry, xs):
        def body(carry, xs):
            total = sum(consts) + sum(x.sum() for x in xs)
            return tuple(c + total for c in carry), total

        return lax.scan(body, carry, xs)

    args = [tuple(jnp.full((), float(i)) for i in range(n)) for n in (n_consts, n_carry)]
    jaxpr = jax.make_jaxpr(scanned)(*args, tuple(jnp.ones((4, 2)) for _ in range(n_xs))).jaxpr
    (equation,) = [equation for equation in jaxpr.eqns if equation.primitive.name == "scan"]
    assert scan_sizes(equation) == (n_consts, n_carry)


@pytest.mark.parametrize("f", [jnp.sin, jax.jit(jnp.sin), with_vjp, with_jvp, lambda x: lax.top_k(x, 2)])
def test_bind_runs_one_equation(f):
    x = jnp.array([0.5, -1.0, 2.0])
    found = bind(only_equation(f, x), [x])
    expected = jax.tree.leaves(f(x))
    assert len(found) == len(expected)
    for array, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(array, wanted, strict=True)
