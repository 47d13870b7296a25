"""Wrap lines to the width of the terminal, which would break them within numbers."""

import os
import re
import shutil
import sys
import textwrap
from typing import TextIO


def width() -> int | None:
    """Return the width of stdout, from $COLUMNS or the terminal; `None` for a file or a pipe."""
    if not os.environ.get("COLUMNS", "").isdecimal() and not sys.stdout.isatty():
        return None
    return max(shutil.get_terminal_size().columns, 20)


def break_line(line: str, width: int) -> str:
    """Return the line wrapped to `width` at blanks; the explanation of a word, after two blanks, keeps its indent."""
    word = re.match(r" *\S+(?: \S+)*  +(?=\S)", line)
    indent = len(word[0]) if word and 2 * len(word[0]) < width else len(line) - len(line.lstrip()) + 2
    return textwrap.fill(line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def wrap(text: str) -> str:
    """Return the text with lines wrapped that are too long for the terminal; lines with colors are unchanged."""
    columns = width()
    if columns is None:
        return text
    lines = (
        break_line(line, columns) if len(line) > columns and "\x1b" not in line else line for line in text.split("\n")
    )
    return "\n".join(lines)


class WrappedStdout:
    """A wrapper of stdout that wraps lines."""

    def __init__(self) -> None:
        self._stdout: TextIO = sys.stdout

    def __getattr__(self, name: str) -> object:
        return getattr(self._stdout, name)

    def write(self, text: str) -> int:
        """Write the text; return its length."""
        self._stdout.write(wrap(text))
        return len(text)
