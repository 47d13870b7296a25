"""ONNX models: of onnxruntime's outputs, of PyTorch's export, and what is not read."""

import sys

import numpy as np
import pytest

from experiments.cli import main
from experiments.interchange.formats import module
from experiments.interchange.matching import filled
from tests.experiments.interchange.networks import NETWORKS, channels_first, examples, network, outputs

pytestmark = pytest.mark.usefixtures("quick_compilation")
IMAGES = np.random.default_rng(0).normal(size=(3, 13, 10, 2)).astype("float32")


@pytest.fixture
def onnx():
    return pytest.importorskip("onnx")


@pytest.mark.parametrize("name", NETWORKS)
def test_export_and_import_compute_the_same(onnx, tmp_path, name):
    """The layers are those of the graph, so that they may be others that compute the same."""
    stored, path = network(name), tmp_path / "net.onnx"
    path.write_bytes(module("onnx").encode(stored))
    contents = module("onnx").read(path)
    params, stats = filled(contents.spec, contents, module("onnx"))
    assert contents.spec.in_shape == stored.spec.in_shape
    x = examples(stored.spec)
    z = contents.spec.network.infer(params, stats, x)
    expected = outputs(stored, x)
    if contents.spec.output == "softmax":  # it ends in a softmax, which is no layer but what outputs mean
        expected = np.log(expected)
        z = z - z.max(1, keepdims=True)
        z = z - np.log(np.exp(z).sum(1, keepdims=True))
    np.testing.assert_allclose(z, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_the_lowest_operator_set_that_has_all_operators(onnx):
    versions = {
        name: onnx.load_from_string(module("onnx").encode(network(name))).opset_import[0].version for name in NETWORKS
    }
    assert versions["resnet"] == versions["words_conv"] == 17
    assert (versions["pairs_dilated"], versions["group_norm_one"], versions["norms"]) == (20, 21, 23)


def test_recurrences_are_not_read(onnx, folder, capsys):
    (folder / "net.onnx").write_bytes(module("onnx").encode(network("bidirectional")))
    assert main.main(["import", "net.onnx", "--from", "onnx"]) == 2
    error = "net.onnx has LSTM, and recurrences are not read from graphs: import them from torch, flax or keras\n"
    assert capsys.readouterr().err == f"error: {error}"


def pytorch_network(torch):
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(2, 4, (3, 2), (2, 1), (1, 0))
            self.inner = nn.Sequential(
                nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.InstanceNorm2d(4, affine=True), nn.SiLU()
            )
            self.left, self.right = nn.Conv2d(4, 3, 1), nn.Sequential(nn.Conv2d(4, 3, 3, padding=1), nn.BatchNorm2d(3))
            self.up, self.norm = nn.ConvTranspose2d(6, 3, 3, (2, 1), 1, (1, 0)), nn.LayerNorm(3)
            self.head = nn.Sequential(nn.Flatten(), nn.Linear(3 * 3 * 2, 5), nn.ELU(0.5), nn.Linear(5, 3, bias=False))

        def forward(self, x):
            x = torch.relu(self.stem(x))
            x = x + self.inner(x)
            x = torch.cat([self.left(x), self.right(x)], 1)
            x = nn.functional.leaky_relu(self.up(nn.functional.max_pool2d(x, 2)), 0.1)
            x = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            return torch.softmax(self.head(nn.functional.avg_pool2d(x, 2)), 1)

    return Net()


@pytest.mark.filterwarnings("ignore")
def test_a_network_of_pytorch(onnx, folder, import_):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = pytorch_network(torch)
    x = torch.as_tensor(channels_first(IMAGES))
    with torch.no_grad():
        net(3 * x + 1)
        net.eval()
        torch.onnx.export(net, x, "net.onnx", dynamo=False, dynamic_axes={"x": {0: "m"}}, input_names=["x"])
        expected = np.asarray(net(x))
    network = import_("net.onnx", "onnx", "--classes", "a", "b", "c")
    assert (network.spec.output, network.spec.in_shape, network.classes) == ("softmax", (13, 10, 2), ("a", "b", "c"))
    z = outputs(network, IMAGES)
    np.testing.assert_allclose(np.exp(z) / np.exp(z).sum(1, keepdims=True), expected, rtol=1e-5, atol=1e-6)


def model(onnx, nodes, arrays=(), shape=("m", 2, 4, 5), inputs=("x",)):
    """A model of nodes (operator, inputs, output, attributes)."""
    helper = onnx.helper
    made = [helper.make_node(kind, taken, [output], **options) for kind, taken, output, options in nodes]
    tensors = [onnx.numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in arrays]
    start = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in inputs]
    end = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)]
    return helper.make_model(helper.make_graph(made, "g", start, end, tensors))


