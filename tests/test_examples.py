"""The examples: short, each opens with what it achieves and its command, and that command succeeds."""

import ast
import os
import subprocess
import sys

import pytest

from scripts.website import tutorials
from tests.helpers.sources import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_there_are_six_short_ones():
    assert len(EXAMPLES) >= 6
    for example in EXAMPLES:
        text = example.read_text()
        docstring = ast.get_docstring(ast.parse(text)).splitlines()
        assert len(text.splitlines()) <= 80, example.name
        assert docstring[2].startswith("Achieves "), example.name
        assert docstring[-1].endswith(f"python examples/{example.name}"), example.name


@pytest.mark.full
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_achieves_what_it_states(example, tmp_path):
    """Its last line asserts it."""
    command = [sys.executable, "-W", "error::DeprecationWarning:jaxnn", str(example)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout


def test_every_tutorial_is_listed():
    assert {script.name for script in tutorials.scripts()} == {file.name for file in tutorials.FOLDER.glob("*.py")}


@pytest.mark.parametrize("script", tutorials.scripts(), ids=lambda script: script.stem)
def test_cells_of_a_tutorial_are_python(script):
    cells = tutorials.cells(script.read_text())
    assert cells[0].is_text and cells[0].source.startswith("# ")
    lines = script.read_text().splitlines()
    for cell in cells:
        if not cell.is_text:
            ast.parse(cell.source)
            assert lines[cell.line - 1] == cell.source.splitlines()[0]
