"""The table of commands: the usage, the help and the function of each."""

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
      execute: called with the arguments after the command and with all arguments; returns the exit status.
      usage: lines of the help: a command line, and what it does.
    """

    execute: Callable[[list[str], list[str]], int]
    usage: tuple[tuple[str, str], ...]


def _print_result(command: str, module_name: str) -> Callable[[list[str], list[str]], int]:
    """Return the `execute` of a command without a run: it prints what the module's `run_command` returns."""

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
        (("list", "list the experiments; with --long also their question, command, time and expected result"),),
    ),
    "run": Command(
        new_runs.run,
        (
            ("run NAME [OPTIONS]", "run an experiment; its results and their summary, report.html, go to ./runs"),
            ("NAME [OPTIONS]", "the same"),
            ("run NAME --help", "the experiment's question and options"),
            ("run NAME --config FILE", "with options from a TOML file, as `options RUN` prints them"),
            ("run NAME --json", "print the results as JSON on stdout, and the tables on stderr"),
        ),
    ),
    "sweep": Command(
        new_runs.sweep,
        (
            ("sweep DATA [OPTIONS]", "train networks over ranges of hyperparameters, and rank them"),
            ("sweep FILE [OPTIONS]", "the same on your own CSV or npz file; --label gives the column of the classes"),
            ("sweep --help", "the data sets, the syntax of ranges, and the options"),
        ),
    ),
    "resume": Command(
        new_runs.resume,
        (("resume RUN", "continue an interrupted run, with the same result as without the interruption"),),
    ),
    "repeat": Command(
        new_runs.repeat,
        (
            ("repeat RUN", "run an experiment again with the options of RUN, and check that all files are identical"),
            ("repeat --help", "the files that are compared, and the options"),
        ),
    ),
    "options": Command(
        _print_result("options", "experiments.cli.options"),
        (
            ("options RUN", "print the options of a run as TOML; run NAME --config FILE reads such a file"),
            ("options --help", "the argument"),
        ),
    ),
    "compare": Command(
        _print_result("compare", "experiments.cli.compare"),
        (
            ("compare RUN RUN ...", "compare runs of one experiment; writes a page with their learning curves"),
            ("compare --help", "the options"),
        ),
    ),
    "predict": Command(
        _print_result("predict", "experiments.cli.predict"),
        (
            (
                "predict RUN IMAGE",
                "classify a photo (PNG or JPEG) with a run of catvnoncat, or a handwritten digit with one of mnist",
            ),
            ("predict RUN FILE.wav", "write the digits of a recording with a run of speech"),
            (
                "predict RUN FILE",
                "predict the rows of a table, photos or recordings with a run on your own; prints CSV",
            ),
            ("predict --help", "the preparation of photos, recordings and rows, and the options"),
        ),
    ),
    "sample": Command(
        _print_result("sample", "experiments.cli.sample"),
        (("sample RUN --prompt TEXT", "continue a text with a run of text"), ("sample --help", "the options")),
    ),
    "export": Command(
        _print_result("export", "experiments.interchange.export"),
        (
            (
                "export RUN --to FORMAT",
                "export a network of a run to PyTorch, Flax, Keras, ONNX, NumPy, or a JAX function",
            ),
            ("export --help", "the formats, and the options"),
        ),
    ),
    "import": Command(
        new_runs.import_weights,
        (
            ("import FILE --from FORMAT", "import weights of another library as a network, into a new run's folder"),
            ("import --help", "the formats, and the options"),
        ),
    ),
    "completion": Command(
        _print_result("completion", "experiments.cli.completion"),
        (
            ("completion SHELL", "print a script that completes commands and options in bash, zsh or fish"),
            ("completion --help", "how to load it"),
        ),
    ),
    "graph": Command(
        _print_result("graph", "experiments.cli.graph"),
        (
            (
                "graph WHAT [OPTIONS]",
                "show the computation graph of an expression or function, with all derivatives",
            ),
            ("graph --help", "the syntax of expressions, and the options"),
        ),
    ),
}
"""All commands but --help and --version, by name, in the order of the help."""


def names() -> str:
    """Return the names of the commands as a text."""
    *first, last = COMMANDS
    return f"{', '.join(first)} and {last}"


def usage() -> str:
    """Return the usage of all commands, for the help."""
    lines = [line for command in COMMANDS.values() for line in command.usage]
    lines.append(("--version", "print the versions of jaxnn, JAX and Python"))
    width = max(len(typed) for typed, _ in lines)
    return "\n".join(f"  {typed:{width}}  {meaning}" for typed, meaning in lines)
