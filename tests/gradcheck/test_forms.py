"""Gradients in every form that JAX takes: pytrees with whole numbers, constants, keywords, complex numbers, orders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import gradcheck
from tests.helpers.gradients import B, W, X

pytestmark = pytest.mark.usefixtures("quick_compilation")

V = B[:1].repeat(4) * jnp.arange(1.0, 5)
NO_GRADIENT = np.zeros((), jax.dtypes.float0)


def ruled(f, fwd, bwd, **options):
    g = jax.custom_vjp(f, **options)
    g.defvjp(fwd, bwd)
    return g


def scaled(state, x):
    return state["w"] * x


def check_mixed(factor):
    def bwd(r, dy):
        return {"w": factor * dy * r[1], "n": NO_GRADIENT}, dy * r[0]["w"]

    g = ruled(scaled, lambda s, x: (scaled(s, x), (s, x)), bwd)
    return gradcheck.custom(g, scaled, {"w": V, "n": np.int32(3)}, V + 1, fast=True)


def check_float_constant(factor):
    def bwd(c, _, dy):
        return (factor * c * dy,)

    g = ruled(lambda x, c: x * c, lambda x, c: (x * c, None), bwd, nondiff_argnums=(1,))
    return gradcheck.custom(g, lambda x, c: x * c, V, 0.7, fast=True)


FUNCTIONS = {"sin": (jnp.sin, jnp.cos)}


def check_string(factor):
    def f(name, x):
        return FUNCTIONS[name][0](x)

    def bwd(name, x, dy):
        return (factor * FUNCTIONS[name][1](x) * dy,)

    g = ruled(f, lambda name, x: (f(name, x), x), bwd, nondiff_argnums=(0,))
    return gradcheck.custom(g, f, "sin", V, fast=True)


def check_rule_with_constants(factor, **options):
    def bwd(p, x, dy):
        return (factor * dy * p * x ** (p - 1),)

    return gradcheck.rule(lambda x, p: x**p, lambda x, p: (x**p, x), bwd, V, 3, fast=True, **options)


def check_keyword(factor):
    return gradcheck.vjp(lambda x, *, p: x**p, lambda a, dy, p: (factor * dy * p * a[0] ** (p - 1),), V, p=3, fast=True)


def check_complex(factor):
    def f(z):
        return jnp.abs(z) ** 2

    g = ruled(f, lambda z: (f(z), z), lambda z, dy: (2 * factor * jnp.conj(z) * dy,))
    return gradcheck.custom(g, f, np.complex64([1 + 2j, -0.5j, 3]), fast=True)


def check_complex_outputs(factor):
    def bwd(a, dy):
        return factor * dy * a[1], dy * a[0]

    z = np.complex64([1 + 2j, -0.5j, 3])
    return gradcheck.vjp(lambda z, w: z * w, bwd, z, z[::-1] + 1, fast=True)


def check_whole_output(factor):
    def f(x):
        return jnp.sin(x), jnp.argmax(x)

    return gradcheck.vjp(f, lambda a, dy: (factor * dy[0] * jnp.cos(a[0]),), V, fast=True)


def check_default(factor):
    def length(d, axis=-1):
        return jnp.linalg.norm(d, axis=axis)

    def bwd(residuals, g):
        d, r = residuals
        return factor * (g / r)[..., None] * d, None

    g = ruled(length, lambda d, axis=-1: (length(d, axis), (d, length(d, axis))), bwd)
    return gradcheck.custom(g, length, X, fast=True)


def check_float32_loss(factor):
    def f(x):
        return jnp.sum(x.astype(jnp.float32) ** 2)

    g = ruled(f, lambda x: (f(x), x), lambda x, dy: ((factor * 2 * x * dy).astype(x.dtype),))
    return gradcheck.custom(g, lambda x: jnp.sum(x**2), V, fast=True)


FORMS = {
    "a float and a whole number in one argument": check_mixed,
    "a string": check_string,
    "a float in nondiff_argnums": check_float_constant,
    "nondiff_argnums of a pair": check_rule_with_constants,
    "nondiff_argnums of a pair, stated": lambda factor: check_rule_with_constants(factor, nondiff_argnums=(1,)),
    "a keyword": check_keyword,
    "complex": check_complex,
    "complex outputs": check_complex_outputs,
    "an output of whole numbers": check_whole_output,
    "a default that must be static": check_default,
    "a loss that is always float32": check_float32_loss,
}


@pytest.mark.representatives("a float and a whole number in one argument", "nondiff_argnums of a pair")
@pytest.mark.parametrize("name", FORMS)
def test_a_right_gradient_of_this_form_passes_and_a_wrong_one_does_not(name):
    assert FORMS[name](1.0)
    assert not FORMS[name](1.25)


def test_nondiff_argnums_that_were_inferred_are_stated_in_the_report():
    report = check_rule_with_constants(1.0)
    assert report.assumed == ("nondiff_argnums=(1,), since bwd takes 3 arguments",)


def test_a_python_float_without_a_gradient_is_a_constant():
    report = gradcheck.vjp(lambda x, eps: x / (1 + eps), lambda a, dy: (dy / (1 + a[1]), None), V, 0.5, fast=True)
    assert report and report.assumed == ("eps is a constant: it is a Python float, and the backward no gradient",)


def test_autodiff_of_a_function_without_a_rule_is_compared_with_itself():
    report = gradcheck.custom(jnp.tanh, jnp.tanh, V, fast=True)
    assert report and "no custom derivative rule" in report.assumed[0]


def test_a_derivative_of_a_complex_number_without_its_conjugate_is_wrong():
    def f(z):
        return jnp.abs(z) ** 2

    assert not gradcheck.vjp(f, lambda a, dy: (2 * a[0] * dy,), np.complex64([1 + 2j, 3j]), fast=True)


def test_whole_numbers_are_arrays_of_jax_in_a_scan():
    def bwd(a, dy):
        return jax.vmap(lambda k, d: d * a[1][k % 2])(jnp.arange(dy.size), dy), None

    assert gradcheck.vjp(lambda x, n: x * n[jnp.arange(x.size) % 2], bwd, V, np.array([2, 3], np.int32))


def cube(second_order):
    def bwd(slope, dy):
        return ((slope if second_order else jax.lax.stop_gradient(slope)) * dy,)

    return ruled(lambda x: x**3, lambda x: (x**3, 3 * x**2), bwd)


@pytest.mark.representatives("True")
@pytest.mark.parametrize("second_order", [True, False])
def test_second_derivatives_of_a_rule_are_checked(second_order):
    report = gradcheck.custom(cube(second_order), lambda x: x**3, V, fast=True, order=2)
    assert bool(report) == second_order
    assert {row.test_point for row in report.rows if row.status == "fail"} <= {"second order"}
    assert gradcheck.custom(cube(second_order), lambda x: x**3, V, fast=True, order=1)


@pytest.mark.full
def test_a_rule_without_second_derivatives_is_noted():
    def halved(x):
        return jax.lax.while_loop(lambda a: jnp.abs(a).max() > 1e-3, lambda a: a / 2, x)

    g = ruled(lambda x: x**2, lambda x: (x**2, x + 0 * halved(x)), lambda x, dy: (2 * x * dy,))
    report = gradcheck.custom(g, lambda x: x**2, V, fast=True, order=2)
    assert report and [row.status for row in report.rows if row.test_point == "second order"] == ["note"]


def test_the_value_of_the_forward_is_compared():
    g = ruled(lambda x: x**2, lambda x: (x**2 + 1, x), lambda x, dy: (2 * x * dy,))
    report = gradcheck.custom(g, lambda x: x**2, V, fast=True)
    assert [row.test_point for row in report.rows if row.status == "fail"] == ["value of the rule's forward"]


@pytest.mark.full
def test_tangents_in_forward_mode_are_compared():
    g = jax.custom_jvp(lambda x: (x, 2 * x))
    g.defjvp(lambda p, t: (g(*p), (t[0], 2 * t[0])))
    report = gradcheck.custom(g, lambda x: (x, 2 * x), V)
    assert report and [row.status for row in report.rows if row.test_point == "forward mode"] == ["pass"]


MEANT = {
    "straight through": (jnp.round, lambda x: x, lambda a, dy: (dy,)),
    "reversal": (lambda x: x, lambda x: -x, lambda a, dy: (-dy,)),
    "surrogate of a step": (
        lambda x: (x > 0) * 1.0 + 0 * x,
        lambda x: jax.nn.sigmoid(4 * x),
        lambda a, dy: (dy * 4 * jax.nn.sigmoid(4 * a[0]) * (1 - jax.nn.sigmoid(4 * a[0])),),
    ),
}


@pytest.mark.representatives("straight through")
@pytest.mark.parametrize("name", MEANT)
def test_the_gradient_of_another_function_may_be_meant(name):
    f, instead, backward = MEANT[name]
    assert gradcheck.vjp(f, backward, V, fast=True, instead=instead)
    assert not gradcheck.vjp(f, backward, V, fast=True)
    assert not gradcheck.vjp(f, lambda a, dy: (1.5 * backward(a, dy)[0],), V, fast=True, instead=instead)


def test_with_instead_values_are_still_those_of_f():
    g = ruled(lambda x: jnp.round(x), lambda x: (jnp.floor(x), None), lambda _, dy: (dy,))
    report = gradcheck.custom(g, lambda x: jnp.round(x), V, fast=True, instead=lambda x: x)
    assert [row.test_point for row in report.rows if row.status == "fail"] == ["value of the rule's forward"]


@pytest.mark.full
def test_weights_are_checked_with_whole_numbers_beside_them():
    def f(table, i):
        return table[i] @ W.T.astype(table.dtype)

    def backward(a, dy):
        return jnp.zeros_like(a[0]).at[a[1]].add(dy @ W.astype(dy.dtype)), None

    assert gradcheck.vjp(f, backward, X, jnp.array([0, 3, 3]))
    assert not gradcheck.vjp(f, lambda a, dy: (jnp.zeros_like(a[0]).at[a[1]].set(dy @ W.astype(dy.dtype)), None), X,
                             jnp.array([0, 3, 1]))  # fmt: skip
