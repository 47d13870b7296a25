"""Backwards that are not the transposed Jacobian: not linear in dy, permuted, summed too much, the diagonal alone."""

import jax
import jax.numpy as jnp
import numpy as np

from scripts.benchmarks.gradbench.case import array, normal, right, with_rule, wrong

X, V, W = normal(201, 5, 4), normal(202, 6), normal(203, 4, 3)
LINEAR = "not linear in dy"


def penalty_added(args, dy):
    return (dy * jnp.cos(args[0]) + 1e-2 * args[0],)


def to_sixteenths(args, dy):
    return (jnp.round(16 * dy) / 16 * jnp.cos(args[0]),)


def small_ones_dropped(args, dy):
    return (jnp.where(jnp.abs(dy) > 1, dy, 0) * jnp.cos(args[0]),)


def normalized_rows(args, dy):
    return ((dy / jnp.sqrt(jnp.sum(dy * dy, axis=1, keepdims=True))) @ args[1].T, args[0].T @ dy)


def product(x, w):
    return x @ w


SINE = ("vjp", jnp.sin)
NOT_LINEAR = [
    wrong("sine: |dy|", *SINE, lambda args, dy: (jnp.abs(dy) * jnp.cos(args[0]),), X, kind=LINEAR),
    wrong("sine: a penalty added inside the rule", "custom", jnp.sin, with_rule(jnp.sin, penalty_added), V,
          kind=LINEAR),
    wrong("sine: dy in sixteenths", *SINE, to_sixteenths, V, kind=LINEAR),
    wrong("sine: small dy dropped", *SINE, small_ones_dropped, V, kind=LINEAR),
    wrong("sine: tanh of dy", *SINE, lambda args, dy: (jnp.tanh(dy) * jnp.cos(args[0]),), V, kind=LINEAR),
    wrong("matrix product: rows of dy normalized in dx", "vjp", product, normalized_rows, X, W, kind=LINEAR),
]  # fmt: skip

ORDER = np.array([2, 0, 3, 1])


def columns(x):
    return x[:, ORDER] ** 2


def heads(x):
    """Return the sines with their two heads in front."""
    return jnp.sin(x).reshape(x.shape[0], 2, -1).swapaxes(0, 1)


def rotated(x):
    """Return the halves -b, a of features a, b."""
    half = x.shape[-1] // 2
    return jnp.concatenate([-x[..., half:], x[..., :half]], axis=-1)


def interleaved(x):
    """Return a³ d³ b³ e³ c³ f³ of a b c d e f."""
    return x.reshape(2, -1).T.reshape(-1) ** 3


PERMUTED = "permutation"
PERMUTATION = [
    wrong("sort: gathered, not scattered", "vjp", jnp.sort, lambda args, dy: (dy[jnp.argsort(args[0])],),
          array([0.5, 3, -1, 2, 1, -4]), kind=PERMUTED),
    wrong("sort: left sorted", "custom", jnp.sort, with_rule(jnp.sort, lambda args, dy: (dy,)),
          array([0.5, 3, -1, 2, 1, -4]), kind=PERMUTED, also=["straight-through"]),
    wrong("columns in another order: not put back", "vjp", columns,
          lambda args, dy: (2 * dy * args[0][:, ORDER],), X, kind=PERMUTED),
    wrong("reversal: not reversed back", "vjp", lambda x: jnp.sin(x[::-1]),
          lambda args, dy: (dy * jnp.cos(args[0][::-1]),), V, kind=PERMUTED),
    wrong("roll by 1: rolled on, not back", "vjp", lambda x: jnp.roll(x, 1), lambda args, dy: (jnp.roll(dy, 1),), V,
          kind=PERMUTED),
    wrong("heads in front: reshaped, axes not swapped", "vjp", heads,
          lambda args, dy: (dy.reshape(args[0].shape) * jnp.cos(args[0]),), X, also=[PERMUTED]),
    wrong("interleaved halves: interleaved again", "vjp", interleaved,
          lambda args, dy: ((dy * 3 * args[0].reshape(2, -1).T.reshape(-1) ** 2).reshape(2, -1).T.reshape(-1),), V,
          kind=PERMUTED),
    wrong("rotated halves: rotated on, not back", "vjp", rotated, lambda args, dy: (rotated(dy),), X, kind="sign"),
]  # fmt: skip


def add(x, b):
    return x + b


def add_bias(x, b):
    return x + b[None]


def scaled_rows(x, s):
    return s * x


def positions(x, p):
    """Add a vector to each position of each example."""
    return x + p[None]


