"""Computation graphs: values and derivatives against autodiff of the function cut at every node, and the notes."""

import functools
import sys
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend import core
from registry import LAYER_CASES, LOSS_CASES, PENALTY_CASES, name_of, normal, penalised_params

import jaxnn as nn
from jaxnn import graph
from jaxnn.graph.rendering.boxes import bars
from jaxnn.graph.rendering.levels import Item, level
from jaxnn.graph.tracing.formulas import short
from jaxnn.graph.tracing.nodes import flat

pytestmark = pytest.mark.usefixtures("quick_compilation")


ENTERED = {"jit", "remat2", "checkpoint", "closed_call"}


def run(closed, args, added):
    """The outputs of a jaxpr, and what each equation gave, `added[i]` added to what the i-th equation gives.

    The oracle: it knows nothing of the graph, and autodiff by `added` is that of the function cut there.
    """
    made = []

    def walk(closed, args):
        values = dict(zip(closed.jaxpr.invars, args, strict=True))
        values.update(zip(closed.jaxpr.constvars, closed.consts, strict=True))

        def read(v):
            return v.val if isinstance(v, core.Literal) else values[v]

        for equation in closed.jaxpr.eqns:
            inputs, primitive = [read(v) for v in equation.invars], equation.primitive
            if primitive.name in ENTERED:
                inner = equation.params["jaxpr"]
                outputs = walk(inner if isinstance(inner, core.ClosedJaxpr) else core.ClosedJaxpr(inner, ()), inputs)
            else:
                outputs = primitive.bind(*inputs, **primitive.get_bind_params(equation.params))
                outputs = list(outputs) if primitive.multiple_results else [outputs]
                for i, out in enumerate(outputs):
                    if added is not None and jnp.issubdtype(out.dtype, jnp.inexact):
                        outputs[i] = out + added[len(made)]
                    made.append((primitive, outputs[i]))
            values.update(zip(equation.outvars, outputs, strict=True))
        return [read(v) for v in closed.jaxpr.outvars]

    return walk(closed, args), made


def cut_everywhere(f, args, cotangent):
    """For every primitive in turn, its outputs' values, and autodiff of the function cut there; by arguments too."""
    leaves, tree = jax.tree.flatten(args)
    closed = jax.make_jaxpr(lambda *leaves: f(*jax.tree.unflatten(tree, leaves)))(*leaves)
    primitives = []

    def values(*leaves):
        made = run(closed, leaves, None)[1]
        primitives.extend(primitive for primitive, _ in made)
        return [value for _, value in made]

    made = jax.eval_shape(values, *leaves)
    floating = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)]

    def scalar(added, chosen):
        full = list(leaves)
        for i, leaf in zip(floating, chosen, strict=True):
            full[i] = leaf
        outputs, made = run(closed, full, added)
        given = jax.tree.leaves(cotangent)
        total = sum((out * ct).sum() for out, ct in zip(outputs, given, strict=True) if ct is not None)
        return total.real, [value for _, value in made]

    inexact = (jnp.issubdtype(value.dtype, jnp.inexact) for value in made)
    added = [np.zeros(value.shape, value.dtype) if ok else 0.0 for value, ok in zip(made, inexact, strict=True)]
    grad = jax.jit(jax.grad(scalar, (0, 1), has_aux=True))
    (by_added, by_leaf), found = grad(added, [jnp.asarray(leaves[i]) for i in floating])
    return [*zip(primitives, found, strict=True)], by_added, dict(zip(floating, by_leaf, strict=True))


def wide(a):
    array = np.asarray(a)
    return array.astype(complex if array.dtype.kind == "c" else float)


def equal(a, b, tol=1e-5):
    a, b = wide(a), wide(b)
    np.testing.assert_allclose(a, b, rtol=tol, atol=tol * max(1.0, float(np.abs(b).max(initial=0.0))))


def check(f, *args, cotangent=None, tol=1e-5):
    """Every value and every derivative of the graph is the oracle's; the graph."""
    g = graph.trace(f, cotangent=cotangent)(*args)
    expected = jax.tree.leaves(f(*args))
    for node, out in zip(g.outputs, expected, strict=True):
        assert node.shape == out.shape
        assert node.dtype == out.dtype
        equal(node.value, out, tol)
    made, by_added, by_leaf = cut_everywhere(f, args, 1.0 if cotangent is None else cotangent)
    for i, node in enumerate(g.arguments):
        assert (node.derivative is None) == (i not in by_leaf)
        if i in by_leaf:
            equal(node.derivative, by_leaf[i], tol)
    # What was folded into constants is not among the graph's operations; the others are, in the same order.
    found, compared = iter([*zip(made, by_added, strict=True)]), 0
    steps = [(op, out) for op in at_rules(g.operations) for out in op.outputs]
    for op, out in steps:
        derivative = next(by for (primitive, value), by in found if primitive is op.primitive and same(out, value, tol))
        if out.inexact:
            equal(out.derivative, derivative, tol)
            compared += 1
    assert compared or not steps
    return g


def same(node, value, tol):
    """Whether a node's value is this one, up to rounding."""
    if jnp.issubdtype(node.dtype, jax.dtypes.extended) or node.shape != np.shape(value):
        return node.shape == np.shape(value)
    a, b = wide(node.value), wide(value)
    return np.allclose(a, b, rtol=tol, atol=tol * max(1.0, float(np.abs(b).max(initial=0.0))), equal_nan=True)


def at_rules(operations):
    """The operations that the oracle sees: those of boxes without a rule, and loops, branches and rules as a whole."""
    for op in operations:
        if op.primitive.name in {*ENTERED, "vmap"}:  # of a vmap, the equations are all there is
            yield from at_rules(op.inside)
        else:
            yield op


def J(a, b, c):
    u = graph.name(b * c, "u")
    v = graph.name(a + u, "v")
    return 3 * v


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
    """1/(1 + exp(-(w0 x0 + w1 x1 + w2))), each step with the derivative that the notes give by hand."""
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


