"""Computation graphs: values and derivatives against autodiff of the function cut at every node, and the notes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend import core
from registry import LAYER_CASES, LOSS_CASES, PENALTY_CASES, name_of, normal, penalised_params

import jaxnn as nn
from jaxnn import graph

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
    made = run(closed, leaves, None)[1]
    floating = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)]

    def scalar(added, chosen):
        full = list(leaves)
        for i, leaf in zip(floating, chosen, strict=True):
            full[i] = leaf
        outputs = run(closed, full, added)[0]
        given = jax.tree.leaves(cotangent)
        total = sum((out * ct).sum() for out, ct in zip(outputs, given, strict=True) if ct is not None)
        return total.real

    added = [jnp.zeros_like(value) if jnp.issubdtype(value.dtype, jnp.inexact) else 0.0 for _, value in made]
    by_added, by_leaf = jax.grad(scalar, (0, 1))(added, [jnp.asarray(leaves[i]) for i in floating])
    return made, by_added, dict(zip(floating, by_leaf, strict=True))


def equal(a, b, tol=1e-5):
    a, b = (np.asarray(jnp.asarray(v, jnp.complex64 if jnp.iscomplexobj(v) else jnp.float32)) for v in (a, b))
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
    a, b = (np.asarray(jnp.asarray(v, jnp.result_type(v, jnp.float32))) for v in (node.value, value))
    return np.allclose(a, b, rtol=tol, atol=tol * max(1.0, float(np.abs(b).max(initial=0.0))), equal_nan=True)


def at_rules(operations):
    """The operations that the oracle sees: those of boxes without a rule, and loops, branches and rules as a whole."""
    for op in operations:
        if op.primitive.name in ENTERED:
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
    local = {(e.source.name, e.target.name): e.local.item() for e in g._edges()}
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


@pytest.mark.parametrize("case", LAYER_CASES, ids=name_of)
def test_every_layer(case):
    params, x, key = case.params(), case.input(4), case.key()

    def forward(params, x):
        return case.layer.forward(params, x, key)[0]

    y = jax.eval_shape(forward, params, x)
    check(forward, params, x, cotangent=normal(y.shape, y.dtype, 9), tol=0.03 if case.inside == "bfloat16" else 1e-5)


@pytest.mark.parametrize("case", LOSS_CASES, ids=name_of)
def test_every_loss(case):
    z, y = case.make(4, jnp.float32)
    check(lambda z, y: case.loss.value(z, y).sum(), z, y)


@pytest.mark.parametrize("case", PENALTY_CASES, ids=name_of)
def test_every_penalty(case):
    check(lambda params: case.penalty.value(params) + 0.5 * params[2]["W"].sum(), penalised_params())


def test_a_network_of_six_layers_with_its_cost():
    model = nn.mlp((5, 4, 4, 3, 4, 2, 1), "tanh")
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
    cholesky=lambda x: jnp.linalg.cholesky(x @ x.T + SQUARE @ SQUARE.T).sum(),
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


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_others(name):
    tol = 0.03 if name == "halves" else 2e-4 if name in ("svd", "inv", "solve", "cholesky", "det") else 1e-5
    check(FUNCTIONS[name], normal((3, 3), seed=1), tol=tol)


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


def test_while_has_the_derivative_of_the_steps_it_took():
    """JAX has none in reverse: x is doubled until it is 100, here 7 times."""

    def f(x):
        return lax.while_loop(lambda s: s[0] < 100, lambda s: (2 * s[0], s[1] + 1), (x, 0))[0] ** 2

    g = graph.trace(f)(1.0)
    assert g["x"].derivative.item() == 2 * 128 * 128
    with pytest.raises(ValueError, match="raise `limit`"):
        graph.trace(f, limit=5)(1.0)


def test_a_long_loop_stays_closed_and_right():
    xs = normal((300,)) / 10
    g = check(lambda x: lax.scan(lambda c, t: (c * 0.99 + t, None), x, xs)[0] ** 2, 1.0)
    closed = graph.trace(lambda x: lax.scan(lambda c, t: (c * 0.99 + t, None), x, xs)[0] ** 2, limit=100)(1.0)
    assert not closed.operations[0].inside
    assert g.operations[0].inside
    equal(closed["x"].derivative, g["x"].derivative)


def test_inside_a_rule_the_plain_function_is_shown_and_the_rule_counts():
    g = graph.trace(lambda x: thrice(x))(0.5)
    inside = {row.node.name: row.node for row in g.opened(1)._rows() if row.node is not None}
    assert inside["output.1"].value.item() == np.sin(np.float32(0.5))
    assert inside["output.1"].derivative.item() == 2  # of 2 sin(x) by sin(x)
    assert g["x"].derivative.item() == 1.5  # 3 x, as the rule says
