"""Meshes, and where arrays lie on them."""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

import jaxnn
from jaxnn import parallel
from tests.parallel.meshes import mesh, specs

PARAMS = jaxnn.chain(jaxnn.dense(8), jaxnn.dense(3)).init(jax.random.key(0), (4,))[0]


def test_a_mesh_has_all_devices():
    found = parallel.make_mesh()
    assert (dict(found.shape), found.axis_types) == ({"data": 4}, (AxisType.Explicit,))
    assert dict(parallel.make_mesh(2).shape) == {"data": 2, "model": 2}
    assert dict(parallel.make_mesh(devices=jax.devices()[:3]).shape) == {"data": 3}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(model=3), "^model must be a divisor of the 4 devices, got 3"),
        (dict(model=0), "^model must be a whole number of at least 1, got 0"),
        (dict(devices=[0]), "^devices must be a list of devices"),
    ],
)
def test_no_such_mesh(arguments, message):
    with pytest.raises(ValueError, match=message):
        parallel.make_mesh(**arguments)


def test_rows_and_whole_arrays():
    four = parallel.make_mesh()
    assert specs(parallel.place_rows({"x": np.zeros((8, 3)), "y": np.zeros(4)}, four)) == [("data",)] * 2
    assert {*specs(parallel.place_whole(PARAMS, four))} == {()}
    lying = parallel.split_evenly(PARAMS, four)
    assert specs(parallel.place_whole(lying, four)) == specs(lying)
    with pytest.raises(
        ValueError, match=r"^rows must be a multiple of the 4 devices of axis 'data', got shape \(6, 3\)"
    ):
        parallel.place_rows(np.zeros((6, 3)), four)


def test_params_are_split_by_rules():
    both = parallel.make_mesh(2)
    rules = {"0/W": jax.P("model", None), ".*/W": jax.P(None, "data")}
    found = parallel.split_params(PARAMS, both, rules)
    assert [a.sharding.spec for a in jax.tree.leaves(found)] == [
        jax.P("model"), jax.P(), jax.P(None, "data"), jax.P()
    ]  # fmt: skip
    jax.tree.map(np.testing.assert_array_equal, found, PARAMS)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"2/W": jax.P("data")}, "^rules must match params, got '2/W': there are 0/W, 0/b, 1/W, 1/b"),
        ({".*W": jax.P("rows")}, "^rules must name axes of the mesh, data, got"),
        ({".*b": jax.P(None, "data")}, r"^rules must have at most an entry for each axis of 0/b \(8,\), got"),
        ({"1/W": jax.P("data")}, r"^rules must split 1/W \(3, 8\) in equal parts, got .*: 3 is not 4 times any"),
        ({"1/W": "data"}, "^rules must be a dictionary from paths of params to jax.P specs"),
    ],
)
def test_rules_that_do_not_fit(rules, message):
    with pytest.raises(ValueError, match=message):
        parallel.split_params(PARAMS, mesh(4), rules)


def test_even_parts():
    assert specs(parallel.split_evenly(PARAMS, mesh(4))) == [("data",), ("data",), (None, "data"), ()]
    with pytest.raises(ValueError, match="^axis must be one of data, got 'model'"):
        parallel.split_evenly(PARAMS, mesh(4), "model")
