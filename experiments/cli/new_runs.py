"""The commands that create or resume a run: run, sweep, import, resume and repeat."""

import contextlib
import functools
import json
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from experiments.cli.console import PROG, RUN, as_typed, error, log
from experiments.cli.parsing import defaults_of, parse
from experiments.datasets import encoder
from experiments.datasets.options import OWN_SUFFIXES, suffix_of
from experiments.readers.suggestions import suggest
from experiments.reports import terminal
from experiments.runs import compilation_cache, config_file, connection, processes
from experiments.runs.config import FILE as CONFIG
from experiments.runs.execution import PlannedRun, describe_error, execute
from experiments.runs.folder import RunError
from experiments.runs.options import CacheOptions, RunOptions
from experiments.runs.page import FILE as PAGE
from experiments.runs.processes import AgreedError
from experiments.runs.study import Study
from experiments.studies.registry import find


def run(words: list[str], argv: list[str]) -> int:
    """Run the study that the first word names; return the exit status."""
    name, *rest = words
    return _new_run(find(name), f"{RUN} {name}", rest, argv)


def sweep(rest: list[str], argv: list[str]) -> int:
    """Run a sweep on a data set or file, the first argument; return the exit status."""
    module = import_module("experiments.studies.sweep")
    name, *rest = rest or [""]
    if name in ("-h", "--help"):
        name, rest = "DATA", ["--help"]
    elif name not in module.DATA and (suffix_of(Path(name)) in OWN_SUFFIXES or (name and Path(name).is_dir())):
        name, rest = "own", ["--data", name, *rest]
    elif name not in module.DATA:
        missing = f"no data set is called {name!r}" if name else "sweep needs the name of a data set"
        known = f": there are {', '.join(module.DATA)}, or your own file ({', '.join(OWN_SUFFIXES)})"
        return error(f"{missing}{suggest(name, module.DATA) or known}")
    return _new_run(module.study(name), f"{PROG} sweep {name}", rest, argv)


def import_weights(rest: list[str], argv: list[str]) -> int:
    """Import the weights of another library; return the exit status."""
    return _new_run(find("import"), f"{PROG} import", rest, argv)


def resume(rest: list[str], argv: list[str]) -> int:
    """Resume an interrupted run; return the exit status."""

    def plan() -> PlannedRun | None:
        module = import_module("experiments.cli.resume")
        options = parse(module.Options, rest, prog=f"{PROG} resume", description=module.__doc__)
        return options and module.ResumedRun(options, log)

    return _execute(plan)


def repeat(rest: list[str], argv: list[str]) -> int:
    """Repeat a run and compare both; return the exit status."""
    module = import_module("experiments.cli.repeat")
    try:
        options = parse(module.Options, rest, prog=f"{PROG} repeat", description=module.__doc__)
        if options is None:
            return 0
        config = module.config_to_repeat(options)
        run = PlannedRun(config.study, config.options, _typed(argv))
    except (ValueError, OSError) as reason:
        return error(reason)
    status = _execute(lambda: run)
    # A run that failed can be repeated too: the repetition fails in the same way.
    if status not in (0, 1) or not run.folder.writes:
        return status
    verdict = module.judge(options.run, run.folder.path)
    print(*verdict.lines, sep="\n")
    return 0 if verdict.matched else 1


def set_compilation_cache(options: CacheOptions) -> None:
    """Turn the compilation cache on or off. If it cannot be used, log a note: runs only take longer without it."""
    if not options.compilation_cache:
        compilation_cache.turn_off()
        return
    try:
        compilation_cache.turn_on()
    except (OSError, ImportError, RuntimeError) as reason:
        log(f"note: compiled programs are not cached: {describe_error(reason)}")


def _typed(argv: Sequence[str]) -> str:
    return f"{PROG} {shlex.join(argv)}"


