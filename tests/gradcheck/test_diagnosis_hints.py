"""The hints for a wrong gradient without a name: the option to state, if it is meant."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import gradcheck

pytestmark = pytest.mark.usefixtures("quick_compilation")

X = np.float32([0.3, 0.7, 1.6, 2.2])


def hints(report):
    return [text for text in report.observations if "state " in text]


def slightly_off(args, dy):
    x = args[0]
    return (dy * (jnp.cos(x) + 3e-5 * jnp.cos(3 * x)),)


def test_a_small_error_everywhere_suggests_a_tolerance_with_which_the_check_passes():
    report = gradcheck.vjp(jnp.sin, slightly_off, X, dtypes=("float32",), fast=True)
    assert not report.passed and not report.diagnoses
    (text,) = hints(report)
    assert text.startswith("off by at most ") and text.endswith("state rtol=1e-4")
    assert gradcheck.vjp(jnp.sin, slightly_off, X, dtypes=("float32",), fast=True, rtol=1e-4).passed


def test_a_larger_error_has_no_hint():
    report = gradcheck.vjp(jnp.sin, lambda a, dy: (dy * (jnp.cos(a[0]) + 0.1 * a[0] ** 2),), X, fast=True)
    assert not report.passed and not hints(report)


def largest(x):
    return x.max() ** 2


def of_the_last(args, dy):
    x = args[0]
    return (jnp.zeros_like(x).at[-1].set(2 * x[-1] * dy),)


@pytest.mark.full
def test_a_gradient_that_is_right_on_a_structure_suggests_that_domain():
    report = gradcheck.vjp(largest, of_the_last, X, dtypes=("float32",))
    assert not report.passed and not report.diagnoses
    assert hints(report) == [
        "right at the given arguments; wrong where x is not ordered, as it was given: if it always is, state "
        "domain={'x': 'ordered'}"
    ]
    assert gradcheck.vjp(largest, of_the_last, X, dtypes=("float32",), domain={"x": "ordered"}).passed


def options(text):
    """Return the options that a hint names, as the caller would state them."""
    stated = text.split("state ")[1:]
    return [eval(f"dict({option.removesuffix(', or ')})", {"jnp": jnp}) for option in stated]


def one_minus(args, dy):
    return ((1 - 1 / (1 + jnp.exp(args[0]))) * dy,)


@pytest.mark.full
def test_lost_digits_of_a_small_gradient_suggest_an_absolute_tolerance_with_which_the_check_passes():
    report = gradcheck.vjp(jax.nn.softplus, one_minus, X, dtypes=("float32",))
    assert [d.kind for d in report.diagnoses] == ["only in low precision"]
    (text,) = hints(report)
    assert text == "off by at most 5e-8 for a dy of 1: if digits may be lost there, state atol=1e-7"
    assert gradcheck.vjp(jax.nn.softplus, one_minus, X, dtypes=("float32",), **options(text)[0]).passed


def seven_digits(args, dy):
    return (dy * jnp.cos(args[0]) * (1 + 3e-8),)


def test_a_gradient_that_is_right_to_a_number_of_digits_names_the_tolerances_that_accept_it():
    def check(**stated):
        return gradcheck.vjp(jnp.sin, seven_digits, X, dtypes=("float32",), fast=True, **stated)

    report = check()
    assert report and report.counts["inexact"]
    (text,) = hints(report)
    assert text.startswith("off by at most 3e-8 of the largest element everywhere in float64, by more than rounding")
    assert [[*option] for option in options(text)] == [["atol"], ["rtol"]]
    for stated in options(text):
        again = check(**stated)
        assert again and not again.counts["inexact"] and not hints(again)


STEPS, H = 40, 0.02


def rates(y, p):
    return jnp.stack([p[0] * y[0] - p[1] * y[0] * y[1], p[1] * y[0] * y[1] - p[0] * y[1]])


def euler(y, p):
    return jax.lax.scan(lambda y, _: (y + H * rates(y, p), None), y, None, length=STEPS)[0]


def adjoint(args, dy):
    """The adjoint equation, solved backwards along the solution, and its integral with respect to p."""
    y, p = args
    y, path = jax.lax.scan(lambda y, _: (y + H * rates(y, p), y), y, None, length=STEPS)

    def back(carry, y):
        a, dp = carry
        by_y, by_p = jax.vjp(rates, y, p)[1](a)
        return (a + H * by_y, dp + H * by_p), None

    return jax.lax.scan(back, (dy, 0 * p), path, reverse=True)[0]


def not_far_out(args, dy):
    """Right at ordinary sizes, and not where the solver is unstable."""
    y, p = args
    return tuple(jnp.where(H * jnp.abs(p).max() * jnp.abs(y).max() < 0.1, g, 2 * g) for g in adjoint(args, dy))


@pytest.mark.full
def test_a_gradient_that_is_right_up_to_a_size_suggests_a_domain_of_every_argument_that_was_larger():
    def check(backward, **stated):
        y, p = np.float32([1.1, 0.7]), np.float32([0.6, 0.8])
        return gradcheck.vjp(euler, backward, y, p, dtypes=("float32",), **stated)

    assert check(adjoint)
    report = check(not_far_out)
    assert not report
    (text,) = hints(report)
    (stated,) = options(text)
    assert [*stated["domain"]] == ["y", "p"]
    assert float(stated["domain"]["y"](9.0)) == 2 and float(stated["domain"]["p"](-9.0)) == -2
    assert check(not_far_out, **stated)


@pytest.mark.full
def test_a_gradient_that_is_wrong_at_ordinary_sizes_has_no_hint_of_a_domain():
    report = gradcheck.vjp(jnp.sin, lambda a, dy: (dy * (1 - a[0] ** 2 / 2),), X / 10, dtypes=("float32",))
    assert not report and not hints(report)
