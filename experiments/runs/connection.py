"""Connect a process with the others of a run, by JAX."""

import contextlib
import errno
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
    )
    processes.begin(options.process or 0, 1)
    failure = "the processes could not be connected:"
    try:
        if not _awaited(initialize, CONNECT_SECONDS):
            # JAX would wait on, and then abort.
            there = f"not all {options.processes or ''} were there within {CONNECT_SECONDS} s at {options.coordinator}"
            line = f"{processes.name()}error: {failure} {there}: was each one started, with its own --process?\n"
            os.write(2, line.encode())
            os._exit(2)
    except Exception as error:  # what finds an environment raises many types, from KeyError to ImportError
        raise ValueError(f"{failure} {_explained(error)}") from None
    processes.begin(jax.process_index(), jax.process_count())
    _keep_for_results(os.dup(1) if processes.is_first() else None)
    each, n = jax.local_device_count(), jax.process_count()
    if jax.device_count() != each * n:
        raise processes.AgreedError(
            f"each process must have as many devices as the others, got {each} here and {jax.device_count()} in {n}"
        )
    _connect_groups()


def _connect_groups() -> None:
    """Connect processes, and devices, while all are there: a process that reads data may be late by more than 30 s.

    As long does gloo wait for the first program on a group of devices; for later ones it waits half an hour.
    """
    import numpy as np

    from jaxnn.parallel import gathered, make_mesh, place_rows

    processes.largest(0)
    mesh = make_mesh()
    gathered(place_rows(np.zeros(mesh.size // processes.count()), mesh, own_rows=True))


def was_lost(error: Exception) -> bool:
    """Return whether an error of a program is that it no longer reaches another process."""
    return any(word in str(error) for word in ("Gloo", "NCCL", "Connection reset", "coordination service"))


def lost() -> list[int]:
    """Return the numbers of the processes that were lost, as JAX finds after `HEARTBEAT_SECONDS`.

    The list is empty if JAX does not find them in time, as where one that is alive does not take part. JAX may end this
    process meanwhile, with lines that name those that were lost.
    """
    import jax
    from jax.experimental.multihost_utils import live_devices

    missing, found = {*range(jax.process_count())}, threading.Event()

    def find():
        with contextlib.suppress(Exception), live_devices(jax.devices()) as live:
            missing.difference_update(device.process_index for device in live)
            found.set()

    # In a thread, since `live_devices` waits for the others without an end, also when its block ends.
    threading.Thread(target=find, daemon=True).start()
    return sorted(missing) if found.wait(2 * HEARTBEAT_SECONDS) else []


def leave(status: int) -> None:
    """End this process at once if the others do not end with it, so that JAX ends them; else do nothing.

    At its usual end it would wait for them, and they wait for it.
    """
    if processes.count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _keep_for_results(stdout: int | None) -> None:
    """Print what Python prints to this file, and what compiled code prints, as gloo does, to none."""
    sys.stdout.flush()
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    if sys.stdout is sys.stderr:  # as with --json
        return
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

    for family in (socket.AF_INET, *[socket.AF_INET6] * socket.has_ipv6):
        with socket.socket(family) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a run that just ended leaves it
            try:
                one.bind(("", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    continue  # this machine has no such addresses
                raise ValueError(
                    f"port {port} of --coordinator is in use on this machine: choose another one"
                ) from None


def _explained(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "coordinator_address should be defined" in text or "Number of processes must be defined" in text:
        return (
            "--coordinator auto found no environment of several processes (SLURM, Open MPI, Kubernetes, Cloud TPU); "
            "use --coordinator HOST:PORT --processes N --process I"
        )
    return text
