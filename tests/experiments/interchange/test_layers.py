"""All layers: other libraries compute the same outputs, for odd sizes and strides; round trips are exact."""

import jax
import numpy as np
import pytest

from experiments.interchange.channels_first import with_channels_first
from experiments.interchange.formats import FORMATS, module
from experiments.interchange.layers import layers_of
from experiments.interchange.matching import filled
from jaxnn import nn
from tests.experiments.interchange.networks import NETWORKS, channels_first, examples, network, outputs

LACKING = {
    "flax": {"transposed_groups": "must have groups=1 for Flax"},
    "keras": {"transposed_groups": "must have no groups, nor a stride with dilation, for Keras"},
}
"""What a format cannot hold, with the reason."""
CASES = [(form, name) for form in FORMATS if form != "stablehlo" for name in NETWORKS]
KEPT = {
    *(("npz", name) for name in ("norms", "repeat", "words")),
    *(("safetensors", "resnet"), ("flax", "resnet"), ("flax", "transposed_odd"), ("flax", "norms")),
    *(("keras", name) for name in ("concat", "transposed_odd", "avg_pool_inside")),
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
    x = examples(stored.spec)
    x = channels_first(x) if getattr(module(form), "CHANNELS_FIRST", False) else x
    z = eval(module(form).OUTPUT, names | {"x": x})
    return stored, np.asarray(z.detach() if form == "torch" else z)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
@pytest.mark.representatives(
    *(f"{form}-{name}" for form, name in CASES if form in ("torch", "onnx") or (form, name) in KEPT)
)
@pytest.mark.parametrize(("form", "name"), CASES, ids=lambda value: value)
def test_another_library_computes_the_same(tmp_path, no_rank_promotion_rule, form, name):
    path = tmp_path / f"net{FORMATS[form].suffix}"
    if reason := LACKING.get(form, {}).get(name):
        with pytest.raises(ValueError, match=reason):
            module(form).encode(network(name))
        return
    stored, z = exported(name, form, path)
    expected = outputs(stored, examples(stored.spec))
    np.testing.assert_allclose(z, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


READ = [(form, name) for form, name in CASES if name not in LACKING.get(form, {}) and form != "onnx"]


@pytest.mark.representatives(
    *(f"{form}-{name}" for form, name in READ if form != "keras" or name in ("resnet", "depthwise"))
)
@pytest.mark.parametrize(("form", "name"), READ, ids=lambda value: value)
def test_export_and_import_of_all_layers_round_trip_bit_for_bit(tmp_path, form, name):
    stored, path = network(name), tmp_path / f"net{FORMATS[form].suffix}"
    path.write_bytes(module(form).encode(stored))
    read = filled(stored.spec, module(form).read(path), module(form))
    jax.tree.map(np.testing.assert_array_equal, read, (stored.params, stored.stats))


def test_every_layer_that_is_not_made_of_others_in_another_way_has_a_row():
    """A new layer of jaxnn needs a row in each table, or a reason here."""
    without = {
        "chain": "unfolded",
        "repeat": "unfolded",
        "remat": "unfolded",
        "frozen": "unfolded",
        "shared": "one set of params in several places",
        "parallel": "several inputs",
        "with_dtype": "another precision",
        "stateless": "any function",
        "layer_from": "any function",
        "by_autodiff": "the same layer",
        "custom_gradients": "another gradient",
    }
    factories = {
        name for name in nn.__all__ if getattr(getattr(nn, name), "__annotations__", {}).get("return") is nn.Layer
    }
    for form in ("torch", "flax", "keras"):
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
    from experiments.networks.spec import LayersSpec
    from tests.experiments.interchange.networks import with_random_arrays

    with pytest.raises(ValueError, match=message):
        module("torch").encode(with_random_arrays(LayersSpec(layers, (3, 2, 2))))


@pytest.mark.parametrize("form", ["torch", "flax", "keras", "npz"])
@pytest.mark.parametrize(
    ("layer", "kind"), [(nn.with_dtype(nn.dense(3), "bfloat16"), "with_dtype"), (nn.fan_out(a=nn.dense(2)), "fan_out")]
)
def test_a_layer_that_a_format_lacks_is_an_error(form, layer, kind):
    from experiments.networks.spec import LayersSpec
    from tests.experiments.interchange.networks import with_random_arrays

    with pytest.raises(ValueError, match=f"{kind}\\(...\\)"):
        module(form).encode(with_random_arrays(LayersSpec(nn.chain(layer), (4,))))
