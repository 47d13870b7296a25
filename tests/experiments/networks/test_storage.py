"""Stored networks: round trips, and errors for damaged files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load, save

import jaxnn
from experiments.networks.spec import LayersSpec, NetworkSpec
from experiments.networks.storage import StoredNetwork, encode, load_from_run
from experiments.networks.storage import load as load_network
from experiments.networks.tables import table_spec
from experiments.readers.errors import InvalidFileError
from tests.helpers.saved_files import change, read, written


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
    path.write_bytes(encode(StoredNetwork(spec, ({"W": W, "b": np.zeros(3, np.float32)},), ("a", "b", "c"))))
    np.testing.assert_array_equal(load_network(path).params[0]["W"], W)


@pytest.mark.full
def test_a_scanned_network_is_stored_layer_by_layer(tmp_path, monkeypatch):
    """So a file is the same, scanned or not."""
    spec = NetworkSpec((2,) * 70, "tanh")
    model, path = spec.model(), tmp_path / "net.safetensors"
    params = jax.tree.map(lambda leaf: leaf + 0.5, model.init(jax.random.key(0)))
    assert len(jax.tree.leaves(params)) < 10  # it is scanned
    path.write_bytes(encode(StoredNetwork(spec, params, ("a", "b"))))
    stored, arrays = load(path.read_bytes()), jaxnn.models.params_to_arrays(model.network, params)
    assert {name: array.shape for name, array in stored.items() if name.endswith("W")} == {
        f"params/{2 * i}/W": (2, 2) for i in range(69)
    }
    np.testing.assert_array_equal(stored["params/6/W"], arrays[6])
    jax.tree.map(np.testing.assert_array_equal, load_network(path).params, params)
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_allclose(jaxnn.load(path).predict_proba(x), model.predict_proba(params, x), rtol=1e-6)
    monkeypatch.setattr("experiments.networks.spec.SCAN_DEPTH", 1000)
    plain = spec.stored_model()
    params = jaxnn.models.params_from_arrays(plain.network, plain.in_shape, arrays)
    assert encode(StoredNetwork(spec, params, ("a", "b"))) == path.read_bytes()


def test_names_are_the_paths_in_the_params(stored):
    contents, arrays = read(stored[0])
    names = ["params/0/W", "params/0/b", "params/2/W", "params/2/b", "standardizer/mean", "standardizer/std"]
    assert sorted(arrays) == names
    assert contents["notes"] == {"dict": {"output": "softmax", "activation": "tanh"}}


@pytest.mark.full
def test_the_library_predicts_from_raw_inputs_by_names(stored):
    path, spec, params = stored
    x = np.random.default_rng(0).normal(2, 3, (20, 5))
    labels = np.argmax(spec.model().outputs(params, x - np.arange(5.0)), axis=1)
    assert jaxnn.load(path).predict(x).tolist() == ["abc"[label] for label in labels]
    assert len(set(labels.tolist())) > 1


@pytest.mark.full
def test_values_and_each_step_of_sequences_have_names(tmp_path):
    """The library has no names of values: they are in the notes."""
    nn, path = jaxnn.nn, tmp_path / "net.safetensors"
    steps = LayersSpec(nn.chain(nn.recurrent(nn.simple_cell(4)), nn.each_step(nn.dense(3))), (5, 2))
    for spec, shape in ((NetworkSpec((5, 3), "tanh", "linear"), (2, 5)), (steps, (4, 5, 2))):
        params, x = spec.model().init(jax.random.key(1)), np.random.default_rng(0).normal(0, 1, shape)
        path.write_bytes(encode(StoredNetwork(spec, params, ("a", "b", "c"))))
        back = load_network(path)
        assert (back.spec, back.classes) == (spec, ("a", "b", "c"))
        z = np.asarray(spec.model().outputs(params, x))
        expected = z if spec is not steps else np.array(["a", "b", "c"])[z.argmax(-1)]
        assert jaxnn.load(path).predict(x).tolist() == expected.tolist()


def description(*path):
    """Return a function that replaces a value in the contents of a file, by its path; the last is the value."""
    *keys, last, value = path

    def replace(contents):
        for key in keys:
            contents = contents[key]
        contents[last] = value

    return replace


def of_model(*path):
    return description("model", "dict", *path)


def of_params(*path):
    return description("params", "tuple", *path)


def of_notes(name, value):
    return description("notes", "dict", name, value)


def unchanged(contents):
    return None


def names_of(*names):
    return description("class_names", {"tuple": [*names]})


LAYERS = "network", "args"
DENSE, TANH = {"call": "dense", "args": [1], "kwargs": {}}, {"call": "tanh", "args": [], "kwargs": {}}


@pytest.mark.parametrize(
    ("arrays", "contents", "message"),
    [
        ({"params/0/W": np.zeros((5, 4), np.float32)}, unchanged, r"must be an array \(4, 5\), got an array \(5, 4\)"),
        ({"params/0/W": np.zeros((4, 6), np.float32)}, unchanged, r"must be an array \(4, 5\), got an array \(4, 6\)"),
        ({"params/0/W": np.full((4, 5), np.nan, np.float32)}, unchanged, r"params\[0\]\['W'\] must be finite float32"),
        ({"params/2/b": None}, unchanged, "KeyError: 'params/2/b'"),
        ({}, of_params(2, {"tuple": []}), r"params\[2\]\['W'\] must be an array .* got nothing"),
        ({}, description("params", {"list": [{"array": "params/0/W"}]}), "damaged"),
        ({}, of_model("network", [5]), "damaged"),
        ({}, of_model(*LAYERS, 0, "args", [10**12]), r"must be an array \(1000000000000, 5\), got an array \(4, 5\)"),
        ({}, of_model(*LAYERS, [DENSE] * 10_000), "its network too large: it is described by 20,0.. objects"),
        ({}, of_model(*LAYERS, 0, "args", [True]), "n_out must be"),
        ({}, of_model(*LAYERS, 0, "args", [-4]), "n_out must be"),
        ({}, of_model(*LAYERS, 0, "args", [10**3000]), "damaged"),
        ({}, of_model("in_shape", {"list": [5]}), "its model must be that of its notes, 5-4-3"),
        ({}, of_model("in_shape", {"tuple": [True]}), "damaged"),
        ({}, of_model("loss", 3), "its model must be that of its notes, 5-4-3"),
        ({}, of_model(*LAYERS, 1, "call", "relu"), r"that of its notes, 5-4-3 \(tanh, softmax\), got another"),
        ({}, names_of(1, 2, 3), "class_names must be the names of the classes"),
        ({}, names_of("a", "b", "\x1b[2J"), "names that can be printed"),
        ({}, names_of("a"), "class_names must be those of the model's 3 classes, got 1"),
        ({}, description("class_names", None), "its classes must be names, got None"),
        ({}, description("class_names", {"list": ["a", "b", "c"]}), "its classes must be names"),
        ({}, of_notes("image_shape", {"tuple": [10**9, 10**9, 3]}), "of 5 numbers"),
        ({}, of_notes("image_shape", {"tuple": [-1, -1, 5]}), "image_shape"),
        ({}, of_notes("image_shape", {"tuple": [1, 5]}), "image_shape"),
        ({}, of_notes("image_shape", 7), "image_shape must be"),
        (
            {"params/0/b": np.zeros(4, np.int32)},
            description("params", "tuple", 0, "dict", "b", "dtype", "int32"),
            "int32",
        ),
        ({}, description("standardizer", "dict", {"mean": {"array": "standardizer/mean", "dtype": "float64"}}), "std"),
        ({"standardizer/std": np.ones(4)}, unchanged, r"its standardizer must be of shape \(5,\)"),
        ({"standardizer/std": np.zeros(5)}, unchanged, "of deviations above 0"),
        ({"standardizer/mean": np.full(5, np.nan)}, unchanged, "its standardizer must be finite"),
        ({}, description("standardizer", "dict", "mean", "no array"), "standardizer must be"),
        ({}, of_notes("activation", "wish"), "activation must be one of"),
        ({}, of_notes("activation", {"list": ["tanh"]}), "damaged"),
        ({}, of_notes("output", "wish"), "output must be one of"),
        ({}, of_notes("output", "binary"), r"that of its notes, 5-4-3 \(tanh, binary\), got another"),
        ({}, of_notes("output", {"list": []}), "damaged"),
        ({}, description("notes", {"dict": {}}), "was not written by these experiments: its notes lack 'output'"),
        ({}, description("notes", {"list": []}), "damaged"),
        ({}, description("model", DENSE), "must be None for a Layer, whose outputs have no meaning"),
        ({}, description("version", 2), "damaged.* version 2"),
    ],
)
def test_file_that_does_not_fit_its_network_raises(stored, arrays, contents, message):
    change(stored[0], contents, arrays)
    with pytest.raises(InvalidFileError, match=message) as raised:
        load_network(stored[0])
    assert str(raised.value).startswith(f"{stored[0]} ") and str(raised.value).isprintable()


@pytest.mark.parametrize("text", ["7", "{", "[" * 100_000, "5" * 5000, '{"a":' * 150_000, "null"])
def test_contents_of_another_kind_raise(stored, text):
    stored[0].write_bytes(written(text, **read(stored[0])[1]))
    with pytest.raises(InvalidFileError, match=r"net\.safetensors is damaged"):
        load_network(stored[0])


def test_a_file_of_another_library_raises(stored):
    stored[0].write_bytes(save({"0.weight": np.ones((2, 2))}, {"format": "pt"}))
    with pytest.raises(InvalidFileError, match=r"net\.safetensors is damaged, or another library's, which import"):
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
    assert sorted(read(path)[1]) == ["params/0/K", "params/0/b", "params/3/W", "params/3/b"]


@pytest.mark.full
def test_the_deepest_network_of_a_run_may_be_of_any_kind(convolutional, stored, tmp_path):
    spec = NetworkSpec((2, 3, 3, 2))
    params = spec.model().init(jax.random.key(0))
    (tmp_path / "deep.safetensors").write_bytes(encode(StoredNetwork(spec, params, ("a", "b"))))
    assert load_from_run(tmp_path)[0] == "deep"
    assert load_from_run(tmp_path, "conv")[1].spec == convolutional[1]


@pytest.mark.parametrize(
    ("arrays", "contents", "message"),
    [
        ({"params/0/K": np.zeros((3, 3, 2, 1), np.float32)}, unchanged, r"must be an array \(3, 3, 1, 2\), got"),
        ({"params/3/b": None}, unchanged, "KeyError: 'params/3/b'"),
        ({}, of_model("in_shape", {"tuple": [4, 4]}), "damaged"),
        ({}, of_model("in_shape", {"tuple": [4, 4, 3]}), r"must be an array \(3, 3, 3, 2\)"),
        ({}, of_model("in_shape", {"tuple": [10**6, 10**6, 1]}), "damaged"),
        ({}, of_model("in_shape", {"list": [4, 4, 1]}), "in_shape must be sizes"),
        ({}, of_model("in_shape", {"shape": [4, 4, 1], "of": "float16"}), "in_dtype must be one of .*, got 'float16'"),
        ({}, of_model("in_shape", {"shape": [4, 4, 1], "of": "float32"}), "its model must be that of its notes"),
        ({}, of_notes("output", "wish"), "output must be one of binary, softmax, linear, relu, got 'wish'"),
        ({}, of_notes("output", "linear"), "its model must be that of its notes"),
        ({}, of_notes("activation", "tanh"), "damaged"),
        ({}, names_of("a", "b"), "the model's 3 classes, got 2"),
        ({}, of_model("network", {"call": "system", "args": ["ls"], "kwargs": {}}), "'system'"),
        ({}, of_model("network", {"call": "dense", "args": [-1], "kwargs": {}}), "damaged"),
        ({}, of_model(*LAYERS, 0, "args", 0, 10**9), "must be an array .3, 3, 1, 1000000000., got"),
        ({}, of_model(*LAYERS, 2, {"call": "repeat", "args": [TANH, 10**9], "kwargs": {}}), "damaged"),
        ({}, of_model("network", 7), "network must be"),
    ],
)
def test_convolutional_file_that_does_not_fit_its_network_raises(convolutional, arrays, contents, message):
    change(convolutional[0], contents, arrays)
    with pytest.raises(InvalidFileError, match=message):
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
    names = {name for name in read(path)[1] if name.startswith("stats/")}
    assert names == {"stats/1/mean", "stats/1/var", "stats/2/1/mean", "stats/2/1/var"}


@pytest.mark.parametrize(
    ("arrays", "contents", "message"),
    [
        ({"stats/1/var": None}, unchanged, "KeyError: 'stats/1/var'"),
        ({"stats/1/var": np.ones(3, np.float32)}, unchanged, "damaged"),
        ({"stats/1/mean": np.full(2, np.nan, np.float32)}, unchanged, r"stats\[1\]\['mean'\] must be finite float32"),
        ({}, description("stats", {"tuple": []}), "damaged"),
        ({}, description("stats", "tuple", 0, {"array": "stats/1/mean", "dtype": "float32"}), "damaged"),
    ],
)
def test_statistics_that_do_not_fit_raise(normalized, arrays, contents, message):
    change(normalized[0], contents, arrays)
    with pytest.raises(InvalidFileError, match=message):
        load_network(normalized[0])


def test_a_network_without_its_statistics_is_not_stored(normalized):
    _, spec, params, _ = normalized
    with pytest.raises(ValueError, match="stats must be those of 3x4x1-3x4x2-3x4x2-3x4x2-3"):
        encode(StoredNetwork(spec, params, ("a", "b", "c")))


@pytest.mark.full
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


def of_embedded(in_shape):
    return of_model("in_shape", {"tuple": in_shape})


NUMBERS, LEVEL = {"shape": [3], "of": "float32"}, {"shape": [], "of": "int32"}
MEAN = {"array": "notes/standardizer/mean", "dtype": "float64"}


@pytest.fixture
def embedded(tmp_path):
    spec = table_spec(3, (60,), (4, 1))
    stats = jaxnn.data.Standardizer(np.arange(3.0), np.full(3, 2.0))
    path = tmp_path / "table.safetensors"
    path.write_bytes(
        encode(StoredNetwork(spec, spec.model().init(jax.random.key(0)), ("no", "yes"), standardizer=stats))
    )
    return path, spec, stats


@pytest.mark.full
def test_the_standardizer_of_numbers_beside_words_is_in_the_notes(embedded):
    path, spec, stats = embedded
    back, saved = load_network(path), jaxnn.load(path)
    assert (back.spec, back.classes, saved.standardizer) == (spec, ("no", "yes"), None)
    jax.tree.map(np.testing.assert_array_equal, tuple(back.standardizer), tuple(stats))
    numbers, level = np.random.default_rng(0).normal(0, 5, (9, 3)), np.arange(9, dtype=np.int32)
    x = (jaxnn.standardize(stats, numbers).astype(np.float32), level)
    labels = np.asarray(spec.model().predict(back.params, x))
    assert saved.predict(x).tolist() == [("no", "yes")[label] for label in labels]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (of_embedded([NUMBERS]), "damaged"),
        (of_embedded([NUMBERS, LEVEL, LEVEL]), "damaged"),
        (of_embedded([{"shape": [2], "of": "float32"}, LEVEL]), "damaged"),
        (of_embedded([{"shape": [3, 1], "of": "float32"}, LEVEL]), "damaged"),
        (of_embedded([{"shape": [10**9], "of": "float32"}, LEVEL]), "damaged"),
        (of_embedded([{"shape": [True], "of": "float32"}, LEVEL]), "damaged"),
        (of_embedded([NUMBERS, {"shape": [], "of": "int8"}]), "in_shape must be sizes, or numbers and categories"),
        (of_model("in_shape", 3), "damaged"),
        (of_notes("standardizer", {"dict": {"mean": MEAN}}), "damaged"),
        (of_notes("standardizer", {"dict": {"mean": MEAN, "std": MEAN}}), "of deviations above 0"),
        (of_notes("standardizer", 3), "damaged"),
    ],
)
def test_a_table_that_does_not_fit_its_network_raises(embedded, contents, message):
    change(embedded[0], contents)
    with pytest.raises(InvalidFileError, match=message):
        load_network(embedded[0])
