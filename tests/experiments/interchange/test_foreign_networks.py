"""Networks that other libraries made and trained: read by their names and shapes, they compute the same here."""

import jax
import numpy as np
import pytest

from experiments.cli import main
from experiments.interchange.formats import module
from tests.experiments.interchange.networks import channels_first, outputs

pytestmark = pytest.mark.usefixtures("quick_compilation")
IMAGES = np.random.default_rng(0).normal(size=(3, 13, 10, 2)).astype("float32")


def agree(one, other):
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-5, atol=1e-5)


def agree_in_float64(network, apply, variables):
    """Arrays of float32, outputs computed in float64: a norm over three features may magnify rounding tenfold."""
    with jax.enable_x64(True):
        params, stats, arrays, x = jax.tree.map(
            lambda leaf: np.asarray(leaf, "float64"), (network.params, network.stats, variables, IMAGES)
        )
        ours, theirs = network.spec.model().outputs(params, x, stats), apply(arrays, x)
        assert ours.dtype == theirs.dtype == "float64"
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


# ------------------------------------------------------------------ PyTorch


def saved(net, file):
    from safetensors.torch import save_file

    save_file(net.state_dict(), file)


def trained(torch, net, x):
    """The network after three forwards in training, which set its running statistics, of n/(n-1) times the variance."""
    with torch.no_grad():
        for scale in (1, 2, 3):
            net(torch.as_tensor(scale * x + 1))
        return net.eval()


LENET = (
    "conv(4, (5, 3), stride=(2, 1)), tanh(), max_pool((2, 3)), conv(6, 2, padding='valid'), relu(), "
    "flatten(), dense(7), relu(), dense(3)"
)


def test_a_convolutional_network_of_pytorch_by_its_layers(torch, folder, import_):
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(2, 4, (5, 3), (2, 1), (2, 1)), nn.Conv2d(4, 6, 2)
            self.fc1, self.fc2 = nn.Linear(6 * 2 * 2, 7), nn.Linear(7, 3)

        def forward(self, x):
            x = nn.functional.max_pool2d(torch.tanh(self.conv1(x)), (2, 3))
            x = torch.relu(self.conv2(x)).flatten(1)
            return self.fc2(torch.relu(self.fc1(x)))

    net = Net()
    saved(net, "net.safetensors")
    argv = "--in-shape 13 10 2 --output softmax --classes a b c".split()
    network = import_("net.safetensors", "torch", "--layers", LENET, *argv)
    agree(outputs(network, IMAGES), net(torch.as_tensor(channels_first(IMAGES))).detach())
    assert (network.classes, network.spec.output) == (("a", "b", "c"), "softmax")
    # Exported again and read like that run, it has the same arrays.
    (run,) = folder.glob("runs/*")
    assert main.main(["export", str(run), "--to", "torch", "--out", "back.torch.safetensors"]) == 0


def test_batch_normalization_of_pytorch_with_its_statistics_and_eps(torch, import_, folder):
    nn = torch.nn
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4, eps=0.01),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, bias=False),
        nn.BatchNorm2d(4, affine=False),
        nn.Flatten(),
        nn.Linear(4 * 11 * 8, 3),
        nn.BatchNorm1d(3),
    )
    trained(torch, net, channels_first(IMAGES))
    saved(net, "net.safetensors")
    layers = (
        "conv(4, 3), batch_norm(0.01), relu(), conv(4, 3, padding='valid'), batch_norm(), flatten(), dense(3), "
        "batch_norm()"
    )
    network = import_(
        "net.safetensors", "torch", "--layers", layers, "--in-shape", "13", "10", "2", "--output", "linear"
    )
    np.testing.assert_array_equal(network.stats[1]["var"], net[1].running_var)
    agree(outputs(network, IMAGES), net(torch.as_tensor(channels_first(IMAGES))).detach())


def block(torch, channels, stride):
    """A residual block with the names of torchvision."""
    nn, c = torch.nn, channels

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            c_in = c // stride
            self.conv1, self.bn1 = nn.Conv2d(c_in, c, 3, stride, 1, bias=False), nn.BatchNorm2d(c)
            self.conv2, self.bn2 = nn.Conv2d(c, c, 3, 1, 1, bias=False), nn.BatchNorm2d(c)
            if stride > 1:
                self.downsample = nn.Sequential(nn.Conv2d(c_in, c, 1, stride, bias=False), nn.BatchNorm2d(c))

        def forward(self, x):
            y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
            return torch.relu(y + (self.downsample(x) if stride > 1 else x))

    return Block()


INSIDE = "conv({c}, 3, stride={s}, padding=1), batch_norm(), relu(), conv({c}, 3), batch_norm()"
RESNET = ", ".join(
    [
        "conv(4, 3), batch_norm(), relu()",
        f"residual(chain({INSIDE.format(c=4, s=1)})), relu()",
        f"fan_out(chain({INSIDE.format(c=8, s=2)}), chain(conv(8, 1, stride=2), batch_norm())), fan_in_sum(), relu()",
        f"residual(chain({INSIDE.format(c=8, s=1)})), relu()",
        "global_avg_pool(), dense(3)",
    ]
)


