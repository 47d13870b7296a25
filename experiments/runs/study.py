"""The declaration of a study: its question, how it is run, its expected result, its options and its work."""

import textwrap
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.runs.folder import StartRun
    from experiments.runs.options import RunOptions

FIELDS = ("Question", "Command", "Time", "Expected")
"""The fields of a declaration, in the order in which they are printed."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study, declared without importing what it computes with.

    Attributes:
      name: its name on the command line and in config.json.
      title: one line.
      question: what it answers.
      command: how it is run.
      time: how long that takes.
      expected: the expected result.
      notes: further paragraphs for its help.
      description: the whole text of its help, in place of the fields and notes.
      package: the module that defines its `Options`.
      module: the module that defines its `run_study(*arguments, options, start)`; by default the package's `run`.
      arguments: what `run_study` takes before the options.
      not_repeatable: why its runs can be neither resumed nor repeated; empty if they can.
    """

    name: str
    title: str
    question: str
    expected: str
    package: str
    command: str = ""
    time: str = ""
    notes: str = ""
    description: str = ""
    module: str = ""
    arguments: tuple[str, ...] = ()
    not_repeatable: str = ""

    def field(self, name: str) -> str:
        """Return a field by its printed name, one of `FIELDS`."""
        return getattr(self, name.lower())

    def help(self) -> str:
        """Return the text of the study's --help: a paragraph for the title, each field and each note."""
        if self.description:
            return self.description
        fields = [f"{name}: {self.field(name)}" for name in FIELDS if self.field(name)]
        return "\n\n".join(filter(None, [self.title, *fields, self.notes]))

    def listing(self, width: int) -> str:
        """Return the fields, one below the other, in lines of at most `width` columns."""
        lines = [
            textwrap.fill(
                f"  {name + ':':10}{self.field(name)}",
                width,
                subsequent_indent=" " * 12,
                break_long_words=False,
                break_on_hyphens=False,
            )
            for name in FIELDS
        ]
        return "\n".join(lines)

    def options(self) -> "type[RunOptions]":
        """Import and return the study's options."""
        return import_module(self.package).Options

    def run(self, options: "RunOptions", start: "StartRun") -> None:
        """Import the study's work and do it."""
        import_module(self.module or f"{self.package}.run").run_study(*self.arguments, options, start)
