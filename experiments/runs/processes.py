"""Several processes that execute one run together: the first one writes, and all decide alike.

Each executes the same command with the same options and data, and makes the same calls in the same order. What depends
on a clock or a signal is decided by all of them together.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

_rank = 0


def begin(rank: int) -> None:
    """Set which of the connected processes this is."""
    global _rank
    _rank = rank


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
    return tuple(map(max, zip(*_of_each(numbers), strict=True)))


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
        others = [f"process {i}" for i, differs in enumerate(_of_each(_sent(text) != text)) if differs]
        if others:
            raise ValueError(f"all processes must have the same {what}, got another from {', '.join(others)}")


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


def _connected() -> bool:
    return "jax" in sys.modules and sys.modules["jax"].distributed.is_initialized()


def _sent(text: str) -> str:
    """Return the text of the first process."""
    import numpy as np
    from jax.experimental.multihost_utils import broadcast_one_to_all

    data = np.frombuffer(text.encode(), np.uint8)
    size = int(broadcast_one_to_all(np.int32(data.size)))
    sent = np.zeros(size, np.uint8)
    if is_first():
        sent[:] = data
    return bytes(np.asarray(broadcast_one_to_all(sent), np.uint8)).decode()


def _of_each(numbers: Any) -> Any:
    """Return these whole numbers, one or several, of each process, as a list."""
    import numpy as np
    from jax.experimental.multihost_utils import process_allgather

    return process_allgather(np.array(numbers, np.int32)).tolist()