# Without --full: each layer, loss and penalty once, not with each initialiser, slope and form of labels too; and of the
# functions of others, those with boxes and whatever else is special.
LAYERS = """identity sigmoid tanh relu leaky_relu softplus silu gelu elu dense_one_unit dropout flatten stateless chain
    repeat_dropout residual recompute first_units with_dtype_bfloat16 nested mlp mlp_scanned""".split()
LOSSES = """sigmoid_cross_entropy binary_cross_entropy softmax_cross_entropy softmax_cross_entropy_smoothed
    squared_error""".split()
PENALTIES = "no_penalty l2 l1 elastic_net".split()
SPECIAL = """softmax fft vmapped stopped checkpointed jitted captured custom_vjp custom_jvp branch switch scan
    scan_reverse scan_nested dropped repeated halves itself""".split()


def pytest_generate_tests(metafunc):
    cases = dict(layer=(LAYER_CASES, LAYERS), loss=(LOSS_CASES, LOSSES), penalty=(PENALTY_CASES, PENALTIES))
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


def test_every_penalty(penalty):
    check(lambda params: penalty.penalty.value(params) + 0.5 * params[2]["W"].sum(), penalised_params())


def test_a_network_with_its_cost(full):
    model = nn.mlp((5, 4, 1) if full else (5, 1), "tanh")
    objective = nn.objective(model.network, model.loss, nn.l2(0.1))
    batch = nn.Batch(normal((6, 5)), np.arange(6) % 2)
    check(objective.value, model.init(jax.random.key(0)), batch, None)


@jax.custom_vjp
def thrice(x):
    return 2 * jnp.sin(x)


thrice.defvjp(lambda x: (2 * jnp.sin(x), x), lambda x, dy: (3 * dy * x,))


@jax.custom_jvp
def same_but_twice(x, y):
    return x, x, y


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


def test_scan_opens_into_its_steps():
    """A recurrence under `scan`, in a Python loop, and by hand: the same derivative by every state."""

    def step(h, x):
        return graph.name(jnp.tanh(0.5 * h + x), "h"), h

    def scanned(start, xs):
        return lax.scan(step, start, xs)[0]

    def looped(start, xs):
        h = start
        for i in range(4):
            h, _ = step(h, xs[i])
        return h

    xs = normal((4,))
    scan, loop = (graph.trace(f)(0.3, xs) for f in (scanned, looped))
    states = [0.3]
    for x in np.asarray(xs):
        states.append(np.tanh(0.5 * states[-1] + x))
    slope, slopes = 1.0, [1.0]
    for h in reversed(states[1:]):
        slope *= 0.5 * (1 - h**2)
        slopes.append(slope)
    for i, name in enumerate(["h", "h_2", "h_3", "h_4"]):
        for g in (scan, loop):
            equal(g[name].value, states[i + 1])
            equal(g[name].derivative, slopes[3 - i])
    equal(scan.arguments[0].derivative, slopes[4])
    assert [row.operation.name for row in scan.opened(1)._rows() if row.operation][:1] == ["scan"]
    assert sum(row.node is None for row in scan.opened(2)._rows()) == 5  # the scan and its four steps
    assert len(scan.nodes) < len(scan.opened(1).nodes) < len(scan.opened(2).nodes)


def test_an_output_that_is_handed_back_twice_has_both_cotangents():
    g = graph.trace(lambda x: (lambda y: (y, y, x))(x * 2), cotangent=(1.0, 10.0, 100.0))(1.0)
    assert [node.derivative for node in g.nodes] == [122.0, 11.0]


def test_while_has_the_derivative_of_the_steps_it_took():
    """JAX has none in reverse: x is doubled until it is 100, here 7 times."""

    def f(x):
        return lax.while_loop(lambda s: s[0] < 100, lambda s: (2 * s[0], s[1] + 1), (x, 0))[0] ** 2

    g = graph.trace(f)(1.0)
    assert g["x"].derivative.item() == 2 * 128 * 128
    with pytest.raises(ValueError, match="raise `limit`"):
        graph.trace(f, limit=5)(1.0)


def test_vmap_is_a_box_of_what_it_rewrote():
    """One in the other, in a scope, and under `jax.grad`; with the derivatives of the function without boxes."""

    def f(x, w):
        y = jax.vmap(lambda t: jnp.sin(t) * w)(x)
        with jax.named_scope("layer"):
            y = jnp.cos(y)
            y = jax.vmap(lambda t: jax.vmap(jnp.tanh)(t[None])[0] + t)(y)
        return jax.vmap(jax.grad(lambda t: t**3))(y).sum()

    x = normal((3,))
    g = graph.trace(f)(x, 2.0)
    assert [op.name for op in g.operations] == ["vmap", "cos", "vmap", "vmap", "reduce_sum"]
    assert [op.scope for op in g.operations] == ["", "layer", "layer", "", ""]
    equal(g["x"].derivative, jax.grad(f)(x, 2.0))
    equal(g["w"].derivative, jax.grad(f, 1)(x, 2.0))
    assert [node.name for node in g.nodes] == ["x", "w", "v1", "v2", "v3", "v4", "f"]
    nested = g.operations[2]
    assert [op.name for op in nested.inside] == ["broadcast_in_dim", "vmap", "squeeze", "add"]
    assert [node.name for node in nested.inputs] == ["v2"]
    equal(g["v3"].value, jnp.tanh(g["v2"].value) + g["v2"].value)
    assert g.opened(1).text().count("[vmap]") == 3
    assert g.opened(2).text().count("[vmap]") == 4


