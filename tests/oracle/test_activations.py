"""The oracle's graph and activations against decimals of 60 digits and difference quotients."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from tests.helpers.oracle import activations
from tests.helpers.oracle.differences import central, complex_step
from tests.helpers.oracle_cases import BY_DIFFERENCES, EXACT, POINTS, SPECS, assert_same


def test_graph_of_the_notes():
    """J = 3(a + bc) at a = 5, b = 3, c = 2: u = bc, v = a + u, J = 3v, then right to left."""
    a, b, c = 5.0, 3.0, 2.0
    u = b * c
    v = a + u
    J = 3 * v
    dv = 3.0
    da, du = dv * 1, dv * 1
    db, dc = du * c, du * b
    assert (u, v, J) == (6, 11, 33)
    assert (dv, da, du, db, dc) == (3, 3, 3, 6, 9)
    by_numbers = complex_step(lambda a, b, c: 3 * (a + b * c), (a, b, c), (0, 1, 2))
    assert_same(by_numbers, [np.array(da), np.array(db), np.array(dc)], **EXACT)


def test_graph_of_the_logistic_unit():
    """Node by node (*, +, negation, exp, +1, 1/x), the slope at w . x is sigma'(z), passed on by the products."""
    w, x = np.array([2.0, -3.0, -3.0]), np.array([-1.0, -2.0])
    z = w[0] * x[0] + w[1] * x[1] + w[2]
    exponential = math.exp(-z)
    below = 1 + exponential
    d_below = -1 / below**2
    dz = -(exponential * d_below)
    np.testing.assert_allclose(1 / below, activations.sigmoid(z), **EXACT)
    np.testing.assert_allclose(dz, activations.d_sigmoid(z), **EXACT)

    def unit(w, x):
        return activations.sigmoid(w[0] * x[0] + w[1] * x[1] + w[2])

    expected = [dz * np.array([x[0], x[1], 1.0]), dz * w[:2]]
    assert_same(complex_step(unit, (w, x), (0, 1)), expected, **EXACT)


@pytest.mark.parametrize(("differentiate", "tolerance"), [(complex_step, EXACT), (central, BY_DIFFERENCES)])
def test_differences_find_known_slopes(differentiate, tolerance):
    """f(a) = 3a has slope 3 and a^2 has slope 4, at a = 2; f = (x + y) z has slopes z, z, x + y."""
    np.testing.assert_allclose(differentiate(lambda a: 3 * a, (2.0,), (0,))[0], 3, **tolerance)
    np.testing.assert_allclose(differentiate(lambda a: a**2, (2.0,), (0,))[0], 4, **tolerance)
    slopes = differentiate(lambda x, y, z: (x + y) * z, (-2.0, 5.0, -4.0), (0, 1, 2))
    np.testing.assert_allclose(slopes, [-4, -4, 3], **tolerance)


def decimal_value(name, number):
    """g(number) in 60-digit decimals, each from its definition."""
    with localcontext() as context:
        context.prec = 60
        z = Decimal(float(number))
        pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
        up, down = z.exp(), (-z).exp()
        if name == "gelu":
            return float(z / 2 * (1 + decimal_erf(z / Decimal(2).sqrt(), pi)))
        u = (2 / pi).sqrt() * (z + Decimal("0.044715") * z**3)
        by_name = {
            "identity": lambda: z,
            "sigmoid": lambda: 1 / (1 + down),
            "tanh": lambda: (up - down) / (up + down),
            "relu": lambda: max(Decimal(0), z),
            "leaky_relu": lambda: max(z / 100, z),
            "softplus": lambda: (1 + up).ln(),
            "silu": lambda: z / (1 + down),
            "gelu_tanh": lambda: z / 2 * (1 + (u.exp() - (-u).exp()) / (u.exp() + (-u).exp())),
            "elu": lambda: z if z > 0 else up - 1,
        }
        return float(by_name[name]())


def decimal_erf(x, pi):
    """erf(x) = 2/sqrt(pi) sum_n (-1)^n x^(2n + 1) / (n! (2n + 1)), by enough terms for |x| < 4."""
    total, power = Decimal(0), x
    for n in range(120):
        total += power / (2 * n + 1)
        power *= -x * x / (n + 1)
    return 2 / pi.sqrt() * total


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_activation_values(name):
    points = POINTS[np.abs(POINTS) <= (4 if name in ("gelu", "gelu_tanh") else 30)]
    expected = [decimal_value(name, z) for z in points]
    np.testing.assert_allclose(activations.lookup(name).g(points), expected, rtol=3e-15)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_activation_slopes(spec):
    """Away from the kinks, to the last digits by complex steps; gelu, whose erfc is real, by central differences."""
    g, dg = activations.lookup(spec)
    if spec == "gelu":
        points = np.linspace(-6, 6, 41)
        expected = [central(g, (z,), (0,))[0] for z in points]
        np.testing.assert_allclose(dg(points), expected, **BY_DIFFERENCES)
    else:
        expected = [complex_step(g, (z,), (0,))[0] for z in POINTS]
        np.testing.assert_allclose(dg(POINTS), expected, rtol=1e-13)


def test_activation_numbers_of_the_notes():
    assert activations.d_sigmoid(0.0) == 0.25
    assert activations.d_tanh(0.0) == 1.0
    assert np.all(activations.d_sigmoid([-10.0, 10.0]) < 5e-5)
    assert np.all(activations.d_tanh([-10.0, 10.0]) < 1e-8)
    a = activations.sigmoid(POINTS)
    np.testing.assert_allclose(activations.d_sigmoid(POINTS), a * (1 - a), **EXACT)
    np.testing.assert_allclose(activations.d_tanh(POINTS), 1 - np.tanh(POINTS) ** 2, **EXACT)


def test_slopes_at_the_kinks():
    assert activations.d_relu(0.0) == 0
    assert activations.d_leaky_relu(0.0) == 1
    assert activations.d_leaky_relu(0.0, slope=0.2) == 1
    assert activations.d_elu(0.0, alpha=0.7) == 0.7


def test_gelu_is_the_erf_form():
    erf = np.vectorize(math.erf, otypes=[float])
    np.testing.assert_allclose(activations.gelu(POINTS), POINTS / 2 * (1 + erf(POINTS / math.sqrt(2))), atol=1e-14)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_activations_far_from_zero(spec):
    """At |z| = 1e4 each is its asymptote, finite, and so is its slope; warnings are errors while this runs."""
    g, dg = activations.lookup(spec)
    name, parameter = (spec, {"leaky_relu": 0.01, "elu": 1.0}.get(spec)) if isinstance(spec, str) else spec
    below, above = {
        "identity": (-1e4, 1e4),
        "sigmoid": (0, 1),
        "tanh": (-1, 1),
        "leaky_relu": (-1e4 * (parameter or 0), 1e4),
        "elu": (-(parameter or 0), 1e4),
    }.get(name, (0, 1e4))
    d_below, d_above = {"identity": (1, 1), "sigmoid": (0, 0), "tanh": (0, 0), "leaky_relu": (parameter, 1)}.get(
        name, (0, 1)
    )
    np.testing.assert_array_equal(g(np.array([-1e4, 1e4])), [below, above])
    np.testing.assert_array_equal(dg(np.array([-1e4, 1e4])), [d_below, d_above])


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_activations_keep_shapes_and_give_float64(spec):
    for shape in [(), (3,), (2, 3), (0, 4)]:
        for function in activations.lookup(spec):
            result = function(np.zeros(shape, dtype=np.float32))
            assert (result.shape, result.dtype) == (shape, np.float64)
