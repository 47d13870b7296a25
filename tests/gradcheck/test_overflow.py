"""Points and precisions that the checker chose, in which f itself overflows: nothing is wrong with a gradient there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import gradcheck
from jaxnn.gradcheck.examination import NOT_FINITE

pytestmark = pytest.mark.usefixtures("quick_compilation")

X = np.float32([0.5, -1.0, 2.0])


def lorentzian(x):
    return x / (1 + x * x)


def lorentzian_backward(args, dy):
    (x,) = args
    return (dy * (1 - x * x) / (1 + x * x) ** 2,)


def softsign(x):
    return x / (1 + jnp.abs(x))


def softsign_backward(args, dy):
    size = 1 + jnp.abs(args[0])
    return (dy * size**2 / size**4,)  # ∞ / ∞ in float16, where f has no number above 1e4


def by_point(report, dtype="float16"):
    return {row.test_point: row.status for row in report.rows if row.test_point.endswith(dtype)}


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid:RuntimeWarning")
@pytest.mark.full
def test_a_gradient_that_overflows_in_half_precision_where_f_does_is_noted():
    far = np.float16(1e4)
    assert lorentzian(far) == 0 and np.isnan(lorentzian_backward((far,), np.float16(1))[0])
    report = gradcheck.vjp(lorentzian, lorentzian_backward, X, dtypes=("float16",))
    assert report
    assert [row.test_point for row in report.rows if row.text == NOT_FINITE] == ["at ±1e4, float16"]


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid:RuntimeWarning")
def test_a_gradient_that_overflows_where_f_does_not_is_wrong():
    far = np.float16(1e4)
    assert softsign(far) == 1 and np.isnan(softsign_backward((far,), np.float16(1))[0])
    report = gradcheck.vjp(softsign, softsign_backward, X, dtypes=("float16",))
    assert not report and by_point(report)["at ±1e4, float16"] == "fail"


@pytest.mark.full
def test_an_overflow_of_f_hides_no_other_mistake():
    report = gradcheck.vjp(lorentzian, lambda a, dy: (2 * lorentzian_backward(a, dy)[0],), X, dtypes=("float16",))
    assert not report and by_point(report)["at ±1e4, float16"] == "skip"


def test_an_overflow_at_given_arguments_in_the_given_precision_is_wrong():
    far = np.float16([300, 1, 2])
    report = gradcheck.vjp(lorentzian, lorentzian_backward, far, dtypes=("float16",), fast=True)
    assert not report and by_point(report)["given, float16"] == "fail"
    wide = gradcheck.vjp(lorentzian, lorentzian_backward, far.astype(np.float32), dtypes=("float16",), fast=True)
    assert wide and by_point(wide)["given, float16"] == "note"


@pytest.mark.full
def test_an_infinity_that_f_is_meant_to_have_is_no_overflow():
    mask = np.array([True, True, False])

    def weights(x):
        return jax.nn.softmax(jnp.where(mask, x, -jnp.inf))

    def backward(a, dy):
        p = weights(a[0])
        size = jnp.exp(a[0])  # ∞ at 20 in float16 alone
        return (p * (dy - (dy * p).sum()) * size / size,)

    report = gradcheck.vjp(weights, backward, X, dtypes=("float16",))
    assert not report and by_point(report)["scaled by 10, float16"] == "fail"
