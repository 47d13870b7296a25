"""The hints for a wrong gradient without a name: the option to state, if it is meant."""

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
