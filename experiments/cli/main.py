"""The command line: what each command does with its arguments. The user's mistakes are one line on stderr."""

import importlib
import importlib.metadata
import os
import platform
import shlex
import signal
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from experiments.cli.parsing import parse
from experiments.datasets.options import OWN_SUFFIXES
from experiments.readers.suggestions import did_you_mean
from experiments.reports import terminal
from experiments.runs import compilation_cache
from experiments.runs.execution import Start, carry_out, reason_of
from experiments.runs.folder import RunError
from experiments.runs.options import CacheOptions, RunOptions
from experiments.runs.page import FILE as PAGE
from experiments.studies.catalog import FIELDS, experiments

# What was typed: scripts/run says its own name, and takes that of an experiment behind it.
PROG = os.environ.get("JAXNN_PROG", "python -m experiments")
_RUN = PROG if Path(PROG).name == "run" else f"{PROG} run"
HELP = """\
Experiments with jaxnn: networks trained on real data by gradients derived by hand.

usage: {prog} COMMAND

  list                  the experiments, a line of each; with --long question, command, time and expected result
  run NAME [OPTIONS]    run an experiment; results go to a new folder in ./runs, all on one page in its report.html
  NAME [OPTIONS]        the same
  run NAME --help       what it asks, and its options
  sweep DATA [OPTIONS]  train networks over ranges of hyperparameters, and rank them
  sweep FILE [OPTIONS]  the same on a CSV or npz file of yours; --label names the column of the classes
  sweep --help          the data sets, how ranges are written, and the options
  resume RUN            go on with a run that was interrupted, to the end that it would have had
  repeat RUN            run an experiment again as RUN says, and say whether the same came out, bit for bit
  repeat --help         what is compared, and the options
  compare RUN RUN ...   runs of one experiment side by side, and on a page with their learning curves
  compare --help        the options
  predict RUN IMAGE     classify a photo (PNG or JPEG) by the networks of a run of catvnoncat
  predict RUN FILE      classify the rows of a CSV or npz file by a run on a file of yours, as CSV
  predict --help        how photos and rows are prepared, and the options
  export RUN --to FORMAT     a network of a run for PyTorch, Flax, Keras, NumPy, or as a function for JAX alone
  export --help              the formats, and the options
  import FILE --from FORMAT  weights of another library as a network, in the folder of a run of its own
  import --help              the formats, and the options
  graph WHAT [OPTIONS]  the computation graph of an expression or a function, with every value and derivative
  graph --help          how expressions are written, and the options
  --version             the versions of jaxnn, JAX and Python

experiments:

{experiments}

Exit status: 0 done; 1 the run failed (it diverged, or its gradients were wrong); 2 bad arguments or data;
130 interrupted by Ctrl-C, 143 by SIGTERM; a training stops at its next report, where `resume` goes on.
Results go to stdout, progress and errors to stderr.
Compiled programs are kept in the user's cache folder for the next start, {megabytes} MB at most; the option
--no-compilation-cache compiles everything afresh."""
ANSWERS = {
    "compare": "experiments.cli.compare",
    "predict": "experiments.cli.predict",
    "export": "experiments.interchange.export",
    "graph": "experiments.cli.graph",
}
"""Commands that make no run, and where each has its `Options` and a function of its name."""
NAMES = ("list", "run", "sweep", "resume", "repeat", "compare", "predict", "export", "import", "graph")
COMMANDS = f"{', '.join(NAMES[:-1])} and {NAMES[-1]}"
_LISTED = "python -m experiments run"
"""How the headers of experiments begin their commands."""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        status = _command(argv)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except BrokenPipeError:
        # Whoever read the output has enough, as `head` does. What Python still holds of it has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def _command(argv: list[str]) -> int:
    match argv:
        case [] | ["-h" | "--help" | "help", *_]:
            print(terminal.fitted(_help()))
            return 0
        case ["-V" | "--version" | "version"]:
            print(_version())
            return 0
        case ["list", *rest]:
            return _list(rest)
        case ["run", name, *rest] if name in experiments():
            return _run(name, rest, argv)
        case ["run", "-h" | "--help"]:
            print(terminal.fitted(_help()))
            return 0
        case ["run", "run", *rest]:  # scripts/run run ... is easily typed twice
            return _command(["run", *rest])
        case ["run", *names]:
            if not names:
                return _complain(f"run takes the name of an experiment: there are {', '.join(experiments())}")
            return _complain(_unknown_experiment(names))
        case [name, *rest] if name in experiments():
            return _run(name, rest, argv)
        case ["sweep", *rest]:
            return _sweep(rest, argv)
        case ["resume", *rest]:
            return _resume(rest)
        case ["repeat", *rest]:
            return _repeat(rest, argv)
        case [command, *rest] if command in ANSWERS:
            return _answer(command, rest)
        case ["import", *rest]:
            return _import(rest, argv)
    known = [*NAMES, "--help", "--version", *experiments()]
    return _complain(f"{_unknown('command', argv[0], known, COMMANDS)} (see {PROG} --help)")


