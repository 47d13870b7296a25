"""Export and import: other libraries compute the same outputs and gradients, and round trips are exact."""

import functools
import json
import re
import subprocess
import sys

import h5py
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxnn
from experiments.cli import main
from experiments.datasets.columns import Number
from experiments.datasets.encoder import as_json
from experiments.interchange.formats import FORMATS, module
from experiments.interchange.matching import filled
from experiments.interchange.names import in_order
from experiments.interchange.standardization import raw_inputs
from experiments.interchange.structure import dense_spec
from experiments.networks.spec import NetworkSpec
from experiments.networks.storage import StoredNetwork, encode, load, load_from_run
from jaxnn.nn.activations import ACTIVATIONS
from tests.experiments.interchange.networks import dense_network

pytestmark = pytest.mark.usefixtures("quick_compilation")

M, N_IN = 9, 5
OUTPUTS = ["binary", "softmax", "linear", "relu"]
# Every activation, every output, with and without a standardizer.
CASES = [(name, OUTPUTS[i % 4], i % 3 == 0) for i, name in enumerate(sorted(ACTIVATIONS))]


@functools.cache
def made(activation="tanh", output="binary", standardized=False, hidden=(6, 6)):
    random = np.random.default_rng(0)
    sizes = (N_IN, *hidden, 3 if output == "softmax" else 1)
    layers = [
        (random.normal(size=(n_out, n_in)) / n_in**0.5, random.normal(size=n_out))
        for n_in, n_out in zip(sizes, sizes[1:], strict=False)
    ]
    stats = jaxnn.data.Standardizer(random.normal(3, 1, N_IN), random.uniform(0.5, 2, N_IN)) if standardized else None
    return dense_network(layers, activation, output)._replace(standardizer=stats)


def batch(output):
    random = np.random.default_rng(2)
    y = random.integers(0, 3, M) if output == "softmax" else random.integers(0, 2, (M, 1)).astype("float32")
    return random.normal(2, 1.5, (M, N_IN)).astype("float32"), y


def outputs(network, x):
    """Return jaxnn's outputs, on standardized inputs if the network was trained on them."""
    x = x if network.standardizer is None else np.float32(jaxnn.standardize(network.standardizer, x))
    return np.asarray(jax.jit(network.spec.model().outputs)(network.params, x))


@functools.cache
def expected(activation, output, standardized):
    """Return jaxnn's outputs, and its hand-derived (dW_1, db_1, dW_2, ...) of the cost on raw inputs."""
    network, (x, y) = made(activation, output, standardized), batch(output)
    raw = raw_inputs(network)
    model = raw.spec.model()
    _, grads = jax.jit(jaxnn.objective(model.network, model.loss).value_and_grad)(raw.params, jaxnn.Batch(x, y))
    return outputs(network, x), jaxnn.models.params_to_arrays(model.network, grads)


def cost(z, y, output):
    """Return the mean loss, with optax."""
    if output == "softmax":
        return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()
    return (optax.sigmoid_binary_cross_entropy(z, y) if output == "binary" else (z - y) ** 2 / 2).mean()


@pytest.fixture
def export(capsys, folder):
    """`export(network, format)`: the names that the printed lines define, and the printed expression of the outputs."""
    namespaces = []

    def export(network, form, *argv):
        run = folder / "Lauf 1"
        run.mkdir(exist_ok=True)
        (run / "net é.safetensors").write_bytes(encode(network))
        assert main.main(["export", str(run), "--to", form, *argv]) == 0
        text, code = capsys.readouterr().out.split("\n\n")
        namespaces.append(namespace := {})
        exec(code, namespace)
        return namespace, re.search(r"After these lines, (.*?) is ", text)[1]

    yield export
    for namespace in namespaces:
        namespace.clear()  # its functions refer to it, so files that it has open would be closed at any later time