def test_what_a_vmap_hands_back_leaves_its_box():
    """Also where no operation takes it, but the caller; one in the other."""
    x = normal((3, 2))
    g = graph.trace(jax.vmap(jax.vmap(lambda t: jnp.sin(t) * t + 2)), cotangent=jnp.ones((3, 2)))(x)
    (outer,) = g.operations
    (inner,) = outer.inside
    assert [op.name for op in inner.inside] == ["sin", "mul", "add"]
    assert outer.outputs == inner.outputs == g.outputs
    assert outer.inputs == inner.inputs == g.arguments
    assert outer.source == inner.source == inner.inside[0].source != ""
    equal(g.arguments[0].derivative, np.cos(x) * x + np.sin(x))


def test_scopes_around_a_vmap_and_in_it():
    """A scope is no vmap, whatever its name; of the function that is mapped, the scopes stay within."""

    def one(t):
        with jax.named_scope("within"), jax.named_scope("deeper"):
            return jnp.sin(t)

    def f(x):
        with jax.named_scope("around\x1b"):
            y = jax.vmap(jax.vmap(jax.grad(one)))(x)
        with jax.named_scope("vmap"):
            return jnp.cos(y).sum()

    outer, *others = graph.trace(f)(normal((3, 2))).operations
    assert [op.name for op in others] == ["cos", "reduce_sum"]
    assert [op.scope for op in others] == ["vmap"] * 2
    (inner,) = outer.inside
    assert [op.scope for op in (outer, inner)] == ["around\ufffd", ""]
    assert {op.scope for op in inner.inside} == {"within/deeper"}  # and no word of jax.grad


def test_layers_are_found_under_vmap():
    """A network of one example, which others write and then map over the batch."""

    def network(params, x):
        for W, b in params:
            x = jnp.tanh(W @ x + b)
        return x.sum()

    params = [(normal((4, 3)), normal((4,))), (normal((2, 4)), normal((2,)))]
    g = graph.trace(lambda params, x: jax.vmap(network, (None, 0))(params, x).mean())(params, normal((5, 3)))
    assert [op.name for op in g.operations][0] == "vmap"
    assert [layer.name for layer in g.layers] == ["params[0]", "params[1]"]
    assert [op.name for op in g.by_layer().operations] == ["params[0]", "params[1]"]
    assert [row.layer for row in g.flow()] == ["params[0]", "params[1]"]


def test_a_long_loop_stays_closed_and_right():
    xs = normal((300,)) / 10
    g = check(lambda x: lax.scan(lambda c, t: (c * 0.99 + t, None), x, xs)[0] ** 2, 1.0)
    closed = graph.trace(lambda x: lax.scan(lambda c, t: (c * 0.99 + t, None), x, xs)[0] ** 2, limit=100)(1.0)
    assert not closed.operations[0].inside
    nested = graph.trace(lambda x: lax.fori_loop(0, 50, lambda i, c: lax.fori_loop(0, 60, lambda j, c: c * x, c), x))
    inner = [op for op in flat(nested(0.999).operations) if op.name == "scan"]
    assert len(inner) == 50
    equal(nested(0.999)["x"].derivative, 3001 * 0.999**3000, 1e-3)
    assert g.operations[0].inside
    equal(closed["x"].derivative, g["x"].derivative)


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


def test_names():
    """Names are seen in the graph alone: under jit, grad, vmap and scan they change nothing."""

    def f(x):
        u = graph.name({"a": x * 2, "b": x + 1}, "u")
        return graph.name(u["a"] * u["b"], "w").sum()

    x = normal((3,))
    g = graph.trace(f)(x)
    assert [node.name for node in g.nodes] == ["x", "u", "u_2", "w", "f"]
    plain = ((2 * x) * (x + 1)).sum()
    equal(jax.jit(f)(x), plain)
    equal(jax.grad(f)(x), 4 * x + 2)
    equal(jax.vmap(lambda x: f(x[None]))(x).sum(), plain)
    assert [node.name for node in graph.trace(jax.jit(f))(x).nodes] == ["x", "u", "u_2", "w", "f"]
    for wrong in ("", 3):
        with pytest.raises(ValueError, match="must be text"):
            graph.name(x, wrong)
    with pytest.raises(ValueError, match="no variable is called 'U'.*u"):
        g["U"]


def test_names_of_arguments_are_their_paths():
    params = [{"W": jnp.ones((2, 2)), "b": (jnp.ones(2),)}]
    g = graph.trace(lambda params, *rest: (params[0]["W"] @ params[0]["b"][0] * rest[1]).sum())(params, 1, 2.0)
    assert [node.name for node in g.arguments] == ["params[0].W", "params[0].b[0]", "rest[0]", "rest[1]"]


def test_no_two_variables_have_one_name():
    """Whatever they were called: by that name they are asked for, and are nodes for networkx."""

    def f(params, x):
        u = [graph.name(x * i, label) for i, label in enumerate(["u", "u", "u_2", "x", "x"])]
        return sum(u) * params["a.b"] * params["a"]["b"]

    g = graph.trace(f)({"a.b": 2.0, "a": {"b": 3.0}}, 1.0)
    names = [node.name for node in g.nodes]
    assert names[:8] == ["params.a.b", "params.a.b_2", "x", "u", "u_2", "u_2_2", "x_2", "x_3"]
    assert len(set(names)) == len(names)
    assert g["params.a.b_2"].value == 2.0


def test_constants_are_folded():
    table = jnp.arange(3.0)
    g = graph.trace(lambda x: (x * jnp.sin(jnp.full(3, 2.0)) + jnp.exp(table)).sum() * (1 + np.pi))(normal((3,)))
    assert [op.name for op in g.operations] == ["mul", "add", "reduce_sum", "mul"]
    assert [node.kind for node in g.nodes].count("constant") == 1  # exp(table); all sin(2) are one number
    assert "0.909297" in g.text()


def test_source_lines_are_the_callers():
    def f(x):
        y = jax.nn.relu(x)
        return jnp.exp(y)

    first = f.__code__.co_firstlineno
    sources = [op.source for op in graph.trace(f)(1.0).operations]
    assert sources == [f"{__file__}:{first + 1}", f"{__file__}:{first + 2}"]
    (_, inner, _, _) = (jax.nn.relu(2.0), *graph.trace(f)(2.0).opened(9)._rows()[2:5])
    assert inner.operation.source == f"{__file__}:{first + 1}"  # inside JAX's relu too


