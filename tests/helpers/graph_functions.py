"""Functions whose graphs are tested."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnn import graph
from tests.helpers.registry import normal


def J(a, b, c):
    u = graph.name(b * c, "u")
    v = graph.name(a + u, "v")
    return 3 * v


@jax.custom_vjp
def thrice(x):
    """2 sin x, with a rule that gives the derivative 3 x."""
    return 2 * jnp.sin(x)


@jax.custom_jvp
def same_but_twice(x, y):
    return x, x, y


thrice.defvjp(lambda x: (2 * jnp.sin(x), x), lambda x, dy: (3 * dy * x,))


@same_but_twice.defjvp
def _(primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    return same_but_twice(x, y), (2 * dx, 3 * dx, dy * 5)


def chain(x, length):
    for _ in range(length):
        x = jnp.sin(x)
    return x


def nested(x, w):
    """Composites in composites: a loop of steps, jitted functions in each and beside it."""
    total, _ = lax.scan(lambda carry, t: (jax.nn.softplus(carry * t), None), w, x)
    return jax.nn.relu(total) + jnp.sum(jax.nn.silu(x)) * w


@functools.cache
def unusual_graph():
    """The graph of a function of a random key, half precision and an empty array, with complex numbers and a print."""

    def f(key, x, empty):
        jax.debug.print("", ordered=False)
        z = jnp.fft.fft(x.astype("float32"))
        return jnp.abs(z).sum() * jax.random.uniform(key) + empty.sum()

    return graph.trace(f)(jax.random.key(0), normal((5,), jnp.bfloat16), jnp.zeros((0, 3)))


def used_at_both_ends(x):
    """A composite that needs x in its first and its last column, and an operation after it that needs x too."""
    return jax.jit(lambda x: jnp.sin(jnp.cos(x)) * x)(x) * x


def early_output_late_input(x, y):
    """A composite with an output in its first column and an input in its last one."""

    @jax.jit
    def inner(x, y):
        a = jnp.sin(x)
        return a, jnp.exp(jnp.cos(jnp.tanh(a))) * y

    a, b = inner(x, y)
    return a * b


def outputs_used_later(x):
    """A composite whose second output is used some columns later."""
    a, b = jax.jit(lambda x: (jnp.sin(x), jnp.cos(x)))(x)
    return jnp.exp(jnp.cos(jnp.tanh(a))) * b * a


def fan(x):
    """A composite with an output in its first column, between the inputs of the others."""

    @jax.jit
    def inner(x):
        a = jnp.sin(x)
        others = [jnp.exp(jnp.cos(f(a))) for f in (jnp.tanh, jnp.exp, jnp.sin, jnp.cos)]
        return a, sum(others), *others

    a, *others = inner(x)
    return sum(other * a for other in others)


LONG_EDGES = [
    (outputs_used_later, 0.5),
    (fan, 0.5),
    (used_at_both_ends, 0.5),
    (lambda x: jax.jit(used_at_both_ends)(x) * x, 0.5),
    (early_output_late_input, 0.5, 2.0),
    (nested, normal((3,)), 0.5),
]
"""Functions, with arguments, whose edges pass through columns and out of composites."""


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
"""Functions of a (3, 3) array."""
