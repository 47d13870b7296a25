"""The table of commands: how each is typed, what its help says, and the function that executes it."""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from experiments.cli import new_runs
from experiments.cli.console import PROG, error
from experiments.cli.listing import list_studies
from experiments.cli.parsing import parse
from experiments.runs.options import CacheOptions


class Command(NamedTuple):
    """A command.

    Attributes:
      execute: called with the words after the command and with all words; returns the exit status.
      usage: lines of the help: what is typed, and what that does.
    """

    execute: Callable[[list[str], list[str]], int]
    usage: tuple[tuple[str, str], ...]


def _print_answer(command: str, module_name: str) -> Callable[[list[str], list[str]], int]:
    """Return the `execute` of a command that makes no run: it prints what the module's `run_command` returns."""

    def execute(rest: list[str], argv: list[str]) -> int:
        try:
            module = import_module(module_name)
            description = getattr(module, "DESCRIPTION", module.__doc__)
            words = getattr(module, "words", list)(rest)
            options = parse(module.Options, words, prog=f"{PROG} {command}", description=description)
            if isinstance(options, CacheOptions):
                new_runs.set_compilation_cache(options)
            text = None if options is None else module.run_command(options)
        except (ValueError, OSError) as reason:
            return error(reason)
        if text is not None:
            print(text)
        return 0

    return execute


COMMANDS = {
    "list": Command(
        list_studies,
        (("list", "the experiments, one line each; with --long question, command, time and expected result"),),
    ),
    "run": Command(
        new_runs.run,
        (
            ("run NAME [OPTIONS]", "run an experiment; results go to a new folder in ./runs, on one page, report.html"),
            ("NAME [OPTIONS]", "the same"),
            ("run NAME --help", "the experiment's question and its options"),
        ),
    ),
    "sweep": Command(
        new_runs.sweep,
        (
            ("sweep DATA [OPTIONS]", "train networks over ranges of hyperparameters, and rank them"),
            ("sweep FILE [OPTIONS]", "the same on your own CSV or npz file; --label names the column of the classes"),
            ("sweep --help", "the data sets, how ranges are written, and the options"),
        ),
    ),
    "resume": Command(
        new_runs.resume,
        (("resume RUN", "continue an interrupted run, to the same result as without the interruption"),),
    ),
    "repeat": Command(
        new_runs.repeat,
        (
            ("repeat RUN", "run an experiment again with the options of RUN, and check that all files are identical"),
            ("repeat --help", "what is compared, and the options"),
        ),
    ),
    "compare": Command(
        _print_answer("compare", "experiments.cli.compare"),
        (
            ("compare RUN RUN ...", "runs of one experiment side by side, and on a page with their learning curves"),
            ("compare --help", "the options"),
        ),
    ),
    "predict": Command(
        _print_answer("predict", "experiments.cli.predict"),
        (
            ("predict RUN IMAGE", "classify a photo (PNG or JPEG) with the networks of a run of catvnoncat"),
            ("predict RUN FILE", "classify the rows of a CSV or npz file with a run on your own file, as CSV"),
            ("predict --help", "how photos and rows are prepared, and the options"),
        ),
    ),
    "export": Command(
        _print_answer("export", "experiments.interchange.export"),
        (
            ("export RUN --to FORMAT", "a network of a run for PyTorch, Flax, Keras, NumPy, or as a function for JAX"),
            ("export --help", "the formats, and the options"),
        ),
    ),
    "import": Command(
        new_runs.import_weights,
        (
            ("import FILE --from FORMAT", "weights of another library as a network, in a new run's folder"),
            ("import --help", "the formats, and the options"),
        ),
    ),
    "graph": Command(
        _print_answer("graph", "experiments.cli.graph"),
        (
            ("graph WHAT [OPTIONS]", "the computation graph of an expression or a function, with all derivatives"),
            ("graph --help", "how expressions are written, and the options"),
        ),
    ),
}
"""All commands but --help and --version, by name, in the order of the help."""


def names() -> str:
    """Return the names of the commands as a phrase."""
    *first, last = COMMANDS
    return f"{', '.join(first)} and {last}"


def usage() -> str:
    """Return the lines of all commands for the help."""
    lines = [line for command in COMMANDS.values() for line in command.usage]
    lines.append(("--version", "the versions of jaxnn, JAX and Python"))
    width = max(len(typed) for typed, _ in lines)
    return "\n".join(f"  {typed:{width}}  {meaning}" for typed, meaning in lines)
