"""Connect a process with the others of a run, by JAX."""

import functools
import os
import sys
import threading
import time
from collections.abc import Callable

from experiments.runs import processes
from experiments.runs.options import ProcessOptions

HEARTBEAT_SECONDS = 10
"""The time without a sign of life after which JAX ends all the other processes."""
CONNECT_SECONDS = 60
"""The time in which all processes must have started."""


def connect(options: ProcessOptions) -> None:
    """Connect this process with the others, if the options name them; all but the first no longer print results.

    Raises:
      ValueError: if the options contradict one another, or the processes do not find each other.
    """
    given = (options.processes, options.process)
    if options.coordinator is None:
        if given != (None, None):
            raise ValueError("--processes and --process need --coordinator HOST:PORT, an address of process 0")
        return
    _check(options)
    import jax  # slow to import, so not for --help

    # Programs on CPUs send their numbers by gloo.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    address = None if options.coordinator == "auto" else options.coordinator
    initialize = functools.partial(
        jax.distributed.initialize,
        address,
        *given,
        initialization_timeout=2 * CONNECT_SECONDS,
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        shutdown_timeout_seconds=HEARTBEAT_SECONDS,
    )
    failure = "the processes could not be connected:"
    try:
        if not _awaited(initialize, CONNECT_SECONDS):
            # JAX would wait on, and then abort.
            there = f"not all {options.processes or ''} were there within {CONNECT_SECONDS} s at {options.coordinator}"
            os.write(2, f"error: {failure} {there}: was each one started, with its own --process?\n".encode())
            os._exit(2)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{failure} {_explained(error)}") from None
    processes.begin(jax.process_index())
    _keep_for_results(os.dup(1) if processes.is_first() else None)


def _keep_for_results(stdout: int | None) -> None:
    """Print what Python prints to this file, and what compiled code prints, as gloo does, to none."""
    sys.stdout.flush()
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    # Until the process ends.
    sys.stdout = open(  # noqa: SIM115
        nothing if stdout is None else stdout, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors
    )


def _awaited(work: Callable[[], None], seconds: float) -> bool:
    """Do the work in another thread, and return whether it ended in time: in this one it would delay Ctrl-C."""
    failures: list[BaseException] = []

    def do():
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    until = time.monotonic() + seconds
    while thread.is_alive() and time.monotonic() < until:
        thread.join(0.1)
    if failures:
        raise failures[0]
    return not thread.is_alive()


def _check(options: ProcessOptions) -> None:
    n, i = options.processes, options.process
    if not options.report_seconds > 0:
        raise ValueError(f"--report-seconds must be above 0, got {options.report_seconds:g}")
    if options.coordinator == "auto":
        return
    host, _, port = options.coordinator.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"--coordinator must be HOST:PORT, or auto, got {options.coordinator!r}")
    if n is None or i is None:
        raise ValueError("--coordinator HOST:PORT needs --processes N and --process I, the number of this one, from 0")
    if not 0 <= i < n:
        raise ValueError(f"--process must be from 0 to --processes {n} less 1, got {i}")
    if i == 0:
        _check_free(int(port))


def _check_free(port: int) -> None:
    """Raise ValueError if another program listens at the port, which would end JAX without a line."""
    import socket

    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a run that just ended leaves it
        try:
            one.bind(("", port))
        except OSError:
            raise ValueError(f"port {port} of --coordinator is in use on this machine: choose another one") from None


def _explained(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "coordinator_address should be defined" in text or "Number of processes must be defined" in text:
        return (
            "--coordinator auto found no environment of several processes (SLURM, Open MPI, Kubernetes, Cloud TPU); "
            "use --coordinator HOST:PORT --processes N --process I"
        )
    return text
