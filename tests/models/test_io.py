"""Files of networks: what was saved is what is loaded, and a file from a stranger is one clear error."""

import io
import json
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import nn
from jaxnn.models import load, save
from jaxnn.models.io import network_from_json, network_to_json

KEY = jax.random.key(0)


@jaxnn.factory
def scale(by):
    return jaxnn.stateless(lambda x: (by * x, ()), lambda cache, dy: by * dy)


NETWORKS = {
    "cells": jaxnn.chain(nn.bidirectional(nn.lstm_cell(3, 0.5)), nn.recurrent(nn.gru_cell(2, "before"), "last")),
    "branches": nn.fan_out(a=jaxnn.dense(2), b=jaxnn.chain(jaxnn.dense(3), nn.batch_norm(0.1))),
    "repeat": jaxnn.repeat(jaxnn.chain(jaxnn.dense(3), jaxnn.dropout(0.25)), 3),
    "frozen": nn.frozen(nn.batch_norm(), {"mean": np.ones(3, np.float32), "var": np.ones(3, np.float32)}),
    "bfloat16": jaxnn.with_dtype(jaxnn.dense(2, init="he"), jnp.bfloat16),
    "scanned": jaxnn.mlp((3, 4, 4, 4, 1), scan=True).network,
}


@pytest.mark.representatives("repeat", "scanned")
@pytest.mark.parametrize("name", NETWORKS)
def test_what_was_saved_is_loaded(name, tmp_path):
    network = NETWORKS[name]
    params, _ = network.init(KEY, (4, 3) if name == "cells" else (3,))
    save(tmp_path / "a b.npz", network, params, {"mean": jnp.ones(2)})
    loaded = load(tmp_path / "a b.npz")
    assert loaded.network == network
    jax.tree.map(np.testing.assert_array_equal, (loaded.params, loaded.stats), (params, {"mean": jnp.ones(2)}))
    assert [path.name for path in tmp_path.iterdir()] == ["a b.npz"]


@pytest.mark.parametrize(
    "params",
    [
        {"a": {"b": np.zeros(2)}, "a.b": np.ones(2)},
        {"big": np.arange(3, dtype=">f4")},
        {"half": jnp.arange(3, dtype="bfloat16"), "whole": np.arange(3, dtype="uint8"), "truth": np.array([True])},
        [np.ones(2), (np.zeros(0), {"deep": [np.ones((1, 1))]})],
    ],
)
def test_any_tree_of_arrays_is_loaded_as_it_was(params, tmp_path):
    save(tmp_path / "f.npz", jaxnn.dense(1), params)
    loaded = load(tmp_path / "f.npz").params
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, loaded, params)


def test_layers_of_others_are_passed(tmp_path):
    save(tmp_path / "f.npz", jaxnn.chain(scale(2.0)), ((),))
    assert load(tmp_path / "f.npz", {"scale": scale}).network == jaxnn.chain(scale(2.0))
    with pytest.raises(
        ValueError, match=r"^layers must have the factory 'scale'.*load\(path, layers=\{'scale': scale\}"
    ):
        load(tmp_path / "f.npz")


def unnamed(shape):
    return jaxnn.stateless(lambda x: (x, ()), lambda cache, dy: dy)


@pytest.mark.parametrize(
    ("network", "params", "message"),
    [
        (jaxnn.Layer(None, None, None), (), "network must be made by factories"),
        (
            jaxnn.dense(2, jax.nn.initializers.orthogonal()),
            {},
            "network.1 must be made by factories.*the function init",
        ),
        (unnamed(3), (), "network.0 must be made by factories"),
        (jaxnn.dense(2), {3: np.ones(2)}, "params must be made by factories"),
        (jaxnn.factory(jaxnn.dense.__wrapped__)(2), {}, "a factory whose name jaxnn has not, got 'dense'"),
    ],
)
def test_what_cannot_be_saved_raises_and_writes_nothing(network, params, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        save(tmp_path / "f.npz", network, params)
    assert not list(tmp_path.iterdir())


def written(contents, **arrays):
    file = io.BytesIO()
    text = contents if isinstance(contents, str) else json.dumps(contents)
    np.savez(file, jaxnn=np.array(text), **arrays)
    return file.getvalue()


def of(network=None, params=None, version=1):
    network = {"call": "dense", "args": [2], "kwargs": {}} if network is None else network
    return {"version": version, "network": network, "params": params or {"tuple": []}, "stats": {"tuple": []}}


def with_header(header):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        text = io.BytesIO()
        np.save(text, np.array(json.dumps(of(params={"array": "a", "dtype": "float64"}))))
        archive.writestr("jaxnn.npy", text.getvalue())
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    return file.getvalue()


def compressed():
    file = io.BytesIO()
    np.savez_compressed(file, jaxnn=np.array("{}"))
    return file.getvalue()


HOSTILE = {
    "empty": b"",
    "not a zip": b"PK hello",
    "another npz": written("{}"),
    "no json": written("{"),
    "deep json": written("[" * 100_000),
    "no call": written(of(network={})),
    "another version": written(of(version="1\n2")),
    "not a factory": written(of(network={"call": "Layer", "args": [1, 2, 3], "kwargs": {}})),
    "a function": written(of(network={"call": "dense_forward", "args": [1], "kwargs": {}})),
    "wrong arguments": written(of(network={"call": "dense", "args": ["x"], "kwargs": {}})),
    "no network": written(of(network={"tuple": []})),
    "a missing array": written(of(params={"array": "a", "dtype": "float32"})),
    "another dtype": written(of(params={"array": "a", "dtype": "no dtype"}), a=np.ones(2)),
    "a huge array": with_header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000,)}\n"),
    "a broken header": with_header(b"{'descr': '<f8'\n"),
    "an unbalanced header": with_header(b"((((\n"),
    "an array of objects": with_header(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n"),
    "compressed": compressed(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_was_not_saved_is_one_line(name, tmp_path):
    (tmp_path / "f.npz").write_bytes(HOSTILE[name])
    with pytest.raises(ValueError, match=r"must be|must have") as raised:
        load(tmp_path / "f.npz")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.npz")


def test_a_failed_write_leaves_the_file_that_was(tmp_path, monkeypatch):
    save(tmp_path / "f.npz", jaxnn.dense(1), {"W": np.ones((1, 1))})

    def fail(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="no space left"):
        save(tmp_path / "f.npz", jaxnn.dense(1), {"W": np.zeros((1, 1))})
    assert [path.name for path in tmp_path.iterdir()] == ["f.npz"]
    assert load(tmp_path / "f.npz").params["W"] == 1


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "frozen"])
def test_a_network_without_arrays_is_json(name):
    text = network_to_json(NETWORKS[name])
    assert network_from_json(text) == NETWORKS[name] and json.dumps(json.loads(text)) == text


def test_what_is_not_json_of_a_network_raises():
    with pytest.raises(ValueError, match="network must be made without arrays to be written as JSON, got 0 network"):
        network_to_json(NETWORKS["frozen"])
    with pytest.raises(ValueError, match=r"network\.0 must be made by factories"):
        network_to_json(unnamed((3,)))
    scaled = network_to_json(scale(2.0))
    for text in ("", "7", "[1]", '{"call": 1}', '{"call": "load", "args": ["x"], "kwargs": {}}', "[" * 10_000, scaled):
        with pytest.raises(ValueError, match="network must be") as raised:
            network_from_json(text)
        assert len(str(raised.value)) <= 300
