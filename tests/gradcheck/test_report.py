"""The content of a report, and how it prints."""

import inspect
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import gradcheck
from jaxnn.gradcheck import Diagnosis, Report, Row, WrongGradientError
from tests.helpers.gradients import B, W, X, dense

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)


def dense_backward(args, dy):
    x, W, b = args
    return dy @ W, dy.T @ x, dy.sum(0)


@pytest.fixture(scope="module")
def right():
    return gradcheck.vjp(dense, dense_backward, X, W, B)


@pytest.mark.full
def test_a_right_backward_passes_everywhere(right):
    assert right
    assert right.raise_if_failed() is right
    assert right.counts["fail"] == right.counts["undecided"] == 0
    test_points = {row.test_point for row in right.rows}
    assert {
        "given",
        "given, sparse cotangent",
        "given, zero cotangent",
        "scaled by 1e-3",
        "some exact zeros",
    } <= test_points
    assert {"at ±1e4", "given, float32", "given, bfloat16", "given, float16"} <= test_points
    assert {"batch 4 -> 1", "batch 4 -> 9", "vmap over x", "vmap over all", "vmap of vmap", "scan"} <= test_points


def test_one_row_for_each_leaf_and_test_point(right):
    assert [row.leaf for row in right.rows if row.test_point == "given"] == ["x", "W", "b"]


@pytest.mark.full
def test_the_same_seed_gives_the_same_report(right):
    assert gradcheck.vjp(dense, dense_backward, X, W, B).to_dict() == right.to_dict()


def test_report_is_json_html_and_text(right):
    json.dumps(right.to_dict(), allow_nan=False)
    assert "gradient right" in str(right)
    assert right._repr_html_().count("<tr") == len(right.rows) + 1


def test_a_failed_report_raises_with_its_text():
    report = gradcheck.vjp(dense, lambda args, dy: (dy @ args[1], -dy.T @ args[0], dy.sum(0)), X, W, B, fast=True)
    assert not report
    assert [(d.kind, d.leaf) for d in report.diagnoses] == [("sign", "W")]
    with pytest.raises(WrongGradientError, match="opposite sign"):
        report.raise_if_failed()
    assert "order of the Taylor remainder: manual 1.00, autodiff inf, as there is no remainder" in flowing(report)


def test_the_report_names_the_precisions_sizes_and_transformations(right):
    assert right.tried == "float64, float32, bfloat16, float16; batch 4 -> 9, batch 4 -> 1, size 3 -> 7; vmap, scan"
    assert str(right).splitlines()[-1] == f"  tried: {right.tried}" and right.to_dict()["tried"] == right.tried
    few = gradcheck.gradient(lambda x: x * x, lambda x: 2 * x, 2.0, dtypes=("bfloat16",), fast=True)
    assert few.tried == "float64, bfloat16; no other size"
    cube = gradcheck.vjp(lambda x: x * x, lambda a, dy: (2 * a[0] * dy,), np.ones((2, 3, 4)), dtypes=("float32",))
    assert cube.tried == "float64, float32; batch 2 -> 5, batch 2 -> 1, sizes 3 -> 7 and 4 -> 9; vmap, scan"


def flowing(report):
    """Return the text of a report in one line."""
    return " ".join(str(report).split())


@pytest.mark.full
def test_the_worst_element_is_named():
    def one_wrong(args, dy):
        dx = 2 * args[0] * dy
        return (dx.at[123_456].multiply(1.01),)

    big = jnp.asarray(RNG.normal(size=200_000), jnp.float32)
    report = gradcheck.vjp(lambda x: x * x, one_wrong, big, fast=True)
    row = next(row for row in report.rows if row.status == "fail")
    assert row.index == (123_456,)
    assert row.max_rel == pytest.approx(0.01, rel=1e-4)
    assert "worst: x[123456] at 'given': manual " in str(report)


def fail(point, leaf="W", manual=2.0, reference=1.0, **values):
    return Row(point, leaf, "fail", abs(manual - reference), 1.0, 1e15, 1.0, (0, 1), manual, reference, **values)


CROWDED = Report(
    "vjp of f",
    (
        *(fail(f"point {n}, {dtype}", leaf) for n in range(30) for dtype in ("float32", "bfloat16") for leaf in "ab"),
        *(fail(f"point {n}", f"params['layer {n}']") for n in range(30)),
        *(Row(f"point {n}", f"leaf {n}", "note", text=f"{'a sentence ' * 20}, number {n}") for n in range(30)),
        *(Row(f"point {n}", "all", "skip", text=f"{'reason ' * n}") for n in range(30)),
    ),
    tuple(Diagnosis("sign", f"leaf {n}", "words and words " * 20) for n in range(9)),
    tuple("observed " * 30 for n in range(9)),
    tuple("assumed " * 30 for n in range(9)),
    "file.py:12: " + "x + " * 100,
)


