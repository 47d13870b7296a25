"""Recurrent networks and attention of other libraries: read by names and shapes, they compute the same here.

All weights and biases are random, none 0. Outputs are compared on sequences of odd sizes, in float64, but for Keras,
whose recurrences do not compute in it.
"""

from functools import partial

import jax
import numpy as np
import pytest

from experiments.cli import main
from tests.experiments.interchange.networks import outputs

pytestmark = pytest.mark.usefixtures("quick_compilation")
T, N_IN = 7, 3
SEQUENCES = np.random.default_rng(0).normal(size=(5, T, N_IN))


def agree(network, theirs, x=SEQUENCES):
    """Arrays of float32, outputs of float64."""
    with jax.enable_x64(True):
        params, stats = jax.tree.map(lambda leaf: np.asarray(leaf, "float64"), (network.params, network.stats))
        ours = np.asarray(jax.jit(network.spec.network.infer)(params, stats, x))
    assert ours.shape == theirs.shape
    # A sum of two biases is rounded once more.
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def layers_as(text, in_shape=(T, N_IN)):
    return ["--layers", text, "--output", "linear", "--in-shape", *map(str, in_shape)]


def with_random_biases(arrays):
    random = np.random.default_rng(1)
    return {name: random.normal(0, 0.6, np.shape(a)).astype("float32") for name, a in arrays.items()}


# ------------------------------------------------------------------ PyTorch


def saved(torch, net):
    """The network with random weights and biases, in float64, saved in float32."""
    from safetensors.torch import save_file

    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape) * 0.6)
    save_file(net.state_dict(), "net.safetensors")
    return net.double().eval()


@pytest.mark.parametrize(
    ("module", "options", "layers"),
    [
        ("LSTM", {}, "recurrent(lstm_cell(5))"),
        ("GRU", {}, "recurrent(gru_cell(5))"),
        ("RNN", {}, "recurrent(simple_cell(5))"),
        ("GRU", {"bias": False}, "recurrent(gru_cell(5))"),
        ("LSTM", {"num_layers": 3}, "recurrent(lstm_cell(5)), recurrent(lstm_cell(5)), recurrent(lstm_cell(5))"),
        ("GRU", {"bidirectional": True}, "bidirectional(gru_cell(5))"),
        (
            "LSTM",
            {"num_layers": 3, "bidirectional": True},
            "bidirectional(lstm_cell(5)), bidirectional(lstm_cell(5)), bidirectional(lstm_cell(5))",
        ),
    ],
)
def test_recurrent_layers_of_pytorch(torch, import_, folder, module, options, layers):
    net = saved(torch, getattr(torch.nn, module)(N_IN, 5, batch_first=True, **options))
    theirs, _ = net(torch.as_tensor(SEQUENCES))
    agree(import_("net.safetensors", "torch", *layers_as(layers)), theirs.detach().numpy())


def test_a_classifier_of_pytorch_by_the_last_state(torch, import_, folder):
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.rnn = nn.Embedding(9, N_IN), nn.GRU(N_IN, 4, batch_first=True, bidirectional=True)
            self.fc = nn.Linear(8, 2)

        def forward(self, words):
            _, state = self.rnn(self.embed(words))
            return self.fc(torch.cat([*state], -1))

    net = saved(torch, Net())
    words = np.random.default_rng(0).integers(0, 9, (5, T)).astype("int32")
    layers = "each_step(embedding(9, 3)), bidirectional(gru_cell(4), 'last'), dense(2)"
    network = import_("net.safetensors", "torch", *layers_as(layers, (T,)))
    assert network.spec.in_dtype == "int32"
    agree(network, net(torch.as_tensor(words)).detach().numpy(), words)


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_transformer_of_pytorch(torch, import_, folder, norm_first):
    nn = torch.nn
    layer = nn.TransformerEncoderLayer(6, 2, 11, activation="gelu", batch_first=True, norm_first=norm_first)
    net = saved(torch, nn.TransformerEncoder(layer, 3, enable_nested_tensor=False))
    x = np.random.default_rng(0).normal(size=(4, 5, 6))
    causal = nn.Transformer.generate_square_subsequent_mask(5).double()
    theirs = net(torch.as_tensor(x), mask=causal, is_causal=True).detach().numpy()
    block = f"transformer_block(2, 11, causal=True, norm='{'first' if norm_first else 'last'}', activation='gelu')"
    network = import_("net.safetensors", "torch", *layers_as(", ".join([block] * 3), (5, 6)))
    agree(network, theirs, x)