def test_source_lines_are_the_callers_where_jax_keeps_what_it_traced():
    """Of softplus it does, with the frames of its first caller."""

    def f(x):
        y = jax.nn.softplus(x)
        return jax.nn.softplus(y)

    first = f.__code__.co_firstlineno
    for i, op in enumerate(graph.trace(f)(1.0).operations):
        assert {op.source, *(step.source for step in flat(op.inside))} == {f"{__file__}:{first + 1 + i}"}


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


@pytest.mark.parametrize("inside", [lambda f: f, jax.jit])
def test_edges_of_a_box_with_several_outputs(inside):
    """Each comes from what it is made of, in boxes of the box too."""
    f = jax.jit(lambda x, y: inside(lambda x, y: (jnp.sin(x), jnp.cos(y), x * y))(x, y))
    g = graph.trace(lambda x, y: sum(f(x * 2, y * 3)))(1.0, 2.0)
    (box,) = (op for op in g.operations if op.inside)
    a, b = box.inputs
    found = [(e.source, e.target) for e in g.edges if e.target in box.outputs]
    sine, cosine, product = box.outputs
    assert found == [(a, sine), (b, cosine), (a, product), (b, product)]


@pytest.mark.parametrize("f", [jnp.cumsum, jnp.sort, jnp.flip, jnp.fft.fft, lambda x: SQUARE @ x])
def test_operations_between_elements_have_no_local_derivative(f):
    """Though their shapes are those of an operation on each element."""
    g = graph.trace(lambda x: f(x).real.sum())(normal((3,)))
    assert [edge.local for edge in g.edges if edge.source.name == "x"] == [None]


NOTES_DOT = """\
digraph "J" {
rankdir=LR; node [shape=box, style=rounded, fontname=monospace];
n0 [label="a\\nf32: 5\\ndJ/d = 3"];
n1 [label="b\\nf32: 3\\ndJ/d = 6"];
n2 [label="c\\nf32: 2\\ndJ/d = 9"];
n3 [label="u = b * c\\nf32: 6\\ndJ/d = 3"];
n4 [label="v = a + u\\nf32: 11\\ndJ/d = 3"];
n5 [label="J = 3 * v\\nf32: 33\\ndJ/d = 1"];
n1 -> n3 [label="2"];
n2 -> n3 [label="3"];
n0 -> n4 [label="1"];
n3 -> n4 [label="1"];
n4 -> n5 [label="3"];
}
"""


def test_dot():
    assert graph.trace(J)(5.0, 3.0, 2.0).dot() == NOTES_DOT
    x = normal((3,))
    opened = graph.trace(lambda x: lax.scan(lambda c, t: (c * t, None), 1.0, x)[0] + x[0], depth=2)(x).dot()
    assert opened.count("subgraph") == 4
    assert opened.count("{") == opened.count("}") == 5


def drawn(g, kind="box"):
    """The boxes and the texts of a picture, which must be well-formed XML."""
    root = ElementTree.fromstring(g.svg())
    space = "{http://www.w3.org/2000/svg}"
    boxes = [r for r in root.iter(f"{space}rect") if kind in r.get("class", "").split()]
    spots = [tuple(float(r.get(name)) for name in ("x", "y", "width", "height")) for r in boxes]
    return spots, ["".join(t.itertext()) for t in root.iter(f"{space}text")]


def test_svg_of_the_notes_graph():
    spots, words = drawn(graph.trace(J)(5.0, 3.0, 2.0))
    for word in ("a", "b", "c", "u = b * c", "v = a + u", "J = 3 * v", "5", "33", "9"):
        assert word in words
    assert len(spots) == 6
    a, b, c, u, v, j = (x for x, *_ in spots)
    assert b == c < a < v < j  # from left to right, a just before it is used
    assert u + spots[3][2] / 2 == pytest.approx(a + spots[0][2] / 2, abs=0.2)


def test_a_histogram_has_the_lowest_elements_at_its_left():
    """16 bars, 3 px apart, the highest of 15 px; what is not finite is left out."""
    path = "M0.0 3.0h2.4v15.0h-2.4zM45.0 13.0h2.4v5.0h-2.4z"
    assert bars(np.array([0.0, 1.0, 0.0, np.inf, 0.0, np.nan])) == path


def apart(one, other):
    (x, y, width, height), (x2, y2, width2, height2) = one, other
    return x + width <= x2 or x2 + width2 <= x or y + height <= y2 or y2 + height2 <= y


def within(one, other):
    (x, y, width, height), (x2, y2, width2, height2) = one, other
    return x2 < x and x + width < x2 + width2 and y2 < y and y + height < y2 + height2


@pytest.mark.parametrize("name", ["softmax", "solve", "median"])
def test_no_boxes_overlap(name):
    spots, _ = drawn(graph.trace(FUNCTIONS[name])(normal((3, 3))))
    for i, spot in enumerate(spots):
        assert all(apart(spot, other) for other in spots[:i])


@pytest.mark.parametrize("depth", [0, 1])
def test_no_local_derivative_is_over_a_box(depth):
    """A letter of 10 px is 6 px wide."""
    f = lambda x: jax.jit(lambda x: -1.2344e-5 * x * -1.2345e-4)(x) * -3.2144e-7  # noqa: E731
    g = graph.trace(f, depth=depth)(1.0)
    found = ElementTree.fromstring(g.svg()).iter("{http://www.w3.org/2000/svg}text")
    local = [t for t in found if t.get("class") == "local"]
    assert "-3.21e-07" in [t.text for t in local]
    for word in local:
        width, x, y = 6 * len(word.text), float(word.get("x")), float(word.get("y"))
        for spot in drawn(g)[0]:
            assert apart((x - width / 2, y - 8, width, 10), spot)


