"""The command `list`."""

import textwrap

from experiments.cli.console import PROG, RUN, as_typed, error
from experiments.readers.suggestions import suggest
from experiments.reports import terminal
from experiments.studies import registry


def list_studies(rest: list[str], argv: list[str]) -> int:
    """Print the experiments, one line each or, with --long, all fields; return the exit status."""
    match rest:
        case []:
            print(_short())
        case ["--long"]:
            print(_long())
        case _:
            typed = " ".join(rest)
            suggestion = suggest(typed, ["--long", "--help"])
            if rest[0] in registry.NAMES:
                suggestion = f": did you mean {RUN} {rest[0]} --help?"
            return error(f"the only argument of list is --long, got {typed}{suggestion}")
    return 0


def _short() -> str:
    indent = max(map(len, registry.NAMES)) + 2
    lines = [
        textwrap.fill(
            f"{study.name:{indent}}{study.title}",
            terminal.width() or 100,
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
        )
        for study in registry.studies()
    ]
    after = f"\n{RUN} NAME runs an experiment.\n{PROG} list --long shows question, command, time and expected result."
    return "\n".join([*lines, after])


def _long() -> str:
    return "\n\n".join(
        f"{terminal.wrap(f'{study.name}: {study.title}')}\n{as_typed(study.listing(terminal.width() or 100))}"
        for study in registry.studies()
    )