def test_a_crowded_report_fits_a_screen():
    lines = str(CROWDED).splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 120
    labels = ["assumed", "note", "diagnosis", "worst", "likely line", "observed", "", "skipped"]
    starts = [line.strip().partition(": ")[0] for line in lines if line.startswith("  ") and line[2] not in " ."]
    assert list(dict.fromkeys("" if " at " in start else start for start in starts)) == labels
    table = CROWDED.table()
    assert all(table.count(word) == 9 for word in ("diagnosis: ", "assumed: ", "observed: "))
    assert table.count("a sentence a sentence") >= 30


WORDS = " ".join(f"word{n}" for n in range(14))
"""As a first line: with the name of its type, it fits the width of the screen."""


@pytest.mark.parametrize("length", [1, 3])
def test_a_quoted_exception_keeps_its_first_line_and_the_rest_is_in_the_table(length):
    message = " / ".join([WORDS] * length) + "\nsecond line\n\nlast line"

    def backward(args, dy):
        if args[0].dtype == jnp.bfloat16:
            raise TypeError(message)
        return (2 * args[0] * dy,)

    report = gradcheck.vjp(lambda x: x * x, backward, X, dtypes=("bfloat16",), fast=True)
    (text,) = [row.text for row in report.rows if row.status == "note"]
    assert text.startswith(f"the backward raised TypeError: {WORDS}") and text.endswith("second line\n\nlast line")
    shown = flowing(report)
    assert f"TypeError: {WORDS}" in shown and "(at x bfloat16[4, 3])" in shown and "second" not in shown
    quoted = shown.partition("TypeError: ")[2].partition(" ... " if length > 1 else " (at x")[0]
    assert message.startswith(quoted) and message[len(quoted)] in " \n"
    table = " ".join(report.table().split())
    assert " ".join(message.split()[1:]).removesuffix(" second line last line") in table
    assert "second line last line" in table
    assert all(len(line) <= 120 for line in str(report).splitlines())


def test_texts_are_cut_between_words():
    sections = [line for line in str(CROWDED).splitlines() if line.endswith(("...", " more"))]
    assert sections and not any(re.search(r"(wor|obser|assum|sentenc) \.\.\.", line) for line in sections)


def test_verdicts():
    right = Row("given", "x", "pass")
    inexact = Row("given", "x", "inexact", 3e-9, 3e-9, 1e7, 1.0, (1,), 1 + 3e-9, 1.0)
    undecided = Row("numerical derivative", "all", "undecided", text="autodiff gives 0, finite differences 1")
    skipped = Row("given", "all", "skip", text="not finite")
    assert Report("f", (right,)).verdict() == "f: gradient right (1 pass)"
    assert Report("f", (right, inexact)).verdict() == "f: gradient right to 3e-09 (1 pass, 1 inexact)"
    assert Report("f", (right, fail("given"))).verdict() == "f: gradient WRONG (1 pass, 1 fail)"
    assert "gradient UNDECIDED: autodiff and finite differences disagree" in Report("f", (right, undecided)).verdict()
    assert "gradient UNDECIDED: no test point could be checked (1 skip)" in Report("f", (skipped,)).verdict()
    assert "UNDECIDED: no test point could be checked (no rows)" in Report("f", ()).verdict()
    assert "undecided: numerical derivative: autodiff gives 0" in flowing(Report("f", (right, undecided)))
    assert "to decide: state whose gradient is meant" in flowing(Report("f", (right, undecided)))
    assert "the option domain keeps the test points there" in flowing(Report("f", (skipped,)))
    assert "to decide" not in str(Report("f", (right, fail("given"))))


def test_equal_notes_are_one_line_with_their_number_and_places():
    text = "dtype must be {}, that of the argument, got float32: cast the gradient"
    points = [("at 1e4", "bfloat16"), ("at ±10", "bfloat16"), ("at ±10", "float16")]
    rows = [Row(f"{point}, {dtype}", "b", "note", text=text.format(dtype)) for point, dtype in points]
    rows += [Row("numerical derivative", f"x[{n}]", "note", text=f"slopes 0 and {n}.5") for n in range(2)]
    rows += [Row("kink", "x", "note", text="at [2] f has a kink"), Row("vmap over x", "all", "note", text="it raised")]
    rows += [Row("given", "x", "pass")]
    assert flowing(Report("f", tuple(rows))).split(" note: ")[1:] == [
        "b: dtype must be bfloat16, that of the argument, got float32: cast the gradient "
        "(3 times: in bfloat16 at 1e4, at ±10; in float16 at ±10)",
        "slopes 0 and 0.5 (2 times: x[0], x[1])",
        "x: at [2] f has a kink",
        "it raised (at 'vmap over x')",
    ]