def test_the_local_derivative_of_a_long_edge_is_where_it_comes_in():
    """There it is beside the one that it is multiplied by."""
    g = graph.trace(lambda x: jnp.cos(jnp.sin(jnp.exp(x))) * x)(0.5)
    words = f"{np.cos(np.sin(np.exp(0.5))):.3g}"
    found = ElementTree.fromstring(g.svg()).iter("{http://www.w3.org/2000/svg}text")
    (at,) = (float(t.get("x")) for t in found if t.get("class") == "local" and t.text == words)
    *_, (before, _, width, _), (last, *_) = drawn(g)[0]
    assert before + width < at < last


def nested(x, w):
    """Boxes in boxes: a loop of steps, jitted functions in each and beside it."""
    total, _ = lax.scan(lambda carry, t: (jax.nn.softplus(carry * t), None), w, x)
    return jax.nn.relu(total) + jnp.sum(jax.nn.silu(x)) * w


def test_opened_rules_are_said_to_be_rules():
    """What is inside is the plain function, which does not say where the derivative comes from."""
    opened = graph.trace(lambda x: jax.nn.relu(x) * 2, depth=1)(0.0)
    assert "[relu, by its own rule]" in opened.text()
    assert "relu, by its own rule" in drawn(opened)[1]
    assert 'label="relu, by its own rule"' in opened.dot()
    plain = graph.trace(lambda x: jax.nn.silu(x) * 2, depth=1)(0.0)
    assert "[silu]" in plain.text()


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("used", [True, False])
def test_a_constant_that_a_box_hands_back(depth, used):
    def f(x):
        y, t = jax.jit(lambda x: (x * 2, np.arange(3.0)))(x)
        return (y * t if used else y).sum()

    g = graph.trace(f, depth=depth)(jnp.ones(3))
    assert len(drawn(g)[0]) == len(g.nodes) == (5 if used else 3)
    assert g.html().count("data-node=") >= len(g.nodes)
    assert "y" not in g.text().split()


def test_what_is_not_finite_shows_in_a_picture():
    g = graph.trace(lambda x: jnp.log(x).sum())(jnp.array([1.0, -1.0, 0.0, 2.0, 3.0]))
    assert "f32[5], 2 not finite" in drawn(g)[1]


@pytest.mark.parametrize("depth", [0, 1, 2, 4])
def test_opened_boxes_are_frames_around_what_is_in_them(depth):
    """Each variable is in as many frames as boxes that it is in; whatever is not in a frame is apart from it."""
    g = graph.trace(nested, depth=depth)(normal((3,)), 0.5)
    rows = g._rows()
    spots, frames = drawn(g)[0], drawn(g, "frame")[0]
    assert len(frames) == sum(row.node is None for row in rows)
    assert (depth > 0) == bool(frames)
    for spot, row in zip(spots, [row for row in rows if row.node is not None], strict=True):
        assert sum(within(spot, frame) for frame in frames) == len(row.boxes)
        assert all(within(spot, frame) or apart(spot, frame) for frame in frames)
    for i, frame in enumerate(frames):
        assert all(apart(frame, other) or within(frame, other) or within(other, frame) for other in frames[:i])


def beside(x):
    """A box that needs x at its beginning and at its end, and an operation after it that needs it too."""
    return jax.jit(lambda x: jnp.sin(jnp.cos(x)) * x)(x) * x


def early_and_late(x, y):
    """A box that takes y at its end, and of which a leaves from its beginning."""

    @jax.jit
    def box(x, y):
        a = jnp.sin(x)
        return a, jnp.exp(jnp.cos(jnp.tanh(a))) * y

    a, b = box(x, y)
    return a * b


def later(x):
    """What a box with two outputs makes, taken columns after it."""
    a, b = jax.jit(lambda x: (jnp.sin(x), jnp.cos(x)))(x)
    return jnp.exp(jnp.cos(jnp.tanh(a))) * b * a


def fan(x):
    """A box that a leaves at its beginning, amid what the others are made of."""

    @jax.jit
    def box(x):
        a = jnp.sin(x)
        others = [jnp.exp(jnp.cos(f(a))) for f in (jnp.tanh, jnp.exp, jnp.sin, jnp.cos)]
        return a, sum(others), *others

    a, *others = box(x)
    return sum(other * a for other in others)


PASSING = [
    (later, 0.5),
    (fan, 0.5),
    (beside, 0.5),
    (lambda x: jax.jit(beside)(x) * x, 0.5),
    (early_and_late, 0.5, 2.0),
    (nested, normal((3,)), 0.5),
]


def along(d):
    """Points of a path, close to each other."""
    start, *curves = [np.array(part.split(), float).reshape(-1, 2) for part in d[1:].split("C")]
    t, (point,) = np.linspace(0, 1, 21)[:, None], start
    for a, b, c in curves:
        yield from (1 - t) ** 3 * point + 3 * (1 - t) ** 2 * t * a + 3 * (1 - t) * t**2 * b + t**3 * c
        point = c


@pytest.mark.parametrize("depth", [0, 1, 2, 4])
@pytest.mark.parametrize(("f", "args"), [(f, args) for f, *args in PASSING])
def test_edges_run_beside_boxes(f, args, depth):
    """And beside frames, but those that one of the two ends is in."""
    g = graph.trace(f, depth=depth)(*args)
    root = ElementTree.fromstring(g.svg())
    paths = [p.get("d") for p in root.iter("{http://www.w3.org/2000/svg}path") if p.get("class") is None]
    lines = [np.array([*along(d)]) for d in paths]
    assert len(lines) == len(g.edges)
    for left, top, width, height in drawn(g)[0] + drawn(g, "frame")[0]:
        for line in lines:
            # What is written has one digit after the point: where an edge begins is at the box.
            inside = ((line > (left + 0.2, top)) & (line < (left + width - 0.2, top + height))).all(1)
            assert not inside.any() or inside[0] or inside[-1]


