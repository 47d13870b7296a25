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

# With optimization, XLA fuses other sums if what is between them is measured, and last digits differ.
pytestmark = pytest.mark.usefixtures("quick_compilation")

# An activation is marked as any single layer is, and dense layers differ by their start alone.
CASES = [case for case in LAYER_CASES if case not in ACTIVATION_CASES and not case.name.startswith("dense_")]


TIED = [case.layer for case in CASES if case.name.startswith("tied")]

# The arrays that each primitive layer takes and returns, "f" for floats and "i" for whole numbers, such as lengths. A
# layer that is its only part takes and returns what the case does; the others not listed, one array of floats.
ONE, PADDED = ("f", "f"), ("fi", "fi")
ARRAYS = {
    "bidirectional_lengths": [PADDED] * 2,
    "bidirectional_last": [("fi", "f")] * 2,
    "carried": [ONE, ("fff", "fff"), ONE],  # what is carried is of the recurrence alone
    "carried_residual": [("ff", "ff"), ONE],
    "carried_repeat": [("ff", "ff"), ONE] * 2,
    "each_step_lengths": [ONE],  # the layer inside takes rows, which have no lengths
    "each_step_batch_norm": [ONE],
    "tied_embedding": [("i", "f"), ONE, ONE],
    "transformer_block_causal_lengths": [ONE] * 2 + [PADDED] + [ONE] * 4,
    "transformer_block_memory": [
        *(ONE, ONE, PADDED, PADDED),  # beside attention, the memory passes as it is
        *(ONE, PADDED, ("fifi", "fi")),  # attention to the memory, after the norm of x beside it
        *(ONE, ONE, ONE, ONE, PADDED),
    ],
    "resnet": [ONE] * 16 + [("ff", "f")] + [ONE] * 3,  # the sum of two branches
}


def kinds(tree):
    return "".join("f" if is_floating(a) else "i" for a in jax.tree.leaves(tree))


def first_seen(case, x):
    """The first array as the first layer sees it: beyond the lengths, `each_step` puts 0."""
    first = jax.tree.leaves(x, is_leaf=lambda node: isinstance(node, nn.Sequences))[0]
    if not isinstance(first, nn.Sequences):
        return first
    if not case.name.startswith(("each_step", "transformer_block")):
        return first.x
    return np.stack([np.where(np.arange(len(one))[:, None] < n, one, 0) for one, n in zip(*first, strict=True)])


def is_floating(a):
    return jnp.issubdtype(jnp.result_type(a), jnp.floating)


def cotangent(y):
    return jnp.cos(y) if is_floating(y) else zero_cotangent(y)


def largest(a):
    return jnp.abs(a.astype(float)).max()


def to_roundings(one, other):
    """Equal to 4 roundings of the largest number of the array: a sum in another order loses that much."""
    np.testing.assert_allclose(one, other, rtol=0, atol=4 * 2**-24 * float(largest(other)))


@pytest.mark.representatives("chain")
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
    equal = np.testing.assert_array_equal if case.layer not in TIED else to_roundings
    jax.tree.map(equal, numbers(got), numbers(plain))
    records, records_by_jax = (layer_records(each_mark(jax.device_get(one))) for one in (marks, marks_by_jax))
    of_layer = nn.untie(case.layer, params) if case.layer in TIED else params
    parts = case.layer.parts(of_layer) * (2 if case.name == "shared" else 1)  # one layer, computed for two entries
    assert [one.number for one in records] == list(range(1, len(parts) + 1))
    assert [one[:2] for one in records_by_jax] == [one[:2] for one in records]
    # The layers inside of `with_dtype` see what was cast.
    close = partial(np.testing.assert_allclose, rtol=1e-2 if case.inside == "bfloat16" else 1e-6)
    # Whole numbers have no gradient, nor have params that are held.
    arrays = ARRAYS.get(case.name, [(kinds(x), kinds(plain[0]))] if len(parts) == 1 else [ONE] * len(parts))
    for record, part, (inputs, outputs) in zip(records, parts, arrays, strict=True):
        weights = [largest(leaf) for leaf in jax.tree.leaves(part)]
        jax.tree.map(close, record.values["params"], weights)
        n = len(weights)
        for measures, expected in (
            (record.values, [n, len(inputs), len(outputs)]),
            (record.gradients, [0 if case.held and len(parts) > 1 else n, inputs.count("f"), outputs.count("f")]),
        ):
            assert [len(measures[what]) for what in ("params", "inputs", "activations")] == expected
    close(records[0].values["inputs"][0], largest(first_seen(case, x)))
    for record, same in zip(records, records_by_jax, strict=True):
        jax.tree.map(close, same.values, record.values)
        for what in ("inputs", "activations") if case.held else record.gradients:
            measures = record.gradients[what]
            if case.name.startswith("select"):  # JAX computes nothing for inputs of no influence
                measures = [one for one in measures if one]
            if case.name == "rescale_bytes":  # nor for outputs of what has no gradient
                measures = []
            # JAX has the leaves of params in another order.
            near = dict(rtol=0.05 if case.inside == "bfloat16" else 1e-4, atol=1e-6)
            np.testing.assert_allclose(np.sort(same.gradients[what]), np.sort(measures), **near)