@pytest.mark.parametrize(
    ("made", "layers", "message"),
    [
        (lambda nn: nn.LSTM(3, 5, proj_size=2), "recurrent(lstm_cell(5))", "nn.LSTM must have no proj_size"),
        (lambda nn: nn.MultiheadAttention(6, 2, kdim=3), "multi_head_attention(2)", "nn.MultiheadAttention one size"),
        (lambda nn: nn.GRU(3, 5), "recurrent(gru_cell(5, 'before'))", "gru_cell must have reset='after' for PyTorch"),
        (lambda nn: nn.GRU(3, 5), "recurrent(lstm_cell(5))", "the network has 1 recurrent with weight_ih (20, 3)"),
        (lambda nn: nn.GRU(3, 5), "recurrent(gru_cell(5), state='learned')", "recurrent must have state='zeros'"),
        (lambda nn: nn.GRU(3, 5), "fan_out(identity(), identity()), multi_head_attention(1, memory=True)", "memory=F"),
    ],
)
def test_what_is_not_read_is_one_line(torch, folder, capsys, made, layers, message):
    saved(torch, made(torch.nn))
    assert main.main(["import", "net.safetensors", "--from", "torch", *layers_as(layers)]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert (out, err.count("\n")) == ("", 1)


def test_a_weight_that_is_not_finite_is_an_error(torch, folder, capsys):
    from safetensors.torch import save_file

    net = torch.nn.LSTM(N_IN, 5)
    with torch.no_grad():
        net.bias_hh_l0[7] = np.inf
    save_file(net.state_dict(), "net.safetensors")
    assert main.main(["import", "net.safetensors", "--from", "torch", *layers_as("recurrent(lstm_cell(5))")]) == 2
    assert "l0.bias_hh must be finite in float32, got inf or NaN" in capsys.readouterr().err


# ------------------------------------------------------------------ Flax

CELLS = [
    ("LSTMCell", "lstm_cell"),
    ("OptimizedLSTMCell", "lstm_cell"),
    ("GRUCell", "gru_cell"),
    ("SimpleCell", "simple_cell"),
]


def named(path):
    return ".".join(map(str, path))


def in_float64(arrays):
    return {name: np.asarray(a, "float64") for name, a in arrays.items()}


@pytest.mark.full
@pytest.mark.parametrize(("cell", "here"), CELLS)
def test_recurrent_layers_of_linen(import_, folder, no_rank_promotion_rule, cell, here):
    pytest.importorskip("flax")
    from flax import linen, traverse_util
    from safetensors.flax import save_file

    def net(dtype):
        made = partial(getattr(linen, cell), 4, param_dtype=dtype)
        both = linen.Bidirectional(linen.RNN(made()), linen.RNN(made()))
        return linen.Sequential(
            [linen.RNN(made()), linen.RNN(made(), reverse=True, keep_order=True), both, linen.Dense(2)]
        )

    shapes = jax.eval_shape(net("float32").init, jax.random.key(0), np.float32(SEQUENCES))
    arrays = with_random_biases(traverse_util.flatten_dict(shapes, sep="."))
    save_file(arrays, "net.safetensors")
    layers = f"recurrent({here}(4)), recurrent({here}(4), reverse=True), bidirectional({here}(4)), each_step(dense(2))"
    network = import_("net.safetensors", "flax", *layers_as(layers))
    with jax.enable_x64(True):
        theirs = net("float64").apply(traverse_util.unflatten_dict(in_float64(arrays), sep="."), SEQUENCES)
    agree(network, np.asarray(theirs))


@pytest.mark.full
@pytest.mark.parametrize(("cell", "here"), CELLS)
def test_recurrent_layers_of_nnx(import_, folder, no_rank_promotion_rule, cell, here):
    pytest.importorskip("flax")
    from flax import nnx
    from safetensors.flax import save_file

    def made(n_in):
        return nnx.RNN(getattr(nnx, cell)(n_in, 4, dtype="float64", param_dtype="float64", rngs=nnx.Rngs(0)))

    with jax.enable_x64(True):
        net = nnx.Sequential(made(N_IN), made(4), nnx.Bidirectional(made(4), made(4)))
        graph, state = nnx.split(net)
        flat = nnx.to_flat_state(state)
        arrays = with_random_biases({named(path): leaf[...] for path, leaf in flat if leaf.type is nnx.Param})
        wide = in_float64(arrays)
        new = [(path, leaf.replace(wide.get(named(path), leaf[...]))) for path, leaf in flat]
        theirs = nnx.merge(graph, nnx.from_flat_state(new))(SEQUENCES)
    save_file(arrays, "net.safetensors")
    layers = f"recurrent({here}(4)), recurrent({here}(4)), bidirectional({here}(4))"
    network = import_("net.safetensors", "flax", *layers_as(layers))
    agree(network, np.asarray(theirs))


@pytest.mark.full
def test_attention_of_linen(import_, folder, no_rank_promotion_rule):
    pytest.importorskip("flax")
    from flax import linen, traverse_util
    from safetensors.flax import save_file

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            y = linen.MultiHeadDotProductAttention(3)(linen.LayerNorm(epsilon=1e-5)(x))
            x = x + y
            return linen.Dense(2)(linen.relu(linen.Dense(7)(x)))

    x = np.random.default_rng(0).normal(size=(4, 5, 6))
    shapes = jax.eval_shape(Net().init, jax.random.key(0), np.float32(x))
    arrays = with_random_biases(traverse_util.flatten_dict(shapes, sep="."))
    save_file(arrays, "net.safetensors")
    attend = "residual(chain(each_step(layer_norm()), multi_head_attention(3)))"
    layers = f"{attend}, each_step(chain(dense(7), relu(), dense(2)))"
    network = import_("net.safetensors", "flax", *layers_as(layers, (5, 6)))
    with jax.enable_x64(True):
        theirs = Net().apply(traverse_util.unflatten_dict(in_float64(arrays), sep="."), x)
    agree(network, np.asarray(theirs), x)


# ------------------------------------------------------------------ Keras


def with_random_weights(net):
    random = np.random.default_rng(1)
    net.set_weights([random.normal(0, 0.6, w.shape) for w in net.get_weights()])
    return net


def recurrent_keras(L):
    return [
        L.LSTM(4, return_sequences=True),
        L.Bidirectional(L.GRU(3, return_sequences=True)),
        L.GRU(4, reset_after=False, return_sequences=True),
        L.SimpleRNN(5, return_sequences=True),
        L.TimeDistributed(L.Dense(3, activation="tanh")),
        L.Bidirectional(L.LSTM(2)),
        L.Dense(2),
    ]


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
@pytest.mark.parametrize("archive", [True, pytest.param(False, marks=pytest.mark.full)])
def test_recurrent_layers_of_keras(keras, import_, folder, no_rank_promotion_rule, archive):
    net = with_random_weights(keras.Sequential([keras.Input((T, N_IN)), *recurrent_keras(keras.layers)]))
    x = SEQUENCES.astype("float32")
    if archive:
        net.save("net.keras")
        network = import_("net.keras", "keras", "--output", "linear")
    else:
        net.save_weights("net.weights.h5")
        layers = (
            "recurrent(lstm_cell(4)), bidirectional(gru_cell(3)), recurrent(gru_cell(4, 'before')), "
            "recurrent(simple_cell(5)), each_step(chain(dense(3), tanh())), "
            "bidirectional(lstm_cell(2), 'last'), dense(2)"
        )
        network = import_("net.weights.h5", "keras", *layers_as(layers))
    np.testing.assert_allclose(outputs(network, x), np.asarray(net(x)), rtol=1e-5, atol=1e-5)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
def test_a_transformer_of_keras(keras, import_, folder, no_rank_promotion_rule):
    L, start = keras.layers, keras.Input((5, 6))
    y = L.LayerNormalization()(start)
    x = L.Add()([start, L.MultiHeadAttention(3, 2)(y, y, use_causal_mask=True)])
    x = L.Add()([x, L.Dense(6)(L.Dense(7, activation="gelu")(L.LayerNormalization()(x)))])
    net = with_random_weights(keras.Model(start, L.Dense(2)(L.GlobalAveragePooling1D()(x))))
    net.save("net.keras")
    x = np.random.default_rng(0).normal(size=(4, 5, 6)).astype("float32")
    network = import_("net.keras", "keras", "--output", "linear")
    np.testing.assert_allclose(outputs(network, x), np.asarray(net(x)), rtol=1e-5, atol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda L: L.LSTM(3, activation="relu"), "recurrences must have activation='tanh', got relu"),
        (lambda L: L.GRU(3, recurrent_activation="tanh"), "must have recurrent_activation='sigmoid', got tanh"),
        (lambda L: L.LSTM(3, go_backwards=True, return_sequences=True), "must have no go_backwards with return_seq"),
        (lambda L: L.Bidirectional(L.LSTM(3), merge_mode="sum"), "Bidirectional must have merge_mode='concat'"),
        (
            lambda L: L.Bidirectional(L.LSTM(3), backward_layer=L.LSTM(4, go_backwards=True)),
            "merge_mode='concat' and two layers alike",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
def test_what_keras_has_besides_is_one_line(keras, folder, capsys, no_rank_promotion_rule, made, message):
    keras.Sequential([keras.Input((T, N_IN)), made(keras.layers)]).save("net.keras")
    assert main.main(["import", "net.keras", "--from", "keras", "--output", "linear"]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
def test_words_that_are_hidden_from_a_recurrence_are_an_error(keras, folder, capsys, no_rank_promotion_rule):
    L = keras.layers
    keras.Sequential([keras.Input((T,), dtype="int32"), L.Embedding(7, 4, mask_zero=True), L.LSTM(3)]).save("net.keras")
    assert main.main(["import", "net.keras", "--from", "keras", "--output", "linear"]) == 2
    assert "Embedding must have mask_zero=False, got True" in capsys.readouterr().err
