"""The progress bar on a terminal, and the lines without one."""

import io
import sys

import pytest

from experiments.runs.progress import show_progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("columns", [40, 80])
def test_bar_shows_compiling_until_the_first_report(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with show_progress("ladder", 10) as show:
        before = sys.stderr.getvalue()
        show(1, "digits")
    after = sys.stderr.getvalue()[len(before) :]
    assert "compiling" in before
    assert "digits" in after
    assert "compiling" not in after


def test_no_bar_without_a_terminal(capsys):
    with show_progress("ladder", 10) as show:
        show(1, "digits")
    assert capsys.readouterr() == ("", "")
