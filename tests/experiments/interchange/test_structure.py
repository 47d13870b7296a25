"""Layers as text, the order of names, and the options of import that state the layers of a file."""

import jax
import numpy as np
import pytest
import safetensors.numpy

from experiments.cli import main
from experiments.interchange.formats import module
from experiments.interchange.names import in_order
from experiments.interchange.structure import network_of_text, text_of_network
from experiments.networks.storage import encode
from jaxnn import models, nn
from tests.experiments.interchange.networks import ALL, network


@pytest.mark.parametrize("name", ALL)
def test_text_of_a_network_is_read_as_the_same_network(name):
    layers = ALL[name][0]
    assert network_of_text(text_of_network(layers)) == layers


def test_text_of_several_layers_is_a_chain():
    expected = nn.chain(nn.conv(6, (5, 3), stride=2, padding=((0, 1), (1, 0))), nn.leaky_relu(-0.5), nn.dense(3, "he"))
    text = "conv(6, (5, 3), stride=2, padding=[(0, 1), [1, 0]]),\n leaky_relu(-0.5), dense(3, init='he'),"
    assert network_of_text(text) == expected
    assert network_of_text("dense(3)") == nn.dense(3)
    assert network_of_text("chain(dense(3), residual(layer=tanh()))") == nn.chain(nn.dense(3), nn.residual(nn.tanh()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be one layer at least"),
        ("conv(6, 5", "must be layers as in Python, conv"),
        ("cnov(6, 5)", r"must have layers of jaxnn.nn, got cnov\(...\): did you mean conv"),
        ("conv_forward(6, 5)", r"must have layers of jaxnn.nn, got conv_forward\(...\)"),
        ("nn.conv(6, 5)", r"must have layers of jaxnn.nn, got nn.conv\(...\)"),
        ("__import__('os').system('true')", "must have layers of jaxnn.nn, got"),
        ("open('a')", r"got open\(...\)"),
        ("relu", "must have literals as arguments, got relu: call it, relu()"),
        ("dense(2 ** 9)", r"must have literals as arguments, got 2 \*\* 9"),
        ("dense(n)", "must have literals as arguments, got n"),
        ("dense(**{})", "must have literals as arguments"),
        ("[dense(3) for i in range(3)]", "must have literals as arguments"),
        ("dense(lambda: 3)", "must have literals as arguments"),
        ("dense('many')", "--layers: n_out must be"),
        ("conv(6)", "--layers: conv"),
        ("3", "--layers: network must be|--layers:"),
        ("(" * 300, "must be layers as in Python"),
    ],
)
def test_other_text_is_an_error_of_one_line(text, message):
    with pytest.raises(ValueError, match=message) as error:
        network_of_text(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["conv1", "conv2", "fc1"], ["conv", "fc"]),
        (["encoder.0", "encoder.1", "decoder.0"], ["encoder", "decoder"]),
        (["bn1", "layer1.0.bn1", "layer1.0.bn2", "layer1.1.bn1"], ["bn", "layer"]),
        (["conv2d", "conv2d_1", "conv2d_10"], []),
        (["block1_conv1", "block1_conv2", "block2_conv1"], []),
        (["layers_0.layers_0", "layers_0.layers_2", "layers_1"], []),
    ],
)
def test_names_are_ordered_where_they_first_differ(names, words):
    assert in_order(reversed(names), words) == names


@pytest.mark.parametrize("names", [["encoder.0", "decoder.0"], ["0", "fc"], ["conv1", "bn1"], ["a.b1", "a.c0"]])
def test_names_that_differ_in_words_have_no_order(names):
    with pytest.raises(ValueError, match="have no numbers to order the layers by"):
        in_order(names)


CONV = {"a.weight": np.zeros((4, 2, 3, 3), np.float32), "a.bias": np.zeros(4, np.float32)}
LAYERS, SHAPE = ["--layers", "conv(4, 3), flatten(), dense(3)"], ["--in-shape", "2", "3", "2"]


