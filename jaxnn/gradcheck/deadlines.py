"""A time limit for code in Python, such as a loop that iterates until it stands still, and never does."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SECONDS = 10.0


class OverdueError(Exception):
    """A function did not end within its limit."""


@contextmanager
def deadline(text: str, seconds: float = _SECONDS) -> Iterator[None]:
    """Raise `OverdueError` in the body once it took longer, with `text` in its message.

    Only the main thread can be interrupted, and only where the system has alarms; elsewhere there is no limit.

    Args:
      text: for the message, such as "the backward did not end".
      seconds: the time limit.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
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