def test_a_residual_network_of_pytorch_needs_the_order_of_words(torch, import_, folder, capsys):
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(2, 4, 3, 1, 1), nn.BatchNorm2d(4)
            self.layer1 = nn.Sequential(block(torch, 4, 1))
            self.layer2 = nn.Sequential(block(torch, 8, 2), block(torch, 8, 1))
            self.fc = nn.Linear(8, 3)

        def forward(self, x):
            x = self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(x)))))
            return self.fc(x.mean((2, 3)))

    net = trained(torch, Net(), channels_first(IMAGES))
    saved(net, "net.safetensors")
    argv = ["--layers", RESNET, "--in-shape", "13", "10", "2", "--output", "softmax"]
    assert main.main(["import", "net.safetensors", "--from", "torch", *argv]) == 2
    assert "'bn1' and 'layer1.0.bn1' have no numbers to order the layers by" in capsys.readouterr().err
    network = import_("net.safetensors", "torch", *argv, "--order", "bn", "layer", "downsample")
    agree(outputs(network, IMAGES), net(torch.as_tensor(channels_first(IMAGES))).detach())


def test_transposed_grouped_and_depthwise_convolutions_of_pytorch(torch, import_, folder):
    nn = torch.nn
    net = nn.Sequential(
        nn.ConvTranspose2d(2, 4, 3, (2, 1), 1, (1, 0), groups=2),
        nn.SiLU(),
        nn.Conv2d(4, 8, 3, 2, 1, groups=4),
        nn.GroupNorm(2, 8),
        nn.Conv2d(8, 6, 3, groups=2, dilation=2),
        nn.MaxPool2d(3, 2, 1),
        nn.Flatten(),
        nn.LayerNorm(6 * 5),
        nn.Linear(6 * 5, 3),
    )
    x = IMAGES[:, :, :9]
    with torch.no_grad():
        for p in net.parameters():
            p += 0.1 * torch.randn(p.shape)
    y = net(torch.as_tensor(channels_first(x))).detach()
    saved(net, "net.safetensors")
    layers = (
        "conv_transpose(4, 3, (2, 1), 1, (1, 0), groups=2), silu(), depthwise_conv(3, 2, stride=2, padding=1), "
        "group_norm(2), conv(6, 3, padding='valid', dilation=2, groups=2), max_pool(3, 2, 1), flatten(), "
        "layer_norm(), dense(3)"
    )
    network = import_(
        "net.safetensors", "torch", "--layers", layers, "--in-shape", "13", "9", "2", "--output", "linear"
    )
    agree(outputs(network, x), y)


def test_an_embedding_of_pytorch_is_not_flattened_by_channel(torch, import_, folder):
    net = torch.nn.Sequential(torch.nn.Embedding(7, 4), torch.nn.Flatten(), torch.nn.Linear(20, 3))
    saved(net, "net.safetensors")
    argv = ["--layers", "embedding(7, 4), flatten(), dense(3)", "--in-shape", "5", "--output", "linear"]
    network = import_("net.safetensors", "torch", *argv)
    words = np.random.default_rng(0).integers(0, 7, (2, 5)).astype("int32")
    agree(outputs(network, words), net(torch.as_tensor(words)).detach())


# ------------------------------------------------------------------ Flax


@pytest.mark.full
@pytest.mark.parametrize("transpose_kernel", [False, True])
def test_a_convolutional_network_of_linen(import_, folder, no_rank_promotion_rule, transpose_kernel):
    pytest.importorskip("flax")
    from flax import linen, traverse_util
    from safetensors.flax import save_file

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x, train=False):
            x = linen.ConvTranspose(4, (3, 2), (2, 1), transpose_kernel=transpose_kernel)(x)
            x = linen.BatchNorm(use_running_average=not train, epsilon=0.01)(x)
            x = linen.relu(linen.Conv(3, (3, 2), (2, 3), feature_group_count=1)(x))
            x = linen.avg_pool(x, (2, 2), (2, 1), "SAME")
            x = linen.Dense(3)(x.reshape(x.shape[0], -1))
            return linen.LayerNorm(epsilon=1e-6)(x)

    variables = Net().init(jax.random.key(0), IMAGES)
    _, seen = Net().apply(variables, 2 * IMAGES + 1, train=True, mutable=["batch_stats"])
    variables = {"params": jax.tree.map(lambda leaf: leaf + 0.1, variables["params"]), **seen}
    save_file(traverse_util.flatten_dict(variables, sep="."), "net.safetensors")
    layers = (
        "conv_transpose(4, (3, 2), (2, 1)), batch_norm(0.01), conv(3, (3, 2), (2, 3)), relu(), "
        "avg_pool(2, (2, 1), 'same'), flatten(), dense(3), layer_norm(1e-6)"
    )
    argv = ["--layers", layers, "--in-shape", "13", "10", "2", "--output", "softmax"]
    argv += ["--transpose-kernel"] * transpose_kernel
    network = import_("net.safetensors", "flax", *argv)
    agree_in_float64(network, Net().apply, variables)


