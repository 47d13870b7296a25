"""The layers benchmark: every layer has a row, and a row's verdicts are those of its numbers."""

import jax
import numpy as np
import pytest

import jaxnn
from jaxnn import nn
from scripts.benchmarks import layers
from tests.helpers.registry import factories

# Layers made of layers or functions, and the one that does nothing.
OF_OTHERS = {"chain", "repeat", "residual", "remat", "with_dtype", "fan_out", "parallel", "shared", "fan_in_sum"}
OF_OTHERS |= {"fan_in_concat", "frozen", "layer_from", "stateless", "identity", "carried"}


def test_every_layer_has_a_row():
    made = {row.layer.factory_call.factory for row in layers.rows().values()}
    assert {factory.__name__ for factory in factories(nn)} == {factory.__name__ for factory in made} | OF_OTHERS


@pytest.mark.full
@pytest.mark.parametrize("name", layers.rows())
def test_the_plain_forward_is_the_layer(name, no_rank_promotion_rule):
    row = layers.rows()[name]
    of_two = tuple((2, *one[1:]) for one in layers.arrays_of(row.sizes[0]))
    x, params, key = layers.drawn(row, of_two if len(of_two) > 1 else of_two[0])
    np.testing.assert_allclose(row.layer.forward(params, x, key)[0], row.plain(params, x, key), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("ratios", "slower"),
    [
        ([1.1, 1.2, 1.06, 1.3, 1.07], True),
        ([1.0, 1.0, 1.04, 1.2, 1.3], False),  # the lower quartile counts: noise makes some pairs slow
        ([1.05] * 5, False),
        ([0.4] * 5, False),
    ],
)
def test_a_layer_is_slower_if_three_of_four_pairs_are(ratios, slower):
    assert layers.Measured(1.0, 1.0, ratios, 0, 0).slower is slower


def test_what_is_kept_is_counted_and_both_programs_are_timed(monkeypatch):
    monkeypatch.setattr(layers, "ROUND", 1e-5)

    def long(x):
        for _ in range(60):
            x = jax.numpy.sin(x)
        return x

    by_hand = jaxnn.stateless(lambda x: (long(x), ()), lambda cache, dy: dy)
    got = layers.measure(layers.Row(by_hand, ((64, 256),), lambda params, x, key: x + 1), (64, 256), rounds=5)
    assert (got.hand_kept, got.auto_kept) == (0, 0)
    other = layers.measure(layers.Row(jaxnn.relu(), ((64, 256),), lambda params, x, key: long(x)), (64, 256), rounds=5)
    assert other.hand_kept == 64 * 256 * 4
    assert other.auto_kept == 60 * 64 * 256 * 4
    assert min(got.hand, got.auto, other.hand, other.auto) > 0
    assert len(got.ratios) == 5


def test_the_command_prints_a_table_and_its_verdict(monkeypatch, capsys, tmp_path):
    row = layers.Row(jaxnn.relu(), ((8, 4),), lambda params, x, key: jax.nn.relu(x))
    monkeypatch.setattr(layers, "rows", lambda: {"relu": row})
    monkeypatch.setattr(layers, "ROUND", 1e-5)
    assert layers.main(["--rounds", "4", "--json", str(tmp_path / "rows.json")]) in (0, 1)
    out = capsys.readouterr().out
    assert "8x4" in out
    assert out.splitlines()[-1].startswith("1 rows, ")
    assert '"ratios"' in (tmp_path / "rows.json").read_text()
    with pytest.raises(SystemExit):
        layers.main(["--only", "no such layer"])
