"""What is marked in a layer, sorted by layer: on every layer of the registry, by hand and by JAX's derivative."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import nn
from jaxnn.arrays import zero_cotangent
from jaxnn.marking.harvested import each_mark
from jaxnn.marking.harvesting import harvest
from jaxnn.marking.places import NETWORK
from jaxnn.nn.boundaries import run_backward, run_forward
from jaxnn.nn.records import layer_records
from tests.helpers.programs import numbers
from tests.helpers.registry import ACTIVATION_CASES, LAYER_CASES, name_of

# An activation is marked as any single layer is, and dense layers differ by their start alone.
CASES = [case for case in LAYER_CASES if case not in ACTIVATION_CASES and not case.name.startswith("dense_")]


TIED = [case.layer for case in CASES if case.name.startswith("tied")]


def is_floating(a):
    return jnp.issubdtype(jnp.result_type(a), jnp.floating)


def cotangent(y):
    return jnp.cos(y) if is_floating(y) else zero_cotangent(y)


def largest(a):
    return jnp.abs(a.astype(float)).max()


@pytest.mark.representatives("chain", "residual_dropout")
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_each_layer_is_recorded_and_its_numbers_do_not_change(case):
    params, x, key = case.params(), case.input(4), case.key()

    def by_hand(params, x):
        y, cache = run_forward(NETWORK, case.layer, params, x, key)
        return y, run_backward(NETWORK, case.layer, params, cache, jax.tree.map(cotangent, y))

    def by_jax(params, x):
        y, pull = jax.vjp(lambda params, x: run_forward(NETWORK, case.layer, params, x, key)[0], params, x)
        return y, pull(jax.tree.map(cotangent, y))

    @jax.jit
    def run(params, x):
        return by_hand(params, x), harvest(by_hand, largest)(params, x), harvest(by_jax, largest)(params, x)[1]

    plain, (got, marks), marks_by_jax = run(params, x)
    # Of tied arrays, XLA may add to one cotangent what another one has by its rows, if neither is measured.
    equal = np.testing.assert_array_equal if case.layer not in TIED else partial(np.testing.assert_allclose, rtol=1e-6)
    jax.tree.map(equal, numbers(got), numbers(plain))
    records, records_by_jax = (layer_records(each_mark(jax.device_get(one))) for one in (marks, marks_by_jax))
    of_layer = nn.untie(case.layer, params) if case.layer in TIED else params
    parts = case.layer.parts(of_layer) * (2 if case.name == "shared" else 1)  # one layer, computed for two entries
    assert [one.number for one in records] == list(range(1, len(parts) + 1))
    assert [one[:2] for one in records_by_jax] == [one[:2] for one in records]
    # The layers inside of `with_dtype` see what was cast.
    close = partial(np.testing.assert_allclose, rtol=1e-2 if case.inside == "bfloat16" else 1e-6)
    # Whole numbers have no gradient, nor have params that are held.
    arrays, outputs = (jax.tree.leaves(one) if len(parts) == 1 else [1.0] for one in (x, plain[0]))
    of_outputs = [a for a in outputs if is_floating(a)]
    for record, part in zip(records, parts, strict=True):
        of_words = record is records[0] and not any(map(is_floating, jax.tree.leaves(x)))
        with_gradient = [] if of_words else [a for a in arrays if is_floating(a)]
        weights = [largest(leaf) for leaf in jax.tree.leaves(part)]
        jax.tree.map(close, record.values["params"], weights)
        n = len(weights)
        for measures, expected in (
            (record.values, [n, len(arrays), len(outputs)]),
            (record.gradients, [0 if case.held and len(parts) > 1 else n, len(with_gradient), len(of_outputs)]),
        ):
            assert [len(measures[what]) for what in ("params", "inputs", "activations")] == expected
    close(records[0].values["inputs"][0], largest(jax.tree.leaves(x)[0]))
    for record, same in zip(records, records_by_jax, strict=True):
        jax.tree.map(close, same.values, record.values)
        for what in ("inputs", "activations") if case.held else record.gradients:
            measures = record.gradients[what]
            if case.name.startswith("select"):  # JAX computes nothing for inputs of no influence
                measures = [one for one in measures if one]
            # JAX has the leaves of params in another order.
            near = dict(rtol=0.05 if case.inside == "bfloat16" else 1e-4, atol=1e-6)
            np.testing.assert_allclose(np.sort(same.gradients[what]), np.sort(measures), **near)
