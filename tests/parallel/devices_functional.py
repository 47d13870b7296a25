"""The pure functions of layers and losses on a mesh of four devices with explicit axes: the numbers of one device."""

from collections import defaultdict
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import functional, nn
from jaxnn.sequences import Sequences
from tests.helpers.programs import numbers, same_in_float32
from tests.parallel.meshes import mesh, specs, split, whole

M = 8
RANDOM = np.random.default_rng(0)
KEY = jax.random.key(3)
PARTS = ("forward", "backward"), ("value", "gradient")


class Case(NamedTuple):
    """The arguments of a pair.

    Attributes:
      rows: the arguments that have the examples.
      params: those of a layer, or `None`.
      options: of both functions.
      forward: further ones of the forward.
    """

    rows: tuple
    params: Any = None
    options: dict = {}  # noqa: RUF012
    forward: dict = {}  # noqa: RUF012


def normal(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


def labels(n, *shape):
    return RANDOM.integers(0, n, shape)


def params_of(layer, *shape):
    return layer.init(KEY, shape)[0]


def of_cell(cell, states=1):
    """A cell's pair; its inputs are multiplied by W_x already."""
    params = params_of(nn.recurrent(cell), 4, 5)
    return Case((tuple(normal(M, 3) for _ in range(states)), normal(M, len(params["W_x"]))), params)


IMAGES, ROWS, TIMES = normal(M, 6, 6, 4), normal(M, 5), normal(M, 4, 6)
HEADS = normal(M, 4, 2, 6), normal(M, 5, 2, 6), normal(M, 5, 2, 3)
LENGTHS = np.array([6, 5, 6, 3, 4, 6, 2, 6])
CASES = {
    "absolute_error": [Case((normal(M, 3), normal(M, 3)))],
    "additive_attention": [Case((normal(M, 4, 6), normal(M, 5, 6), normal(M, 5, 2)), {"W": normal(1, 6)})],
    "attention": [Case(HEADS), Case(HEADS, forward=dict(visible=labels(2, M, 4, 5) + np.eye(4, 5, dtype=int) > 0))],
    "avg_pool": [Case((IMAGES,)), Case((IMAGES,), options=dict(size=3, stride=2, padding="same"))],
    "batch_norm": [
        Case((normal(M, 4),), params_of(nn.batch_norm(), 4)),
        Case((IMAGES,), params_of(nn.batch_norm(), 6, 6, 4), forward=dict(rows=LENGTHS)),
    ],
    "binary_cross_entropy": [Case((RANDOM.uniform(0.1, 0.9, (M, 1)).astype(np.float32), labels(2, M)))],
    "blockwise_attention": [
        Case(HEADS, options=dict(block=2)),
        Case((HEADS[0], *normal(2, M, 4, 2, 6)), options=dict(block=3, causal=True)),
    ],
    "conv": [
        Case((IMAGES,), params_of(nn.conv(3, 3), 6, 6, 4)),
        Case((IMAGES,), params_of(nn.conv(4, 3, groups=2), 6, 6, 4), dict(stride=2, groups=2, padding="valid")),
    ],
    "conv_transpose": [
        Case((IMAGES,), params_of(nn.conv_transpose(3, 3), 6, 6, 4)),
        Case((IMAGES,), params_of(nn.conv_transpose(3, 3), 6, 6, 4), dict(stride=2)),
    ],
    "ctc": [
        Case((normal(M, 6, 4), 1 + labels(3, M, 2))),
        Case((Sequences(normal(M, 6, 4), LENGTHS), 1 + labels(3, M, 1))),
    ],
    "dense": [
        Case((ROWS,), params_of(jaxnn.dense(3), 5)),
        Case((TIMES,), params_of(jaxnn.dense(3), 6)),
    ],
    "dropout": [Case((ROWS,), options=dict(rate=0.3), forward=dict(key=KEY))],
    "embedding": [Case((labels(5, M, 4),), {"E": normal(5, 3)}), Case((labels(5, M),), {"E": normal(5, 3)})],
    "flatten": [Case((IMAGES,))],
    "global_avg_pool": [Case((IMAGES,))],
    "global_max_pool": [Case((IMAGES,))],
    "group_norm": [Case((IMAGES,), params_of(nn.layer_norm(), 4), forward=dict(groups=2))],
    "gru_cell": [of_cell(nn.gru_cell(3))],
    "gru_reset_before": [of_cell(nn.gru_cell(3, reset="before"))],
    "hinge": [Case((normal(M, 1), labels(2, M)))],
    "huber": [Case((normal(M, 3), normal(M, 3)))],
    "kl_divergence": [Case((normal(M, 3), np.asarray(jax.nn.softmax(normal(M, 3)))))],
    "layer_norm": [Case((TIMES,), params_of(nn.layer_norm(), 6))],
    "learned_positions": [Case((TIMES,), {"E": normal(9, 6)}, dict(offset=2))],
    "lstm_cell": [of_cell(nn.lstm_cell(3), 2)],
    "max_pool": [Case((IMAGES,)), Case((IMAGES,), options=dict(size=3, stride=2, padding="same"))],
    "multiclass_hinge": [Case((normal(M, 3), labels(3, M)))],
    "pad": [Case((IMAGES,), options=dict(widths=1))],
    "rescale": [Case((IMAGES,))],
    "rms_norm": [Case((TIMES,), {"gamma": normal(6)})],
    "sigmoid_cross_entropy": [Case((normal(M, 1), labels(2, M))), Case((normal(M, 3), labels(2, M, 3)))],
    "simple_cell": [of_cell(nn.simple_cell(3))],
    "softmax_cross_entropy": [Case((normal(M, 3), labels(3, M))), Case((TIMES, labels(6, M, 4)))],
    "squared_error": [Case((normal(M, 3), normal(M, 3)))],
    "squared_hinge": [Case((normal(M, 1), labels(2, M)))],
    "upsample": [Case((IMAGES,)), Case((TIMES,), options=dict(factor=(3,)))],
    **{
        name: [Case((ROWS,))]
        for name in "elu gelu gelu_tanh identity leaky_relu relu sigmoid silu softmax softplus tanh".split()
    },
}
EVERY = [(name, case) for name, cases in CASES.items() for case in cases]
every = pytest.mark.parametrize(
    ("name", "case"), EVERY, ids=[f"{name}-{i}" for name, cases in CASES.items() for i in range(len(cases))]
)


def functions():
    """The two functions of each pair."""
    pairs = defaultdict(dict)
    for full in functional.__all__:
        name, part = full.rsplit("_", 1)
        pairs[name][part] = getattr(functional, full)
    return pairs


PAIRS = functions()


def cosines(y):
    return jax.tree.map(jnp.cos, y)


def by_hand(name, case):
    """The function from (params, rows) to the outputs and the cotangents of a pair."""
    pair = PAIRS[name]
    if "value" in pair:
        return lambda _, rows: (pair["value"](*rows), pair["gradient"](*rows))

    def run(params, rows):
        of = () if params is None else (params,)
        y, cache = pair["forward"](*of, *rows, **case.options, **case.forward)
        if "cell" in name or "gru" in name:
            return y, pair["backward"](*of, (rows[0], y), cache, cosines(y))
        return y, pair["backward"](*of, cache, cosines(y), **case.options)

    return run


def by_autodiff(name, case):
    """The function from (params, rows) to the outputs and JAX's cotangents of floats."""
    pair = PAIRS[name]

    def run(params, rows):
        of = () if params is None else (params,)
        leaves, structure = jax.tree.flatten((of, rows))
        floats = [i for i, a in enumerate(leaves) if jnp.issubdtype(a.dtype, jnp.floating)]

        def forward(given):
            of, rows = structure.unflatten([given.get(i, a) for i, a in enumerate(leaves)])
            if "value" in pair:
                return pair["value"](*rows)
            return pair["forward"](*of, *rows, **case.options, **case.forward)[0]

        y, pullback = jax.vjp(forward, {i: leaves[i] for i in floats})
        return y, pullback(cosines(y))

    return run


def test_the_table_has_every_pair():
    assert CASES.keys() == PAIRS.keys()
    assert {tuple(pair) for pair in map(sorted, PAIRS.values())} == {tuple(sorted(part)) for part in PARTS}


def check(name, case, way, use):
    four = mesh(4)
    given = jax.tree.map(jnp.asarray, (case.params, case.rows))
    expected = jax.jit(way(name, case))(*given)
    lying = whole(given[0], four), split(given[1], four)
    got = use(way(name, case))(*lying)
    same_in_float32(got, expected)
    if way is by_hand:
        y, cotangents = (numbers(tree) for tree in got)
        assert {*specs(y)} == {("data",)}
        if case.params is not None:
            dparams, *cotangents = cotangents
            assert {*specs(dparams)} == {()}
        assert {*specs(numbers(cotangents))} <= {("data",)}


@pytest.mark.representatives("dense-0", "conv-0", "softmax_cross_entropy-0", "upsample-0")
@every
def test_a_pair_computes_the_same(name, case):
    check(name, case, by_hand, jax.jit)


@pytest.mark.full
@every
def test_the_derivative_of_a_function_is_the_same(name, case):
    check(name, case, by_autodiff, jax.jit)


@pytest.mark.representatives("dense-0")
@every
def test_outside_of_a_program(name, case):
    check(name, case, by_hand, lambda f: f)


@pytest.mark.full
@every
def test_where_a_mesh_is_set(name, case):
    with jax.set_mesh(mesh(4)):
        check(name, case, by_hand, lambda f: f)
