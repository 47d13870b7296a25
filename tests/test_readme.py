"""The README's code blocks run unchanged: Python in one namespace, from top to bottom; commands in a shell."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from jaxnn.gradcheck import pytest_plugin

pytestmark = pytest.mark.usefixtures("quick_compilation")

gradcheck = pytest_plugin.gradcheck  # also where the checkout is used without installing it

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
COMMANDS = [line.split("#")[0].strip() for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]


def test_every_block_is_one_that_runs():
    assert {kind for kind, _ in BLOCKS} <= {"python", "sh"}


def test_python_blocks(capsys, no_rank_promotion_rule, gradcheck, full, tmp_path, monkeypatch):
    """With --full all of them, of which each may use the names of those before it; without, the first three."""
    monkeypatch.chdir(tmp_path)  # for the files that they write
    namespace = {"__name__": "readme"}
    for block in [block for kind, block in BLOCKS if kind == "python"][: None if full else 3]:
        exec(compile(block, "README.md", "exec"), namespace)
    for name in [name for name in namespace if name.startswith("test_")]:
        namespace[name](gradcheck)
    printed = capsys.readouterr().out
    assert float(re.search(r"'test_accuracy': Array\(([\d.]+)", printed)[1]) > 0.9
    accuracies = [float(a) for a in re.findall(r"dev accuracy ([\d.]+)", printed)]
    assert len(accuracies) == 2
    assert min(accuracies) > 0.93


# What stands for a command here: the tests are what runs one; the others run with `--full`, the second in .ci/run too.
SHORT = {"scripts/test": "scripts/test --help", "scripts/run": "scripts/run list"}


@pytest.mark.representatives(*SHORT)
@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command, tmp_path, full):
    if not full or command == "scripts/test":
        command = SHORT.get(command, command)
    done = subprocess.run(
        [str(ROOT / command.split()[0]), *command.split()[1:]],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_ADDOPTS": "", "XDG_CACHE_HOME": str(tmp_path / "caches")},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if command == "scripts/run":
        assert "four-layers" in done.stdout
        assert list(tmp_path.glob("runs/ladder-*/config.json"))
