"""Reports of numbers that are not finite."""

import warnings

import pytest

import jaxnn
from experiments.runs.divergence import first_divergence, ignore_divergence_warnings, log_divergences, skipped_lines
from experiments.runs.folder import RunError
from jaxnn.train.divergence import warn_of_divergence


def test_the_first_is_the_earliest():
    early, late = jaxnn.train.Divergence(3, "update"), jaxnn.train.Divergence(30, "activations", 1, 2)
    assert first_divergence([None, late, None, early]) is early
    assert first_divergence([None]) is None


def test_skipped_updates_are_reported_with_on_nan_skip():
    assert skipped_lines("stop", {"a": 3}) == []
    said = "updates skipped because their loss or gradient was not finite: "
    assert skipped_lines("skip", {"a": 3, "b": 0, "c": 1}) == [f"{said}a: 3, c: 1"]
    assert skipped_lines("skip", {"a": 0}) == [f"{said}none"]


def diverge(where="the training"):
    warn_of_divergence(jaxnn.train.Divergence(3, "update", largest=2.0), {}, where)


NOTE = "note: the training diverged at step 3: the update overflowed first, computed from numbers up to 2; try a"


def test_divergence_is_logged_once_in_one_line():
    said = []
    with log_divergences(said.append):
        diverge()
        diverge()
        assert said == []
    (line,) = said
    assert line.startswith(NOTE) and "\n" not in line


def test_run_that_fails_by_divergence_logs_only_its_error():
    said = []

    def run():
        with log_divergences(said.append):
            diverge()
            raise RunError("diverged at step 3")

    with pytest.raises(RunError):
        run()
    assert said == []


def test_expected_divergence_is_not_logged_and_other_warnings_pass():
    said = []

    def run():
        with log_divergences(said.append):
            with ignore_divergence_warnings():
                diverge()
            warnings.warn("another", UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match="^another$") as caught:
        run()
    assert said == [] and len(caught) == 1
