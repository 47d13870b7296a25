"""The code blocks of the README and of each guide run unchanged, Python as one program and commands in a shell."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from jaxnn.gradcheck import pytest_plugin
from scripts.code_blocks import blocks, kinds_and_blocks, run

pytestmark = pytest.mark.usefixtures("quick_compilation")

gradcheck = pytest_plugin.gradcheck  # also where the checkout is used without installing it

ROOT = Path(__file__).resolve().parents[1]
# Their blocks are parts of programs: of several processes (tests/parallel), and of a run's folder.
FRAGMENTS = ("processes.md", "own_data.md")
PAGES = {page.name: page for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
WITH_PYTHON = [name for name in PAGES if name not in FRAGMENTS and blocks(PAGES[name], "python")]
COMMANDS = [
    command
    for name, page in PAGES.items()
    if name not in FRAGMENTS
    for block in blocks(page, "sh")
    for line in block.splitlines()
    if (command := line.split("#")[0].strip()) and "--coordinator" not in command  # which needs other processes
]


def test_every_block_is_one_that_runs():
    assert len(PAGES) > 15
    for name in PAGES.keys() - FRAGMENTS:
        assert {kind for kind, _ in kinds_and_blocks(PAGES[name])} <= {"python", "sh", "text"}, name


def test_the_readme_is_short():
    assert len(PAGES["README.md"].read_text().splitlines()) <= 150


@pytest.mark.representatives("README.md")
@pytest.mark.parametrize("name", WITH_PYTHON)
def test_python_blocks(name, no_rank_promotion_rule, gradcheck, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for the files that they write
    printed, namespace = run(PAGES[name])
    for test in [test for test in namespace if test.startswith("test_")]:
        namespace[test](gradcheck)
    for pattern, least in LEAST.get(name, {}).items():
        found = [float(number) for number in re.findall(pattern, printed)]
        assert found and min(found) > least, (pattern, found)
    for line in PRINTED.get(name, ()):
        assert line in printed


# What must be printed beside the blocks of text: numbers above these, and lines that the page states.
LEAST = {
    "README.md": {r"'test_accuracy': Array\(([\d.]+)": 0.95, r"dev accuracy ([\d.]+)": 0.93},
    "training.md": {r"'test_accuracy': Array\(([\d.]+)": 0.9, r"dev accuracy ([\d.]+)": 0.93},
}
PRINTED = {"networks.md": ["[2 7 5 3"], "training.md": ["best after 12 epochs; ended after 22 by patience"]}

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
