"""adding: its sequences, the gradient through time against jax.grad, and a short run."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cli import main
from experiments.studies.adding import gradients, run, sequences
from jaxnn import nn
from tests.helpers import short_runs


def test_one_number_of_each_half_is_marked_and_the_target_is_their_sum():
    x, y = sequences.draw(np.random.default_rng(0), 500, 11)
    assert x.shape == (500, 11, 2) and x.dtype == y.dtype == np.float32
    numbers, marks = x[..., 0], x[..., 1]
    assert ((marks == 0) | (marks == 1)).all()
    assert (marks[:, :5].sum(axis=1) == 1).all() and (marks[:, 5:].sum(axis=1) == 1).all()
    sums = [row[mark == 1].sum() for row, mark in zip(numbers, marks, strict=True)]
    np.testing.assert_allclose(sums, y[:, 0], rtol=1e-6)
    assert set(marks.argmax(axis=1)) == set(range(5))
    assert (x >= 0).all() and (x <= 1).all()


def test_the_error_of_guessing():
    _, y = sequences.draw(np.random.default_rng(1), 200_000, 4)
    assert np.mean((y - 1.0) ** 2) == pytest.approx(sequences.GUESSING, abs=2e-3)


def test_epochs_have_other_batches_and_a_seed_determines_them():
    first, again, other, of_other_seed = (
        [x for x, _ in sequences.batches_of(seed, epoch, 3, 2, 4)] for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert len(first) == 3
    np.testing.assert_array_equal(first, again)
    for others in (other, of_other_seed, first[::-1]):
        assert not np.array_equal(first, others)


@pytest.mark.full
@pytest.mark.parametrize("cell", [nn.simple_cell(3), nn.lstm_cell(3)], ids=["simple", "lstm"])
def test_norms_are_those_of_jax_grad_of_each_state(cell, x64):
    """The network from each time on, as a function of the state there."""
    rng = np.random.default_rng(2)
    x, dy = rng.normal(size=(4, 6, 2)), jnp.asarray(rng.normal(size=(4, 3)))
    params = jax.tree.map(lambda a: a.astype("float64"), cell.init(jax.random.key(0), (2,)))
    given = nn.recurrent(cell, "last", state="given")
    state = tuple(jnp.zeros((4, *shape)) for shape in cell.state)
    infer = jax.jit(lambda state, x: given.infer(params, (), (x, state)))
    slope = jax.jit(jax.grad(lambda state, x: (dy * given.infer(params, (), (x, state))[0]).sum()))
    expected = []
    for t in range(1, 6):
        _, state = infer(state, x[:, t - 1 : t])
        gradient = slope(state, x[:, t:])[-1]
        expected.append(jnp.sqrt((gradient**2).sum(axis=-1).mean()))
    np.testing.assert_allclose(gradients.norms_through_time(cell, params, x, dy), expected, rtol=1e-10)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    options = ("--n-steps", "6", "--units", "8", "--epochs", "2", "--batch-size", "8", "--learning-rate", "0.01")
    return short_runs.run(tmp_path_factory.mktemp("runs"), "adding", *options)


@pytest.mark.full
def test_a_short_run_holds_everything(finished):
    folder, _ = finished
    results = json.loads((folder / "results.json").read_text())
    assert list(results) == list(run.cells(8))
    for result in results.values():
        assert len(result["errors"]) == 2 and len(result["norms_before"]) == len(result["norms_after"]) == 5
        assert result["gradient_difference"] < 1e-9
    assert (folder / "adding.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "report.txt").read_text().count("updates") >= 1


@pytest.mark.full
def test_six_numbers_are_added_by_long_short_term_memory(tmp_path):
    folder, _ = short_runs.run(tmp_path, "adding", "--n-steps", "6", "--units", "16", "--epochs", "15")
    errors = json.loads((folder / "results.json").read_text())["long short-term memory"]["errors"]
    assert errors[-1] < run.SOLVED < sequences.GUESSING / 3 < errors[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--n-steps", "1"), "--n-steps must be at least 2, got 1"),
        (("--units", "0"), "--units must be at least 1, got 0"),
        (("--seed", "-1"), "--seed must be from 0 to"),
        (("--learning-rate", "0"), "learning_rate must be"),
    ],
)
def test_options_outside_their_range_are_one_line(options, message, tmp_path, capsys):
    assert main.main(["run", "adding", *options, "--runs-dir", str(tmp_path / "runs")]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert not (tmp_path / "runs").exists()