@pytest.mark.full
def test_a_convolutional_network_of_nnx(import_, folder, no_rank_promotion_rule):
    pytest.importorskip("flax")
    from flax import nnx
    from safetensors.flax import save_file

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.conv1, self.conv2 = nnx.Conv(2, 4, (3, 2), 2, rngs=rngs), nnx.Conv(4, 4, (3, 3), rngs=rngs)
            self.bn1, self.fc = nnx.BatchNorm(4, rngs=rngs), nnx.Linear(4 * 7 * 5, 3, rngs=rngs)

        def __call__(self, x):
            return self.fc(nnx.relu(self.bn1(self.conv2(self.conv1(x)))).reshape(x.shape[0], -1))

    net = Net(nnx.Rngs(0))
    net(3 * IMAGES + 1)
    net.eval()
    state = {".".join(map(str, path)): leaf[...] for path, leaf in nnx.to_flat_state(nnx.state(net))}
    save_file(state, "net.safetensors")
    layers = "conv(4, (3, 2), 2), conv(4, 3), batch_norm(), relu(), flatten(), dense(3)"
    network = import_(
        "net.safetensors", "flax", "--layers", layers, "--in-shape", "13", "10", "2", "--output", "linear"
    )
    agree(outputs(network, IMAGES), net(IMAGES))


# ------------------------------------------------------------------ Keras


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
def test_a_convolutional_network_of_keras_by_its_layers(keras, import_, folder, no_rank_promotion_rule):
    L = keras.layers
    net = keras.Sequential(
        [
            keras.Input((13, 10, 2)),
            L.DepthwiseConv2D(3, 2, padding="same", depth_multiplier=2),
            L.BatchNormalization(),
            L.Conv2DTranspose(3, (3, 2), 2, padding="same", activation="relu"),
            L.LayerNormalization(),
            L.AveragePooling2D(3, 2, padding="same"),
            L.Flatten(),
            L.Dense(3),
        ]
    )
    net(3 * IMAGES + 1, training=True)
    net.save_weights("net.weights.h5")
    layers = (
        "depthwise_conv(3, 2, stride=2), batch_norm(0.001), conv_transpose(3, (3, 2), 2), relu(), layer_norm(0.001), "
        "avg_pool(3, 2, 'same', count_padding=False), flatten(), dense(3)"
    )
    network = import_(
        "net.weights.h5", "keras", "--layers", layers, "--in-shape", "13", "10", "2", "--output", "softmax"
    )
    agree(outputs(network, IMAGES), net(IMAGES))


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
def test_branches_of_keras_are_numbered_by_depth(keras, folder, capsys):
    L, start = keras.layers, keras.Input((5, 4, 2))
    ends = [L.Conv2D(2, 3, padding="same")(L.Conv2D(2, 3, padding="same")(start)) for _ in range(2)]
    keras.Model(start, L.Dense(3)(L.Flatten()(L.Add()(ends)))).save_weights("net.weights.h5")
    branch = "chain(conv(2, 3), conv(2, 3))"
    layers = f"fan_out({branch}, {branch}), fan_in_sum(), flatten(), dense(3)"
    argv = ["--layers", layers, "--in-shape", "5", "4", "2", "--output", "linear"]
    assert main.main(["import", "net.weights.h5", "--from", "keras", *argv]) == 2
    assert "several branches have a conv of the same shapes" in capsys.readouterr().err


# ------------------------------------------------------------------ like a run


@pytest.mark.full
@pytest.mark.parametrize("form", ["npz", "torch", "flax"])
def test_what_was_exported_is_read_like_its_run(folder, import_, capsys, form):
    from experiments.interchange.formats import FORMATS
    from experiments.networks.storage import encode
    from tests.experiments.interchange.networks import examples, network

    stored = network("resnet")
    (folder / "run").mkdir()
    (folder / "run" / "net.safetensors").write_bytes(encode(stored))
    assert main.main(["export", "run", "--to", form]) == 0
    text = capsys.readouterr().out
    shape = "3, 9, 7" if hasattr(module(form), "CHANNELS_FIRST") else "9, 7, 3"
    assert f"x is (m, {shape}) in float32, on the scale of training" in text
    back = import_(f"net{FORMATS[form].suffix}", form, "--like", "run")
    assert back.spec == stored.spec
    x = examples(stored.spec)
    np.testing.assert_array_equal(outputs(back, x), outputs(stored, x))
