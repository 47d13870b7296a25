"""The command line. A user's mistake is a one-line error on stderr."""

import importlib
import importlib.metadata
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Sequence

from experiments.cli import commands, new_runs
from experiments.cli.commands import COMMANDS
from experiments.cli.console import PROG, error
from experiments.readers.suggestions import suggest
from experiments.reports import terminal
from experiments.runs import compilation_cache
from experiments.studies import registry

_HELP = """\
Experiments with jaxnn: networks trained on real data with hand-derived gradients.

usage: {prog} COMMAND

{commands}

experiments:

{experiments}

Exit status: 0 success; 1 failed run (it diverged, or its gradients are wrong); 2 invalid arguments or data;
130 interrupted by Ctrl-C, 143 by SIGTERM: a training stops at its next report, from which `resume` continues.
Results go to stdout, progress and errors to stderr.
Compiled programs are cached in the user's cache folder, {megabytes} MB at most; --no-compilation-cache compiles
everything afresh."""


def main(argv: Sequence[str] | None = None) -> int:
    """Execute a command line; return the exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        status = _execute(argv)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return error("interrupted", 130)
    except BrokenPipeError:
        # stdout was closed, by `head` for example: what Python still buffers goes to /dev/null.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def _execute(argv: list[str]) -> int:
    match argv:
        case [] | ["-h" | "--help" | "help", *_] | ["run" | "list", "-h" | "--help"]:
            print(terminal.wrap(_help()))
            return 0
        case ["-V" | "--version" | "version"]:
            print(_version())
            return 0
        case ["run", "run", *rest]:  # `run` typed twice, after scripts/run
            return _execute(["run", *rest])
        case ["run"]:
            return error(f"run needs the name of an experiment: there are {', '.join(registry.NAMES)}")
        case ["run", *words] if words[0] not in registry.NAMES:
            return error(_unknown_experiment(words))
        case [name, *_] if name in registry.NAMES:
            return new_runs.run(argv, argv)
        case [name, *rest] if name in COMMANDS:
            return COMMANDS[name].execute(rest, argv)
    known = [*COMMANDS, "--help", "--version", *registry.NAMES]
    return error(f"{_unknown('command', argv[0], known, commands.names())} (see {PROG} --help)")


def _unknown(kind: str, name: str, known: Iterable[str], available: str) -> str:
    return f"no {kind} is called {name!r}{suggest(name, known) or f': there are {available}'}"


def _unknown_experiment(words: list[str]) -> str:
    """Return the error message for `run WORDS` if there is no such experiment; it may be another command."""
    name, *rest = words
    for command in (name, name.lstrip("-").lower()):
        if command in (*COMMANDS, "--version", "-V", "version", "help"):
            return f"{name!r} is not an experiment: did you mean {PROG} {shlex.join([command, *rest])}?"
    return _unknown("experiment", name, registry.NAMES, ", ".join(registry.NAMES))


def _help() -> str:
    width = max(map(len, registry.NAMES))
    experiments = "\n".join(f"  {study.name:{width}}  {study.title}" for study in registry.studies())
    return _HELP.format(
        prog=PROG, commands=commands.usage(), experiments=experiments, megabytes=compilation_cache.MEGABYTES
    )


def _version() -> str:
    """Return the installed versions, without importing the packages."""
    versions = {"jaxnn": None, "JAX": None, "Python": platform.python_version()}
    for name in ("jaxnn", "JAX"):
        try:
            versions[name] = importlib.metadata.version(name.lower())
        except importlib.metadata.PackageNotFoundError:
            versions[name] = importlib.import_module(name.lower()).__version__
    return ", ".join(f"{name} {version}" for name, version in versions.items())
