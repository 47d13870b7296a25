"""The likely line of a network with a wrong layer inside: a line of that layer, not of those that its error reaches."""

import inspect
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import jaxnn
from jaxnn import gradcheck, nn

pytestmark = pytest.mark.usefixtures("quick_compilation")


@jaxnn.factory
def gate(wrong=""):
    def init(key, in_shape):
        return {"a": jnp.ones(in_shape), "b": jnp.zeros(in_shape)}, in_shape

    def forward(params, x, key=None):
        z = params["a"][None] * x + params["b"][None]
        return x * jax.nn.softplus(z), (x, z)

    def backward(params, cache, dy):
        x, z = cache
        dz = dy * x * jax.nn.sigmoid(z)
        through_z = jnp.zeros_like(z) if wrong == "dx" else dz * params["a"][None]
        dx = dy * jax.nn.softplus(z) + through_z
        da = (dz * (1 if wrong == "da" else x)).sum(0)
        db = dz.sum(0) * (-1 if wrong == "db" else 1)
        return {"a": da, "b": db}, dx

    return jaxnn.Layer(init, forward, backward)


def line_of(name):
    """Return the line above that computes an array, as a report has it."""
    lines, start = inspect.getsourcelines(inspect.unwrap(gate))
    number = next(
        i for i, line in enumerate(lines) if line.strip().startswith(f"{name} = (" if name == "da" else f"{name} =")
    )
    return f"{Path(__file__).name}:{start + number}: {lines[number].strip()}"


NETWORKS = {
    "chain": (lambda layer: jaxnn.chain(jaxnn.dense(4), layer, jaxnn.dense(3)), "[1]"),
    "inside": (
        lambda layer: jaxnn.chain(jaxnn.dense(4), nn.residual(jaxnn.chain(jaxnn.tanh(), layer)), jaxnn.dense(3)),
        "[1][1]",
    ),
    "repeat": (lambda layer: jaxnn.chain(nn.repeat(jaxnn.chain(jaxnn.dense(4), layer), 2), jaxnn.dense(3)), "[0][1]"),
    "twice": (lambda layer: jaxnn.chain(gate(), jaxnn.dense(4), layer), "[2]"),
}


@pytest.mark.representatives("chain-dx")
@pytest.mark.parametrize("wrong", ["dx", "da", "db"])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_line_is_of_the_wrong_layer(network, wrong):
    make, path = NETWORKS[network]
    report = gradcheck.layer(make(gate(wrong)), (4,), fast=True)
    assert not report
    assert report.line == f"{line_of(wrong)} (the layer of params{path})"


def test_of_a_layer_alone_it_is_the_line_of_the_worst_gradient():
    assert gradcheck.layer(gate("dx"), (4,), fast=True).line == line_of("dx")


def test_of_a_right_network_there_is_no_line():
    report = gradcheck.layer(NETWORKS["chain"][0](gate()), (4,), fast=True)
    assert report
    assert not report.line
