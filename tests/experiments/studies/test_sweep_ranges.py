"""The grammar of ranges: the meaning of each form, random samples, and error messages."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.studies.sweep import ranges
from experiments.studies.sweep.ranges import DEPTH, FRACTION, POSITIVE, SEED, STRENGTH, WIDTH, Choices, Interval, parse

KINDS = [POSITIVE, STRENGTH, FRACTION, WIDTH, DEPTH, SEED]


def values(text, kind):
    return parse("option", text, kind).values


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("0.01", POSITIVE, (0.01,)),
        (" 1e-2 ", POSITIVE, (0.01,)),
        ("+.5", POSITIVE, (0.5,)),
        ("3.", POSITIVE, (3.0,)),
        ("0", STRENGTH, (0,)),
        ("0.1,0.03, 0.01", POSITIVE, (0.1, 0.03, 0.01)),
        ("7", SEED, (7,)),
        ("3,1,2", SEED, (3, 1, 2)),
        ("0..7", SEED, (0, 1, 2, 3, 4, 5, 6, 7)),
        ("3..3", SEED, (3,)),
        ("1..3", WIDTH, (1, 2, 3)),
        ("8..128:5", WIDTH, (8, 16, 32, 64, 128)),
        ("lin:8..128:5", WIDTH, (8, 38, 68, 98, 128)),
        ("0..8:3", SEED, (0, 4, 8)),
        ("1..8:3", DEPTH, (1, 4, 8)),  # 4.5 is rounded to the even one
        ("1e-4..1e-1:4", POSITIVE, (1e-4, 1e-3, 1e-2, 1e-1)),
        ("lin:1..4:4", POSITIVE, (1, 2, 3, 4)),
        ("0..0.5:6", FRACTION, (0, 0.1, 0.2, 0.3, 0.4, 0.5)),
        ("0.1..0.9:5", FRACTION, (0.1, 0.3, 0.5, 0.7, 0.9)),
        ("log:0.1..0.9:3", FRACTION, (0.1, 0.3, 0.9)),
        ("0..1:3", STRENGTH, (0, 0.5, 1)),  # through 0 there are no equal factors
        ("1e-4..1:3", STRENGTH, (1e-4, 1e-2, 1)),
        ("2..2:1", POSITIVE, (2,)),
        ("1 .. 2 : 2", POSITIVE, (1, 2)),
    ],
)
def test_each_form_of_a_range(text, kind, expected):
    got = values(text, kind)
    assert got == pytest.approx(expected, rel=1e-11)
    assert all(isinstance(value, int) for value in got) or not kind.whole


@pytest.mark.parametrize(("kind", "spaced"), [(POSITIVE, np.geomspace), (FRACTION, np.linspace)])
def test_the_spacing_is_numpys_and_the_ends_are_exact(kind, spaced):
    got = values("0.0123456789012345..0.7:17", kind)
    np.testing.assert_allclose(got, spaced(0.0123456789012345, 0.7, 17), rtol=1e-11)
    assert (got[0], got[-1]) == (0.0123456789012345, 0.7)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("", POSITIVE, "'' is not a number: expected positive numbers.*list such as 1,2,5, or a range such as 1..8:4"),
        ("fast", POSITIVE, "'fast' is not a number"),
        ("nan", POSITIVE, "'nan' is not a number"),
        ("inf", POSITIVE, "'inf' is not a number"),
        ("1_000", POSITIVE, "'1_000' is not a number"),
        ("١", POSITIVE, "is not a number"),
        ("1,,2", POSITIVE, "'' is not a number"),
        ("1..", POSITIVE, "'' is not a number"),
        ("..2:3", POSITIVE, "'' is not a number"),
        ("1..2..3:4", POSITIVE, "'2..3' is not a number"),
        ("1.5", WIDTH, "'1.5' is not an integer: expected integers from 1 to 4096"),
        ("1e3", WIDTH, "'1e3' is not an integer"),
        ("0..1.5", SEED, "'1.5' is not an integer"),
        ("-1", POSITIVE, "-1 is out of bounds: expected positive numbers"),
        ("0", POSITIVE, "0 is out of bounds: expected positive numbers"),
        ("1e-50", POSITIVE, "1e-50 is out of bounds"),
        ("1e39", POSITIVE, "1e39 is out of bounds"),
        ("9e999", POSITIVE, "9e999 is out of bounds"),
        ("-1..1:3", POSITIVE, "-1 is out of bounds"),
        ("-0.1", STRENGTH, "expected numbers from 0"),
        ("0..1:3", FRACTION, "1 is out of bounds: expected numbers from 0 to 0.999"),
        ("0", WIDTH, "0 is out of bounds: expected integers from 1"),
        ("8..1000000000", WIDTH, "1000000000 is out of bounds"),
        ("-1..3", SEED, "-1 is out of bounds"),
        ("1e-1..1e-4:8", POSITIVE, "the range is empty: expected its lower end first, 1e-4..1e-1"),
        ("5..3", SEED, "the range is empty: expected its lower end first, 3..5"),
        ("log:0..1:3", STRENGTH, "a log range cannot hold 0: expected two positive ends, or lin:"),
        ("log:0..8:3", DEPTH, "a log range cannot hold 0"),
        ("exp:1..8:3", POSITIVE, "'exp:1' is not a number"),
        ("1..2:0", POSITIVE, "'0' is not a count of values: expected an integer of at least 1"),
        ("1..2:-3", POSITIVE, "'-3' is not a count"),
        ("1..2:2.5", POSITIVE, "'2.5' is not a count"),
        ("1..2:", POSITIVE, "'' is not a count"),
        ("1..2:many", POSITIVE, "'many' is not a count"),
        ("1..2:1", POSITIVE, "expected :2 or more, or a single number"),
        ("2..2:3", POSITIVE, "expected :2 or more, or a single number"),
        ("1..2:1000000000", POSITIVE, "1000000000 values are too many, expected at most 10000"),
        ("0..2000000000", SEED, "2000000001 values are too many, expected at most 10000"),
        (",".join(map(str, range(10001))), SEED, "10001 values are too many"),
        ("1..2", POSITIVE, r"how many values\? expected 1..2:n, such as :8, or --random N"),
        ("log:1..8", WIDTH, "how many values"),
        ("1..4:9", WIDTH, "some are the same integers: expected fewer"),
        ("0.1,0.2,0.10", POSITIVE, "0.1 is there twice"),
    ],
)
def test_invalid_ranges_raise_one_line(text, kind, message):
    with pytest.raises(ValueError, match=f"^--learning-rate .*: .*{message}") as refused:
        parse("learning-rate", text, kind)
    assert "\n" not in str(refused.value)


@settings(max_examples=300, deadline=None)
@given(st.text("0123456789.,:+-e linog", max_size=14), st.sampled_from(KINDS), st.booleans())
def test_any_text_is_parsed_or_rejected(text, kind, to_draw_from):
    try:
        read = parse("option", text, kind, to_draw_from=to_draw_from)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017 (that it is refused is no duty)
        return
    got = read.draw(np.random.default_rng(0), 5) if isinstance(read, Interval) else read.values
    assert 1 <= len(got) <= ranges.MOST_VALUES
    assert all(kind.lowest <= value <= kind.highest for value in got)
    assert len(set(got)) == len(got) or isinstance(read, Interval)


def draw(text, kind, n=4000, seed=0):
    return parse("option", text, kind, to_draw_from=True).draw(np.random.default_rng(seed), n)


def test_draws_are_uniform_on_their_scale():
    for text in ("1e-4..1", "1e-4..1:8"):
        exponents = np.log10(draw(text, POSITIVE))
        assert np.histogram(exponents, 4, (-4, 0))[0] == pytest.approx([1000] * 4, rel=0.12)
    fractions = draw("0..0.8", FRACTION)
    assert np.histogram(fractions, 4, (0, 0.8))[0] == pytest.approx([1000] * 4, rel=0.12)


def test_integers_are_sampled_with_both_ends():
    assert np.bincount(draw("1..4", DEPTH)).tolist()[1:] == pytest.approx([1000] * 4, rel=0.12)
    widths = np.bincount(draw("1..7", WIDTH))[1:]
    # Each k stands for k up to k + 1 on the logarithmic scale.
    expected = [4000 * math.log2((k + 1) / k) / 3 for k in range(1, 8)]
    assert widths == pytest.approx(expected, rel=0.2)
    assert all(isinstance(value, int) for value in draw("8..128", WIDTH, 5))


def test_lists_are_drawn_from():
    assert parse("option", "1,2,5", SEED, to_draw_from=True) == Choices((1, 2, 5))
    assert np.unique(draw("1,2,5", SEED), return_counts=True)[1] == pytest.approx([1333] * 3, rel=0.12)


def test_samples_are_reproducible_by_seed():
    assert draw("1e-4..1", POSITIVE, 5) == draw("1e-4..1", POSITIVE, 5)
    assert draw("1e-4..1", POSITIVE, 5) != draw("1e-4..1", POSITIVE, 5, seed=1)
