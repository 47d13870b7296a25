"""Marks are found at any place in a program, with the numbers that NumPy computes there, and change nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxnn.jaxprs import equations
from jaxnn.marking.harvested import each_mark
from jaxnn.marking.harvesting import harvest
from jaxnn.marking.marks import mark
from jaxnn.marking.places import is_place, params_path

X = np.array([0.5, -2.0, 3.0], np.float32)


def keep(array):
    return array


def sine(x):
    with jax.named_scope("[1]"):
        return jnp.sin(mark("inner", x))


@jax.custom_vjp
def with_rule(x):
    return sine(x)


with_rule.defvjp(lambda x: (sine(x), x), lambda x, dy: (dy * jnp.cos(x),))


@jax.custom_jvp
def with_forward_rule(x):
    return sine(x)


with_forward_rule.defjvp(lambda x, dx: (sine(*x), jnp.cos(*x) * dx[0]))

WRAPPED = {
    "plain": sine,
    "jit": jax.jit(sine),
    "jit of jit": jax.jit(lambda x: jax.jit(sine)(x)),
    "vmap": jax.vmap(sine),
    "checkpoint": jax.checkpoint(sine),
    "checkpoint in jit": jax.jit(jax.checkpoint(sine)),
    "custom_vjp": with_rule,
    "custom_jvp": with_forward_rule,
    "cond": lambda x: lax.cond(x[0] > 0, sine, jnp.cos, x),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("wrapped", WRAPPED.values(), ids=WRAPPED.keys())
def test_a_mark_is_found_with_its_value_and_its_gradient(wrapped, compiled):
    def f(x):
        with jax.named_scope("[0]"):
            return (wrapped(2 * x) ** 2).sum()

    harvested = harvest(jax.value_and_grad(f), keep)
    (value, gradient), marks = (jax.jit(harvested) if compiled else harvested)(X)
    np.testing.assert_allclose(value, (np.sin(2 * X) ** 2).sum(), rtol=1e-6)
    np.testing.assert_allclose(gradient, 2 * np.sin(4 * X), rtol=1e-5)
    found = {one.kind: one for one in each_mark(marks)}
    assert len(found) == len(list(each_mark(marks)))
    np.testing.assert_array_equal(found["value"].measured, 2 * X)
    assert found["value"].place == ("[0]", "[1]")
    if wrapped in (with_rule, with_forward_rule):  # the rule replaces what JAX would derive
        assert [*found] == ["value"]
    else:
        assert [*found] == ["value", "cotangent"]
        np.testing.assert_allclose(found["cotangent"].measured, np.sin(4 * X), rtol=1e-5)
        assert found["cotangent"].place == ("[0]", "[1]")
    assert {one.what for one in found.values()} == {"inner"}


@pytest.mark.parametrize("reverse", [False, True])
def test_the_steps_of_a_scan_are_in_the_order_in_which_they_run(reverse):
    def f(x):
        def step(carry, t):
            with jax.named_scope("[copy]"):
                return mark("carry", carry * t), lax.scan(lambda c, u: (mark("deep", c + u), None), t, t * jnp.ones(2))[
                    0
                ]

        return lax.scan(step, x, jnp.array([1.0, 2.0, 3.0]), reverse=reverse)

    (last, deep), marks = harvest(f, keep)(jnp.float32(1.0))
    order = (3.0, 2.0, 1.0) if reverse else (1.0, 2.0, 3.0)
    assert last == 6 and list(deep) == [3, 6, 9]
    found = [one.measured.item() for one in each_mark(marks) if one.what == "deep"]
    assert found == [t * k for t in order for k in (2, 3)]
    carries = [one for one in each_mark(marks) if one.what == "carry"]
    assert [one.measured.item() for one in carries] == np.cumprod(order).tolist()
    assert all(one.steps and one.place == ("[copy]",) for one in carries)


def test_of_a_branch_that_is_not_taken_there_are_zeros():
    def f(i, x):
        branches = [lambda x: mark("a", x) + 1, lambda x: mark("b", 2 * x), lambda x: -x]
        return lax.switch(i, branches, x)

    for i, (value, marked) in enumerate([(6.0, [5, 0]), (10.0, [0, 10]), (-5.0, [0, 0])]):
        got, marks = jax.jit(harvest(f, keep))(i, 5.0)
        assert got == value
        assert [one.measured.item() for one in each_mark(marks)] == marked
        assert [one.what for one in each_mark(marks)] == ["a", "b"]


def test_a_while_loop_computes_the_same_and_its_marks_are_skipped():
    f = lambda x: lax.while_loop(lambda x: x < 100, lambda x: mark("x", 2 * x), x)  # noqa: E731
    got, marks = harvest(f, keep)(3.0)
    assert (got, marks) == (192, [])


def test_forward_mode_marks_no_tangent_as_a_value():
    (_, tangent), marks = harvest(lambda x: jax.jvp(sine, (x,), (jnp.ones(3),)), keep)(X)
    np.testing.assert_allclose(tangent, np.cos(X), rtol=1e-6)
    assert [one.kind for one in each_mark(marks)] == ["value", "tangent"]


def test_without_a_harvest_a_program_has_no_equation_of_a_mark():
    """Also if the jitted function inside was harvested before, or is harvested after it was compiled."""
    inner = jax.jit(sine)

    def f(x):
        return inner(2 * x).sum()

    def marks():
        return [one.measured.tolist() for one in each_mark(harvest(f, keep)(X)[1])]

    for _ in range(2):
        names = [equation.primitive.name for equation in equations(jax.make_jaxpr(jax.grad(f))(X).jaxpr)]
        assert "mark" not in names and "cos" in names
        assert marks() == [(2 * X).tolist()]


def test_what_is_no_jax_array_is_not_marked():
    whole = np.zeros(2, jax.dtypes.float0)
    got = harvest(lambda x: (mark("x", {"x": x, "none": None, "whole": whole})["whole"] is whole) + x, keep)(1.0)
    assert [one.measured.item() for one in each_mark(got[1])] == [1.0] and got[0] == 2


def test_marks_are_exported_as_nothing():
    def f(x):
        return harvest(sine, jnp.max)(x)[0]

    exported = jax.export.export(jax.jit(f))(X)
    np.testing.assert_allclose(exported.call(X), np.sin(X), rtol=1e-6)


@pytest.mark.parametrize("scope", ["[0]", "[12]", "[network]", "[residual]", "[copy]"])
def test_places(scope):
    assert is_place(scope)
    assert params_path((scope, "attention", "[3]")) == (scope if scope[1].isdigit() else "") + "[3]"


@pytest.mark.parametrize("scope", ["", "[", "[]", "0", "[x]", "layer0", "network", "[1"])
def test_scopes_of_others_are_no_places(scope):
    assert not is_place(scope)
