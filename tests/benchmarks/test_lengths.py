"""The lengths benchmark: what it compiles grows with a sequence or not, and its verdict is that of the numbers."""

import jax
import jax.numpy as jnp
import pytest

from jaxnn import nn
from scripts.benchmarks import lengths


def test_compilation_of_an_unrolled_loop_is_longer_for_long_sequences():
    """An unrolled loop is found, and one program for all lengths is not."""

    def unrolled(params, x):
        for t in range(x.shape[0]):
            params = jnp.tanh(params @ params + x[t])
        return params

    def looped(params, x):
        return jax.lax.scan(lambda a, u: (jnp.tanh(a @ a + u), None), params, x)[0]

    shapes = [(jax.ShapeDtypeStruct((4, 4), "float32"), jax.ShapeDtypeStruct((n, 4), "float32")) for n in (2, 100)]
    short, long = lengths.medians(lambda: lambda *a: unrolled(*a), shapes, 1)
    assert long > 3 * short
    short, long = lengths.medians(lambda: lambda *a: looped(*a), shapes, 3)
    assert long < 3 * short


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
