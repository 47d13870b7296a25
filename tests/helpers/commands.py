"""Commands in processes of their session, as a user starts them."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

from tests.helpers.sources import ROOT

# What most commands import, in a second or more.
_PRELOADED = ["jaxnn", "experiments.cli.main", "experiments.runs.folder", "experiments.reports.plots"]


def start(command: list[str], folder: Path, stdout: int = subprocess.PIPE) -> subprocess.Popen:
    """Start a command in a folder, with the checkout on Python's path, and stderr to be read."""
    return subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_forked(argv: list[str], output: Path, **environment: str) -> int:
    """Run a command of experiments in a new process, with stdout and stderr in a file; return its status.

    The process is forked from one that has imported JAX and the program, once for all commands, but has not used JAX.
    JAX's own settings are those of the environment of the first command.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    process = context.Process(target=_execute, args=(argv, output, os.environ | environment))
    process.start()
    process.join(timeout=500)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"{argv} must end within 500 s")
    return process.exitcode


def _execute(argv: list[str], output: Path, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    from experiments.cli.main import main

    sys.exit(main(argv))
