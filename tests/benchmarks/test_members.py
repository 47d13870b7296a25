"""`scripts/bench members`, with few members in two processes."""

import pytest

from scripts.benchmarks.members import main


@pytest.mark.full
def test_members_on_two_processes_are_those_of_one(capfd):
    assert main(["--members", "16", "--processes", "2"]) == 0
    assert "differ in 0 of 47,520 losses and params" in capfd.readouterr().out
