"""Signals against autodiff with respect to an addition to each layer's output."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from experiments.networks.signals import layer_signals
from experiments.networks.spec import LayersSpec, NetworkSpec

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh}
LOSSES = {
    "binary": lambda z, y: jnp.logaddexp(0, z[:, 0]) - y * z[:, 0],
    "softmax": lambda z, y: jax.nn.logsumexp(z, axis=1) - z[jnp.arange(len(y)), y],
    "relu": lambda z, y: (z[:, 0] - y) ** 2 / 2,
}


def forward(spec, arrays, x, added):
    """Return every layer's output, by formulas, with `added` to each."""
    outputs = []
    layers = list(zip(arrays[::2], arrays[1::2], added, strict=True))
    for l, (W, b, more) in enumerate(layers, 1):
        x = x @ W.T + b[None]
        if l < len(layers) or spec.output == "relu":
            x = ACTIVATIONS[spec.activation if l < len(layers) else "relu"](x)
        x = x + more
        outputs.append(x)
    return outputs


@pytest.mark.representatives("1-layers-binary")
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "spec",
    [
        NetworkSpec((5, 1), init="he"),
        NetworkSpec((5, 4, 3), "tanh", "softmax"),
        NetworkSpec((5, 4, 6, 2, 1), "relu", "binary", "he"),
        NetworkSpec((5, 4, 1), "tanh", "relu"),
        NetworkSpec((5, *[3] * 5, 1), "tanh"),  # of which mlp makes a scan
    ],
    ids=lambda spec: f"{len(spec.sizes) - 1}-layers-{spec.output}",
)
def test_signals_are_the_outputs_and_the_gradients_with_respect_to_them(spec, monkeypatch):
    monkeypatch.setattr("experiments.networks.spec.SCAN_DEPTH", 5)
    model, random = spec.model(), np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: leaf + 0.1, model.init(jax.random.key(1)))
    x, y = random.normal(size=(7, 5)), random.integers(0, spec.sizes[-1] + 1 if spec.sizes[-1] == 1 else 3, 7)
    got = layer_signals(spec, params, jaxnn.Batch(x, y))

    arrays = jaxnn.models.params_to_arrays(model.network, params)
    assert (len(jax.tree.leaves(params)) < len(arrays)) == (len(spec.sizes) == 7)  # the last is scanned
    zeros = [np.zeros((7, n)) for n in spec.sizes[1:]]
    cost = jax.jit(jax.grad(lambda added: LOSSES[spec.output](forward(spec, arrays, x, added)[-1], y).mean()))
    expected = zip(forward(spec, arrays, x, zeros), cost(zeros), strict=True)
    for l, (signal, (values, gradients)) in enumerate(zip(got, expected, strict=True), 1):
        last = l == len(zeros) and spec.output != "relu"
        assert signal.name == f"{'z' if last else 'a'}{l}"
        np.testing.assert_allclose(signal.values, values, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(signal.gradients, gradients, rtol=1e-10, atol=1e-16)
    assert np.abs(got[-1].gradients).max() > 1e-3
    np.testing.assert_allclose(got[-1].values, model.outputs(params, x), rtol=1e-12)


@pytest.mark.full
@pytest.mark.usefixtures("x64")
def test_signals_of_convolutions_have_one_unit_for_each_map():
    nn, random = jaxnn.nn, np.random.default_rng(0)
    spec = LayersSpec(nn.chain(nn.conv(3, 3), nn.tanh(), nn.avg_pool(2), nn.flatten(), nn.dense(2)), (4, 6, 1))
    first, last = nn.chain(*spec.layers[:4]), spec.layers[4]
    params = spec.model().init(jax.random.key(0))
    batch = jaxnn.Batch(random.normal(size=(5, 4, 6, 1)), random.integers(0, 2, 5))
    hidden, output = layer_signals(spec, params, batch)

    def cost(a):
        z = a @ params[4]["W"].T + params[4]["b"][None]
        return LOSSES["softmax"](z, batch.y).mean()

    a = first.infer(params[:4], (), batch.x)
    assert (hidden.name, output.name) == ("a1", "z2")
    np.testing.assert_allclose(hidden.values, a, rtol=1e-12)
    np.testing.assert_allclose(hidden.gradients, jax.grad(cost)(a), rtol=1e-10, atol=1e-16)
    np.testing.assert_allclose(output.values, last.infer(params[4], (), a), rtol=1e-12)

    two = LayersSpec(nn.chain(nn.conv(3, 3), nn.tanh(), nn.conv(2, 3), nn.flatten(), nn.dense(2)), (4, 6, 1))
    maps = layer_signals(two, two.model().init(jax.random.key(0)), batch)[0]
    assert maps.values.shape == maps.gradients.shape == (5 * 4 * 6, 3)
