"""Several processes that execute one run together: JAX connects them, the first one writes, and all decide alike.

Each executes the same command with the same options and data, and makes the same calls in the same order. What depends
on a clock or a signal is decided by all of them together.
"""

import functools
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.runs.options import ProcessOptions

HEARTBEAT_SECONDS = 10
"""The time without a sign of life after which JAX ends all the other processes."""
CONNECT_SECONDS = 60
"""The time in which all processes must have started."""

_rank = 0


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
    global _rank
    _rank = jax.process_index()
    _keep_for_results(None if _rank else os.dup(1))


def is_first() -> bool:
    """Return whether this process writes and prints: the first of several, or the only one."""
    return _rank == 0


def name() -> str:
    """Return what a line on stderr begins with: nothing in the first process."""
    return f"process {_rank}: " if _rank else ""


def count() -> int:
    """Return the number of processes, without an import of JAX where there is one."""
    return sys.modules["jax"].process_count() if _connected() else 1


def largest(*numbers: int) -> tuple[int, ...]:
    """Return the largest of each number in all processes: so all decide alike."""
    if count() == 1:
        return numbers
    return tuple(_all(np.array(numbers, np.int32)).max(axis=0).tolist())


def from_first(make: Callable[[], str]) -> str:
    """Return the text that `make` returns in the first process; a ValueError or an OSError there is one in all.

    Raises:
      ValueError: with the message of the first process, in the others.
    """
    if count() == 1:
        return make()
    made, failure = "", None
    if is_first():
        try:
            made = make()
        except (ValueError, OSError) as error:
            failure = error
    text = _sent(f"-{failure}" if failure else f"+{made}")
    if failure:
        raise failure
    if text.startswith("-"):
        raise ValueError(text[1:])
    return text[1:]


def check_equal(digests: dict[str, str]) -> None:
    """Raise ValueError, in all processes, unless each of these texts, by its name, is the same in all of them."""
    if count() == 1:
        return
    for what, text in digests.items():
        sent = _sent(text)
        (differs,) = largest(int(sent != text))
        if differs:
            yes = f"process {_rank} has another than the first" if sent != text else "another process has another one"
            raise ValueError(f"all processes must have the same {what}: {yes}")


def fit_stream(*args: Any, evaluate: Callable[..., Any] | None = None, **plan: Any) -> Any:
    """Train as `jaxnn.fit_stream` does, on the devices of all processes; what comes back is whole in each of them."""
    import jax

    import jaxnn
    from jaxnn.parallel import gathered, make_mesh

    if count() == 1:
        return jaxnn.fit_stream(*args, evaluate=evaluate, **plan)
    measure = None
    if evaluate is not None:

        @functools.wraps(evaluate)
        def measure(*observed):
            return evaluate(*jax.tree.map(gathered, observed))

    return jax.tree.map(gathered, jaxnn.fit_stream(*args, evaluate=measure, mesh=make_mesh(), **plan))


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


def _connected() -> bool:
    return "jax" in sys.modules and sys.modules["jax"].distributed.is_initialized()


def _check(options: ProcessOptions) -> None:
    n, i = options.processes, options.process
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


def _sent(text: str) -> str:
    """Return the text of the first process."""
    from jax.experimental.multihost_utils import broadcast_one_to_all

    data = np.frombuffer(text.encode(), np.uint8)
    size = int(broadcast_one_to_all(np.int32(data.size)))
    sent = np.zeros(size, np.uint8)
    if is_first():
        sent[:] = data
    return bytes(np.asarray(broadcast_one_to_all(sent), np.uint8)).decode()


def _all(array: np.ndarray) -> np.ndarray:
    """Return the array of each process, (processes, ...)."""
    from jax.experimental.multihost_utils import process_allgather

    return process_allgather(array)
