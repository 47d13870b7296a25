"""Notations of numbers: values of fields, ambiguous fields, and fields that are not numbers."""

import numpy as np
import pytest

from experiments.readers.numerals import PLAIN, Notation, agree, looks_like_number, notations, number


@pytest.mark.parametrize("decimal", ".,")
@pytest.mark.parametrize("thousands", ["", ".", ",", " ", "'"])
@pytest.mark.parametrize(("prefix", "suffix"), [("", ""), ("$", ""), ("", "%"), ("", "kg")])
def test_numbers_are_read_only_in_their_notation(decimal, thousands, prefix, suffix):
    """Python's formatting is the oracle, with its commas and points replaced by the marks."""
    if decimal == thousands:
        return
    values = [0.0, 12.5, -1234.25, 1234567.0, 999.0, -0.125]
    marks = str.maketrans({",": thousands, ".": decimal})
    fields = [f"{'-' * (v < 0)}{prefix}{abs(v):,.3f}{suffix}".translate(marks) for v in values]
    found = notations(fields)
    assert Notation(decimal, thousands, prefix, suffix) in found
    assert agree(fields, found)
    assert [number(field, found[0]) for field in fields] == values


@pytest.mark.parametrize(
    ("fields", "readings"),
    [
        (["1,234"], {(",", ""): 1.234, (".", ","): 1234.0}),
        (["1.234"], {(".", ""): 1.234, (",", "."): 1234.0}),
        (["1,5", "1,234"], {(",", ""): 1.5}),
        (["1.5", "1,234"], {(".", ","): 1.5}),
        (["0,123"], {(",", ""): 0.123}),
        (["1234,567"], {(",", ""): 1234.567}),
        (["12,34,567"], {(".", ","): 1234567.0}),
        (["1.5", "1,5"], {}),
        (["5%", "5"], {}),
        (["$5", "€5"], {}),
        (["1A", "2B"], {}),
        (["5", "x"], {}),
    ],
)
def test_readings_of_a_column(fields, readings):
    found = notations(fields)
    assert {each[:2]: number(fields[0], each) for each in found} == readings
    assert agree(fields, found) == (len(readings) < 2)


def test_given_marks_decide():
    assert notations(["1,234"], decimal=",") == [Notation(",")]
    assert notations(["1,234"], thousands=",") == [Notation(".", ",")]
    assert notations(["1.234"], decimal=",") == [Notation(",", ".")]
    assert notations(["1.5"], decimal=",") == [] == notations(["1,5"], decimal=".")


@pytest.mark.parametrize(
    ("field", "value"),
    [("\u22125", -5), ("\u20131.5", -1.5), ("\u0665", 5), ("\uff15\uff16", 56), ("- 5", -5), ("-$5", -5), ("$-5", -5)],
)
def test_other_characters_for_the_same_number(field, value):
    assert looks_like_number(field)
    assert number(field, notations([field])[0]) == value


@pytest.mark.parametrize(
    "field", "- inf nan 0x1F 1_000 (5) 5- 1/2 --5 -$-5 2024-01-31 10:30 1.2.3 ² 5kg 12A 1e $".split() + ["", "5 kg"]
)
def test_fields_that_do_not_look_like_numbers(field):
    assert not looks_like_number(field)


def test_long_fields_take_no_time():
    for field in ("1" * 100_000 + "x", "1," * 50_000, " " * 100_000, "$" * 100_000, "1 " * 190 + "x", "'" * 399):
        assert not looks_like_number(field)


def test_plain_numbers_are_python_s():
    for value in np.random.default_rng(0).normal(size=100) * 10.0 ** np.arange(-50, 50):
        assert number(repr(float(value)), PLAIN) == value
