"""The commands that make a run or go on with one: run, sweep, import, resume and repeat."""

import shlex
import signal
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from experiments.cli.console import PROG, RUN, as_typed, error, log
from experiments.cli.parsing import parse
from experiments.datasets.options import OWN_SUFFIXES
from experiments.readers.suggestions import did_you_mean
from experiments.reports import terminal
from experiments.runs import compilation_cache
from experiments.runs.execution import Start, carry_out, reason_of
from experiments.runs.folder import RunError
from experiments.runs.options import CacheOptions
from experiments.runs.page import FILE as PAGE
from experiments.runs.study import Study
from experiments.studies.registry import find


def run(words: list[str], argv: list[str]) -> int:
    """Run the study that the first word names; return the exit status."""
    name, *rest = words
    return _new_run(find(name), f"{RUN} {name}", rest, argv)


def sweep(rest: list[str], argv: list[str]) -> int:
    """Sweep on the data set, or on the file, that the first argument names; return the exit status."""
    module = import_module("experiments.studies.sweep")
    name, *rest = rest or [""]
    if name in ("-h", "--help"):
        name, rest = "DATA", ["--help"]
    elif name not in module.DATA and Path(name).suffix.lower() in OWN_SUFFIXES:
        name, rest = "own", ["--data", name, *rest]
    elif name not in module.DATA:
        missing = f"there are no data {name!r} to sweep on" if name else "sweep takes the name of a data set"
        known = f": there are {', '.join(module.DATA)}, or a file of yours ({', '.join(OWN_SUFFIXES)})"
        return error(f"{missing}{did_you_mean(name, module.DATA) or known}")
    return _new_run(module.study(name), f"{PROG} sweep {name}", rest, argv)


def import_weights(rest: list[str], argv: list[str]) -> int:
    """Import the weights of another library; return the exit status."""
    return _new_run(find("import"), f"{PROG} import", rest, argv)


def resume(rest: list[str], argv: list[str]) -> int:
    """Resume an interrupted run; return the exit status."""

    def start() -> Start | None:
        module = import_module("experiments.cli.resume")
        options = parse(module.Options, rest, prog=f"{PROG} resume", description=module.__doc__)
        return options and module.Resumed(options, log)

    return _execute(start)


def repeat(rest: list[str], argv: list[str]) -> int:
    """Repeat a run and compare the two; return the exit status."""
    module = import_module("experiments.cli.repeat")
    try:
        options = parse(module.Options, rest, prog=f"{PROG} repeat", description=module.__doc__)
        if options is None:
            return 0
        recorded = module.asked_for(options)
        start = Start(recorded.study, recorded.options, _typed(argv))
    except (ValueError, OSError) as reason:
        return error(reason)
    status = _execute(lambda: start)
    # A run that failed as the other did is repeated well.
    if status not in (0, 1):
        return status
    verdict = module.verdict(options.run, start.folder.path)
    print(*verdict.lines, sep="\n")
    return 0 if verdict.matched else 1


def set_compilation_cache(options: CacheOptions) -> None:
    """Turn the compilation cache on or off. If it cannot be used, only a note says so: runs take longer without it."""
    if not options.compilation_cache:
        compilation_cache.turn_off()
        return
    try:
        compilation_cache.turn_on()
    except (OSError, ImportError, RuntimeError) as reason:
        log(f"note: compiled programs are not kept: {reason_of(reason)}")


def _typed(argv: Sequence[str]) -> str:
    return f"{PROG} {shlex.join(argv)}"


def _new_run(study: Study, command: str, rest: list[str], argv: list[str]) -> int:
    """Run the study with the options that the rest of the command line gives."""

    def begin() -> Start | None:
        options = parse(study.options(), rest, prog=command, description=as_typed(study.help()))
        return options and Start(study, options, _typed(argv))

    return _execute(begin)


def _execute(begin: Callable[[], Start | None]) -> int:
    """Execute the run that `begin` returns, up to its page. If it returns `None`, only help was wanted."""
    start = None
    try:
        start = begin()
        if start is None:
            return 0
        set_compilation_cache(start.options)
        carry_out(start, log)
    except RunError as failure:
        return error(failure, 1)
    except KeyboardInterrupt as stop:
        return error(f"interrupted{_how_to_resume(start)}", 128 + getattr(stop, "signum", signal.SIGINT))
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as reason:
        # Once the data are accepted, a ValueError is a mistake in the program, and its traceback is wanted.
        if isinstance(reason, ValueError) and start and start.folder:
            raise
        return error(f"{reason_of(reason)}{_how_to_resume(start)}")
    print(terminal.fitted(f"results in {start.folder.path}; {PAGE} shows them on one page"))
    if getattr(start.options, "data", None):
        print(f"new rows are classified by: {PROG} predict {shlex.quote(str(start.folder.path))} FILE")
    return 0


def _how_to_resume(start: Start | None) -> str:
    if start and start.folder and start.folder.is_unfinished:
        return f"; go on by: {PROG} resume {shlex.join([str(start.folder.path), *start.moved])}"
    return ""
