"""parity: constructed weights for several sizes, pairs with equal params, and a short run."""

import json

import numpy as np
import pytest

from experiments.cli import main
from experiments.studies.parity import run as parity
from experiments.studies.parity.construct import SCALE, counting, one_for_each, patterns, tree


def forward(arrays, x):
    """A ReLU network in NumPy."""
    a = x.astype(np.float64)
    for W, b in zip(arrays[:-2:2], arrays[1:-2:2], strict=True):
        a = np.maximum(a @ W.T + b, 0)
    return (a @ arrays[-2].T + arrays[-1])[:, 0]


@pytest.mark.parametrize("n", [2, 4, 8])
@pytest.mark.parametrize("construct", [tree, counting, one_for_each])
def test_constructed_weights_are_the_parity(construct, n):
    x, y = patterns(n)
    assert x.shape == (2**n, n) and len(np.unique(x, axis=0)) == 2**n
    np.testing.assert_array_equal(y, np.bitwise_xor.reduce(x.astype(int), axis=1))
    np.testing.assert_allclose(forward(construct(n), x), SCALE * (y - 0.5))


def test_numbers_of_units():
    units = [[sum(len(b) for b in make(n)[1:-1:2]) for make in (tree, counting, one_for_each)] for n in (4, 8)]
    assert units == [[6, 4, 8], [14, 8, 128]]
    assert len(tree(8)) // 2 == 4


@pytest.mark.parametrize(("n", "factor"), [(8, 1), (8, 4), (4, 1), (16, 2)])
def test_pairs_have_equally_many_params(n, factor):
    deep, shallow = parity.pair(n, factor).values()
    assert abs(deep.n_params - shallow.n_params) <= (n + 2) / 2
    assert len(shallow.sizes) == 3 and len(deep.sizes) == np.log2(n) + 2
    if factor == 1:
        assert deep.sizes[1:-1] == tuple(len(b) for b in tree(n)[1:-1:2])


@pytest.mark.full
def test_short_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(parity, "FACTORS", (4,))
    argv = ["run", "parity", "--bits", "4", "--seeds", "3", "--iterations", "300", "--runs-dir", str(tmp_path)]
    assert main.main(argv) == 0
    (folder,) = tmp_path.iterdir()
    results = json.loads((folder / "results.json").read_text())
    assert [result["accuracy"] for result in results["constructed"]] == [1, 1, 1]
    for result in results["trained"]:
        assert len(result["accuracies"]) == 3
        assert result["solved"][str(result["rate"])] == result["accuracies"].count(1.0)
        assert result["solved"][str(result["rate"])] == max(result["solved"].values())
    # Many units in one layer learn the XOR of four bits from any start.
    assert results["trained"][-1]["accuracies"] == [1, 1, 1]
    assert "3 of 3" in capsys.readouterr().out
    assert (folder / "costs.png").exists()


def test_numbers_of_bits_without_a_tree_raise(tmp_path, capsys):
    assert main.main(["run", "parity", "--bits", "6", "--runs-dir", str(tmp_path / "runs")]) == 2
    assert "--bits must be 2, 4, 8 or 16" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
