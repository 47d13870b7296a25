"""The layers benchmark: every derivation has a row, and a row's verdicts are those of its numbers."""

from functools import partial

import jax
import numpy as np
import pytest

import jaxnn
from jaxnn.nn.boundaries import call_forward
from scripts.benchmarks import gpu, layers
from scripts.website.costs import ROWS_OF
from scripts.website.derivations import entries


def test_every_derivation_has_a_row():
    names = layers.rows()
    for page in (page for _, group in entries() for page in group):
        wanted = ROWS_OF.get(page.name, page.name)
        assert any(name == wanted or name.startswith(f"{wanted} ") for name in names), page.name


@pytest.mark.full
@pytest.mark.parametrize("name", layers.rows())
def test_the_plain_forward_is_the_layer(name, no_rank_promotion_rule):
    row = layers.rows()[name]
    of_two = jax.tree.map(lambda shape: (2, *shape[1:]), row.sizes[0], is_leaf=lambda shape: isinstance(shape[0], int))
    x, params, key = layers.drawn(row, of_two)
    got, expected = call_forward(row.layer, params, x, key, None)[0], row.plain(params, x, key)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), got, expected)


@pytest.mark.full
@pytest.mark.parametrize("name", [name for name, row in layers.rows().items() if row.data is not None])
def test_the_gradient_of_a_loss_is_that_of_its_plain_form(name, no_rank_promotion_rule):
    assert gpu.difference(layers.rows()[name], layers.rows()[name].sizes[0], "highest") < gpu.BOUND


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
