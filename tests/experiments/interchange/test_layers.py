"""All layers: other libraries compute the same outputs, for odd sizes and strides; round trips are exact."""

from functools import cache

import jax
import jax.export
import numpy as np
import pytest

import jaxnn
from experiments.interchange.agreement import difference
from experiments.interchange.channels_first import with_channels_first
from experiments.interchange.formats import FORMATS, module
from experiments.interchange.layers import layers_of
from experiments.interchange.matching import filled
from experiments.interchange.standardization import raw_inputs
from experiments.networks.spec import LayersSpec
from experiments.networks.storage import StoredNetwork
from jaxnn import nn
from tests.experiments.interchange.networks import (
    ALL,
    SEQUENCES,
    channels_first,
    examples,
    inputs_there,
    network,
    outputs,
    with_random_arrays,
)

pytestmark = pytest.mark.usefixtures("quick_compilation")

BEFORE = ("gru_before", "bidirectional_before")
LACKING = {
    "torch": dict.fromkeys(BEFORE, "gru_cell must have reset='after' for PyTorch, got 'before'"),
    "flax": {
        "transposed_groups": "must have groups=1 for Flax",
        **dict.fromkeys(BEFORE, "gru_cell must have reset='after' for Flax, got 'before'"),
    },
    "keras": {"transposed_groups": "must have no groups, nor a stride with dilation, for Keras"},
}
"""What a format cannot hold, with the reason."""
CASES = [(form, name) for form in FORMATS if form != "stablehlo" for name in ALL]
KEPT = {
    ("npz", "words"),
    *(("flax", name) for name in ("transposed_odd", "bidirectional_last")),
    *(("keras", name) for name in ("avg_pool_inside", "gru_before")),
}


@pytest.fixture(scope="module", autouse=True)
def keras_on_jax(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "jax")
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        yield


def exported(name, form, path):
    """The network, and the outputs of what the printed code builds."""
    if form in ("torch", "flax", "keras", "onnx"):
        pytest.importorskip("onnxruntime" if form == "onnx" else form)
    stored = network(name)
    path.write_bytes(module(form).encode(stored))
    names: dict = {}
    exec(module(form).code(stored, str(path)), names)
    z = eval(module(form).OUTPUT, names | {"x": inputs_there(form, stored)})
    names.clear()  # its functions refer to it, so files that it has open would be closed at any later time
    return stored, np.asarray(z.detach() if form == "torch" else z)