def agree(one, other):
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("activation", "output", "standardized"), CASES)
def test_pytorch_computes_the_same(export, activation, output, standardized):
    torch = pytest.importorskip("torch")
    x, y = batch(output)
    ours, our_grads = expected(activation, output, standardized)
    names, expression = export(made(activation, output, standardized), "torch")
    z = eval(expression, names | {"x": x})
    agree(z.detach(), ours)
    F = torch.nn.functional
    losses = {"binary": F.binary_cross_entropy_with_logits, "softmax": F.cross_entropy}
    losses.get(output, lambda z, y: F.mse_loss(z, y) / 2)(z, torch.as_tensor(y)).backward()
    for grad, our in zip([p.grad for p in names["net"].parameters()], our_grads, strict=True):
        agree(grad, our)


@pytest.mark.full
@pytest.mark.parametrize(("activation", "output", "standardized"), CASES)
def test_flax_computes_the_same(export, no_rank_promotion_rule, activation, output, standardized):
    pytest.importorskip("flax")
    x, y = batch(output)
    names, expression = export(made(activation, output, standardized), "flax")

    def forward(params):
        z = eval(expression, names | {"x": x, "variables": {"params": params}})
        return cost(z, y, output), z

    grads, z = jax.jit(jax.grad(forward, has_aux=True))(names["variables"]["params"])
    ours, our_grads = expected(activation, output, standardized)
    agree(z, ours)
    for i in range(3):
        agree(grads[f"layers_{2 * i}"]["kernel"].T, our_grads[2 * i])
        agree(grads[f"layers_{2 * i}"]["bias"], our_grads[2 * i + 1])


# NumPy's opinion of how Keras copies arrays of JAX.
of_keras = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


@pytest.mark.full
@of_keras
@pytest.mark.parametrize(("activation", "output", "standardized"), CASES)
def test_keras_computes_the_same(keras, export, no_rank_promotion_rule, activation, output, standardized):
    x, y = batch(output)
    names, expression = export(made(activation, output, standardized), "keras")
    net = names["net"]
    assert expression == "net(x)"

    def forward(variables):
        z = net.stateless_call(variables, [], x)[0]
        return cost(z, y, output), z

    grads, z = jax.jit(jax.grad(forward, has_aux=True))([v.value for v in net.trainable_variables])
    ours, our_grads = expected(activation, output, standardized)
    agree(z, ours)
    for grad, our in zip(grads, our_grads, strict=True):
        agree(grad.T, our)


@pytest.mark.representatives("False-npz", "False-safetensors")
@pytest.mark.parametrize("form", ["safetensors", "npz"])
@pytest.mark.parametrize("standardized", [False, True])
def test_arrays_rebuild_the_same_network(export, form, standardized):
    network, (x, _) = made(standardized=standardized), batch("binary")
    names, expression = export(network, form)
    agree(eval(expression, names | {"x": x}), outputs(network, x))


