"""A time limit for code in Python, such as a loop that iterates until it stands still, and never does."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SECONDS = 10.0


class OverdueError(Exception):
    """A function did not end within its limit."""


def is_limited() -> bool:
    """Return whether code can be interrupted here: in the main thread alone, and only where the system has alarms."""
    return threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")


@contextmanager
def deadline(text: str, seconds: float = _SECONDS) -> Iterator[None]:
    """Raise `OverdueError` in the body once it took longer, with `text` in its message.

    There is no limit where `is_limited` returns False.

    Args:
      text: for the message, such as "the backward did not end".
      seconds: the time limit.
    """
    if not is_limited():
        yield
        return

    def interrupt(signum, frame):
        raise OverdueError(f"{text} within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, interval)
        signal.signal(signal.SIGALRM, before if before is not None else signal.SIG_DFL)