def _unknown(what: str, name: str, known: Iterable[str], all_of_them: str) -> str:
    return f"no {what} is called {name!r}{did_you_mean(name, known) or f': there are {all_of_them}'}"


def _unknown_experiment(words: list[str]) -> str:
    """What `run` says of words that begin with no experiment; they may be another command."""
    name, *rest = words
    for command in (name, name.lstrip("-").lower()):
        if command in (*NAMES, "--version", "-V", "version", "help"):
            return f"{name!r} is no experiment: did you mean {PROG} {shlex.join([command, *rest])}?"
    return _unknown("experiment", name, experiments(), ", ".join(experiments()))


def _list(rest: list[str]) -> int:
    match rest:
        case []:
            width = terminal.width() or 100
            names = max(map(len, experiments())) + 2
            for experiment in experiments().values():
                line = f"{experiment.name:{names}}{experiment.title}"
                print(textwrap.fill(line, width, subsequent_indent=" " * names, break_on_hyphens=False))
            print(
                f"\n{_RUN} NAME runs one.\n{PROG} list --long has question, command, time and expected result of each."
            )
        case ["--long"]:
            print("\n\n".join(map(_listing, experiments().values())))
        case ["-h" | "--help"]:
            print(terminal.fitted(_help()))
        case _:
            given = " ".join(rest)
            meant = did_you_mean(given, ["--long", "--help"])
            if rest[0] in experiments():
                meant = f": did you mean {_RUN} {rest[0]} --help?"
            return _complain(f"list takes no arguments but --long, got {given}{meant}")
    return 0


def _run(name: str, rest: list[str], argv: list[str]) -> int:
    declared = importlib.import_module(f"experiments.studies.{name}").Options
    description = experiments()[name].paragraphs.replace(_LISTED, _RUN)
    return _new_run(name, declared, f"{_RUN} {name}", description, rest, argv)


def _sweep(rest: list[str], argv: list[str]) -> int:
    sweep = importlib.import_module("experiments.studies.sweep")
    name, *rest = rest or [""]
    if name in ("-h", "--help"):
        name, rest = "DATA", ["--help"]
    elif name not in sweep.DATA and Path(name).suffix.lower() in OWN_SUFFIXES:
        name, rest = "own", ["--data", name, *rest]
    elif name not in sweep.DATA:
        asked = f"there are no data {name!r} to sweep on" if name else "sweep takes the name of a data set"
        known = f": there are {', '.join(sweep.DATA)}, or a file of yours ({', '.join(OWN_SUFFIXES)})"
        return _complain(f"{asked}{did_you_mean(name, sweep.DATA) or known}")
    return _new_run(f"sweep-{name}", sweep.Options, f"{PROG} sweep {name}", sweep.description(name), rest, argv)


def _resume(rest: list[str]) -> int:
    def start() -> Start | None:
        resume = importlib.import_module("experiments.cli.resume")
        options = parse(resume.Options, rest, prog=f"{PROG} resume", description=resume.__doc__)
        return options and resume.Resumed(options, _say)

    return _carry_out(start)


def _repeat(rest: list[str], argv: list[str]) -> int:
    repeat = importlib.import_module("experiments.cli.repeat")
    try:
        options = parse(repeat.Options, rest, prog=f"{PROG} repeat", description=repeat.__doc__)
        if options is None:
            return 0
        asked = repeat.asked_for(options)
        start = Start(asked.experiment, asked.options, f"{PROG} {shlex.join(argv)}")
    except (ValueError, OSError) as error:
        return _complain(error)
    status = _carry_out(lambda: start)
    # A run that failed as the other did is repeated well.
    if status not in (0, 1):
        return status
    verdict = repeat.verdict(options.run, start.folder.path)
    print(*verdict.lines, sep="\n")
    return 0 if verdict.matched else 1


