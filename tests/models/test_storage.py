"""Files of networks and models: what was saved is what is loaded, and a file from a stranger is one clear error."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from safetensors import safe_open
from safetensors.numpy import save as to_bytes

import jaxnn
from jaxnn import nn
from jaxnn.models import load, save
from jaxnn.models.calls_as_json import network_from_json, network_to_json
from jaxnn.models.outputs import OUTPUTS
from tests.helpers.saved_files import written

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


FILE = "a b.safetensors"


@pytest.mark.representatives("repeat")
@pytest.mark.parametrize("name", NETWORKS)
def test_what_was_saved_is_loaded(name, tmp_path):
    network = NETWORKS[name]
    params, _ = network.init(KEY, (4, 3) if name == "cells" else (3,))
    save(tmp_path / FILE, network, params, {"mean": jnp.ones(2)})
    loaded = load(tmp_path / FILE)
    assert loaded.model == network
    jax.tree.map(np.testing.assert_array_equal, (loaded.params, loaded.stats), (params, {"mean": jnp.ones(2)}))
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    "params",
    [
        {"a": {"b": np.zeros(2)}, "a/b": np.ones(2), "a/b'": np.ones(3)},
        {"big": np.arange(3, dtype=">f4"), "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3))},
        {"half": jnp.arange(3, dtype="bfloat16"), "whole": np.arange(3, dtype="uint8"), "truth": np.array([True])},
        {"small": jnp.arange(3, dtype="float8_e4m3fn"), "none": np.zeros((0, 3)), "complex": np.ones(2, np.complex64)},
        {"few": jnp.arange(4, dtype="int4"), "number": np.float32(3)[()].reshape(())},
        [np.ones(2), (np.zeros(0), {"deep": [np.ones((1, 1))]})],
    ],
)
def test_any_tree_of_arrays_is_loaded_as_it_was(params, tmp_path):
    save(tmp_path / FILE, jaxnn.dense(1), params)
    loaded = load(tmp_path / FILE).params
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, loaded, params)
    dtypes = [a.dtype.newbyteorder("=") for a in jax.tree.leaves(params)]
    assert [a.dtype for a in jax.tree.leaves(loaded)] == dtypes  # float64 too, which JAX alone would round


@pytest.fixture(scope="module")
def trained():
    """A model with statistics, standardized inputs and named classes, and all that belongs to it."""
    x, y = np.random.default_rng(0).normal(3, 2, (40, 3)).astype(np.float32), np.arange(40) % 3
    standardizer = jaxnn.data.fit_standardizer(x.astype(np.float64))  # of more digits than JAX has by default
    network = jaxnn.chain(jaxnn.dense(4), nn.batch_norm(), jaxnn.relu(), jaxnn.dense(3))
    model = jaxnn.Model(network, (3,), *jaxnn.models.feedforward.OUTPUTS["softmax"])
    objective = jaxnn.objective(network, model.loss)
    inputs = jaxnn.standardize(standardizer, x).astype(np.float32)
    fit = jaxnn.fit(objective, optax.adam(0.1), model.init(KEY), inputs, y, key=KEY, epochs=3, batch_size=20)
    return model, fit, standardizer, ("cat", "dog", "cow"), x


def test_a_model_predicts_from_raw_inputs_by_names(trained, tmp_path):
    model, fit, standardizer, names, x = trained
    notes = {"unit": "cm", "threshold": 0.25, "limits": (1, None), "weights": np.arange(3)}
    save(
        tmp_path / FILE,
        model,
        fit.params,
        fit.stats,
        standardizer=standardizer,
        class_names=list(names),
        notes=notes,
    )
    saved = load(tmp_path / FILE)
    inputs = jaxnn.standardize(standardizer, x)
    labels = np.asarray(model.predict(fit.params, inputs, fit.stats))
    assert saved.predict(x).tolist() == [names[label] for label in labels]
    expected = model.predict_proba(fit.params, inputs, fit.stats)
    np.testing.assert_array_equal(saved.predict_proba(x), expected)
    jax.tree.map(np.testing.assert_array_equal, saved.standardizer, standardizer)
    assert saved.standardizer.mean.dtype == np.float64
    assert (saved.class_names, saved.model.network, saved.model.loss) == (names, model.network, model.loss)
    assert saved.notes["limits"] == (1, None) and {**saved.notes, "weights": 0} == {**notes, "weights": 0}
    np.testing.assert_array_equal(saved.notes["weights"], np.arange(3))


MODELS = {
    "logistic": (jaxnn.logistic_regression(3), (2, 3), ["no", "yes"]),
    "several labels": (jaxnn.mlp((3, 2, 4)), (2, 3), ["a", "b", "c", "d"]),
    "values": (jaxnn.mlp((3, 2, 2), output="linear"), (2, 3), None),
    "lenet": (jaxnn.models.lenet((12, 12, 1), 3), (2, 12, 12, 1), ["a", "b", "c"]),
    "each step": (
        jaxnn.Model(
            jaxnn.chain(nn.recurrent(nn.simple_cell(4)), nn.each_step(jaxnn.dense(3))),
            (5, 2),
            *jaxnn.models.feedforward.OUTPUTS["softmax"],
        ),
        (4, 5, 2),
        ["a", "b", "c"],
    ),
    "words": (
        jaxnn.Model(
            jaxnn.chain(nn.embedding(9, 2), jaxnn.flatten(), jaxnn.dense(2)),
            jax.ShapeDtypeStruct((4,), "int32"),
            *jaxnn.models.feedforward.OUTPUTS["softmax"],
        ),
        (2, 4),
        ["a", "b"],
    ),
}


@pytest.mark.representatives("logistic", "words")
@pytest.mark.parametrize("name", MODELS)
def test_models_are_loaded_with_their_shapes_and_meaning(name, tmp_path):
    model, shape, names = MODELS[name]
    params, x = model.init(KEY), np.random.default_rng(1).integers(0, 9, shape).astype(np.float32)
    x = x.astype(np.int32) if name == "words" else x
    stats = ()
    save(tmp_path / FILE, model, params, stats, class_names=names)
    saved = load(tmp_path / FILE)
    assert saved.model._replace(network=model.network, loss=model.loss) == model
    labels = np.asarray(model.predict(params, x))
    expected = np.asarray(names)[labels] if labels.ndim == 1 or name == "each step" else labels
    assert saved.predict(x).tolist() == expected.tolist()


@pytest.mark.full
def test_sequences_are_shapes_of_examples(tmp_path):
    batch = jaxnn.sequences.Sequences(jnp.ones((2, 5, 3)), jnp.array([5, 2]))
    network = jaxnn.chain(nn.recurrent(nn.gru_cell(4), "last"), jaxnn.dense(2))
    model = jaxnn.Model(network, nn.shapes_of(batch), *jaxnn.models.feedforward.OUTPUTS["softmax"])
    params = model.init(KEY)
    save(tmp_path / FILE, model, params)
    saved = load(tmp_path / FILE)
    assert saved.model.in_shape == model.in_shape
    np.testing.assert_array_equal(saved.predict(batch), model.predict(params, batch))


def test_the_file_is_read_by_any_reader_and_the_same_each_time(tmp_path):
    model = jaxnn.mlp((3, 2, 1))
    params = model.init(KEY)
    for name in "ab":
        save(tmp_path / f"{name}.safetensors", model, params, class_names=["no", "yes"])
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    with safe_open(tmp_path / "a.safetensors", framework="np") as file:
        assert sorted(file.keys()) == ["params/0/W", "params/0/b", "params/2/W", "params/2/b"]
        np.testing.assert_array_equal(file.get_tensor("params/0/W"), params[0]["W"])


def test_layers_of_others_are_passed(tmp_path):
    save(tmp_path / FILE, jaxnn.chain(scale(2.0)), ((),))
    assert load(tmp_path / FILE, {"scale": scale}).model == jaxnn.chain(scale(2.0))
    with pytest.raises(ValueError, match=r"^layers must have 'scale': load\(path, layers=\{'scale': scale\}"):
        load(tmp_path / FILE)


def unnamed(shape):
    return jaxnn.stateless(lambda x: (x, ()), lambda cache, dy: dy)


@pytest.mark.parametrize(
    ("network", "params", "message"),
    [
        (jaxnn.Layer(None, None, None), (), "network must be made by factories"),
        (
            jaxnn.dense(2, jax.nn.initializers.orthogonal()),
            {},
            "network/1 must be made by factories.*the function init",
        ),
        (unnamed(3), (), "network/0 must be made by factories"),
        (jaxnn.dense(2), {3: np.ones(2)}, "params must be made by factories"),
        (jaxnn.factory(jaxnn.dense.__wrapped__)(2), {}, "a factory whose name jaxnn has not, got 'dense'"),
    ],
)
def test_what_cannot_be_saved_raises_and_writes_nothing(network, params, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        save(tmp_path / FILE, network, params)
    assert not list(tmp_path.iterdir())


DENSE = {"call": "dense", "args": [2], "kwargs": {}}
NOTHING = {"tuple": []}


def of(model=DENSE, params=NOTHING, version=1, **others):
    parts = {"stats": NOTHING, "standardizer": None, "class_names": None, "notes": {"dict": {}}}
    return {"version": version, "model": model, "params": params} | parts | others


def model_of(**parts):
    output = {"function": "class_probabilities"}
    model = {
        "network": DENSE,
        "in_shape": {"tuple": [3]},
        "loss": {"call": "softmax_cross_entropy", "args": [], "kwargs": {}},
        "probabilities": output,
        "labels": {"function": "class_of_logits"},
    }
    return {"dict": model | parts}


W, B = {"array": "W", "dtype": "float32"}, {"array": "b", "dtype": "float32"}
PARAMS = {"dict": {"W": W, "b": B}}
ARRAYS = dict(W=np.ones((2, 3), np.float32), b=np.ones(2, np.float32))
HUGE = {"call": "dense", "args": [10**12], "kwargs": {}}
TABLE = json.dumps({"a": {"dtype": "F64", "shape": [10**11], "data_offsets": [0, 8 * 10**11]}}).encode()

HOSTILE = {
    "empty": b"",
    "not a table": b"PK hello, this is no safetensors file",
    "a table beyond the file": (2**40).to_bytes(8, "little") + b"{}",
    "an array beyond the file": len(TABLE).to_bytes(8, "little") + TABLE,
    "of another program": to_bytes({"a": np.ones(2)}),
    "no json": written("{"),
    "deep json": written("[" * 100_000),
    "another kind of json": written("7"),
    "no digest": written(json.dumps(of())),
    "another digest": written(of(), digest="0" * 64),
    "no call": written(of(model={})),
    "another version": written(of(version="1\n2")),
    "not a factory": written(of(model={"call": "Layer", "args": [1, 2, 3], "kwargs": {}})),
    "a function": written(of(model={"call": "dense_forward", "args": [1], "kwargs": {}})),
    "a function of outputs as a network": written(of(model={"call": "unchanged", "args": [1], "kwargs": {}})),
    "wrong arguments": written(of(model={"call": "dense", "args": ["x"], "kwargs": {}})),
    "no network": written(of(model=NOTHING)),
    "a missing array": written(of(params=W)),
    "another dtype": written(of(params={"array": "W", "dtype": "no dtype"}), W=np.ones(2)),
    "a model of less": written(of(model={"dict": {"network": DENSE}})),
    "a model of another system": written(of(model=model_of(labels={"function": "system"}))),
    "a model of no network": written(of(model=model_of(network=[1]))),
    "params of another network": written(of(model_of(), {"dict": {"W": B, "b": B}}), **ARRAYS),
    "params that lack one": written(of(model_of(), {"dict": {"W": W}}), **ARRAYS),
    "a huge network": written(of(model_of(network=HUGE), PARAMS), **ARRAYS),
    "too many names": written(of(model_of(), PARAMS, class_names={"tuple": ["a", "b", "c"]}), **ARRAYS),
    "no names": written(of(model_of(), PARAMS, class_names={"tuple": [1, 2]}), **ARRAYS),
    "no standardizer": written(of(model_of(), PARAMS, standardizer={"dict": {"mean": B}}), **ARRAYS),
}


def test_a_file_that_is_written_so_is_read(tmp_path):
    """Otherwise the hostile ones might be rejected for another reason."""
    (tmp_path / FILE).write_bytes(written(of(model_of(), PARAMS, class_names={"tuple": ["a", "b"]}), **ARRAYS))
    assert load(tmp_path / FILE).predict(np.ones((1, 3))).tolist() == ["a"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_was_not_saved_is_one_line(name, tmp_path):
    (tmp_path / FILE).write_bytes(HOSTILE[name])
    with pytest.raises(ValueError, match=r"must be|must have") as raised:
        load(tmp_path / FILE)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_every_changed_byte_and_every_end_is_noticed(trained, tmp_path):
    model, fit, standardizer, names, _ = trained
    path = tmp_path / FILE
    save(path, model, fit.params, fit.stats, standardizer=standardizer, class_names=names)
    data = path.read_bytes()
    random = np.random.default_rng(2)
    for at in [*random.integers(0, len(data), 150), 0, 7, 8, len(data) - 1]:
        damaged = bytearray(data)
        damaged[at] ^= 1 << random.integers(8)
        if _same_table(damaged, data):
            continue
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="must"):
            load(path)
    for end in random.integers(0, len(data), 20):
        path.write_bytes(data[:end])
        with pytest.raises(ValueError, match="must be a file that jaxnn.save wrote"):
            load(path)


def _same_table(damaged, data):
    """Whether JSON reads the tables alike: there are several ways to write a character, a space and a number."""
    size = int.from_bytes(data[:8], "little")
    if damaged[:8] != data[:8] or damaged[8 + size :] != data[8 + size :]:
        return False
    try:
        return json.loads(damaged[8 : 8 + size]) == json.loads(data[8 : 8 + size])
    except ValueError:
        return False


def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.safetensors")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_an_os_error(tmp_path):
    (tmp_path / FILE).write_bytes(b"")
    (tmp_path / FILE).chmod(0)
    with pytest.raises(PermissionError):
        load(tmp_path / FILE)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(class_names=["a", "b"]), "class_names must be those of the model's 3 classes, got 2"),
        (dict(class_names="abc"), "class_names must be the names of the classes"),
        (dict(params=({"W": np.ones((4, 2))},)), r"params\[0\]\['W'\] must be an array \(4, 3\), got .*\(4, 2\)"),
        (dict(params=()), r"params\[0\]\['W'\] must be an array \(4, 3\), got nothing: params are those of another"),
        (dict(stats=()), "statistics"),
        (dict(standardizer=3), "standardizer must be"),
        (dict(notes={"n": np.array(["a"])}), "notes/n must be made by factories, of numbers"),
        (dict(notes={"n": np.array([None])}), "notes/n must be made by factories, of numbers"),
        (dict(notes={"n": np.longdouble([1])}), "notes/n must be made by factories, of numbers"),
        (dict(notes={"n": np.ma.array([1.0], mask=[True])}), "notes/n must be made by factories, of numbers"),
        (
            dict(standardizer=jaxnn.data.Standardizer(np.zeros(5), np.ones(5))),
            "standardizer must be of the model's inputs",
        ),
        (dict(stats="abc"), "stats must be a tree of arrays"),
        (dict(notes={"f": len}), "notes/f must be made by factories"),
        (
            dict(notes={"deep": {"c": np.ones(2, np.complex128)}}),
            "notes/deep/c must be made by factories, .* got complex128",
        ),
    ],
)
def test_what_does_not_belong_to_the_model_is_not_saved(given, message, trained, tmp_path):
    model, fit, standardizer, names, _ = trained
    every = dict(params=fit.params, stats=fit.stats, standardizer=standardizer, class_names=names) | given
    with pytest.raises(ValueError, match=message):
        save(tmp_path / FILE, model, every.pop("params"), every.pop("stats"), **every)
    assert not list(tmp_path.iterdir())


def test_names_of_values_and_outputs_of_a_layer_have_no_meaning(tmp_path):
    model = jaxnn.mlp((3, 2), output="linear")
    with pytest.raises(ValueError, match="class_names must be None for a model of values, got 2 names"):
        save(tmp_path / FILE, model, model.init(KEY), class_names=["a", "b"])
    save(tmp_path / FILE, model.network, model.init(KEY))
    with pytest.raises(ValueError, match=r"model must be a Model, got .*: a Layer has outputs alone"):
        load(tmp_path / FILE).predict(np.ones((1, 3)))


def test_one_name_of_two_factories_is_not_saved(tmp_path):
    """It would be loaded as the same one twice."""

    def made(by):
        @jaxnn.factory
        def act():
            return jaxnn.stateless(lambda x: (by * x, ()), lambda cache, dy: by * dy)

        return act()

    with pytest.raises(ValueError, match="network/1 must be made by a factory that alone is named 'act'"):
        save(tmp_path / FILE, jaxnn.chain(made(1.0), made(-1.0)), ((), ()))


def test_threads_that_save_to_one_path_leave_a_whole_file(tmp_path):
    model = jaxnn.mlp((3, 2, 1))
    params, path = model.init(KEY), tmp_path / ("long" * 60 + ".safetensors")

    def work(_):
        for _ in range(10):
            save(path, model, params)
            load(path)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    assert [*tmp_path.iterdir()] == [path]


def test_several_outputs_are_predicted_and_have_no_names(tmp_path):
    network = nn.fan_out(a=jaxnn.dense(2), b=jaxnn.dense(1))
    loss = jaxnn.losses.weighted_sum({"a": (jaxnn.squared_error(), 1.0), "b": (jaxnn.squared_error(), 1.0)})
    model = jaxnn.Model(network, (3,), loss, OUTPUTS["linear"][1], OUTPUTS["linear"][2])
    params = model.init(KEY)
    save(tmp_path / FILE, model, params)
    assert {name: a.shape for name, a in load(tmp_path / FILE).predict(np.ones((4, 3))).items()} == {
        "a": (4, 2),
        "b": (4, 1),
    }
    with pytest.raises(ValueError, match="class_names must be None for a model of several outputs"):
        save(tmp_path / FILE, model, params, class_names=["a", "b"])
    with pytest.raises(ValueError, match="must be None for a Layer"):
        save(tmp_path / FILE, jaxnn.dense(2), {}, class_names=["a", "b"])


def test_functions_of_ones_own_outputs_are_passed(tmp_path):
    def halves(z):
        return z / 2

    model = jaxnn.mlp((3, 2), output="linear")._replace(labels=halves)
    save(tmp_path / FILE, model, model.init(KEY))
    assert load(tmp_path / FILE, {"halves": halves}).model.labels is halves
    with pytest.raises(ValueError, match="layers must have 'halves'"):
        load(tmp_path / FILE)
    with pytest.raises(ValueError, match="labels must be made by factories"):
        save(tmp_path / FILE, model._replace(labels=lambda z: z), model.init(KEY))


def test_a_failed_write_leaves_the_file_that_was(tmp_path, monkeypatch):
    save(tmp_path / FILE, jaxnn.dense(1), {"W": np.ones((1, 1))})

    def fail(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        save(tmp_path / FILE, jaxnn.dense(1), {"W": np.zeros((1, 1))})
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert load(tmp_path / FILE).params["W"] == 1


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "frozen"])
def test_a_network_without_arrays_is_json(name):
    text = network_to_json(NETWORKS[name])
    assert network_from_json(text) == NETWORKS[name] and json.dumps(json.loads(text)) == text


def test_what_is_not_json_of_a_network_raises():
    with pytest.raises(ValueError, match="network must be made without arrays to be written as JSON, got one"):
        network_to_json(NETWORKS["frozen"])
    with pytest.raises(ValueError, match=r"network/0 must be made by factories"):
        network_to_json(unnamed((3,)))
    scaled = network_to_json(scale(2.0))
    for text in ("", "7", "[1]", '{"call": 1}', '{"call": "load", "args": ["x"], "kwargs": {}}', "[" * 10_000, scaled):
        with pytest.raises(ValueError, match="network must be") as raised:
            network_from_json(text)
        assert len(str(raised.value)) <= 300
