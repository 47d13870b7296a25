"""Values and derivatives of every layer, loss and regularizer, and of functions of others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxnn
from jaxnn import graph
from jaxnn.graph.tracing.nodes import flat
from tests.graph.test_nonfinite import kept_in, safe_root
from tests.helpers.graph_oracle import check, equal, same_but_twice, thrice
from tests.helpers.registry import LAYER_CASES, LOSS_CASES, REGULARIZER_CASES, name_of, normal, regularized_params

pytestmark = pytest.mark.usefixtures("quick_compilation")


# Without --full: each layer, loss and regularizer once, not with each initializer, slope and form of labels; and of the
# functions of others, those with boxes and whatever else is special.
LAYERS = """identity sigmoid tanh relu leaky_relu softplus silu gelu elu dense_one_unit dropout flatten stateless chain
    repeat_dropout residual remat mask_units with_dtype_bfloat16 nested mlp mlp_scanned""".split()


LOSSES = """sigmoid_cross_entropy binary_cross_entropy softmax_cross_entropy softmax_cross_entropy_smoothed
    squared_error""".split()


REGULARIZERS = "no_regularizer l2 l1 elastic_net".split()


SPECIAL = """softmax fft vmapped stopped checkpointed jitted captured custom_vjp custom_jvp branch switch scan
    scan_reverse scan_nested dropped repeated halves itself""".split()


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

    y = jax.eval_shape(forward, params, x)
    check(forward, params, x, cotangent=normal(y.shape, y.dtype, 9), tol=0.03 if case.inside == "bfloat16" else 1e-5)


def test_every_loss(loss):
    z, y = loss.make(4, jnp.float32)
    check(lambda z, y: loss.loss.value(z, y).sum(), z, y)


def test_every_penalty(regularizer):
    check(lambda params: regularizer.regularizer.value(params) + 0.5 * params[2]["W"].sum(), regularized_params())


def test_a_network_with_its_cost(full):
    model = jaxnn.mlp((5, 4, 1) if full else (5, 1), "tanh")
    objective = jaxnn.objective(model.network, model.loss, jaxnn.l2(0.1))
    batch = jaxnn.Batch(normal((6, 5)), np.arange(6) % 2)
    check(objective.value, model.init(jax.random.key(0)), batch, None)


thrice.defvjp(lambda x: (2 * jnp.sin(x), x), lambda x, dy: (3 * dy * x,))


@same_but_twice.defjvp
def _(primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    return same_but_twice(x, y), (2 * dx, 3 * dx, dy * 5)


def _scan(h, xs):
    h, ys = lax.scan(lambda h, x: (jnp.tanh(h * x + 0.5), h * h), h, xs)
    return h.sum() + (ys * xs[:, :1]).sum()


SQUARE = normal((3, 3)) + 3 * jnp.eye(3)


FUNCTIONS = dict(
    softmax=lambda x: jnp.sin(jax.nn.softmax(x)).sum(),
    log_softmax=lambda x: jax.nn.log_softmax(x)[0, 1],
    logsumexp=lambda x: jax.nn.logsumexp(x, axis=0).prod(),
    selu=lambda x: jax.nn.selu(x).sum(),
    relu6=lambda x: (jax.nn.relu6(x) ** 2).sum(),
    glu=lambda x: jax.nn.glu(x[:2, :2]).sum(),
    standardize=lambda x: (jax.nn.standardize(x) ** 3).sum(),
    solve=lambda x: jnp.linalg.solve(x + SQUARE, x).sum(),
    det=lambda x: jnp.linalg.det(x + SQUARE),
    inv=lambda x: jnp.linalg.inv(x + SQUARE).sum(),
    norm=lambda x: jnp.linalg.norm(x),
    svd=lambda x: jnp.linalg.svd(x, compute_uv=False).max(),
    fft=lambda x: (jnp.abs(jnp.fft.fft(x)) ** 2)[:, 1].sum(),
    sort=lambda x: (jnp.sort(x, axis=0) * jnp.arange(3.0)[:, None]).sum(),
    cumulated=lambda x: jnp.cumsum(jnp.cumprod(x, 0), 1).sum(),
    top_k=lambda x: lax.top_k(x, 2)[0].prod(),
    taken=lambda x: x[jnp.array([0, 2, 0])].prod(),
    put=lambda x: x.at[1, :2].mul(x[0, :2]).prod(),
    einsum=lambda x: jnp.einsum("ij,jk,lk->il", x, x, x).trace(),
    where=lambda x: jnp.where(x > 0, x**2, jnp.exp(x)).sum(),
    maximum=lambda x: jnp.maximum(x, x.T).sum(),
    median=lambda x: jnp.median(x),
    convolution=lambda x: (lax.conv_general_dilated(x[None, None], x[None, None, :2, :2], (1, 1), "SAME") ** 2).sum(),
    pooled=lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (1, 1), "VALID").prod(),
    vmapped=lambda x: jax.vmap(lambda row: thrice(row) @ row)(x).sum(),
    stopped=lambda x: (lax.stop_gradient(x) * x).sum(),
    powers=lambda x: (jnp.abs(x) ** x).sum() + (x**3).sum() + (2.0**x).sum(),
    checkpointed=lambda x: jax.checkpoint(lambda x: jnp.sin(x).prod())(x) ** 2,
    jitted=lambda x: jax.jit(lambda x, y: (x * y, x, y))(x, x.T)[0].sum() + jax.jit(lambda x: x)(x)[0, 0],
    captured=lambda x: jax.jit(lambda x: x * np.arange(9.0).reshape(3, 3))(x).sum() ** 2,
    expm=lambda x: jax.scipy.linalg.expm(x / 5).sum(),
    custom_vjp=lambda x: (thrice(x) * thrice(2 * x)).sum(),
    custom_jvp=lambda x: sum((i + 1.0) * y.sum() for i, y in enumerate(same_but_twice(x, x.T))),
    branch=lambda x: lax.cond(x.sum() > 0, lambda x: x**2, lambda x: jnp.sin(x), x).sum(),
    switch=lambda x: lax.switch(2, [jnp.sin, jnp.cos, jnp.exp], x).sum(),
    scan=lambda x: _scan(x[0], x),
    scan_reverse=lambda x: (lax.scan(lambda c, t: (c + t**2, c * t), x[0], x, reverse=True)[1] ** 2).sum(),
    scan_nested=lambda x: lax.fori_loop(0, 3, lambda i, c: lax.fori_loop(0, 2, lambda j, c: c * x + i, c), x).sum(),
    mapped=lambda x: lax.map(lambda row: jnp.outer(row, row), x).prod(),
    associative=lambda x: lax.associative_scan(jnp.multiply, x).sum(),
    dropped=lambda x: (jax.random.bernoulli(jax.random.key(0), 0.5, x.shape) * x).sum(),
    grad_of_grad=lambda x: (jax.grad(lambda x: jnp.tanh(x).prod())(x) ** 2).sum(),
    repeated=lambda x: x[0, 0] * x[0, 0] + x[0, 0],
    halves=lambda x: (x.astype("bfloat16") * 2).astype("float32").sum(),
    itself=lambda x: x[0, 0],
)  # fmt: skip


def test_functions_of_others(function):
    tol = 0.03 if function == "halves" else 2e-4 if function in ("svd", "inv", "solve", "det", "expm") else 1e-5
    check(FUNCTIONS[function], normal((3, 3), seed=1), tol=tol)


def test_an_output_that_is_handed_back_twice_has_both_cotangents():
    g = graph.trace(lambda x: (lambda y: (y, y, x))(x * 2), cotangent=(1.0, 10.0, 100.0))(1.0)
    assert [node.derivative for node in g.nodes] == [122.0, 11.0]


@pytest.mark.parametrize("boxed", [lambda f: f, jax.jit, jax.vmap])
def test_what_nothing_is_made_of_has_the_derivative_zero(boxed):
    """Of the values' shape and dtype, in boxes too."""

    def f(x):
        graph.name(jnp.sin(x), "unused")
        return x * 2

    g = graph.trace(lambda x: boxed(f)(x).sum())(normal((3,)))
    np.testing.assert_array_equal(g["unused"].derivative, np.zeros(3, np.float32), strict=True)
    assert all(node.derivative is not None for row in g.opened(9)._rows() if (node := row.node))