def _new_run(
    name: str, declared: type[RunOptions], command: str, description: str, rest: list[str], argv: list[str]
) -> int:
    """The run of that name, by the options that the rest of the command line gives."""

    def begin() -> Start | None:
        options = parse(declared, rest, prog=command, description=description)
        return options and Start(name, options, f"{PROG} {shlex.join(argv)}")

    return _carry_out(begin)


def _carry_out(begin: Callable[[], Start | None]) -> int:
    """Do the work of what `begin` gives, to the last page; nothing where it gives nothing: help was all there was."""
    start = None
    try:
        start = begin()
        if start is None:
            return 0
        _set_compilation_cache(start.options)
        carry_out(start, _say)
    except RunError as failure:
        return _complain(failure, 1)
    except KeyboardInterrupt as stop:
        return _complain(f"interrupted{_kept(start)}", 128 + getattr(stop, "signum", signal.SIGINT))
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        # Once the data were accepted, a ValueError is a mistake of ours, and its traceback is wanted.
        if isinstance(error, ValueError) and start and start.folder:
            raise
        return _complain(f"{reason_of(error)}{_kept(start)}")
    print(terminal.fitted(f"results in {start.folder.path}; {PAGE} shows them on one page"))
    if getattr(start.options, "data", None):
        print(f"new rows are classified by: {PROG} predict {shlex.quote(str(start.folder.path))} FILE")
    return 0


def _kept(start: Start | None) -> str:
    """How to go on with an interrupted run, where there is one."""
    return (
        f"; go on by: {PROG} resume {shlex.join([str(start.folder.path), *start.moved])}"
        if start and start.folder and start.folder.is_unfinished
        else ""
    )


def _answer(command: str, rest: list[str]) -> int:
    """Of a command that makes no run: what its function gives, printed."""
    try:
        module = importlib.import_module(ANSWERS[command])
        description = getattr(module, "DESCRIPTION", module.__doc__)
        words = getattr(module, "words", list)(rest)
        options = parse(module.Options, words, prog=f"{PROG} {command}", description=description)
        if isinstance(options, CacheOptions):
            _set_compilation_cache(options)
        text = None if options is None else getattr(module, command)(options)
    except (ValueError, OSError) as error:
        return _complain(error)
    if text is not None:
        print(text)
    return 0


def _import(rest: list[str], argv: list[str]) -> int:
    travel = importlib.import_module("experiments.interchange.load")
    return _new_run("import", travel.Options, f"{PROG} import", travel.DESCRIPTION, rest, argv)


def _set_compilation_cache(options: CacheOptions) -> None:
    """As the options say. Without one a run takes longer, and that is all."""
    if not options.compilation_cache:
        compilation_cache.turn_off()
        return
    try:
        compilation_cache.turn_on()
    except (OSError, ImportError, RuntimeError) as error:
        _say(f"note: compiled programs are not kept: {reason_of(error)}")


def _help() -> str:
    found = experiments().values()
    width = max(len(experiment.name) for experiment in found)
    lines = [f"  {experiment.name:{width}}  {experiment.title}" for experiment in found]
    return HELP.format(prog=PROG, experiments="\n".join(lines), megabytes=compilation_cache.MEGABYTES)


def _version() -> str:
    """Of what is installed, without importing it."""
    versions = {"jaxnn": None, "JAX": None, "Python": platform.python_version()}
    for name in ("jaxnn", "JAX"):
        try:
            versions[name] = importlib.metadata.version(name.lower())
        except importlib.metadata.PackageNotFoundError:
            versions[name] = importlib.import_module(name.lower()).__version__
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _listing(experiment: Any) -> str:
    fields = [
        textwrap.fill(
            f"  {name + ':':10}{experiment.field(name).replace(_LISTED, _RUN)}",
            terminal.width() or 100,
            subsequent_indent=" " * 12,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for name in FIELDS
    ]
    return "\n".join([terminal.fitted(f"{experiment.name}: {experiment.title}"), *fields])


def _complain(error: object, status: int = 2) -> int:
    _say(f"error: {reason_of(error)}")
    return status


def _say(line: str) -> None:
    print(" ".join(line.splitlines()), file=sys.stderr)
