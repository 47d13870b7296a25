"""The lengths benchmark: each turn compiles anew, and the verdict is that of the numbers."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from jaxnn import nn
from scripts.benchmarks import lengths


@pytest.mark.full
def test_every_turn_compiles_and_medians_leave_out_the_first(monkeypatch):
    traced = []
    clock = iter([reading for turn in range(8) for reading in (0.0, float(turn))])  # before and after each turn

    def make():
        return lambda x: traced.append(x.shape) or jnp.sin(x)

    shapes = [[jax.ShapeDtypeStruct((n,), "float32")] for n in (2, 3)]
    monkeypatch.setattr(lengths, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert lengths.medians(make, shapes, 3) == [4, 5]
    assert traced == [(2,), (3,)] * 4


@pytest.mark.parametrize("cell", lengths.CELLS)
def test_shapes_are_those_of_the_layer(cell):
    layer = nn.recurrent(lengths.CELLS[cell](128))
    params, x, dy = lengths.shapes(layer, 28)
    y, (dparams, dx) = jax.eval_shape(lengths.forward_and_backward(layer), params, x, dy)
    assert (y.shape, dx.shape) == (dy.shape, x.shape) == ((64, 28, 128), (64, 28, 32))
    assert jax.tree.map(jnp.shape, dparams) == jax.tree.map(jnp.shape, params)


@pytest.mark.parametrize(("ratio", "code"), [(1.05, 0), (1.2, 1)])
def test_exit_code_is_that_of_the_ratio(ratio, code, monkeypatch, capsys):
    monkeypatch.setattr(lengths, "medians", lambda make, of_lengths, repeats: [2.0, 2.0 * ratio])
    assert lengths.main(["--cell", "lstm"]) == code
    assert f"{ratio:.2f}" in capsys.readouterr().out


def test_invalid_options_are_rejected():
    for arguments in (["--repeats", "0"], ["--cell", "none"]):
        with pytest.raises(SystemExit) as stop:
            lengths.main(arguments)
        assert stop.value.code == 2