def standing(found):
    """The variables that a level shows, all boxes opened."""
    items = [piece for column in found.columns for piece in column if isinstance(piece, Item)]
    inside = [node for item in items if item.level is not None for node in standing(item.level)]
    return inside + [row.node for item in items if item.level is None for row in item.rows]


@pytest.mark.parametrize("depth", [0, 1])
def test_each_variable_stands_in_one_place(depth):
    """Also one that a box hands back twice, or as it came, or takes twice, and a constant; and a number nowhere."""
    table = jnp.arange(3.0)
    box = jax.jit(lambda x, y, z: (lambda w: (w, w, x, 1.5, z))(x * y * z))
    g = graph.trace(lambda x: sum(map(jnp.sum, box(x, x, table))) + (x * table).sum(), depth=depth)(normal((3,)))
    found = level(g.arguments, g.operations, depth, lambda piece: 1.0)
    assert sorted(node.name for node in standing(found)) == sorted(node.name for node in g.nodes)


MODEL = nn.mlp((5, 4, 4, 4, 4, 4, 1), "sigmoid")
COST = nn.objective(MODEL.network, MODEL.loss, nn.l2(0.1)).value


@functools.cache
def six_layers():
    return graph.trace(COST)(MODEL.init(jax.random.key(0)), nn.Batch(normal((6, 5)), np.arange(6) % 2), None)


def test_derivatives_of_a_network_of_six_layers():
    g = six_layers()
    grads = jax.jit(jax.grad(COST))(MODEL.init(jax.random.key(0)), nn.Batch(normal((6, 5)), np.arange(6) % 2), None)
    for i in range(0, 12, 2):
        for name in "Wb":
            equal(g[f"params[{i}].{name}"].derivative, grads[i][name])


def test_six_layers_fit_a_page():
    g = six_layers()
    names = [f"params[{i}]" for i in range(0, 12, 2)]
    assert [layer.name for layer in g.layers] == [*names, "batch.y"]
    assert [[p.name for p in layer.parameters] for layer in g.layers][:6] == [[f"{n}.W", f"{n}.b"] for n in names]
    assert len(g.nodes) > 60 > 40 > len(g.by_layer().nodes)
    root = ElementTree.fromstring(g.svg())
    width, height = (float(root.get(name)) for name in ("width", "height"))
    # A page on its side, of which 1800 pixels across can be read.
    assert width < 1800
    assert height < 1800 / 2**0.5
    assert g.by_layer().by_layer().dot() == g.by_layer().dot()
    # By layer, nothing is lost: what goes between layers is what went before.
    assert {node.name for node in g.by_layer().nodes} <= {node.name for node in g.nodes}


def test_flow_is_the_size_of_the_gradients():
    g = six_layers()
    flow = g.flow()
    assert [row.layer for row in flow] == [f"params[{i}]" for i in range(0, 12, 2)]
    by = np.concatenate([np.ravel(g[f"params[2].{name}"].derivative) for name in "Wb"])
    np.testing.assert_allclose(flow[1].parameters, np.sqrt((by**2).mean()), rtol=1e-6)
    assert flow[-1].ratio == 1
    assert str(flow).count("\n") == 6


@pytest.mark.parametrize(("scale", "flag"), [(0.1, "vanishing"), (1.0, ""), (10.0, "exploding")])
def test_flow_flags(scale, flag):
    """Nine linear layers, each times `scale`: gradients go as scale^l."""

    def f(params, x):
        for layer in params:
            x = x @ layer["W"]
        return x.sum()

    flow = graph.trace(f)([{"W": scale * jnp.eye(3)}] * 9, normal((4, 3)))
    rows = flow.flow()
    assert rows[0].flag == flag
    assert rows[-1].flag == ""
    np.testing.assert_allclose([row.gradient for row in rows], [scale ** (8 - i) for i in range(9)], rtol=1e-5)


@pytest.mark.parametrize(
    ("ratio", "flag"),
    [(1 / 1001, "vanishing"), (1 / 999, ""), (0.01, ""), (100.0, ""), (999.0, ""), (1001.0, "exploding")],
)
def test_flow_flags_from_a_thousand_times_on(ratio, flag):
    """The last layer multiplies by `ratio`, and so does it the gradient."""
    g = graph.trace(lambda params, x: (params[0]["w"] * x * params[1]["w"]).sum())(
        [{"w": 1.0}, {"w": ratio}], normal((3,))
    )
    assert [row.flag for row in g.flow()] == [flag, ""]


def test_flow_is_of_the_largest_array_that_leaves_a_layer():
    def f(params, x):
        a = params[0]["w"] * x
        parts = a[:2] * 3, a * 3, a[3:] * 3
        return sum((part * params[1]["w"]).sum() for part in parts)

    x = normal((9,))
    first, _ = graph.trace(f)([{"w": 2.0}, {"w": 1.0}], x).flow()
    np.testing.assert_allclose(first.activation, np.sqrt((36 * x**2).mean()), rtol=1e-6)


def test_flow_flags_a_network_that_is_dead_from_its_last_layer_on():
    f = lambda params, x, y: jax.nn.relu(x @ params[0]["W"] @ params[1]["W"] - y).sum()  # noqa: E731
    g = graph.trace(f)([{"W": jnp.eye(3)}] * 2, normal((4, 3)), 100.0)
    assert [row.flag for row in g.flow()] == ["vanishing"] * 2


@pytest.mark.parametrize("transform", [jax.jit, jax.checkpoint, lambda f: jax.jit(jax.checkpoint(f))])
def test_layers_of_a_network_in_a_box(transform):
    """They are those of the same network outside of it."""

    def network(params, x):
        for layer in params:
            x = jnp.tanh(layer["W"] @ x)
        return x

    def scoped(params, x):
        for i in range(2):
            with jax.named_scope(f"layer{i}"):
                x = jnp.tanh(params * x)
        return x

    def flow(network, params):
        return graph.trace(lambda params, x: (network(params, x) ** 2).sum())(params, normal((3, 5))).flow()

    params = [{"W": normal((3, 3), seed=i)} for i in range(4)]
    assert flow(transform(network), params) == flow(network, params)
    g = graph.trace(lambda x, w: (transform(scoped)(w, x) ** 2).sum())(normal((3,)), 0.5)
    assert [layer.name for layer in g.layers] == ["layer0", "layer1"]
    assert "layer1" in g.by_layer().text()


