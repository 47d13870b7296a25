"""`export --fold`: a batch normalization becomes a part of the layer before it, and outputs stay."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import jaxnn
from experiments.cli import main
from experiments.interchange.folding import folded
from experiments.networks.spec import LayersSpec, NetworkSpec
from experiments.networks.storage import StoredNetwork, encode
from jaxnn import nn
from tests.experiments.interchange.networks import examples, outputs, with_random_arrays

SPECS = {
    "dense": LayersSpec(nn.chain(nn.dense(5), nn.batch_norm(0.01), nn.relu(), nn.dense(2)), (3,)),
    "conv": LayersSpec(
        nn.chain(nn.conv(4, (3, 2), groups=2), nn.batch_norm(), nn.relu(), nn.flatten(), nn.dense(2)), (6, 5, 2)
    ),
    "depthwise": LayersSpec(
        nn.chain(nn.depthwise_conv(3, multiplier=2), nn.batch_norm(), nn.flatten(), nn.dense(2)), (5, 5, 3)
    ),
    "transposed": LayersSpec(
        nn.chain(nn.conv_transpose(3, 2, 2), nn.batch_norm(), nn.flatten(), nn.dense(2)), (3, 4, 2)
    ),
    "sequence": LayersSpec(nn.chain(nn.conv(4, (3,)), nn.batch_norm(), nn.flatten(), nn.dense(2)), (8, 3)),
    "twice": LayersSpec(nn.chain(nn.dense(4), nn.batch_norm(), nn.batch_norm(), nn.dense(2)), (3,)),
    "inside": LayersSpec(
        nn.chain(
            nn.conv(3, 3, padding="same"),
            nn.residual(nn.chain(nn.conv(3, 3, padding="same"), nn.batch_norm(), nn.relu())),
            nn.chain(nn.flatten(), nn.dense(2)),
        ),
        (4, 4, 1),
    ),
}


def count(layer):
    """How many batch normalizations a network prints."""
    return repr(layer).count("batch_norm(")


@pytest.mark.representatives("inside", "transposed")
@pytest.mark.parametrize("name", SPECS)
def test_outputs_stay(name):
    stored = with_random_arrays(SPECS[name])
    one = folded(stored)
    assert (count(stored.spec.network) > 0, count(one.spec.network), one.stats) == (True, 0, ())
    x = examples(stored.spec)
    np.testing.assert_allclose(outputs(one, x), outputs(stored, x), rtol=1e-5, atol=1e-5)
    assert {a.dtype for a in jax.tree.leaves(one.params)} == {jnp.dtype("float32")}


def test_what_does_not_follow_weights_stays():
    layers = nn.chain(nn.batch_norm(), nn.dense(4), nn.batch_norm(), nn.relu(), nn.batch_norm(), nn.dense(2))
    stored = with_random_arrays(LayersSpec(layers, (3,)))
    one = folded(stored)
    assert repr(one.spec.network) == repr(
        nn.chain(nn.batch_norm(), nn.dense(4), nn.relu(), nn.batch_norm(), nn.dense(2))
    )
    np.testing.assert_allclose(outputs(one, examples(stored.spec)), outputs(stored, examples(stored.spec)), rtol=1e-5)


@pytest.mark.parametrize(
    "spec", [NetworkSpec((3, 2)), LayersSpec(nn.chain(nn.batch_norm(), nn.dense(2)), (3,))], ids=["dense", "before"]
)
def test_without_one_to_fold(spec):
    with pytest.raises(ValueError, match="--fold needs a batch normalization right after a dense layer"):
        folded(with_random_arrays(spec))


def test_exported(folder, capsys):
    """Raw inputs: the standardization becomes a part of the same weights."""
    stats = jaxnn.data.Standardizer(np.array([3.0, -1.0, 0.5]), np.array([2.0, 0.5, 1.0]))
    stored: StoredNetwork = with_random_arrays(SPECS["dense"])._replace(standardizer=stats)
    run = folder / "run"
    run.mkdir()
    (run / "net.safetensors").write_bytes(encode(stored))
    assert main.main(["export", str(run), "--to", "safetensors", "--fold", "--out", "net.safetensors"]) == 0
    assert "batch_norm" not in capsys.readouterr().out
    arrays = safetensors.numpy.load_file("net.safetensors")
    assert sorted(arrays) == ["W_1", "W_2", "b_1", "b_2"]
    x = examples(stored.spec)
    hidden = np.maximum(x @ arrays["W_1"].T + arrays["b_1"], 0)
    expected = outputs(stored, jaxnn.standardize(stats, x))
    np.testing.assert_allclose(hidden @ arrays["W_2"].T + arrays["b_2"], expected, rtol=1e-4, atol=1e-4)


def test_a_spec_keeps_what_it_means():
    spec = dataclasses.replace(SPECS["dense"], output="linear")
    one = folded(with_random_arrays(spec))
    assert (one.spec.output, one.spec.in_shape, one.spec.in_dtype) == ("linear", (3,), "float32")
