"""`experiments graph`: expressions and functions, pictures, and invalid arguments."""

import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import experiments.cli.graph
from experiments.cli import main
from experiments.cli.graph.expression import as_function

NOTES = ["u = b*c; v = a + u; J = 3*v", "a=5", "b=3", "c=2"]
PICTURE = Path(experiments.cli.graph.__file__).parent / "notes.svg"


def test_the_notes_graph(capsys):
    assert main.main(["graph", "3*(a+b*c)", "a=5", "b=3", "c=2"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1:4] == [["a", "f32", "5", "3"], ["b", "f32", "3", "6"], ["c", "f32", "2", "9"]]
    assert rows[-1][:7] == ["J", "3", "*", "v2", "f32", "33", "1"]


def test_the_picture_in_the_repository_is_what_the_command_draws(tmp_path, capsys):
    file = tmp_path / "notes.svg"
    assert main.main(["graph", *NOTES, "--svg", str(file)]) == 0
    assert file.read_text(encoding="utf-8") == PICTURE.read_text(encoding="utf-8")
    assert main.main(["graph", *NOTES, "--svg", str(file)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_the_page_is_written_beside_the_picture(tmp_path, capsys):
    picture, page = tmp_path / "notes.svg", tmp_path / "notes.html"
    assert main.main(["graph", *NOTES, "--svg", str(picture), "--html", str(page)]) == 0
    words = page.read_text(encoding="utf-8")
    assert words.startswith("<!DOCTYPE html>")
    assert words.count('type="range"') == 3
    assert "expression.py" not in words  # a line of this program, not of the caller's
    assert picture.exists()
    assert main.main(["graph", *NOTES, "--html", str(page)]) == 2
    assert "exists already" in capsys.readouterr().err


def page_data(file):
    return json.loads(re.search(r'id="data">(.*?)</script>', file.read_text(encoding="utf-8"))[1])


@pytest.mark.representatives("a / b--", "tanh(w*x)--")
@pytest.mark.parametrize(
    ("argv", "function", "given"),
    [
        (NOTES, lambda a, b, c: 3 * (a + b * c), dict(a=5, b=3, c=2)),
        (["3*(a+b*c)", "a=5", "b=3", "c=2"], lambda a, b, c: 3 * (a + b * c), dict(a=5, b=3, c=2)),
        (["relu(a) * b - a**2", "a=-2", "b=0"], lambda a, b: np.maximum(a, 0) * b - a**2, dict(a=-2, b=0)),
        (["tanh(w*x)", "w=1", "x=-0.0", "--depth", "2"], lambda w, x: np.tanh(w * x), dict(w=1, x=0)),
        (["a / b", "a=3e38", "b=1e-3"], lambda a, b: np.float32(a) / np.float32(b), dict(a=3e38, b=1e-3)),
    ],
    ids=lambda each: each[0] if isinstance(each, list) else "",
)
def test_each_slider_position_has_its_numbers(tmp_path, capsys, argv, function, given):
    """The numbers are those of NumPy."""
    assert main.main(["graph", *argv, "--html", str(tmp_path / "page.html")]) == 0
    data = page_data(tmp_path / "page.html")
    (output,) = data["outputs"]
    assert [slider["name"] for slider in data["sliders"]] == list(given)
    for slider in data["sliders"]:
        assert 20 < len(slider["values"]) == len(slider["numbers"])
        assert np.isfinite(np.float32(slider["values"])).all()
        with np.errstate(all="ignore"):
            expected = [function(**(given | {slider["name"]: value})) for value in slider["values"]]
        got = [float(numbers["nodes"][output][4]) for numbers in slider["numbers"]]
        np.testing.assert_allclose(got, np.float32(expected), rtol=1e-4, atol=1e-6)


def branching(x, v):
    """Return a function that branches, with another branch in the second half of the range."""
    return jax.nn.relu(x) + v.sum() + jax.lax.cond(x > 1, jnp.sin, jnp.cos, x)


@pytest.mark.full
def test_where_a_function_truly_branches_a_place_has_none(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    argv = ["test_graph_command:branching", "--shapes", "()", "3", "--html", str(tmp_path / "page.html")]
    assert main.main(["graph", *argv, "--seed", "3"]) == 0
    (slider,) = page_data(tmp_path / "page.html")["sliders"]
    here = slider["values"][slider["start"]]
    same = [(value > 1) == (here > 1) for value in slider["values"]]
    assert set(same) == {True, False}
    assert [numbers is not None for numbers in slider["numbers"]] == same


@pytest.mark.parametrize(
    ("argv", "value", "slope"),
    [
        (["-x**2", "x=3"], -9, -6),
        (["(-x**2)", "x=3"], -9, -6),
        (["- x ** 2", "x=3", "--depth", "1"], -9, -6),
        (["--depth", "1", "-x**2", "x=3"], -9, -6),
        (["\u2212x**2", "x=\u22123"], -9, 6),
        (["-2*x", "x=3"], -6, -2),
        (["--x**2", "x=3"], 9, 6),
        (["--", "--x", "x=3"], 3, 1),
        (["--x", "x=3"], 3, 1),
        (["--x", "--depth", "1", "x=3"], 3, 1),
        (["\u2212h", "h=3"], -3, -1),
        (["-x", "x=-3"], 3, -1),
        (["--seed", "1", "--", "-h", "h=3"], -3, -1),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_an_expression_may_begin_with_a_minus(capsys, argv, value, slope):
    assert main.main(["graph", *argv]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert float(rows[1][3]) == slope
    assert str(value) in rows[-1]


TWO_LAYERS = ["experiments.cli.graph.two_layers:loss", "--shapes", "4,2", "4", "1,4", "1", "10,2", "int2:10,1"]


@pytest.mark.full
def test_the_picture_of_two_layers_is_of_what_the_command_draws(tmp_path):
    """The boxes are the same; the last digits depend on the machine."""
    file = tmp_path / "two.svg"
    assert main.main(["graph", *TWO_LAYERS, "--svg", str(file)]) == 0
    drawn, kept = (
        re.findall(r">(\w+ = [^<]*)<", path.read_text(encoding="utf-8"))
        for path in (file, PICTURE.with_name("two_layers.svg"))
    )
    assert drawn == kept
    assert {"a1 = tanh(z1)", "z2 = v5 + v6"} <= set(kept)


def test_expressions_mean_what_python_means():
    """Against Python's own arithmetic, and the functions' formulas."""
    text = "sigmoid(x) + relu(-x) - tanh(x/2)**2 * exp(+x) + log(y)**0.5 - 2**-1 + x**y"
    found = as_function(text, ["x", "y"])(0.7, 3.0)
    from math import exp, log, tanh

    x, y = 0.7, 3.0
    assert float(found) == pytest.approx(
        1 / (1 + exp(-x)) + max(-x, 0) - tanh(x / 2) ** 2 * exp(x) + log(y) ** 0.5 - 2**-1 + x**y, rel=1e-6
    )


def test_whole_powers_are_whole_however_large():
    """As a float32, 16777217 would be 16777216, which is even."""
    assert as_function("a**16777217", ["a"])(-1.0) == -1


def test_a_function(capsys):
    assert main.main(["graph", "jax.nn:logsumexp", "--shapes", "4,3", "--seed", "1"]) == 0
    assert "f32[4,3]" in capsys.readouterr().out


def test_nonfinite_value_is_reported(capsys):
    assert main.main(["graph", "log(a)", "a=0"]) == 0
    assert "not finite: forward, J = log(a) produced inf, for a: 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["a + b", "a=1"], "b has no value: add b=1"),
        (["a", "a=1", "b=2"], "b is not in 'a'"),
        (["a", "a=one"], "'a=one': expected a variable and its number"),
        (["a", "a"], "expected a variable and its number"),
        (["a", "a=1", "a=2"], "given twice"),
        (["a", "1=1"], "is not the name of a variable"),
        (["a +", "a=1"], "cannot be read"),
        (["", "a=1"], "expected an expression"),
        (["1 + 2"], "got no arguments"),
        (["a; b", "a=1", "b=1"], "after named steps if needed"),
        (["a = a * 2", "a=1"], "a is already defined"),
        (["exp", "exp=1"], "'exp' is not allowed"),
        (["__import__('os').system('true')"], "is not allowed in an expression"),
        (["a.real", "a=1"], "'a.real' is not allowed"),
        (["[a for a in b]", "b=1"], "is not allowed"),
        (["a if a else a", "a=1"], "is not allowed"),
        (["(lambda: a)()", "a=1"], "is not allowed"),
        (["exp(a, a)", "a=1"], "is not allowed"),
        (["exp(*a)", "a=1"], "is not allowed"),
        (["'a' * a", "a=1"], "is not allowed"),
        (["True * a", "a=1"], "is not allowed"),
        (["a * 1j", "a=1"], "is not allowed"),
        (["import os"], "'import os' is not an expression"),
        (["x, y = a", "a=1"], "is not an expression"),
        (["a * " + "9" * 400, "a=1"], "is not allowed"),
        (["a" + " + a" * 400, "a=1"], "the expression must have at most 1000 characters, got 1601"),
        (["a" + "+a" * 100, "a=1"], "nested more than 50 deep"),
        (["(" * 300 + "a" + ")" * 300, "a=1"], "cannot be read"),
        (["exp(" * 60 + "a" + ")" * 60, "a=1"], "nested more than 50 deep"),
        (["a", "a=1", "--shapes", "3"], "got --shapes"),
        (["a", "a=1", "--depth", "-1"], "--depth"),
        (["a", "a=1", "--by-layer"], "no layers"),
        (["a", "a=1", "--svg", "no/such/folder.svg"], "No such file"),
        (["a", "a=1", "--html", "no/such/folder.html"], "No such file"),
        (["jax.nn:softmax", "--shapes", "4,3"], "must be a scalar, got (4, 3)"),
        (["jax.numpy:sum", "--shapes", "int3:4"], "an argument must be floating, got"),
        (["jax.numpy:sum"], "a shape for each argument"),
        (["jax.numpy:sum", "a=1"], "must be used with --shapes, got 'a=1'"),
        (["jax.numpy:sum", "--shapes", "x"], "expected sizes such as 4,3"),
        (["jax.numpy:sum", "--shapes", "99999999999,99999999999"], "expected sizes such as 4,3"),
        (["jax.numpy:nothing", "--shapes", "3"], "cannot find"),
        (["no.such:thing", "--shapes", "3"], "cannot find"),
        (["math:pi", "--shapes", "3"], "expected a function"),
        (["math:sin", "--shapes", "()"], "cannot be traced"),
        (["jax.numpy:sin", "--shapes", "3", "3"], "cannot be traced"),
    ],
)
def test_invalid_arguments(capsys, argv, message):
    assert main.main(["graph", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