@pytest.fixture
def error_of(folder, capsys):
    """`error_of(arrays, *argv)`: the one line on stderr of an import of arrays of PyTorch."""

    def error_of(arrays, *argv):
        safetensors.numpy.save_file(arrays, "a.safetensors")
        assert main.main(["import", "a.safetensors", "--from", "torch", *argv]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert not (folder / "runs").exists()
        return err

    return error_of


DENSE = {"b.weight": np.zeros((3, 24), np.float32)}


@pytest.mark.parametrize(
    ("arrays", "argv", "message"),
    [
        (CONV, [*LAYERS, "--output", "softmax"], "--layers needs the shape of one example: give --in-shape"),
        (CONV, [*LAYERS, *SHAPE], "weights do not determine the output: give --output binary"),
        (CONV, [*LAYERS, *SHAPE, "--output", "wish"], "unknown output 'wish'"),
        (CONV, [*SHAPE, "--output", "linear"], "--in-shape must be given with --layers, got (2, 3, 2) without"),
        (CONV, [*LAYERS, *SHAPE, "--like", "run"], "layers must be stated once, got those of --like and of --layers"),
        (CONV, [*LAYERS, *SHAPE, "--output", "linear", "--activation", "relu"], "--activation must be omitted, since"),
        (CONV, [*LAYERS, "--in-shape", "2", "3", "--output", "linear"], "layer 1 of 3, conv(4, 3): in_shape must be"),
        (
            CONV,
            [*LAYERS, *SHAPE, "--output", "linear"],
            "the network has 1 dense with weight (3, 24), bias (3,), the file",
        ),
        (
            CONV | {"b.weight": np.zeros((3, 23), np.float32)},
            [*LAYERS, *SHAPE, "--output", "linear"],
            "the network has 1 dense with weight (3, 24), bias (3,), the file has none such, but a.bias (4,), a.weight",
        ),
        (
            CONV | DENSE | {"c.weight": np.zeros(7, np.float32)},
            [*LAYERS, *SHAPE, "--output", "linear"],
            "the network has no layer for c.weight (7,): its layers are conv, dense",
        ),
        (
            CONV | {"b.weight": np.full((3, 24), np.inf, np.float32)},
            [*LAYERS, *SHAPE, "--output", "linear"],
            "b.weight must be finite in float32, got inf or NaN",
        ),
        (CONV, ["--layers", "dense(1000000)", "--in-shape", "9000", "--output", "linear"], "has 9,001,000,000 params"),
        (CONV, [*LAYERS, *SHAPE, "--output", "linear", "--transpose-kernel"], "must be given with --from flax"),
        (CONV, ["--layers", "flatten(), fan_out(a=dense(3))", *SHAPE, "--output", "linear"], "fan_out(...) is made of"),
    ],
)
def test_options_and_arrays_that_do_not_fit(error_of, arrays, argv, message):
    assert message in error_of(arrays, *argv)


def test_layers_of_equal_shapes_need_an_order(error_of, folder):
    first, second = (np.full((2, 2), value, np.float32) for value in (1, 2))
    arrays = {"enc.weight": first, "dec.weight": second}
    argv = ["--layers", "dense(2), dense(2)", "--in-shape", "2", "--output", "linear"]
    assert "'dec' and 'enc' have no numbers to order the layers by" in error_of(arrays, *argv)
    assert main.main(["import", "a.safetensors", "--from", "torch", *argv, "--order", "enc", "dec"]) == 0
    from experiments.networks.storage import load_from_run

    (run,) = folder.glob("runs/*")
    np.testing.assert_array_equal(load_from_run(run)[1].params[0]["W"], first)


def test_like_another_network(error_of, folder):
    (folder / "run").mkdir()
    (folder / "run" / "net.safetensors").write_bytes(encode(network("lenet")))
    assert "the network has 1 conv with weight (6, 2, 5, 5)" in error_of(CONV, "--like", "run")
    assert "run has no network 'other'" in error_of(CONV, "--like", "run", "--network", "other")
    assert "absent is not a folder" in error_of(CONV, "--like", "absent")


@pytest.mark.parametrize("name", ["norms", "bidirectional", "attention"])
@pytest.mark.parametrize("form", ["npz", "torch", "flax"])
def test_damage_of_a_file_is_an_error_or_other_numbers(tmp_path, form, name):
    from experiments.interchange.formats import FORMATS
    from experiments.interchange.matching import filled

    stored, path, random = network(name), tmp_path / f"n{FORMATS[form].suffix}", np.random.default_rng(0)
    good, errors = module(form).encode(stored), 0
    for _ in range(40):
        data = bytearray(good)
        for at in random.integers(0, min(len(data), 1500), random.integers(1, 4)):
            data[at] = random.integers(256)
        path.write_bytes(data[: random.integers(len(data))] if random.random() < 0.3 else data)
        try:
            filled(stored.spec, module(form).read(path), module(form))
        except ValueError:
            errors += 1
    assert errors > 7


@pytest.mark.full
def test_a_repeated_layer_is_unfolded():
    from experiments.interchange.layers import layers_of

    kinds = [layer.kind for layer in layers_of(network("repeat"))]
    assert kinds == ["conv", *["residual"] * 3, "flatten", *["dense", "tanh"] * 2, "dense"]
    model = models.mlp((3, 4, 4, 4, 1), scan=True)
    params = model.init(jax.random.key(0))
    from experiments.networks.spec import LayersSpec
    from experiments.networks.storage import StoredNetwork

    stored = StoredNetwork(LayersSpec(model.network, (3,), "binary"), params, ("a", "b"))
    arrays = [layer.arrays["W"] for layer in layers_of(stored) if layer.kind == "dense"]
    for array, expected in zip(arrays, models.params_to_arrays(model.network, params)[::2], strict=True):
        np.testing.assert_array_equal(array, expected)
