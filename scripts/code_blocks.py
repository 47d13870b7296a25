"""The code blocks of a page: Python runs in one namespace, from top to bottom, and prints what the blocks of text show.

scripts/test-wheel runs README.md by it in an environment of the wheel alone, tests/test_pages.py every page.
"""

import contextlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path, kind: str) -> list[str]:
    """Return the blocks of a kind, such as "python" or "sh"."""
    return [block for found, block in kinds_and_blocks(page) if found == kind]


def kinds_and_blocks(page: Path) -> list[tuple[str, str]]:
    """Return each block with its kind."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def run(page: Path) -> tuple[str, dict[str, Any]]:
    """Run the Python of a page in the current folder; return what it printed, and its names.

    Its lines are those of the page, in errors and in what a report quotes.

    Raises:
      AssertionError: if a line of a block of text was not printed before that block.
    """
    namespace: dict[str, Any] = {"__name__": "page"}
    printed = io.StringIO()
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        kind, block = match.groups()
        if kind == "python":
            above = "\n" * text.count("\n", 0, match.start(2))
            with contextlib.redirect_stdout(printed):
                exec(compile(above + block, str(page), "exec"), namespace)
        elif kind == "text":
            missing = [line for line in block.splitlines() if line not in printed.getvalue().splitlines()]
            assert not missing, f"{page.name} shows lines that were not printed: {missing}"
    return printed.getvalue(), namespace


if __name__ == "__main__":
    paths = [Path(path).resolve() for path in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # for the files that the blocks write
        for path in paths:
            print(run(path)[0], end="")
        os.chdir(paths[0].parent)