@cache
def expected_outputs(name):
    """jaxnn's outputs, with which those of every format are compared."""
    return outputs(network(name), examples(network(name).spec))


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
@pytest.mark.representatives("flax-transposed_odd", "torch-bidirectional_before", "torch-gru_before")
@pytest.mark.parametrize(("form", "name"), CASES, ids=lambda value: value)
def test_another_library_computes_the_same(tmp_path, no_rank_promotion_rule, form, name):
    path = tmp_path / f"net{FORMATS[form].suffix}"
    if reason := LACKING.get(form, {}).get(name):
        with pytest.raises(ValueError, match=reason):
            module(form).encode(network(name))
        return
    _, z = exported(name, form, path)
    expected = expected_outputs(name)
    np.testing.assert_allclose(z, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.full
@pytest.mark.parametrize("name", SEQUENCES)
def test_a_function_takes_any_number_of_sequences(name):
    stored = network(name)
    function = jax.export.deserialize(bytearray(module("stablehlo").encode(stored))).call
    for m in (1, 3, 70):
        x = examples(stored.spec, m)
        expected = jax.jit(stored.spec.model().predict_proba)(stored.params, x, stored.stats)
        np.testing.assert_allclose(function(x), expected, rtol=1e-5, atol=1e-6)


READ = [(form, name) for form, name in CASES if name not in LACKING.get(form, {}) and form != "onnx"]
READ_OF_EACH = ("norms", "depthwise", "concat", "bidirectional", "attention")


@pytest.mark.representatives(
    "flax-attention",
    "flax-bidirectional",
    "flax-concat",
    "flax-depthwise",
    "npz-attention",
    "npz-bidirectional",
    "npz-depthwise",
    "npz-norms",
    "torch-attention",
    "torch-bidirectional",
    "torch-concat",
    "torch-depthwise",
)
@pytest.mark.parametrize(("form", "name"), READ, ids=lambda value: value)
def test_export_and_import_of_all_layers_round_trip_bit_for_bit(tmp_path, form, name):
    stored, path = network(name), tmp_path / f"net{FORMATS[form].suffix}"
    path.write_bytes(module(form).encode(stored))
    read = filled(stored.spec, module(form).read(path), module(form))
    jax.tree.map(np.testing.assert_array_equal, read, (stored.params, stored.stats))


def test_arrays_that_are_tied_must_be_equal_in_a_file(tmp_path):
    stored, path = network("words_tied"), tmp_path / "net.npz"
    path.write_bytes(module("npz").encode(stored))
    arrays = dict(np.load(path))
    np.testing.assert_array_equal(arrays["W_2"], arrays["E_1"])
    np.savez(path, **arrays | {"W_2": arrays["W_2"] + 1})
    with pytest.raises(ValueError, match="W must be equal to .*E, with which it is tied, got other numbers"):
        filled(stored.spec, module("npz").read(path), module("npz"))


def test_every_layer_that_is_not_made_of_others_in_another_way_has_a_row():
    """A new layer of jaxnn needs a row in each table, or a reason here."""
    without = {
        "chain": "unfolded",
        "repeat": "unfolded",
        "remat": "unfolded",
        "frozen": "unfolded",
        "tied": "unfolded, with the array at each of its places",
        "select": "several inputs",
        "reshape": "places of channels last, in another order with channels first",
        "permute": "an order that no other library draws",
        "shared": "one set of params in several places",
        "parallel": "several inputs",
        "with_dtype": "another precision",
        "stateless": "any function",
        "layer_from": "any function",
        "by_autodiff": "the same layer",
        "custom_gradients": "another gradient",
        "carried": "the same layer, in pieces",
        "transformer_block": "unfolded",
        "additive_attention": "a query and a memory, two inputs",
        "recurrent_attention": "a sequence and a memory, two inputs",
    }
    factories = {
        name for name in nn.__all__ if getattr(getattr(nn, name), "__annotations__", {}).get("return") is nn.Layer
    }
    for form in ("torch", "flax", "keras", "onnx"):
        assert factories - {*module(form).TABLE} <= {*without}


def test_a_flatten_orders_columns_by_channel_and_back():
    """Entry j of a flattened (channels, height, width) is entry order[j] of a flattened (height, width, channels)."""
    layers = with_channels_first(layers_of(network("same_strided")))
    (dense,) = (layer for layer in layers if layer.kind == "dense")
    height, width, channels = 4, 3, 4
    x = np.random.default_rng(0).normal(size=(height, width, channels))
    np.testing.assert_array_equal(x.ravel()[dense.order], np.moveaxis(x, -1, 0).ravel())
    assert (dense.order != np.arange(48)).any()


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (nn.chain(nn.conv(2, 3), nn.flatten()), "must not end with flattened places"),
        (nn.chain(nn.flatten(), nn.group_norm(2), nn.dense(2)), "group_norm must not follow flatten"),
        (nn.chain(nn.flatten(), nn.residual(nn.tanh()), nn.dense(2)), "residual must not follow flatten"),
        (
            nn.chain(nn.flatten(), nn.fan_out(nn.tanh(), nn.relu()), nn.fan_in_sum(), nn.dense(2)),
            "fan_out must not follow",
        ),
    ],
)
def test_what_depends_on_the_order_of_flattened_places_is_an_error(layers, message):
    with pytest.raises(ValueError, match=message):
        module("torch").encode(with_random_arrays(LayersSpec(layers, (3, 2, 2))))


@pytest.mark.parametrize("form", ["torch", "flax", "keras", "npz"])
@pytest.mark.parametrize(
    ("layer", "kind"), [(nn.with_dtype(nn.dense(3), "bfloat16"), "with_dtype"), (nn.fan_out(a=nn.dense(2)), "fan_out")]
)
def test_a_layer_that_a_format_lacks_is_an_error(form, layer, kind):
    with pytest.raises(ValueError, match=f"{kind}\\(...\\)"):
        module(form).encode(with_random_arrays(LayersSpec(nn.chain(layer), (4,))))


# ------------------------------------------------------------------ standardized inputs


@pytest.fixture
def of_standardized():
    """A convolutional network of inputs with a mean and a deviation for each channel."""
    stored = network("lenet")
    return stored._replace(standardizer=jaxnn.data.Standardizer(np.array([30.0, -2.0]), np.array([4.0, 0.1])))