@pytest.mark.full
@pytest.mark.parametrize(("activation", "output", "standardized"), CASES[:2])
def test_stablehlo_runs_without_jaxnn(capsys, folder, export, activation, output, standardized):
    """Run the function in another process, on batches of several sizes."""
    pytest.importorskip("flatbuffers")
    network, (x, _) = made(activation, output, standardized), batch(output)
    _, expression = export(network, "stablehlo")
    main.main(["export", "Lauf 1", "--to", "stablehlo", "--out", "again.stablehlo"])
    code = capsys.readouterr().out.split("\n\n")[1]
    np.save("x.npy", x)
    program = f"""\
import sys; sys.modules["jaxnn"] = sys.modules["experiments"] = None
import numpy; all_x = numpy.load("x.npy")
{code}
numpy.save("y.npy", numpy.concatenate([{expression} for x in (all_x[:1], all_x[1:4], all_x[4:])]))"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    model = network.spec.model()
    agree(np.load("y.npy"), model.probabilities(outputs(network, x)))


# ------------------------------------------------------------------ columns far from 0


def far_from_zero(mean, std):
    """A network of two columns, the first of which has that mean and deviation, and its rows, in float64."""
    random = np.random.default_rng(0)
    layers = [(random.normal(size=s), random.normal(size=s[0])) for s in ((6, 2), (1, 6))]
    stats = jaxnn.data.Standardizer(np.array([mean, 0.5]), np.array([std, 2.0]))
    rows = np.round(random.normal(stats.mean, stats.std, (50, 2)))
    return dense_network(layers, "tanh", "binary")._replace(standardizer=stats), rows


def in_float64(network, rows):
    """Return the outputs, with NumPy."""
    W1, b1, W2, b2 = map(np.float64, jaxnn.models.params_to_arrays(network.spec.model().network, network.params))
    standardized = (rows - network.standardizer.mean) / network.standardizer.std
    return np.tanh(standardized @ W1.T + b1) @ W2.T + b2


@pytest.mark.parametrize(("mean", "std"), [(1.7e9, 173.0), (738_000.25, 90.0), (1999.5, 5.0), (-1e5, 1.0)])
def test_a_function_loses_no_digit_that_its_inputs_have(mean, std):
    """A single float32 number cannot represent such means: x - mean needs two."""
    network, rows = far_from_zero(mean, std)
    x = np.float32(rows)
    predict = jax.export.deserialize(bytearray(module("stablehlo").encode(network))).call
    agree(predict(x), network.spec.model().probabilities(in_float64(network, np.float64(x))))


@pytest.mark.full
def test_export_reports_the_error_of_float32(capsys, folder):
    run = folder / "run"
    run.mkdir()
    (run / "encoder.json").write_text(json.dumps(as_json("y", [Number("time", 0.0), Number("a", 0.0)])))
    for mean, std, noted in ((1.7e9, 173.0, True), (1e5, 1.0, True), (5.0, 2.0, False)):
        (run / "net.safetensors").write_bytes(encode(far_from_zero(mean, std)[0]))
        for form in ("npz", "torch", "stablehlo"):
            assert main.main(["export", "run", "--to", form, "--out", f"{mean}{FORMATS[form].suffix}"]) == 0
            notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
            assert bool(notes) == noted
            assert (
                not notes
                or f"(|mean|/deviation: time {mean / std:.2g}); --inputs standardized avoids this." in notes[0]
            )


@pytest.mark.representatives("npz", "stablehlo")
@pytest.mark.parametrize("form", ["npz", "flax", "stablehlo"])
def test_export_for_standardized_inputs_is_exact(export, folder, form, no_rank_promotion_rule):
    network, rows = far_from_zero(1.7e9, 173.0)
    names, expression = export(network, form, "--inputs", "standardized", "--out", f"n{FORMATS[form].suffix}")
    z = in_float64(network, rows)
    expected = network.spec.model().probabilities(z) if form == "stablehlo" else z
    agree(eval(expression, names | {"x": names["standardized"](rows)}), expected)
    with np.load("n.inputs.npz") as stats:
        assert (stats["mean"][0], stats["std"][0]) == (1.7e9, 173.0)


def test_standardized_export_writes_both_files_or_neither(capsys, folder):
    run = folder / "run"
    run.mkdir()
    (run / "net.safetensors").write_bytes(encode(far_from_zero(1.0, 1.0)[0]))
    (folder / "n.inputs.npz").write_text("other")
    argv = ["export", "run", "--to", "keras", "--inputs", "standardized", "--out", "n.weights.h5"]
    assert main.main(argv) == 2
    assert "n.inputs.npz exists already" in capsys.readouterr().err
    assert not (folder / "n.weights.h5").exists()
    (run / "net.safetensors").write_bytes(encode(made()))
    assert main.main(argv) == 2
    assert "needs a network with means and deviations, which net lacks" in capsys.readouterr().err


def test_export_reports_the_scale_of_inputs(capsys, folder, image_run):
    def scale(run, name=""):
        assert (
            main.main(
                ["export", str(run), "--to", "npz", "--network", name, "--out", f"{len(list(folder.iterdir()))}.npz"]
            )
            == 0
        )
        return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("x is "))

    run = folder / "run"
    run.mkdir()
    (run / "a.safetensors").write_bytes(encode(made(standardized=True)))
    (run / "b.safetensors").write_bytes(encode(made()))
    assert scale(run, "a") == "x is (m, 5) in float32; raw, since standardization is in the first layer's weights."
    assert "on the scale of training, which the run does not record" in scale(run, "b")
    assert "images of 64 x 64 x 3, flattened, pixels divided by 255" in scale(image_run)
    config = {"experiment": "mnist", "format_version": 1, "options": {}}
    (run / "config.json").write_text(json.dumps(config))
    assert scale(run, "b") == "x is (m, 5) in float32: images of 28 x 28, flattened, pixels divided by 255."


@pytest.mark.full
def test_a_scanned_network_is_exported_layer_by_layer(export):
    network = made(hidden=(3,) * 70)
    names, _ = export(network, "npz")
    assert len(jax.tree.leaves(network.params)) < 10  # it is scanned
    assert len(names["arrays"]) == 2 * 71
    # The printed lines build the plain network, which has each layer's arrays.
    layers = jaxnn.models.params_to_arrays(network.spec.model().network, network.params)
    jax.tree.map(np.testing.assert_array_equal, jax.tree.leaves(names["params"]), layers)


READ = [name for name, form in FORMATS.items() if form.imported and name != "onnx"]


@pytest.mark.representatives("torch", "flax")
@pytest.mark.parametrize("form", READ)
@settings(max_examples=10, deadline=None)
@given(sizes=st.lists(st.integers(1, 4), min_size=2, max_size=14), seed=st.integers(0, 99))
def test_export_and_import_round_trip_bit_for_bit(tmp_path_factory, form, sizes, seed):
    spec = NetworkSpec(tuple(sizes), "elu", "linear")
    shapes = [s for n_in, n_out in zip(sizes, sizes[1:], strict=False) for s in ((n_out, n_in), (n_out,))]
    random, model = np.random.default_rng(seed), spec.model()
    params = jaxnn.models.params_from_arrays(
        model.network, model.in_shape, [random.normal(size=shape) for shape in shapes]
    )
    path = tmp_path_factory.mktemp("files") / f"net{FORMATS[form].suffix}"
    path.write_bytes(module(form).encode(StoredNetwork(spec, params, ())))
    contents = module(form).read(path)
    assert dense_spec(contents.modules, module(form).TABLE, "elu", "linear") == spec
    jax.tree.map(np.testing.assert_array_equal, filled(spec, contents, module(form))[0], params)


# ------------------------------------------------------------------ weights that others wrote


def test_from_pytorch_with_layers_without_weights_in_between(folder, import_):
    nn, torch_file = pytest.importorskip("torch").nn, pytest.importorskip("safetensors.torch")
    net = nn.Sequential(
        nn.Flatten(),
        nn.Linear(N_IN, 4),
        nn.Tanh(),
        nn.Dropout(),
        nn.Linear(4, 4, bias=False),
        nn.Tanh(),
        nn.Linear(4, 3),
    ).eval()
    torch_file.save_file(net.state_dict(), "von torch é.safetensors")
    network = import_("von torch é.safetensors", "torch", "--activation", "tanh", "--output", "softmax")
    x, _ = batch("softmax")
    agree(outputs(network, x), net(torch_file.torch.as_tensor(x)).detach())
    assert network.classes == ("0", "1", "2")
    (run,) = folder.glob("runs/*")
    assert load_from_run(run)[0] == "von torch é"


@pytest.mark.full
def test_from_flax_linen_and_nnx(folder, import_, no_rank_promotion_rule):
    pytest.importorskip("flax")
    save_file = pytest.importorskip("safetensors.flax").save_file
    from flax import linen, nnx, traverse_util

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            a = linen.elu(linen.Dense(4)(x))
            return linen.Dense(1)(a)

    x, _ = batch("linear")
    variables = Net().init(jax.random.key(0), x)
    save_file(traverse_util.flatten_dict(variables, sep="/"), "linen.safetensors")
    network = import_("linen.safetensors", "flax", "--activation", "elu", "--output", "linear")
    agree(outputs(network, x), Net().apply(variables, x))

    net = nnx.Sequential(nnx.Linear(N_IN, 4, rngs=nnx.Rngs(0)), nnx.elu, nnx.Linear(4, 1, rngs=nnx.Rngs(1)))
    state = {".".join(map(str, path)): leaf[...] for path, leaf in nnx.to_flat_state(nnx.state(net))}
    save_file(state, "nnx.safetensors")
    network = import_("nnx.safetensors", "flax", "--activation", "elu", "--output", "linear")
    agree(outputs(network, x), net(x))


@of_keras
def test_from_keras(keras, folder, import_, no_rank_promotion_rule):
    dense = keras.layers.Dense
    net = keras.Sequential(
        [keras.Input((N_IN,)), dense(4, "silu", name="one"), keras.layers.Dropout(0.5), dense(4, "silu"), dense(1)]
    )
    net.save_weights("k.weights.h5")
    network = import_("k.weights.h5", "keras", "--activation", "silu", "--output", "binary", "--classes", "no", "yes")
    x, _ = batch("binary")
    agree(outputs(network, x), net(x))
    assert network.classes == ("no", "yes")


def test_from_bfloat16_and_float64(folder, import_):
    W = np.arange(4.0).reshape(2, 2)
    for dtype in (jnp.bfloat16, np.float16, np.float64):
        (folder / "n.safetensors").write_bytes(safetensors.numpy.save({"fc1.weight": W.astype(dtype)}))
        network = import_("n.safetensors", "torch", "--output", "linear")
        np.testing.assert_array_equal(network.params[0]["W"], W)
        np.testing.assert_array_equal(network.params[0]["b"], 0)


NAMES = [
    ["0", "2"],
    ["0.0", "1.0"],
    ["0.0", "0.2", "1"],
    ["0", "1.0", "1.2", "10"],
    ["fc1", "fc2", "fc10"],
    ["layer1.0", "layer1.2", "layer2.0"],
    ["layers.0.linear", "layers.1.linear"],
    ["encoder.layers.0.linear"],
    ["module.net.0", "module.net.2"],
    ["_orig_mod.module.0", "_orig_mod.module.2"],
    ["model1.fc1", "model1.fc2"],
    ["linear"],
    [""],
]


@pytest.mark.parametrize("names", NAMES, ids=str)
@pytest.mark.parametrize("form", ["torch", "flax"])
def test_names_of_layers_determine_their_order(tmp_path, form, names):
    weights = [np.random.default_rng(i).normal(size=(3, 3)).astype(np.float32) for i in range(len(names))]
    stored = {"optimizer.state.0.exp_avg": np.ones((3, 3), np.float32), "net.rngs.count": np.ones((), np.uint32)}
    for i, (name, W) in enumerate(zip(names, weights, strict=True)):
        stored[f"{name}.bias".lstrip(".")] = np.full(3, i, np.float32)
        stored[f"{name}.{'weight' if form == 'torch' else 'kernel'}".lstrip(".")] = W if form == "torch" else W.T.copy()
    path = tmp_path / "n.safetensors"
    safetensors.numpy.save_file(dict(reversed(stored.items())), path)
    contents = module(form).read(path)
    assert in_order(contents.modules) == names
    spec = dense_spec(contents.modules, module(form).TABLE, "tanh", "linear")
    assert spec.sizes == (3,) * (len(names) + 1)
    params, _ = filled(spec, contents, module(form))
    for i, (layer, W) in enumerate(zip([layer for layer in params if layer], weights, strict=True)):
        np.testing.assert_array_equal(layer["W"], W)
        np.testing.assert_array_equal(layer["b"], i)


@pytest.mark.parametrize("dtype", ["<f2", ">f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npz_of_any_float_and_order(tmp_path, dtype, order):
    W, b = np.arange(6.0).reshape(2, 3), np.arange(2.0)
    np.savez(tmp_path / "n.npz", W_1=np.asarray(W, dtype, order=order), b_1=b.astype(dtype))
    (arrays,) = module("npz").read(tmp_path / "n.npz").modules.values()
    assert arrays["W"].dtype == arrays["b"].dtype == np.float32
    np.testing.assert_array_equal(arrays["W"], W)
    np.testing.assert_array_equal(arrays["b"], b)


@pytest.mark.representatives("functional-float32")
@of_keras
@pytest.mark.parametrize(
    ("kind", "dtype"), [("sequential", "bfloat16"), ("functional", "float32"), ("subclass", "float16")]
)
def test_from_keras_with_the_state_of_an_optimizer(keras, tmp_path, no_rank_promotion_rule, kind, dtype):
    """The file of a trained model; layers have user-given names."""
    layers = [
        keras.layers.Dense(4, "relu", name="zeta", dtype=dtype),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(4, "relu", name="eta 9", dtype=dtype),
        keras.layers.Dense(1, name="alpha", dtype=dtype),
    ]

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2, self.fc10 = layers[0], layers[2], layers[3]

        def call(self, x):
            return self.fc10(self.fc2(self.fc1(x)))

    start = keras.Input((N_IN,))
    net = {
        "sequential": lambda: keras.Sequential([start, *layers]),
        "functional": lambda: keras.Model(start, functools.reduce(lambda x, layer: layer(x), layers, start)),
        "subclass": Net,
    }[kind]()
    net(batch("linear")[0])
    net.compile("adam", "mse")
    net.optimizer.build(net.trainable_variables)
    net.save_weights(tmp_path / "n.weights.h5")
    with h5py.File(tmp_path / "n.weights.h5") as file:
        assert len(file["optimizer/vars"]) >= 12
    form, contents = module("keras"), module("keras").read(tmp_path / "n.weights.h5")
    spec = dense_spec(contents.modules, form.TABLE, "relu", "linear")
    params, _ = filled(spec, contents, form)
    for read, layer in zip(params[::2], [layers[0], layers[2], layers[3]], strict=True):
        kernel, bias = map(np.float32, layer.get_weights())
        np.testing.assert_array_equal(read["W"], kernel.T)
        np.testing.assert_array_equal(read["b"], bias)


def test_import_can_be_compared_but_not_resumed_repeated_or_used_for_rows(capsys, folder, import_):
    np.savez("n.npz", W_1=np.ones((1, 2)), b_1=np.zeros(1))
    for classes in (["no", "yes"], ["a", "b"]):
        import_("n.npz", "npz", "--activation", "relu", "--output", "binary", "--classes", *classes)
    runs = sorted(map(str, folder.glob("runs/*")))
    for command in ("resume", "repeat"):
        assert main.main([command, runs[0]]) == 2
        printed = capsys.readouterr().err
        assert "an import, which has no training to resume or repeat" in printed
        assert printed.count("\n") == 1
    assert main.main(["predict", runs[0], "rows.csv"]) == 2
    assert "must be a run of catvnoncat, or on your own file" in capsys.readouterr().err
    assert main.main(["compare", *runs]) == 0
    out = capsys.readouterr().out
    assert "options.classes" in out and out.endswith("\nthis comparison is in compare.html\n")


def test_an_imported_network_can_be_exported_and_classify_photos(capsys, folder, import_, image_run):
    assert main.main(["export", str(image_run), "--to", "npz", "--network", "deep"]) == 0
    capsys.readouterr()
    argv = "--activation relu --output binary --classes non-cat cat --image-shape 64 64 3".split()
    import_("deep.npz", "npz", *argv)
    from PIL import Image

    Image.new("RGB", (9, 9)).save("photo.png")
    (run,) = folder.glob("runs/*")
    assert main.main(["predict", str(run), "photo.png"]) == 0
    assert capsys.readouterr().out == "non-cat with probability 0.80\n"
    assert main.main(["export", str(run), "--to", "torch"]) == 0
    assert "images of 64 x 64 x 3" in capsys.readouterr().out
    assert load(image_run / "deep.safetensors").spec == load(run / "deep.safetensors").spec
