"""Values and derivatives of every layer, loss and regularizer, and of JAX functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxnn
from jaxnn import graph
from jaxnn.graph.tracing.nodes import leaf_operations
from tests.helpers.graph_functions import FUNCTIONS, SQUARE, thrice
from tests.helpers.graph_oracle import check, equal
from tests.helpers.registry import LAYER_CASES, LOSS_CASES, REGULARIZER_CASES, name_of, normal, regularized_params

pytestmark = pytest.mark.usefixtures("quick_compilation")


# Without --full: of the layers, losses and regularizers, whose derivatives are proved without a graph too, each kind of
# operation; and of the JAX functions, those with composites and other special cases.
LAYERS = "relu dense_one_unit flatten".split()


LOSSES = ["softmax_cross_entropy"]


REGULARIZERS = ["elastic_net"]


SPECIAL = """vmapped stopped checkpointed captured custom_vjp custom_jvp branch switch scan_nested dropped repeated
    itself""".split()


def pytest_generate_tests(metafunc):
    cases = dict(layer=(LAYER_CASES, LAYERS), loss=(LOSS_CASES, LOSSES), regularizer=(REGULARIZER_CASES, REGULARIZERS))
    for kind, (every, names) in cases.items():
        if kind in metafunc.fixturenames:
            chosen = every if metafunc.config.getoption("--full") else [case for case in every if case.name in names]
            assert {case.name for case in every} >= set(names)
            metafunc.parametrize(kind, chosen, ids=name_of)
    if "function" in metafunc.fixturenames:
        metafunc.parametrize("function", FUNCTIONS if metafunc.config.getoption("--full") else SPECIAL)


def test_every_layer(layer):
    case, params, x, key = layer, layer.params(), layer.input(4), layer.key()

    def forward(params, x):
        return case.layer.forward(params, x, key)[0]

    dy = jax.tree.map(lambda y: normal(y.shape, y.dtype, 9), jax.eval_shape(forward, params, x))
    if not any(jnp.issubdtype(a.dtype, jnp.floating) for a in jax.tree.leaves((params, x))):
        # A layer of whole numbers without params has no derivative, and so no graph.
        with pytest.raises(ValueError, match="an argument must be floating"):
            graph.trace(forward, cotangent=dy)(params, x)
        return
    check(forward, params, x, cotangent=dy, tol=0.03 if case.inside == "bfloat16" else 1e-5)


@pytest.mark.full
def test_every_loss(loss):
    z, y = loss.make(4, jnp.float32)

    def total(z, y):
        return jax.tree.reduce(jnp.add, jax.tree.map(jnp.sum, loss.loss.value(z, y)))

    check(total, z, y)


@pytest.mark.full
def test_every_regularizer(regularizer):
    check(lambda params: regularizer.regularizer.value(params) + 0.5 * params[2]["W"].sum(), regularized_params())


@pytest.mark.full
def test_a_network_with_its_cost(full):
    model = jaxnn.mlp((5, 4, 1) if full else (5, 1), "tanh")
    objective = jaxnn.objective(model.network, model.loss, jaxnn.l2(0.1))
    batch = jaxnn.Batch(normal((6, 5)), np.arange(6) % 2)
    check(lambda params, batch: objective.value(params, batch)[0], model.init(jax.random.key(0)), batch)


@pytest.mark.representatives("branch", "scan_nested", "custom_vjp", "captured", "itself", "stopped")
def test_jax_functions(function):
    tol = 0.03 if function == "halves" else 2e-4 if function in ("svd", "inv", "solve", "det", "expm") else 1e-5
    check(FUNCTIONS[function], normal((3, 3), seed=1), tol=tol)


def test_an_output_that_is_returned_twice_has_both_cotangents():
    g = graph.trace(lambda x: (lambda y: (y, y, x))(x * 2), cotangent=(1.0, 10.0, 100.0))(1.0)
    assert [node.derivative for node in g.nodes] == [122.0, 11.0]


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit, jax.vmap])
def test_the_derivative_of_an_unused_variable_is_zero(transform):
    """In the value's shape and dtype, in composites too."""

    def f(x):
        graph.name(jnp.sin(x), "unused")
        return x * 2

    g = graph.trace(lambda x: transform(f)(x).sum())(normal((3,)))
    np.testing.assert_array_equal(g["unused"].derivative, np.zeros(3, np.float32), strict=True)
    assert all(node.derivative is not None for row in g.expand(9).rows if (node := row.node))


def test_in_the_body_of_a_rule_derivatives_are_the_plain_functions():
    g = graph.trace(lambda x: thrice(x))(0.5)
    body = {row.node.name: row.node for row in g.expand(1).rows if row.node is not None}
    assert body["output.1"].value.item() == np.sin(np.float32(0.5))
    assert body["output.1"].derivative.item() == 2  # of 2 sin(x) with respect to sin(x)
    assert g["x"].derivative.item() == 1.5  # 3 x, by the rule


@jax.custom_vjp
def counted(x):
    return x * lax.while_loop(lambda c: c < 100.0, lambda c: c * 2, jnp.abs(x) + 1)


counted.defvjp(lambda x: (counted(x), x), lambda x, dy: (7 * dy,))


def test_custom_rule_body_without_plain_derivative_has_no_derivatives():
    """`None`, not zero: the loop has too many steps to be unrolled."""
    g = graph.trace(counted, limit=3)(0.5)
    assert g["x"].derivative == 7
    results = [out for step in leaf_operations(g.operations) for out in step.outputs if out not in g.outputs]
    assert len(results) > 2
    assert all(node.inexact and node.derivative is None for node in results)


def test_local_derivatives_are_diagonal_or_omitted():
    x = normal((4,))
    g = graph.trace(lambda x: jnp.sin(jax.nn.sigmoid(x) * x).sum())(x)
    local = [e.local for e in g.edges]
    s = 1 / (1 + np.exp(-np.asarray(x)))
    expected = [s * (1 - s), np.asarray(x), s, np.cos(s * x), None]
    for found, wanted in zip(local, expected, strict=True):
        assert (found is None) == (wanted is None)
        if wanted is not None:
            equal(found, wanted)


@pytest.mark.parametrize("f", [jnp.cumsum, jnp.sort, jnp.flip, jnp.fft.fft, lambda x: SQUARE @ x])
def test_operations_between_elements_have_no_local_derivative(f):
    """Although their shapes are those of an elementwise operation."""
    g = graph.trace(lambda x: f(x).real.sum())(normal((3,)))
    assert [edge.local for edge in g.edges if edge.source.name == "x"] == [None]
