"""The command line: help, list, run, sweep, compare, predict. The user's mistakes are one line on stderr."""

import contextlib
import importlib
import os
import platform
import shlex
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from experiments import compilation_cache
from experiments.catalog import FIELDS, Experiment, experiments
from experiments.events import EventFile, check_installed
from experiments.options import CacheOptions, RunOptions, parse
from experiments.recorded import FORMAT_VERSION
from experiments.run_folder import RunError, RunFolder
from experiments.run_page import FILE as PAGE
from experiments.run_page import write_run_page

# What was typed: scripts/run says its own name.
PROG = os.environ.get("JAXNN_PROG", "python -m experiments")
HELP = """\
Experiments with jaxnn: networks trained on real data by gradients derived by hand.

usage: {prog} COMMAND

  list                  the experiments: question, command, time, expected result
  run NAME [OPTIONS]    run an experiment; results go to a new folder in ./runs, all on one page in its report.html
  run NAME --help       what it asks, and its options
  sweep DATA [OPTIONS]  train networks over ranges of hyperparameters, and rank them
  sweep --help          the data sets, how ranges are written, and the options
  compare RUN RUN ...   runs of one experiment side by side, and on a page with their learning curves
  compare --help        the options
  predict RUN IMAGE     classify a photo (PNG or JPEG) by the networks of a run of catvnoncat
  predict --help        how the photo is prepared, and the options

experiments:

{experiments}

Exit status: 0 done; 1 the run failed (it diverged, or its gradients were wrong); 2 bad arguments or data;
130 interrupted. Results go to stdout, progress and errors to stderr.
Compiled programs are kept in the user's cache folder for the next start, {megabytes} MB at most; the option
--no-compilation-cache compiles everything afresh."""


COMMANDS = "list, run, sweep, compare and predict"


class Start:
    """Makes the run's folder, with its config.json, when the experiment says that its data are in order."""

    def __init__(self, name: str, options: RunOptions, argv: Sequence[str]) -> None:
        self.name, self.options, self.argv = name, options, argv
        self.folder: RunFolder | None = None
        self.events: EventFile | None = None

    def __call__(self) -> RunFolder:
        now = datetime.now().astimezone()
        config = {
            "format_version": FORMAT_VERSION,
            "experiment": self.name,
            "command": f"{PROG} {shlex.join(self.argv)}",
            "started": now.isoformat(timespec="seconds"),
            "options": {
                key: str(value) if isinstance(value, Path) else value for key, value in asdict(self.options).items()
            },
            **_surroundings(),
        }
        self.folder = RunFolder(self.options.runs_dir, self.name, now)
        self.folder.write_json("config.json", config)
        if self.options.tensorboard:
            self.events = EventFile(self.folder.path)
            self.folder.listeners.append(self.events)
        return self.folder

    def close(self) -> None:
        """Write what is still to be written of the run."""
        if self.events:
            self.events.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        return _command(argv)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except BrokenPipeError:
        # Whoever read the output has enough, as `head` does. What Python still holds of it has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _command(argv: list[str]) -> int:
    match argv:
        case [] | ["-h" | "--help" | "help", *_]:
            print(_help())
            return 0
        case ["list"]:
            print("\n\n".join(_listing(experiment) for experiment in experiments().values()))
            return 0
        case ["run", name, *rest] if name in experiments():
            return _run(name, rest, argv)
        case ["run", "-h" | "--help"]:
            print(_help())
            return 0
        case ["run", *names]:
            asked = f"no experiment is called {names[0]!r}" if names else "run takes the name of an experiment"
            return _complain(f"{asked}: there are {', '.join(experiments())}")
        case ["sweep", *rest]:
            return _sweep(rest, argv)
        case ["compare", *rest]:
            return _compare(rest)
        case ["predict", *rest]:
            return _predict(rest)
        case ["list", *rest]:
            return _complain(f"list takes no arguments, got {' '.join(rest)}")
    return _complain(f"no command is called {argv[0]!r}: there are {COMMANDS} (see {PROG} --help)")


def _run(name: str, rest: list[str], argv: list[str]) -> int:
    experiment = experiments()[name]

    def work(options: RunOptions, start: Start) -> None:
        importlib.import_module(f"experiments.{name}.run").run(options, start)

    def read() -> RunOptions | None:
        declared = importlib.import_module(f"experiments.{name}")
        return parse(declared.Options, rest, prog=f"{PROG} run {name}", description=experiment.paragraphs)

    return _work(experiment, read, work, argv)