def unit_gain(x, gain):
    return gain[None] * jnp.tanh(x)


TOO_MUCH = "summed too much"
SUMMED = [
    wrong("a bias per entry: the sum over examples for each", "vjp", add,
          lambda args, dy: (dy, jnp.broadcast_to(dy.sum(0, keepdims=True), dy.shape)), X, normal(204, 5, 4),
          kind=TOO_MUCH),
    wrong("a bias per feature: the sum over features too", "vjp", add_bias,
          lambda args, dy: (dy, jnp.full_like(args[1], dy.sum())), X, normal(205, 4), kind=TOO_MUCH),
    wrong("a scale per example: the sum over examples too", "vjp", scaled_rows,
          lambda args, dy: (dy * args[1], jnp.full_like(args[1], jnp.sum(dy * args[0]))), X, normal(206, 5, 1),
          kind=TOO_MUCH),
    wrong("positions: the sum over positions too", "vjp", positions,
          lambda args, dy: (dy, jnp.broadcast_to(dy.sum((0, 1), keepdims=True)[0], args[1].shape)),
          normal(207, 3, 5, 4), normal(208, 5, 4), kind=TOO_MUCH),
    wrong("a gain per feature: the sum over features too", "custom", unit_gain,
          with_rule(unit_gain, lambda args, dy: (dy * args[1][None] * (1 - jnp.tanh(args[0]) ** 2),
                                                 jnp.full_like(args[1], jnp.sum(dy * jnp.tanh(args[0]))))),
          X, normal(209, 4), kind=TOO_MUCH),
    wrong("squares: the sum over examples for each", "vjp", lambda x: x * x,
          lambda args, dy: (jnp.broadcast_to((2 * args[0] * dy).sum(0, keepdims=True), dy.shape),), X, kind=TOO_MUCH),
]  # fmt: skip


def mixed(x):
    return x * jnp.roll(x, -1) + x


def quadratic(x):
    return x @ (MATRIX.astype(x.dtype)) * x


MATRIX = normal(210, 6, 6)


def softmax_diagonal(args, dy):
    p = jax.nn.softmax(args[0])
    return (dy * p * (1 - p),)


def log_softmax_diagonal(args, dy):
    return (dy * (1 - jax.nn.softmax(args[0])),)


def unit(x):
    return x / jnp.sqrt(jnp.sum(x * x))


def unit_diagonal(args, dy):
    (x,) = args
    n = jnp.sqrt(jnp.sum(x * x))
    return (dy * (1 / n - x * x / n**3),)


def quadratic_diagonal(args, dy):
    (x,) = args
    matrix = MATRIX.astype(x.dtype)
    return (dy * (x @ matrix + x * jnp.diag(matrix)),)


ALONE = "diagonal alone"
DIAGONAL = [
    wrong("softmax: p(1 - p)", "vjp", jax.nn.softmax, softmax_diagonal, X, kind=ALONE),
    wrong("log softmax: 1 - p", "vjp", jax.nn.log_softmax, log_softmax_diagonal, X, kind=ALONE),
    wrong("unit length: diagonal", "custom", unit, with_rule(unit, unit_diagonal), V, kind=ALONE),
    wrong("running sum: dy", "vjp", jnp.cumsum, lambda args, dy: (dy,), V, kind=ALONE, also=["straight-through"]),
    wrong("x times the next: diagonal", "vjp", mixed, lambda args, dy: (dy * (jnp.roll(args[0], -1) + 1),), V,
          kind=ALONE),
    wrong("x times Ax: diagonal", "vjp", quadratic, quadratic_diagonal, V, kind=ALONE),
    wrong("centering: 1 - 1/n", "vjp", lambda x: x - x.mean(), lambda args, dy: (dy * (1 - 1 / dy.size),), V,
          kind=ALONE),
]  # fmt: skip

RIGHT = [
    right("sort", "vjp", jnp.sort,
          lambda args, dy: (jnp.zeros_like(dy).at[jnp.argsort(args[0])].set(dy),),
          array([0.5, 3, -1, 2, 1, -4])),
    right("x times Ax", "vjp", quadratic,
          lambda args, dy: (dy * (args[0] @ MATRIX.astype(dy.dtype)) + (dy * args[0]) @ MATRIX.astype(dy.dtype).T,),
          V),
    right("rotated halves", "vjp", rotated, lambda args, dy: (-rotated(dy),), X),
]  # fmt: skip
WRONG = NOT_LINEAR + PERMUTATION + SUMMED + DIAGONAL
