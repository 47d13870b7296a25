"""What experiments say of numbers that were not finite."""

import jaxnn
from experiments.divergence import first_of, skipped_lines


def test_the_first_is_the_earliest():
    early, late = jaxnn.Divergence(3, "update"), jaxnn.Divergence(30, "activations", 1, 2)
    assert first_of([None, late, None, early]) is early
    assert first_of([None]) is None


def test_what_was_skipped_is_told_where_it_may_be():
    assert skipped_lines("stop", {"a": 3}) == []
    said = "updates skipped since their loss or gradient was not finite: "
    assert skipped_lines("skip", {"a": 3, "b": 0, "c": 1}) == [f"{said}a: 3, c: 1"]
    assert skipped_lines("skip", {"a": 0}) == [f"{said}none"]
