"""Stored networks: round trips, and errors for damaged files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load, save

import jaxnn
from experiments.networks.spec import LayersSpec, NetworkSpec
from experiments.networks.storage import StoredNetwork, encode, load_from_run
from experiments.networks.storage import load as load_network
from jaxnn.models.calls_as_json import network_to_json


@pytest.fixture
def stored(tmp_path):
    spec = NetworkSpec((5, 4, 3), "tanh", "softmax", init="he")
    params = spec.model().init(jax.random.key(0))
    stats = jaxnn.data.Standardizer(np.arange(5.0), np.ones(5))
    path = tmp_path / "net.safetensors"
    path.write_bytes(encode(StoredNetwork(spec, params, ("a", "b", "c"), None, stats)))
    return path, spec, params


def test_network_round_trip(stored):
    path, spec, params = stored
    back = load_network(path)
    x = jnp.linspace(-1, 1, 10).reshape(2, 5)
    before = spec.model().predict_proba(params, x)
    np.testing.assert_array_equal(back.spec.model().predict_proba(back.params, x), before)
    assert (back.spec.sizes, back.spec.activation, back.spec.output) == ((5, 4, 3), "tanh", "softmax")
    assert (back.classes, back.image_shape) == (("a", "b", "c"), None)
    np.testing.assert_array_equal(back.standardizer.mean, np.arange(5.0))


def test_the_same_network_is_stored_in_the_same_bytes(stored):
    path, spec, params = stored
    back = load_network(path)
    written = {encode(back) for _ in range(20)}
    assert written == {path.read_bytes()}
    assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0  # numbers begin where they can be read in place


def test_weights_are_stored_by_their_values_not_by_their_memory(tmp_path):
    spec = NetworkSpec((2, 3))
    W = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(3, 2))
    path = tmp_path / "net.safetensors"
    path.write_bytes(encode(StoredNetwork(spec, ({"W": W, "b": np.zeros(3, np.float32)},), ("a", "b"))))
    np.testing.assert_array_equal(load_network(path).params[0]["W"], W)


@pytest.mark.full
def test_a_scanned_network_is_stored_layer_by_layer(tmp_path):
    """So a file is the same, scanned or not."""
    spec = NetworkSpec((2,) * 130, "tanh")
    model = spec.model()
    params = jax.tree.map(lambda leaf: leaf + 0.5, model.init(jax.random.key(0)))
    assert len(jax.tree.leaves(params)) < 10  # it is scanned
    path = tmp_path / "net.safetensors"
    path.write_bytes(encode(StoredNetwork(spec, params, ("a", "b"))))
    stored = load(path.read_bytes())
    assert {stored[f"{2 * i}/W"].shape for i in range(129)} == {(2, 2)}
    np.testing.assert_array_equal(stored["6/W"], jaxnn.models.params_to_arrays(model.network, params)[6])
    jax.tree.map(np.testing.assert_array_equal, load_network(path).params, params)


def test_names_are_the_paths_in_the_params(stored):
    with safe_open(stored[0], framework="np") as file:
        assert sorted(file.keys()) == ["0/W", "0/b", "2/W", "2/b", "standardizer/mean", "standardizer/std"]
        assert file.metadata()["sizes"] == "[5, 4, 3]"
        assert file.metadata()["format_version"] == "1"


def change(path, tensors=None, **metadata):
    """Write the file again, with tensors (None: left out) and metadata changed."""
    with safe_open(path, framework="np") as file:
        old = file.metadata()
    kept = {name: value for name, value in (load(path.read_bytes()) | (tensors or {})).items() if value is not None}
    path.write_bytes(save(kept, old | metadata))


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({"0/W": np.zeros((5, 4), np.float32)}, {}, r"W is \(n_out, n_in\), transpose it"),
        ({"0/W": np.zeros((4, 6), np.float32)}, {}, "shape"),
        ({"0/W": np.full((4, 5), np.nan, np.float32)}, {}, "must be finite in float32, got inf or NaN"),
        ({"2/b": None}, {}, "39 params, the file 36"),
        ({"9/W": np.zeros(1, np.float32)}, {}, "the network has"),
        ({}, {"sizes": "[5, 4"}, "damaged"),
        ({}, {"sizes": "7"}, "damaged"),
        ({}, {"sizes": "[" * 100_000}, "damaged"),
        ({}, {"sizes": "[5, 1000000000000, 3]"}, "9,000,000,000,003 params, the file 39"),
        ({}, {"sizes": "[5" + ", 1" * 100_000 + ", 3]"}, "100,001 layers, more than 1,000"),
        ({}, {"sizes": "[5, true, 3]"}, "its sizes are"),
        ({}, {"sizes": "5" * 5000}, "damaged"),
        ({}, {"classes": "[1, 2, 3]"}, "expected names"),
        ({}, {"classes": '["a", "b", "\\u001b[2J"]'}, "cannot be printed"),
        ({}, {"classes": '["a"]'}, "names 1 classes, but its outputs are of 3"),
        ({}, {"image_shape": "[1000000000, 1000000000, 3]"}, "of 5 numbers"),
        ({}, {"image_shape": "[-1, -1, 5]"}, "image_shape"),
        ({"0/b": np.zeros(4, np.int64)}, {}, "0/b is int64"),
        ({"standardizer/std": None}, {}, "its standardizer has shapes"),
        ({"standardizer/std": np.zeros(5)}, {}, "a deviation of 0"),
        ({"standardizer/mean": np.full(5, np.nan)}, {}, "not finite"),
        ({}, {"sizes": "[5, -4, 3]"}, "sizes"),
        ({}, {"activation": "wish"}, "activation must be one of"),
        ({}, {"output": "wish"}, "output must be one of"),
        ({}, {"image_shape": "7"}, "damaged"),
        ({}, {"format": "other"}, "not written by these experiments"),
        ({}, {"format_version": "2"}, "newer jaxnn"),
    ],
)
def test_file_that_does_not_fit_its_network_raises(stored, tensors, metadata, message):
    change(stored[0], tensors, **metadata)
    with pytest.raises(ValueError, match=message):
        load_network(stored[0])


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"PK\x03\x04" + b[4:]])
def test_damaged_file_raises(stored, damage):
    path = stored[0]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"net\.safetensors is damaged"):
        load_network(path)


def test_oversized_table_of_contents_raises_before_it_is_read(stored):
    path = stored[0]
    path.write_bytes((2**40).to_bytes(8, "little") + path.read_bytes()[8:])
    with pytest.raises(ValueError, match=r"net\.safetensors is damaged.* would have 1,099,511,627,776 bytes"):
        load_network(path)


LARGE = jaxnn.chain(jaxnn.nn.conv(10**9, 3), jaxnn.flatten(), jaxnn.dense(3))


@pytest.fixture
def convolutional(tmp_path):
    nn = jaxnn.nn
    network = nn.chain(nn.conv(2, 3, padding=((0, 1), (1, 0)), init="he"), nn.tanh(), nn.flatten(), nn.dense(3))
    spec = LayersSpec(network, (4, 4, 1))
    params = spec.model().init(jax.random.key(0))
    path = tmp_path / "conv.safetensors"
    path.write_bytes(encode(StoredNetwork(spec, params, ("a", "b", "c"))))
    return path, spec, params


@pytest.mark.full
def test_convolutional_round_trip(convolutional, tmp_path):
    path, spec, params = convolutional
    back = load_network(path)
    assert (back.spec, back.classes, encode(back)) == (spec, ("a", "b", "c"), path.read_bytes())
    jax.tree.map(np.testing.assert_array_equal, back.params, params)
    x = np.linspace(-1, 1, 32, dtype=np.float32).reshape(2, 4, 4, 1)
    np.testing.assert_array_equal(back.spec.model().predict(back.params, x), spec.model().predict(params, x))
    with safe_open(path, framework="np") as file:
        assert sorted(file.keys()) == ["0/K", "0/b", "3/W", "3/b"]
        assert (file.metadata()["format"], file.metadata()["in_shape"]) == ("jaxnn-layers", "[4, 4, 1]")


def test_the_deepest_network_of_a_run_may_be_of_any_kind(convolutional, stored, tmp_path):
    spec = NetworkSpec((2, 3, 3, 2))
    params = spec.model().init(jax.random.key(0))
    (tmp_path / "deep.safetensors").write_bytes(encode(StoredNetwork(spec, params, ("a", "b"))))
    assert load_from_run(tmp_path)[0] == "deep"
    assert load_from_run(tmp_path, "conv")[1].spec == convolutional[1]


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({"0/K": np.zeros((3, 3, 2, 1), np.float32)}, {}, "must have shape"),
        ({"3/b": None}, {}, "a network 4x4x1-3x3x2-3 has 77 params, the file 74"),
        ({"9/W": np.zeros(1, np.float32)}, {}, "the network has 0/K, 0/b, 3/W, 3/b"),
        ({}, {"in_shape": "[4, 4]"}, "damaged"),
        ({}, {"in_shape": "[4, 4, 3]"}, "has 113 params"),
        ({}, {"in_shape": "[1000000, 1000000, 1]"}, "damaged"),
        ({}, {"output": "wish"}, "output must be one of binary, softmax, linear, relu, got 'wish'"),
        ({}, {"classes": '["a", "b"]'}, "names 2 classes, but its outputs are of 3"),
        ({}, {"network": "[" * 100_000}, "damaged"),
        ({}, {"network": '{"call": "system", "args": ["ls"], "kwargs": {}}'}, "'system'"),
        ({}, {"network": '{"call": "dense", "args": [-1], "kwargs": {}}'}, "damaged"),
        ({}, {"network": network_to_json(LARGE)}, r"a network 4x4x1-4x4x1000000000-3 has 58,000,000,003 params"),
        ({}, {"network": "7"}, "network must be"),
        ({}, {"format": "jaxnn-mlp", "format_version": "1"}, "its header lacks 'sizes'"),
        ({}, {"format_version": "3"}, "newer jaxnn"),
        ({}, {"in_dtype": "float64"}, "in_dtype must be one of float32, int32, uint8, got 'float64'"),
        ({}, {"format_version": "one"}, "damaged"),
    ],
)
def test_convolutional_file_that_does_not_fit_its_network_raises(convolutional, tensors, metadata, message):
    change(convolutional[0], tensors, **metadata)
    with pytest.raises(ValueError, match=message):
        load_network(convolutional[0])


@pytest.fixture
def normalized(tmp_path):
    nn = jaxnn.nn
    block = nn.residual(nn.chain(nn.conv(2, 3), nn.batch_norm(), nn.tanh()))
    network = nn.chain(nn.conv(2, 3), nn.batch_norm(), block, nn.flatten(), nn.dense(3))
    spec = LayersSpec(network, (3, 4, 1))
    params, random = spec.model().init(jax.random.key(0)), np.random.default_rng(0)
    stats = jax.tree.map(lambda leaf: random.uniform(0.5, 2, leaf.shape).astype(leaf.dtype), spec.statistics)
    path = tmp_path / "norm.safetensors"
    path.write_bytes(encode(StoredNetwork(spec, params, ("a", "b", "c"), stats=stats)))
    return path, spec, params, stats


@pytest.mark.full
def test_statistics_round_trip(normalized):
    path, spec, params, stats = normalized
    back = load_network(path)
    jax.tree.map(np.testing.assert_array_equal, (back.params, back.stats), (params, stats))
    x = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4, 1)
    np.testing.assert_array_equal(
        back.spec.model().outputs(back.params, x, back.stats), spec.model().outputs(params, x, stats)
    )
    with safe_open(path, framework="np") as file:
        names = {"stats/1/mean", "stats/1/var", "stats/2/1/mean", "stats/2/1/var"}
        assert {name for name in file.keys() if name.startswith("stats/")} == names  # noqa: SIM118 (not a dictionary)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"stats/1/var": None}, "the network has 0/K, 0/b, 1/beta, .*stats/1/var"),
        ({"stats/1/var": np.ones(3, np.float32)}, r"stats/1/var must be finite, of shape \(2,\), got \(3,\)"),
        ({"stats/1/mean": np.full(2, np.nan, np.float32)}, "stats/1/mean must be finite"),
    ],
)
def test_statistics_that_do_not_fit_raise(normalized, tensors, message):
    change(normalized[0], tensors)
    with pytest.raises(ValueError, match=message):
        load_network(normalized[0])


def test_a_network_without_its_statistics_is_not_stored(normalized):
    _, spec, params, _ = normalized
    with pytest.raises(ValueError, match="stats must be those of 3x4x1-3x4x2-3x4x2-3x4x2-3"):
        encode(StoredNetwork(spec, params, ("a", "b", "c")))


def test_a_network_of_whole_numbers(tmp_path):
    network = jaxnn.chain(jaxnn.nn.embedding(7, 2), jaxnn.flatten(), jaxnn.dense(3))
    spec = LayersSpec(network, (4,), in_dtype="int32")
    params = spec.model().init(jax.random.key(0))
    path = tmp_path / "words.safetensors"
    path.write_bytes(encode(StoredNetwork(spec, params, ("a", "b", "c"))))
    back = load_network(path)
    x = np.array([[0, 6, 2, 2]], np.int32)
    assert (back.spec, str(spec), spec.n_outputs) == (spec, "4-4x2-3", 3)
    np.testing.assert_array_equal(back.spec.model().outputs(back.params, x), spec.model().outputs(params, x))