W = ("W", np.ones((3, 2, 3, 3)))


@pytest.mark.parametrize(
    ("nodes", "arrays", "message"),
    [
        ([("HardSwish", ["x"], "y", {})], [], "operators must be Conv, ConvTranspose, MaxPool, "),
        (
            [("Conv", ["x", "W"], "y", {"auto_pad": "SAME_LOWER"})],
            [W],
            "Conv must have auto_pad NOTSET, VALID or SAME_UPPER",
        ),
        ([("Conv", ["x", "x"], "y", {})], [], "Conv must have filters that are stored in the model"),
        ([("Gemm", ["x", "W"], "y", {})], [W], "Gemm must have a vector, and weights that are stored"),
        (
            [("MaxPool", ["x"], "y", {"kernel_shape": [2, 2], "ceil_mode": 1})],
            [],
            "MaxPool must have neither ceil_mode",
        ),
        (
            [("Transpose", ["x"], "a", {"perm": [0, 2, 3, 1]}), ("Flatten", ["a"], "y", {})],
            [],
            "Flatten must have channels",
        ),
        ([("Transpose", ["x"], "y", {"perm": [0, 2, 1, 3]})], [], "Transpose must move channels to the end or back"),
        ([("Softmax", ["x"], "y", {"axis": -1})], [], "Softmax must have the axis of the channels"),
        ([("Mul", ["x", "x"], "y", {})], [], "Mul must have a number, or x and Sigmoid(x)"),
        ([("Add", ["x", "W"], "y", {})], [W], "Add must have a number or a bias, got (3, 2, 3, 3)"),
        (
            [
                ("Relu", ["x"], "a", {}),
                ("Tanh", ["a"], "b", {}),
                ("Add", ["a", "b"], "c", {}),
                ("Add", ["c", "b"], "y", {}),
            ],
            [],
            "branches must begin at one node, and meet in one: 'b' is in several",
        ),
        ([("Relu", ["x"], "y", {}), ("Conv", ["x", "W"], "z", {})], [W], "graphs must have one output, got 'z'"),
    ],
)
def test_what_is_not_read_is_one_line(onnx, folder, capsys, nodes, arrays, message):
    onnx.save(model(onnx, nodes, arrays), "net.onnx")
    assert main.main(["import", "net.onnx", "--from", "onnx", "--output", "linear"]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert (out, err.count("\n")) == ("", 1)


def test_damaged_files_and_those_of_other_files(onnx, folder, capsys):
    def error_of(*argv):
        assert main.main(["import", "net.onnx", "--from", "onnx", "--output", "linear", *argv]) == 2
        return capsys.readouterr().err

    (folder / "net.onnx").write_bytes(b"\x80text")
    assert "net.onnx is damaged, or not an ONNX model" in error_of()
    (folder / "net.onnx").write_bytes(b"")
    assert "net.onnx is damaged, or not an ONNX model" in error_of()
    onnx.save(model(onnx, [("Conv", ["x", "W"], "y", {})], [W], inputs=("x", "z")), "net.onnx")
    assert "the model must have one input and one output, got 2 and 1" in error_of()
    onnx.save(model(onnx, [("Conv", ["x", "W"], "y", {})], [W], ("m", 2, "h", "w")), "net.onnx")
    assert "the input must have a known size for each axis but the first" in error_of()
    stored = model(onnx, [("Conv", ["x", "W"], "y", {})], [W])
    onnx.external_data_helper.convert_model_to_external_data(stored, location="weights.bin", size_threshold=0)
    (folder / "net.onnx").write_bytes(stored.SerializeToString())
    assert "W is in another file: save the model in one file" in error_of()
    stored = model(onnx, [("Conv", ["x", "W"], "y", {})], [W])
    stored.graph.initializer[0].dims[:] = [2**40, 2**40]
    (folder / "net.onnx").write_bytes(stored.SerializeToString())
    assert "W declares (1099511627776, 1099511627776)" in error_of()
    onnx.save(model(onnx, [("Conv", ["x", "W"], "y", {})], [W]), "net.onnx")
    assert "layers must be stated once, got those of the file and of --layers" in error_of("--layers", "relu()")


def test_the_error_without_the_package_names_it(folder, capsys, monkeypatch):
    from experiments.networks.storage import encode

    (folder / "run").mkdir()
    (folder / "run" / "net.safetensors").write_bytes(encode(network("lenet")))
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main.main(["export", "run", "--to", "onnx"]) == 2
    assert f"{sys.executable} -m pip install onnx" in capsys.readouterr().err
    assert not (folder / "net.onnx").exists()
