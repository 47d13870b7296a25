"""The content of a report, and how it prints."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import gradcheck
from jaxnn.gradcheck import WrongGradientError
from tests.helpers.gradients import B, W, X, dense

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)


def dense_backward(args, dy):
    x, W, b = args
    return dy @ W, dy.T @ x, dy.sum(0)


@pytest.fixture(scope="module")
def right():
    return gradcheck.vjp(dense, dense_backward, X, W, B)


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
    assert "order of the Taylor remainder: manual 1.00, autodiff inf, as there is no remainder" in str(report)


def test_the_worst_element_is_named():
    def one_wrong(args, dy):
        dx = 2 * args[0] * dy
        return (dx.at[123_456].multiply(1.01),)

    big = jnp.asarray(RNG.normal(size=200_000), jnp.float32)
    report = gradcheck.vjp(lambda x: x * x, one_wrong, big, fast=True)
    row = next(row for row in report.rows if row.status == "fail")
    assert row.index == (123_456,)
    assert row.max_rel == pytest.approx(0.01, rel=1e-4)