def _sweep(rest: list[str], argv: list[str]) -> int:
    sweep = importlib.import_module("experiments.sweep")
    name, *rest = rest or [""]
    if name in ("-h", "--help"):
        name, rest = "DATA", ["--help"]
    elif name not in sweep.DATA:
        asked = f"there are no data {name!r} to sweep on" if name else "sweep takes the name of a data set"
        return _complain(f"{asked}: there are {', '.join(sweep.DATA)}")

    def work(options: RunOptions, start: Start) -> None:
        importlib.import_module("experiments.sweep.run").run(name, options, start)

    def read() -> RunOptions | None:
        return parse(sweep.Options, rest, prog=f"{PROG} sweep {name}", description=sweep.description(name))

    return _work(Experiment(f"sweep-{name}", sweep.HEADER.format(name)), read, work, argv)


Work = Callable[[RunOptions, Start], None]


def _work(experiment: Experiment, read: Callable[[], RunOptions | None], work: Work, argv: list[str]) -> int:
    """Read the options, and do the work in a folder of its own, unless help was all that was wanted."""
    start = None
    try:
        options = read()
        if options is None:
            return 0
        if options.tensorboard:
            check_installed()
        _set_compilation_cache(options)
        start = Start(experiment.name, options, argv)
        _work_to_page(experiment, work, options, start)
    except RunError as failure:
        return _complain(failure, 1)
    except KeyboardInterrupt:
        kept = f"; what was done is in {start.folder.path}" if start and start.folder else ""
        return _complain(f"interrupted{kept}", 130)
    except (ValueError, OSError) as error:
        # Once the data were accepted, a ValueError is a mistake of ours, and its traceback is wanted.
        if isinstance(error, ValueError) and start and start.folder:
            raise
        return _complain(error)
    print(f"results in {start.folder.path}; {PAGE} shows them on one page")
    return 0


def _work_to_page(experiment: Experiment, work: Work, options: RunOptions, start: Start) -> None:
    """The run, and last its page, whatever came of it."""
    stopwatch = importlib.import_module("experiments.timing").Stopwatch()
    try:
        work(options, start)
    except BaseException as error:
        if start.folder:
            reason = "interrupted" if isinstance(error, KeyboardInterrupt) else _reason(error)
            # On a full disk, say, no page: what ended the run is what is told.
            with contextlib.suppress(OSError):
                write_run_page(start.folder, experiment, str(reason) or type(error).__name__)
        raise
    finally:
        start.close()
    print(f"\n{stopwatch}")
    start.folder.add_timings(str(stopwatch))
    write_run_page(start.folder, experiment)


def _compare(rest: list[str]) -> int:
    try:
        compare = importlib.import_module("experiments.compare")
        options = parse(compare.Options, rest, prog=f"{PROG} compare", description=compare.__doc__)
        if options is not None:
            compare.compare(options)
    except (ValueError, OSError) as error:
        return _complain(error)
    return 0


def _predict(rest: list[str]) -> int:
    try:
        predict = importlib.import_module("experiments.predict")
        options = parse(predict.Options, rest, prog=f"{PROG} predict", description=predict.__doc__)
        if options is not None:
            _set_compilation_cache(options)
            print(predict.predict(options))
    except (ValueError, OSError) as error:
        return _complain(error)
    return 0


def _set_compilation_cache(options: CacheOptions) -> None:
    """As the options say. Without one a run takes longer, and that is all."""
    if not options.compilation_cache:
        compilation_cache.turn_off()
        return
    try:
        compilation_cache.turn_on()
    except (OSError, ImportError, RuntimeError) as error:
        _say(f"note: compiled programs are not kept: {_reason(error)}")


def _help() -> str:
    found = experiments().values()
    width = max(len(experiment.name) for experiment in found)
    lines = [f"  {experiment.name:{width}}  {experiment.title}" for experiment in found]
    return HELP.format(prog=PROG, experiments="\n".join(lines), megabytes=compilation_cache.MEGABYTES)


def _listing(experiment: Any) -> str:
    fields = [
        textwrap.fill(
            f"  {name + ':':10}{experiment.field(name)}", 100, subsequent_indent=" " * 12, break_on_hyphens=False
        )
        for name in FIELDS
    ]
    return "\n".join([f"{experiment.name}: {experiment.title}", *fields])


def _complain(error: object, status: int = 2) -> int:
    _say(f"error: {_reason(error)}")
    return status


def _reason(error: object) -> object:
    named = isinstance(error, OSError) and error.filename is not None and error.strerror
    return f"{error.filename}: {error.strerror}" if named else error


def _say(line: str) -> None:
    print(" ".join(line.split()), file=sys.stderr)


def _surroundings() -> dict[str, Any]:
    """What the result may depend on beside the options."""
    import jax
    import numpy
    import optax

    import jaxnn

    device = jax.devices()[0]
    return {
        "versions": {
            "jaxnn": jaxnn.__version__,
            "jax": jax.__version__,
            "optax": optax.__version__,
            "numpy": numpy.__version__,
            "python": platform.python_version(),
        },
        "device": {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()},
        "compilation_cache": compilation_cache.in_use(),
    }
