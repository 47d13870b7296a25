"""The graphs of the notes, number by number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import graph
from tests.helpers.graph_functions import J

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_the_notes_graph():
    g = graph.trace(J)(5.0, 3.0, 2.0)
    values = {node.name: (node.value.item(), node.derivative.item()) for node in g.nodes}
    assert values == dict(a=(5, 3), b=(3, 6), c=(2, 9), u=(6, 3), v=(11, 3), J=(33, 1))
    local = {(e.source.name, e.target.name): e.local.item() for e in g.edges}
    assert local == {("b", "u"): 2, ("c", "u"): 3, ("a", "v"): 1, ("u", "v"): 1, ("v", "J"): 3}


def test_the_notes_second_graph():
    """f(x, y, z) = (x + y) z at (-2, 5, -4): df/dx = df/dy = -4, df/dz = 3."""
    g = graph.trace(lambda x, y, z: graph.name(x + y, "q") * z)(-2.0, 5.0, -4.0)
    assert [node.derivative.item() for node in g.nodes] == [-4, -4, 3, -4, 1]
    assert [node.value.item() for node in g.nodes] == [-2, 5, -4, 3, -12]


def test_the_notes_logistic_unit():
    """1/(1 + exp(-(w0 x0 + w1 x1 + w2))), each step with the hand-derived derivative of the notes."""
    w, x = np.array([2.0, -3.0, -3.0]), np.array([-1.0, -2.0])

    def f(w0, x0, w1, x1, w2):
        z = graph.name(w0 * x0 + w1 * x1 + w2, "z")
        e = graph.name(jnp.exp(graph.name(-z, "minus_z")), "e")
        return 1 / graph.name(1 + e, "s")

    with jax.enable_x64(True):
        g = graph.trace(f)(w[0], x[0], w[1], x[1], w[2])
    e = np.exp(-1.0)
    s = 1 + e
    a = 1 / s
    expected = dict(s=-1 / s**2, e=-1 / s**2, minus_z=-e / s**2, z=a * (1 - a), w0=-a * (1 - a), x1=-3 * a * (1 - a))
    for name, derivative in expected.items():
        np.testing.assert_allclose(g[name].derivative, derivative, rtol=1e-14)
    np.testing.assert_allclose(g["f"].value, a, rtol=1e-15)


def test_the_notes_logistic_regression():
    """Two features: da = -y/a + (1-y)/(1-a), dz = a - y, dw1 = x1 dz, dw2 = x2 dz, db = dz."""

    def loss(w1, x1, w2, x2, b, y):
        z = graph.name(w1 * x1 + w2 * x2 + b, "z")
        a = graph.name(jax.nn.sigmoid(z), "a")
        return -(y * jnp.log(a) + (1 - y) * jnp.log(1 - a))

    w1, x1, w2, x2, b, y = 0.5, 1.0, -0.25, 2.0, 0.1, 1.0
    with jax.enable_x64(True):
        g = graph.trace(loss)(w1, x1, w2, x2, b, y)
    a = 1 / (1 + np.exp(-(w1 * x1 + w2 * x2 + b)))
    dz = a - y
    expected = dict(a=-y / a + (1 - y) / (1 - a), z=dz, w1=x1 * dz, w2=x2 * dz, b=dz, x1=w1 * dz, x2=w2 * dz)
    for name, derivative in expected.items():
        np.testing.assert_allclose(g[name].derivative, derivative, rtol=1e-14)
    np.testing.assert_allclose(g["a"].value, a, rtol=1e-15)
    np.testing.assert_allclose(g["loss"].value, -np.log(a), rtol=1e-15)


@pytest.mark.full
def test_the_notes_two_layer_network():
    """dz2 = (a2 - y)/m, dW2 = dz2ᵀ a1, dz1 = dz2 W2 (1 - a1²), dW1 = dz1ᵀ x, in NumPy."""
    rng = np.random.default_rng(0)
    x, y, W1, b1 = rng.normal(size=(6, 3)), rng.integers(0, 2, (6, 1)), rng.normal(size=(4, 3)), rng.normal(size=4)
    W2, b2 = rng.normal(size=(1, 4)), rng.normal(size=1)

    def cost(W1, b1, W2, b2, x, y):
        a1 = graph.name(jnp.tanh(graph.name(x @ W1.T + b1[None], "z1")), "a1")
        z2 = graph.name(a1 @ W2.T + b2[None], "z2")
        return (jnp.logaddexp(0, z2) - y * z2).mean()

    with jax.enable_x64(True):
        g = graph.trace(cost)(W1, b1, W2, b2, x, y)
    a1 = np.tanh(x @ W1.T + b1)
    dz2 = (1 / (1 + np.exp(-(a1 @ W2.T + b2))) - y) / 6
    dz1 = (dz2 @ W2) * (1 - a1**2)
    expected = dict(z2=dz2, W2=dz2.T @ a1, b2=dz2.sum(0), a1=dz2 @ W2, z1=dz1, W1=dz1.T @ x, b1=dz1.sum(0), x=dz1 @ W1)
    for name, derivative in expected.items():
        np.testing.assert_allclose(g[name].derivative, derivative, rtol=1e-12, atol=1e-14)
    assert g["y"].derivative is None
