"""Several processes that execute one run together: the first one writes, and all decide alike.

Each executes the same command with the same options and data, and makes the same calls in the same order. What depends
on a clock or a signal is decided by all of them together.
"""

import functools
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_rank, _count = 0, 1


def _nothing() -> None:
    """Do nothing at a report of one process."""


_at_report: Callable[[], None] = _nothing


def begin(rank: int, n: int) -> None:
    """Set which of n connected processes this is."""
    global _rank, _count
    _rank, _count = rank, n


def is_first() -> bool:
    """Return whether this process writes and prints: the first of several, or the only one."""
    return _rank == 0


def name() -> str:
    """Return what a line on stderr begins with: nothing in the first process."""
    return f"process {_rank}: " if _rank else ""


def count() -> int:
    """Return the number of connected processes."""
    return _count


def largest(*numbers: int) -> tuple[int, ...]:
    """Return the largest of each number in all processes: so all decide alike."""
    if count() == 1:
        return numbers
    return tuple(map(max, zip(*_of_each(numbers), strict=True)))


def report() -> None:
    """Call what `at_each_report` has set. All processes call this at the same places, such as between trainings."""
    _at_report()


@contextmanager
def at_each_report(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` at each report in the block, if there are several processes."""
    global _at_report
    _at_report = act if count() > 1 else _nothing
    try:
        yield
    finally:
        _at_report = _nothing


class AgreedError(ValueError):
    """An error that all processes raise at the same place."""


def from_first(make: Callable[[], Any]) -> Any:
    """Return what `make` returns in the first process, where alone it is called; an error there is one in all.

    Raises:
      AgreedError: with the message of the first process.
    """
    if count() == 1:
        return make()
    made, failure = None, None
    if is_first():
        try:
            made = make()
        except Exception as error:
            failure = error
    # From this program to itself: nothing in it comes from a file as it was.
    found, message = pickle.loads(_sent(pickle.dumps((made, failure and str(failure)))))
    if message is not None:
        raise AgreedError(message) from failure
    return found


def check_equal(digests: dict[str, str]) -> None:
    """Raise AgreedError, in all processes, unless each of these texts, by its name, is the same in all of them."""
    if count() == 1:
        return
    for what, text in digests.items():
        if others := with_another(text):
            raise AgreedError(f"all processes must have the same {what}, got another from {others}")


def with_another(text: str) -> str:
    """Return the names of the processes that have another text than the first one, the same in all; "" for none."""
    if count() == 1:
        return ""
    differing = _of_each(_sent(text.encode()) != text.encode())
    return ", ".join(f"process {i}" for i, differs in enumerate(differing) if differs)


def fit_stream(*args: Any, evaluate: Callable[..., Any] | None = None, **plan: Any) -> Any:
    """Train as `jaxnn.fit_stream` does, on the devices of all processes; what comes back is whole in each of them."""
    import jaxnn
    from jaxnn.parallel import gathered, make_mesh

    if count() == 1:
        return jaxnn.fit_stream(*args, evaluate=evaluate, **plan)
    measure = None
    if evaluate is not None:

        @functools.wraps(evaluate)
        def measure(*observed):
            return evaluate(*gathered(observed))

    fit = jaxnn.fit_stream(*args, evaluate=measure, mesh=make_mesh(), **plan)
    params, state, stats = gathered((fit.params, fit.state, fit.stats))
    return fit._replace(params=params, state=state, stats=stats)


def _sent(data: bytes) -> bytes:
    """Return the bytes of the first process."""
    import numpy as np
    from jax.experimental.multihost_utils import broadcast_one_to_all

    size = int(broadcast_one_to_all(np.int32(len(data))))
    sent = np.frombuffer(data, np.uint8) if is_first() else np.zeros(size, np.uint8)
    return np.asarray(broadcast_one_to_all(sent), np.uint8).tobytes()


def _of_each(numbers: Any) -> Any:
    """Return these whole numbers, one or several, of each process, as a list."""
    import numpy as np
    from jax.experimental.multihost_utils import process_allgather

    return process_allgather(np.array(numbers, np.int32)).tolist()
