"""Archives of Keras, which state their layers: sequential and functional models, nested ones, and what is not read."""

import json
import zipfile

import numpy as np
import pytest

from experiments.cli import main
from tests.experiments.interchange.networks import outputs

IMAGES = np.random.default_rng(0).normal(size=(3, 11, 8, 2)).astype("float32")
pytestmark = [
    pytest.mark.usefixtures("quick_compilation"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]


def sequential(keras):
    L = keras.layers
    return keras.Sequential(
        [
            keras.Input((11, 8, 2)),
            L.Conv2D(4, (3, 2), strides=(2, 1), padding="same", activation="relu", use_bias=False),
            L.BatchNormalization(scale=False),
            L.DepthwiseConv2D(3, depth_multiplier=2, activation="gelu"),
            L.MaxPooling2D(2, strides=1, padding="same"),
            L.BatchNormalization(center=False),
            keras.Sequential(
                [L.Conv2DTranspose(3, 2, strides=(3, 2), activation="leaky_relu"), L.LayerNormalization()]
            ),
            L.ZeroPadding2D(((1, 0), (0, 2))),
            L.AveragePooling2D((3, 2), padding="same"),
            L.UpSampling2D((1, 2)),
            L.GroupNormalization(3),
            L.RMSNormalization(),
            L.Dropout(0.3),
            L.Flatten(),
            L.Dense(5),
            L.LeakyReLU(),
            L.Dense(3, activation="softmax"),
        ]
    )


def functional(keras):
    L = keras.layers
    start = keras.Input((11, 8, 2))
    x = L.Conv2D(4, 3, padding="same", name="stem")(start)
    y = L.BatchNormalization()(L.Conv2D(4, 3, padding="same")(L.Activation("silu")(x)))
    x = L.ReLU()(L.Add()([x, y]))
    x = L.Concatenate()([L.Conv2D(2, 1)(x), x, L.MaxPooling2D(3, 1, "same")(L.Conv2D(3, 1)(x))])
    inner = keras.Sequential([L.Conv2D(9, 3, padding="same"), L.ELU(0.5)])
    x = L.Add()([inner(x), x])
    return keras.Model(start, L.Dense(1, activation="sigmoid")(L.GlobalAveragePooling2D()(x)))


def words(keras):
    L = keras.layers
    layers = [L.Embedding(7, 4), L.Conv1D(3, 3, activation="tanh"), L.GlobalMaxPooling1D(), L.Dense(2)]
    return keras.Sequential([keras.Input((5,), dtype="int32"), *layers])


@pytest.mark.full
@pytest.mark.parametrize(
    ("made", "argv", "output", "last"),
    [
        (sequential, [], "softmax", lambda z: np.exp(z) / np.exp(z).sum(1, keepdims=True)),
        (functional, ["--classes", "no", "yes"], "binary", lambda z: 1 / (1 + np.exp(-z))),
        (words, ["--output", "linear"], "linear", lambda z: z),
    ],
    ids=["sequential", "functional", "words"],
)
def test_the_layers_of_an_archive(keras, import_, folder, no_rank_promotion_rule, made, argv, output, last):
    net = made(keras)
    x = np.random.default_rng(0).integers(0, 7, (3, 5)).astype("int32") if made is words else IMAGES
    net(x if made is words else 3 * x + 1, training=True)
    net.save("net.keras")
    network = import_("net.keras", "keras", *argv)
    assert network.spec.output == output
    np.testing.assert_allclose(last(outputs(network, x)), np.asarray(net(x)), rtol=1e-5, atol=1e-5)


def archive(layers, kind="Sequential", weights=b""):
    """An archive of layers as (class, config), without weights."""
    start = {"class_name": "InputLayer", "config": {"batch_shape": [None, 4, 4, 2], "dtype": "float32", "name": "x"}}
    named = [{"class_name": name, "config": {"name": f"l{i}"} | config} for i, (name, config) in enumerate(layers)]
    return json.dumps({"class_name": kind, "config": {"name": "s", "layers": [start, *named]}})


CONV = dict(kernel_size=[3, 3], strides=[1, 1], dilation_rate=[1, 1], filters=2, padding="same", activation="linear")


@pytest.mark.representatives("no layer", "no weights", "no archive")
@pytest.mark.parametrize(
    ("config", "message"),
    [
        (archive([("Lambda", {})]), "the archive must have layers of Activation, Add, AveragePooling2D, "),
        (archive([("A\n\x1b[2J", {})]), "got A\\n\\x1b[2J"),
        (archive([("Conv2D", CONV | {"data_format": "channels_first"})]), "Conv2D must have channels last"),
        (archive([("Conv2D", CONV | {"activation": "wish"})]), "activation must be one of relu, sigmoid, "),
        (archive([("Conv2D", CONV | {"padding": "causal"})]), "padding must be same or valid, got causal"),
        (archive([("BatchNormalization", {"axis": 1, "epsilon": 1e-3})]), "normalizations must have axis=-1"),
        (archive([("ReLU", {"max_value": 6})]), "ReLU must have no max_value"),
        (archive([("Conv2D", {})]), "config.json must be that of a Keras 3 model, got KeyError"),
        (archive([("Identity", {})] * 5001), "models must have at most 5000 layers, got 5002"),
        (archive([], "Net"), "must have a Sequential or functional model, got Net: save its weights"),
        ("[" * 100_000, "config.json must be that of a Keras 3 model, got RecursionError"),
        ("7", "config.json must be that of a Keras 3 model, got TypeError"),
        (None, "must be an archive that net.save('net.keras') wrote"),
    ],
    ids=[
        *("no layer", "a name to escape", "channels first", "no activation", "causal", "another axis", "a bound"),
        *("no options", "too many layers", "no weights", "too deep", "a number", "no archive"),
    ],
)
def test_what_is_not_read_is_one_line(folder, capsys, config, message):
    import io

    import h5py

    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["layers/dense/vars/0"] = np.ones((2, 2), np.float32)
    with zipfile.ZipFile("net.keras", "w") as file:
        if config is not None:
            file.writestr("config.json", config)
            file.writestr("model.weights.h5", weights.getvalue())
    assert main.main(["import", "net.keras", "--from", "keras", "--output", "linear"]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.full
def test_weights_that_do_not_fit_the_layers(keras, folder, capsys):
    L = keras.layers
    keras.Sequential([keras.Input((4,)), L.Dense(3), L.Dense(2)]).save("net.keras")
    with zipfile.ZipFile("net.keras") as file:
        members = {name: file.read(name) for name in file.namelist()}
    members["config.json"] = members["config.json"].replace(b'"units": 3', b'"units": 5')
    with zipfile.ZipFile("other.keras", "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    assert main.main(["import", "other.keras", "--from", "keras", "--output", "linear"]) == 2
    assert "layer 1 must have the arrays of dense, 0 (4, 5), 1 (5,), got 0 (4, 3), 1 (3,)" in capsys.readouterr().err
    argv = ["import", "net.keras", "--from", "keras", "--output", "linear", "--layers", "dense(3)", "--in-shape", "4"]
    assert main.main(argv) == 2
    assert "layers must be stated once, got those of the file and of --layers" in capsys.readouterr().err
