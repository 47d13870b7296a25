"""The command line: help, list, run, sweep, predict. What goes wrong for the user's reasons is one line on stderr."""

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
from experiments.catalog import FIELDS, experiments
from experiments.options import CacheOptions, RunOptions, parse
from experiments.run_folder import RunError, RunFolder

# What was typed: scripts/run says its own name.
PROG = os.environ.get("JAXNN_PROG", "python -m experiments")
HELP = """\
Experiments with jaxnn: networks trained on real data by gradients derived by hand.

usage: {prog} COMMAND

  list                  the experiments: question, command, time, expected result
  run NAME [OPTIONS]    run an experiment; results go to a new folder in ./runs
  run NAME --help       what it asks, and its options
  sweep DATA [OPTIONS]  train networks over ranges of hyperparameters, and rank them
  sweep --help          the data sets, how ranges are written, and the options
  predict RUN IMAGE     classify a photo (PNG or JPEG) by the networks of a run of catvnoncat
  predict --help        how the photo is prepared, and the options

experiments:

{experiments}

Exit status: 0 done; 1 the run failed (it diverged, or its gradients were wrong); 2 bad arguments or data;
130 interrupted. Results go to stdout, progress and errors to stderr.
Compiled programs are kept in the user's cache folder for the next start, {megabytes} MB at most; the option
--no-compilation-cache compiles everything afresh."""


class Start:
    """Makes the run's folder, with its config.json, when the experiment says that its data are in order."""

    def __init__(self, name: str, options: RunOptions, argv: Sequence[str]) -> None:
        self.name, self.options, self.argv = name, options, argv
        self.folder: RunFolder | None = None

    def __call__(self) -> RunFolder:
        now = datetime.now().astimezone()
        config = {
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
        return self.folder


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
        case ["predict", *rest]:
            return _predict(rest)
        case ["list", *rest]:
            return _complain(f"list takes no arguments, got {' '.join(rest)}")
    return _complain(f"no command is called {argv[0]!r}: there are list, run, sweep and predict (see {PROG} --help)")


def _run(name: str, rest: list[str], argv: list[str]) -> int:
    experiment, package = experiments()[name], f"experiments.{name}"

    def work(options: RunOptions, start: Start) -> None:
        importlib.import_module(f"{package}.run").run(options, start)

    return _work(name, package, rest, argv, f"{PROG} run {name}", experiment.paragraphs, work)


def _sweep(rest: list[str], argv: list[str]) -> int:
    package = importlib.import_module("experiments.sweep")
    data = package.DATA
    if rest[:1] in (["-h"], ["--help"]):
        name, options = "DATA", rest
    elif rest and rest[0] in data:
        name, *options = rest
        data = {name: data[name]}
    else:
        asked = f"there are no data {rest[0]!r} to sweep on" if rest else "sweep takes the name of a data set"
        return _complain(f"{asked}: there are {', '.join(data)}")
    description = "\n\n".join([package.__doc__.strip(), *(f"{name}: {what}." for name, what in data.items())])

    def work(options: RunOptions, start: Start) -> None:
        importlib.import_module("experiments.sweep.run").run(name, options, start)

    return _work(f"sweep-{name}", "experiments.sweep", options, argv, f"{PROG} sweep {name}", description, work)


def _work(
    name: str,
    package: str,
    rest: list[str],
    argv: list[str],
    prog: str,
    description: str,
    work: Callable[[RunOptions, Start], None],
) -> int:
    """Parse the options of the package, and do the work, with the errors of both as one line."""
    start = None
    try:
        options = parse(importlib.import_module(package).Options, rest, prog=prog, description=description)
        if options is None:
            return 0
        _set_compilation_cache(options)
        start = Start(name, options, argv)
        work(options, start)
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
    print(f"results in {start.folder.path}")
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
        textwrap.fill(f"  {name + ':':10}{experiment.field(name)}", 100, subsequent_indent=" " * 12) for name in FIELDS
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
