"""The hooks of a commit run what scripts/test --full runs first."""

import yaml

from tests.helpers.sources import ROOT


def test_hooks_are_the_first_steps_of_the_tests():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"  # nothing is downloaded
    steps = (ROOT / "scripts" / "test").read_text().replace('"$python"', ".venv/bin/python")
    entries = [hook["entry"] for hook in repository["hooks"]]
    assert len(entries) == 3
    assert all(entry in steps for entry in entries)