def test_inside_a_rule_the_plain_function_is_shown_and_the_rule_counts():
    g = graph.trace(lambda x: thrice(x))(0.5)
    inside = {row.node.name: row.node for row in g.opened(1)._rows() if row.node is not None}
    assert inside["output.1"].value.item() == np.sin(np.float32(0.5))
    assert inside["output.1"].derivative.item() == 2  # of 2 sin(x) by sin(x)
    assert g["x"].derivative.item() == 1.5  # 3 x, as the rule says


@jax.custom_vjp
def counted(x):
    return x * lax.while_loop(lambda c: c < 100.0, lambda c: c * 2, jnp.abs(x) + 1)


counted.defvjp(lambda x: (counted(x), x), lambda x, dy: (7 * dy,))


def test_inside_a_rule_whose_plain_function_has_no_derivative_there_is_none():
    """Not zero: the loop has too many steps for one."""
    g = graph.trace(counted, limit=3)(0.5)
    assert g["x"].derivative == 7
    made = [out for step in flat(g.operations) for out in step.outputs if out not in g.outputs]
    assert len(made) > 2
    assert all(node.inexact and node.derivative is None for node in made)


def test_local_derivatives_are_diagonal_or_left_out():
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
    """Though their shapes are those of an operation on each element."""
    g = graph.trace(lambda x: f(x).real.sum())(normal((3,)))
    assert [edge.local for edge in g.edges if edge.source.name == "x"] == [None]


safe_root.defvjp(lambda x: (jnp.sqrt(x), x), lambda x, dy: (jnp.where(x > 0, dy / jnp.sqrt(x + 1e-9) / 2, 0.0),))


kept_in.defvjp(lambda x: (kept_in(x), x), lambda x, dy: (jnp.where(x > 0, dy / jnp.where(x > 0, x, 1.0), 0.0),))