def test_failing_test_points_are_grouped():
    points = ["given", "given, sparse cotangent", *(f"scaled by {n}" for n in range(9)), "scaled by 1, float32"]
    rows = [fail(point, leaf) for point in points for leaf in "ab"]
    rows += [fail("batch 4 -> 9, negated", "all"), Row("negated", "a", "pass"), Row("all zeros", "all", "skip")]
    few = "given, sparse cotangent, scaled by 0, scaled by 1, scaled by 2, scaled by 3"
    assert flowing(Report("f", tuple(rows))).endswith(
        f"a, b fail at 12 of 14 test points: {few} and 5 more; 1 in float32 "
        "fails at 1 of 14 test points: batch 4 -> 9 negated skipped: all zeros ()"
    )


def test_the_worst_row_is_the_first_of_the_largest_relative_errors():
    small, large = fail("given", "a", 1.001, 1.0), fail("scaled by 10", "b", 3.0, 1e-9)
    report = Report("f", (small, large, fail("scaled by 100", "b", 3e3, 1e-6)))
    assert "worst: b[0, 1] at 'scaled by 10': manual 3, reference 1e-09" in str(report)
    close = Report("f", (fail("given", "a", 1.0 + 1e-9, 1.0),))
    assert "worst: a[0, 1] at 'given': manual 1.000000001, reference 1;" in str(close)
    shape = fail("given", "b", text="shape must be (2,), got (4, 2)")
    assert "worst: b[0, 1] at 'given': shape must be (2,), got (4, 2)" in str(Report("f", (shape,)))


def test_html_has_the_sections_in_order_and_every_row():
    rows = (fail("given", "W<1>"), Row("given", "x", "note", text="a note"))
    report = Report("f", rows, (Diagnosis("sign", "W", "opposite"),), ("seen",), ("sorted",), "f.py:1: a < b")
    page = report._repr_html_()
    labels = ["WRONG", "assumed:", "note:", "diagnosis:", "worst:", "likely line:", "observed:", "fails at", "<table"]
    places = [page.index(label) for label in labels]
    assert places == sorted(places)
    assert "W&lt;1&gt;" in page and "a &lt; b" in page and "W<1>" not in page
    assert report.to_dict()["assumed"] == ["sorted"] and report.to_dict()["line"] == "f.py:1: a < b"


def sine(args, dy):
    z = jnp.cos(args[0])
    dx = (2 * z * dy).reshape(3, 4)  # the likely line
    return (dx.reshape(4, 3),)


@jax.jit
def compiled(args, dy):
    return (dy * jnp.sin(args[0]),)  # the likely line


def forward(x):
    return jnp.sin(x), x


def backward(x, dy):
    return (-jnp.cos(x) * dy,)  # the likely line


def gradient(x):
    dx = jnp.sin(x)  # the likely line
    return jnp.asarray(dx, x.dtype)


ruled = jax.custom_vjp(jnp.sin)
ruled.defvjp(forward, backward)
with_jvp = jax.custom_jvp(jnp.sin)


@with_jvp.defjvp
def tangents(primals, tangents):
    return jnp.sin(*primals), jnp.sin(*primals) * tangents[0]  # the likely line


LINES = {
    "moved": (sine, lambda: gradcheck.vjp(jnp.sin, sine, X, fast=True)),
    "under jit": (compiled.__wrapped__, lambda: gradcheck.vjp(jnp.sin, lambda *a: compiled(*a), X, fast=True)),
    "of a number": (gradient, lambda: gradcheck.gradient(lambda x: jnp.sin(x).sum(), gradient, X, fast=True)),
    "of a pair": (backward, lambda: gradcheck.rule(jnp.sin, forward, backward, X, fast=True)),
    "of a rule": (backward, lambda: gradcheck.custom(ruled, jnp.sin, X, fast=True)),
    "of a compiled rule": (backward, lambda: gradcheck.custom(jax.jit(ruled), jnp.sin, X, fast=True)),
    "of tangents": (tangents, lambda: gradcheck.custom(with_jvp, jnp.sin, X, fast=True)),
}


@pytest.mark.representatives("moved", "of a pair", "of a rule")
@pytest.mark.parametrize("name", LINES)
def test_the_likely_line(name):
    function, check = LINES[name]
    source, first = inspect.getsourcelines(function)
    n, text = next((first + n, line.strip()) for n, line in enumerate(source) if "the likely line" in line)
    report = check()
    assert report.line == f"test_report.py:{n}: {text}"
    assert f"\n  likely line: {report.line}\n" in str(report)


def looks_at_values(args, dy):
    return (dy if float(args[0][0, 0]) > 9 else 2 * dy,)


@pytest.mark.parametrize("backward", [looks_at_values, lambda args, dy: (dy,)])
def test_no_line_is_named_where_none_is_known(backward):
    report = gradcheck.vjp(jnp.sin, backward, X, fast=True)
    assert not report and report.line == "" and "likely line" not in str(report)


def test_no_line_is_named_if_nothing_is_wrong(right):
    assert right.line == ""
