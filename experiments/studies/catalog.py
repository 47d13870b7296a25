"""The experiments there are, read from their headers without importing them: help and `list` answer at once."""

import ast
import re
from pathlib import Path
from typing import NamedTuple

FIELDS = ("Question", "Command", "Time", "Expected")


class Experiment(NamedTuple):
    """An experiment as it declares itself: its name, and the header that is its package's docstring."""

    name: str
    header: str

    @property
    def title(self) -> str:
        """The header's first line."""
        return self.header.splitlines()[0]

    @property
    def paragraphs(self) -> str:
        """The header, its fields apart and in one line each, for a formatter that joins the lines of a paragraph."""
        apart = re.sub(rf"\n(?=(?:{'|'.join(FIELDS)}):)", "\n\n", self.header).replace("\n\n\n", "\n\n")
        return re.sub(r"\n +", " ", apart)

    def field(self, name: str) -> str:
        """What the header says under "Question:" and the like, as one line; empty where it says nothing."""
        match = re.search(rf"^{name}:(.*(?:\n[ \t]+\S.*)*)", self.header, re.MULTILINE)
        return " ".join(match[1].split()) if match else ""


def experiments() -> dict[str, Experiment]:
    """Each folder beside this file whose `__init__.py` states a question, by name."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*/__init__.py")):
        header = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        experiment = Experiment(path.parent.name, header)
        if experiment.field("Question"):
            found[experiment.name] = experiment
    return found