def _new_run(study: Study, command: str, rest: list[str], argv: list[str]) -> int:
    """Run the study with the options in the rest of the command line."""
    as_json, rest = JSON in rest, [word for word in rest if word != JSON]

    def plan() -> PlannedRun | None:
        file, words = config_file.split_option(rest)
        declared, defaults = study.options(), None
        if file is not None:
            defaults = config_file.read_config_file(file, study, defaults_of(declared, words) or _defaults(declared))
        help_text = as_typed(study.help())
        options = parse(declared, words, prog=command, description=help_text, defaults=defaults)
        return options and PlannedRun(study, options, _typed(argv))

    if not as_json or {"-h", "--help"} & {*rest}:
        return _execute(plan)
    planned: list[PlannedRun | None] = []
    with _own_stdout() as stdout, contextlib.redirect_stdout(sys.stderr):
        status = _execute(lambda: planned.append(plan()) or planned[0])
        folder = planned[0].folder if planned and planned[0] else None
        if folder is not None and folder.writes and status in (0, 1):
            where = {"experiment": study.name, "status": status, "run": str(folder.path)}
            print(json.dumps(where | results_of(folder.path)), file=stdout)
    return status


@contextlib.contextmanager
def _own_stdout() -> Iterator[Any]:
    """Yield a copy of stdout, which stays where it is if a run in several processes closes the original."""
    try:
        copy = os.dup(sys.stdout.fileno())
    except (OSError, ValueError):  # no file, as in a notebook
        yield sys.stdout
        return
    sys.stdout.flush()
    with open(copy, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors) as stdout:
        yield stdout


def _defaults(declared: type[RunOptions]) -> RunOptions:
    try:
        return declared()
    except TypeError:
        raise ValueError("--config must be given to an experiment, whose options all have defaults") from None


JSON = "--json"


def results_of(run: Path) -> dict[str, Any]:
    """Return the JSON files of results in a run's folder, by their names without the suffix."""
    paths = sorted(path for path in run.glob("*.json") if path.name not in (CONFIG, encoder.FILE))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def _execute(plan: Callable[[], PlannedRun | None]) -> int:
    """Execute the run that `plan` returns, or nothing for `None`, if help was printed; return the exit status."""
    run = None
    try:
        run = plan()
        if run is None:
            return 0
        run.resume_command = functools.partial(_resume_command, run)
        connection.connect(run.options)
        set_compilation_cache(run.options)
        execute(run, log)
    except (RunError, AgreedError) as failure:
        return error(failure, 1 if isinstance(failure, RunError) else 2)
    except KeyboardInterrupt as stop:
        status = error(f"interrupted{_how_to_resume(run)}", 128 + getattr(stop, "signum", signal.SIGINT))
        if not getattr(stop, "agreed", False):
            connection.leave(status)
        return status
    except BrokenPipeError:
        raise
    except Exception as reason:
        # Once the data are accepted, a ValueError is a bug in the program, and needs its traceback.
        accepted = bool(run and run.folder)
        is_bug = not isinstance(reason, OSError) and (accepted or not isinstance(reason, ValueError))
        if not is_bug:
            status = error(f"{describe_error(reason)}{_how_to_resume(run)}")
        elif processes.count() == 1:
            raise
        elif connection.was_lost(reason):
            status = error(f"another process was lost ({reason}){_how_to_resume(run)}", 1)
            for number in connection.lost():
                error(f"process {number} was lost")
        else:
            traceback.print_exc()
            status = 1
        connection.leave(status)
        return status
    print(terminal.wrap(f"results in {run.folder.path}, summarized in {PAGE}"))
    next_step = run.study.next_step or (_OWN_DATA if getattr(run.options, "data", None) else None)
    if next_step:
        purpose, command = next_step
        print(f"{purpose}: {PROG} {command.replace('RUN', shlex.quote(str(run.folder.path)))}")
    return 0


_OWN_DATA = "to predict new rows", "predict RUN FILE"


def _how_to_resume(run: PlannedRun | None) -> str:
    if run and run.folder and run.folder.is_unfinished:
        if run.study.not_repeatable:
            return f"; {run.study.not_repeatable}"
        again = ", with the same --coordinator, --processes and --process" * (processes.count() > 1)
        return f"; to continue: {_resume_command(run)}{again}"
    return ""


def _resume_command(run: PlannedRun) -> str:
    """Return the command that resumes the run; empty if it cannot be resumed."""
    if run.folder is None or run.study.not_repeatable:
        return ""
    return f"{PROG} resume {shlex.join([str(run.folder.path), *run.moved])}"