def test_layers_of_a_network_under_vmap():
    """One example at a time, mapped over a batch: the layers are those of the parameters."""

    def f(params, x):
        for layer in params:
            x = jnp.tanh(layer["W"] @ x)
        return x.sum()

    params = [{"W": normal((3, 3), seed=i)} for i in range(4)]
    g = graph.trace(lambda params, x: jax.vmap(f, (None, 0))(params, x).sum())(params, normal((5, 3)))
    assert [row.layer for row in g.flow()] == [f"params[{i}]" for i in range(4)]


def test_layers_by_named_scope_and_none_without():
    def f(x, w):
        for i in range(3):
            with jax.named_scope(f"layer{i}"):
                x = jnp.tanh(w * x)
        return x.sum()

    g = graph.trace(f)(normal((3,)), 0.5)
    assert [layer.name for layer in g.layers] == ["layer0", "layer1", "layer2"]
    mapped = graph.trace(lambda x, w: jax.vmap(lambda row: f(row, w))(x).sum())(normal((2, 3)), 0.5)
    assert [layer.name for layer in mapped.layers] == ["layer0", "layer1", "layer2"]
    plain = graph.trace(jnp.sin)(1.0)
    for ask in (plain.flow, plain.by_layer):
        with pytest.raises(ValueError, match="no layers"):
            ask()


@jax.custom_vjp
def safe_root(x):
    return jnp.sqrt(x)


safe_root.defvjp(lambda x: (jnp.sqrt(x), x), lambda x, dy: (jnp.where(x > 0, dy / jnp.sqrt(x + 1e-9) / 2, 0.0),))


@jax.custom_vjp
def kept_in(x):
    return jnp.where(x > 0, jnp.log(x), 0.0)


kept_in.defvjp(lambda x: (kept_in(x), x), lambda x, dy: (jnp.where(x > 0, dy / jnp.where(x > 0, x, 1.0), 0.0),))


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (lambda x: jnp.exp(jnp.log(x) - 1), 0.0, ("inf", "forward", "log", "v1")),
        (lambda x: (x - jnp.inf * x).sum(), 1.0, ("inf", "forward", "mul", "v1")),
        (lambda x: jnp.sqrt(x - 2) + 1, 1.0, ("NaN", "forward", "sqrt", "v2")),
        (lambda x: jnp.sqrt(2 * x) + 1, 0.0, ("inf", "backward", "sqrt", "v1")),
        (lambda x: jnp.where(x > 0, jnp.log(jnp.abs(x)), 0.0), 0.0, ("inf", "forward", "log", "v3")),
        (lambda x: jnp.linalg.norm(x), jnp.zeros(2), ("inf", "backward", "sqrt", "v2")),
        (lambda x: x * 2, jnp.nan, ("NaN", "argument", None, "x")),
        (lambda x: lax.fori_loop(0, 2, lambda i, c: c / i, x), 1.0, ("inf", "forward", "div", None)),
        (lambda x: jnp.exp(x), 10.0, None),
        (lambda x: safe_root(x), 0.0, None),
        (lambda x: jax.nn.softplus(-1000 * x), 1.0, None),
        (lambda x: kept_in(x), -1.0, None),
        (lambda x: safe_root(x) / x, 0.0, ("NaN", "forward", "div", "output")),
        (lambda x: safe_root(x), -1.0, ("NaN", "forward", "sqrt", None)),
        (lambda x: jax.nn.softmax(jnp.where(x > 0, x, -jnp.inf))[0], jnp.array([1.0, -1.0]), None),
        (lambda x: x**jnp.inf, 1.0, ("inf", "backward", "pow", "x")),
        (lambda x: 2e38 * x + 2e38 * x, 0.5, ("inf", "backward", "mul", "x")),
        (lambda x: jax.nn.softmax(jnp.ones(2) + x)[0], jnp.array([0.0, -jnp.inf]), None),
        (lambda x: jnp.log(x[0] - 1) + jnp.exp(x[1]), jnp.array([0.0, -jnp.inf]), ("NaN", "forward", "log", None)),
        (lambda x: jnp.exp(jnp.where(x > 0, x, -jnp.inf))[0], jnp.array([99.0, 0.0]), ("inf", "forward", "exp", None)),
        (lambda x: x * 2, jnp.inf, ("inf", "argument", None, "x")),
        (lambda x: x - x, jnp.inf, ("NaN", "forward", "sub", "output")),
    ],
)  # fmt: skip
def test_first_nonfinite(f, x, expected):
    found = graph.trace(f)(x).first_nonfinite()
    if expected is None:
        assert found is None
        return
    what, way, operation, name = expected
    assert (found.what, found.way) == (what, way)
    assert (found.operation and found.operation.name) == operation
    assert name is None or found.node.name == name
    assert what in str(found)
    assert operation is None or __file__ in str(found)


def test_text_and_html():
    g = graph.trace(J)(5.0, 3.0, 2.0)
    assert g.text().splitlines()[4].split()[:6] == ["u", "b", "*", "c", "f32", "6"]
    assert g.svg() in g._repr_html_()
    assert "b * c" in g._repr_html_().split("<details>")[1]
    hostile = graph.trace(lambda p: graph.name(p["\0\x1b[2J"] * 2, '<script>"&\n\ud800') + 1)({"\0\x1b[2J": 1.0})
    assert "<script>" not in hostile._repr_html_()
    ElementTree.fromstring(hostile.svg())
    assert hostile.text().count("\n") == 3
    assert "\x1b" not in hostile.text() + hostile.dot()


