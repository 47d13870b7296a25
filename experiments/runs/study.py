"""The declaration of a study: its question, command, expected result, options and implementation."""

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
    """A study, declared without importing its implementation.

    Attributes:
      name: its name on the command line and in config.json.
      title: one line.
      question: the question that it answers.
      command: the command that runs it.
      time: the time that it takes.
      expected: the expected result.
      notes: further paragraphs of its help.
      description: the whole text of its help, instead of the fields and notes.
      package: the module that defines its `Options`.
      module: the module that defines its `run_study(*arguments, options, start)`; by default the package's `run`.
      arguments: the arguments of `run_study` before the options.
      next_step: what can be done with a run, and the command for it, in which RUN is its folder.
      not_repeatable: the reason why its runs cannot be resumed or repeated; empty if they can.
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
    next_step: tuple[str, str] | None = None
    not_repeatable: str = ""

    def field(self, name: str) -> str:
        """Return a field by its printed name, one of `FIELDS`."""
        return getattr(self, name.lower())

    def help(self) -> str:
        """Return the text of the study's --help: one paragraph for the title, for each field and for each note."""
        if self.description:
            return self.description
        fields = [f"{name}: {self.field(name)}" for name in FIELDS if self.field(name)]
        return "\n\n".join(filter(None, [self.title, *fields, self.notes]))

    def listing(self, width: int) -> str:
        """Return the fields, one per line, wrapped to at most `width` columns."""
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
        """Import and run the study's implementation."""
        import_module(self.module or f"{self.package}.run").run_study(*self.arguments, options, start)