@pytest.mark.full
@pytest.mark.parametrize("form", ["npz", "torch", "flax"])
def test_standardization_before_a_convolution_is_a_layer(of_standardized, tmp_path, no_rank_promotion_rule, form):
    """Padding is that of standardized inputs, so that it cannot be folded into the filters."""
    if form != "npz":
        pytest.importorskip(form)
    path, stats = tmp_path / f"net{FORMATS[form].suffix}", of_standardized.standardizer
    path.write_bytes(module(form).encode(of_standardized))
    names: dict = {}
    exec(module(form).code(of_standardized, str(path)), names)
    rows = np.random.default_rng(0).normal(stats.mean, stats.std, (3, 13, 12, 2)).astype("float32")
    x = channels_first(rows) if form == "torch" else rows
    z = eval(module(form).OUTPUT, names | {"x": x})
    names.clear()
    expected = outputs(of_standardized, np.float32(jaxnn.standardize(stats, rows)))
    np.testing.assert_allclose(np.asarray(z.detach() if form == "torch" else z), expected, rtol=1e-4, atol=1e-4)
    assert difference(of_standardized, form) < 1e-5


@pytest.mark.full
@pytest.mark.parametrize("form", ["npz", "torch", "flax"])
def test_standardization_before_a_recurrence_is_a_layer(tmp_path, no_rank_promotion_rule, form):
    """PyTorch's layer has channels first, and sequences have them last."""
    if form != "npz":
        pytest.importorskip(form)
    stats = jaxnn.data.Standardizer(np.array([3.0, -2.0, 0.5]), np.array([4.0, 0.1, 1.0]))
    stored, path = network("bidirectional")._replace(standardizer=stats), tmp_path / f"net{FORMATS[form].suffix}"
    path.write_bytes(module(form).encode(stored))
    names: dict = {}
    exec(module(form).code(stored, str(path)), names)
    x = np.random.default_rng(0).normal(stats.mean, stats.std, (4, 5, 3)).astype("float32")
    z = eval(module(form).OUTPUT, names | {"x": x})
    names.clear()
    expected = outputs(stored, np.float32(jaxnn.standardize(stats, x)))
    np.testing.assert_allclose(np.asarray(z.detach() if form == "torch" else z), expected, rtol=1e-5, atol=1e-5)


def test_a_mean_for_each_place_before_a_convolution_is_an_error(of_standardized):
    stats = jaxnn.data.Standardizer(np.zeros((13, 12, 2)), np.ones((13, 12, 2)))
    with pytest.raises(ValueError, match="means must be those of the 2 channels .* --inputs standardized exports"):
        module("npz").encode(of_standardized._replace(standardizer=stats))


def test_standardization_before_a_flatten_is_folded_into_the_dense_layer():
    spec = LayersSpec(nn.chain(nn.flatten(), nn.dense(3), nn.tanh()), (2, 3, 2), "linear")
    for shape in ((2,), (2, 3, 2)):
        random = np.random.default_rng(0)
        stats = jaxnn.data.Standardizer(random.normal(size=shape), random.uniform(0.5, 2, shape))
        stored = with_random_arrays(spec)._replace(standardizer=stats)
        x = examples(spec)
        raw = raw_inputs(stored)
        assert (raw.spec, raw.standardizer) == (spec, None)
        np.testing.assert_allclose(outputs(raw, x), outputs(stored, jaxnn.standardize(stats, x)), rtol=1e-5, atol=1e-5)


# ------------------------------------------------------------------ trained


@pytest.mark.full
def test_a_trained_network_with_batch_normalization_travels_with_its_statistics(tmp_path):
    random = np.random.default_rng(0)
    layers = nn.chain(nn.conv(3, 3, 2), nn.batch_norm(), nn.relu(), nn.flatten(), nn.dense(2))
    spec = LayersSpec(layers, (5, 4, 2))
    x, y = random.normal(2, 3, (40, 5, 4, 2)).astype("float32"), random.integers(0, 2, 40)
    model = spec.model()
    params, optimizer = model.init(jax.random.key(0)), jaxnn.optimizer("adam", 1e-2)
    objective = jaxnn.objective(layers, model.loss)
    result = jaxnn.fit(objective, optimizer, params, x, y, key=jax.random.key(1), epochs=3, batch_size=8)
    stored = StoredNetwork(spec, result.params, ("a", "b"), stats=result.stats)
    path = tmp_path / "net.npz"
    path.write_bytes(module("npz").encode(stored))
    names: dict = {}
    exec(module("npz").code(stored, str(path)), names)
    expected = model.outputs(result.params, x, result.stats)
    np.testing.assert_array_equal(eval(module("npz").OUTPUT, names | {"x": x}), expected)
    names.clear()
    assert np.abs(np.asarray(result.stats[1]["mean"])).max() > 0.1