def test_all_elements_are_said_to_be_one_number_where_all_are():
    assert short(np.full(4, 2.0)) == "all 2"
    assert short(np.array([2.0, 2.0, 2.0, np.nan])) == "2 .. 2, mean 2, 1 of 4 not finite"


def test_thousands_of_primitives_are_summarised():
    def f(x):
        for _ in range(300):
            x = jnp.sin(x) * 1.01
        return x

    g = graph.trace(f)(1.0)
    lines = g.text().splitlines()
    assert len(lines) == 202
    assert "... 401 more" in g.text()
    with pytest.raises(ValueError, match="too many for a picture"):
        g.svg()
    assert "<svg" not in g._repr_html_()
    equal(g["x"].derivative, jax.grad(f)(1.0), 1e-4)


def test_networkx():
    networkx = pytest.importorskip("networkx")
    found = graph.trace(J)(5.0, 3.0, 2.0).to_networkx()
    assert networkx.ancestors(found, "J") == set("abcuv")
    assert found.nodes["u"]["derivative"].item() == 3
    assert found.edges["b", "u"]["local"].item() == 2


def test_networkx_is_asked_for_where_it_is_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(ValueError, match="pip install networkx"):
        graph.trace(J)(5.0, 3.0, 2.0).to_networkx()


@functools.cache
def strange():
    """The graph of random keys, half precision, nothing at all, complex numbers, and a print inside."""

    def f(key, x, empty):
        jax.debug.print("", ordered=False)
        z = jnp.fft.fft(x.astype("float32"))
        return jnp.abs(z).sum() * jax.random.uniform(key) + empty.sum()

    return graph.trace(f)(jax.random.key(0), normal((5,), jnp.bfloat16), jnp.zeros((0, 3)))


@pytest.mark.parametrize("depth", [0, 9])
def test_what_cannot_be_shown_does_not_break(depth):
    opened = strange().opened(depth)
    assert opened.text()
    assert opened.dot()
    ElementTree.fromstring(opened.svg())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: graph.trace(J)(5, 3, 2), r"no argument has a derivative \(a: int32.*5.0 in place of 5"),
        (lambda: graph.trace(lambda: 1.0)(), "no arguments"),
        (lambda: graph.trace(jnp.sin)(jnp.ones(2)), r"must be a scalar, got \(2,\): pass cotangent="),
        (lambda: graph.trace(lambda x: (x, x))(1.0), r"must be a scalar, got \(\), \(\)"),
        (lambda: graph.trace(lambda x: x > 0)(1.0), "of bool, which has no derivative"),
        (lambda: graph.trace(lambda x: x if x > 0 else -x)(1.0), "cannot be traced.*lax.cond"),
        (lambda: graph.trace(lambda x: float(x))(1.0), "cannot be traced"),
        (lambda: graph.trace(lambda x: x[x > 0].sum())(jnp.ones(3)), "cannot be traced: .* jnp.where"),
        (lambda: graph.trace(lambda x: "text")(1.0), "cannot be traced"),
        (lambda: graph.trace(lambda x, how: x)(1.0, "relu"), "argument how is a str: expected arrays.*partial"),
        (lambda: graph.trace(jnp.sin, cotangent=jnp.ones(3))(1.0), r"structure and shapes of the output: \(\)"),
        (lambda: graph.trace(jnp.sin, depth=-1), "depth must be a whole number from 0"),
        (lambda: graph.trace(jnp.sin, depth="all"), "depth must be a whole number"),
        (lambda: graph.trace(lambda x: np.sin(x))(1.0), "cannot be traced: .*use jax.numpy in place"),
        (lambda: graph.trace(jnp.sin, limit=0), "limit from 1"),
        (
            lambda: graph.trace(lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), "float32"), x))(1.0),
            "pure_callback at .*test_graph.py:[0-9]+ has no derivative",
        ),
    ],
)
def test_bad_questions(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_tracing_twice_compiles_nothing_new(x64):
    """The derivative of an operation is compiled once, not once a graph."""
    from jaxnn.graph.tracing.derivatives import _vjp

    f = lambda x: jnp.sin(jax.nn.relu(x) * jnp.exp(x)).sum()  # noqa: E731
    graph.trace(f)(normal((3,), "float64"))
    before = _vjp._cache_size()
    graph.trace(lambda x: jnp.sin(jnp.exp(x) * 2).sum())(normal((3,), "float64"))
    assert _vjp._cache_size() == before + 1  # times a number is new


def test_a_rule_is_not_compiled_in_each_trace():
    """To JAX it is a new one in each."""
    from jaxnn.graph.tracing.derivatives import _vjp

    f = lambda x: thrice(jax.nn.relu(x)).sum()  # noqa: E731
    graph.trace(f)(normal((3,)))
    before = _vjp._cache_size()
    graph.trace(f)(normal((3,)))
    assert _vjp._cache_size() == before


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda g: g[0], "no variable is called 0: there are a, b, output$"),
        (lambda g: g["z"], "no variable is called 'z': there are a, b, output$"),
        (lambda g: g.at(z=1.0), "no argument is called 'z': there are a, b$"),
        (lambda g: g.at(a="x"), "an argument of float32 takes numbers, got 'x'"),
        (lambda g: g.at(a=None), "an argument of float32 takes numbers, got None"),
        (lambda g: g.at(a=1j), "an argument of float32 takes numbers, got 1j"),
        (lambda g: g.opened("all"), "depth must be a whole number from 0, got 'all'"),
        (lambda g: g.opened(-1), "depth must be a whole number from 0, got -1"),
        (lambda g: g.html(vary="a"), "vary is 'a', expected values by argument"),
    ],
)
def test_what_a_graph_cannot_be_asked_is_told(ask, message):
    with pytest.raises(ValueError, match=message):
        ask(graph.trace(lambda a, b: a * b)(5.0, 3.0))
