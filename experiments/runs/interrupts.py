"""Handle Ctrl-C and SIGTERM while files are written, so that every file is complete.

Until there is a file to write, `experiments.__main__` handles them.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SECONDS_BETWEEN_TRIALS = 0.05


class Stopped(KeyboardInterrupt):
    """An interrupted run that can be resumed.

    Attributes:
      signum: the signal.
      at_once: whether to stop without saving the checkpoints of ended trainings.
      agreed: whether all processes stop at the same report, if there are several.
    """

    def __init__(self, signum: int, at_once: bool = False, agreed: bool = False) -> None:
        super().__init__(signum)
        self.signum, self.at_once, self.agreed = signum, at_once, agreed


@contextmanager
def delay_signals() -> Iterator[None]:
    """Delay signals until the end of the block, so that its files are complete."""
    if threading.current_thread() is not threading.main_thread():
        yield  # other threads receive no signals
        return
    waiting: list[int] = []
    before = {signum: signal.signal(signum, lambda signum, frame: waiting.append(signum)) for signum in _heard()}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        if waiting:
            signal.raise_signal(waiting[0])


@contextmanager
def raise_on_signal(error_of: Callable[[int], KeyboardInterrupt | None], unless: Callable[[], bool]) -> Iterator[None]:
    """Raise `error_of(signum)` in the block at a signal, unless that is `None`.

    Python may raise an exception where it is lost, such as in a destructor, or where it does harm, such as in the
    import of an extension module. So it is delayed until an import ends, and raised again until it has left the block
    or is handled. A signal that is ignored, as in a background job of a shell, stays ignored.

    Args:
      error_of: called for each signal; returns `None` if the signal needs no exception now.
      unless: returns whether the previously installed handler handles the signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signum: signal.getsignal(signum) for signum in _heard()}
    left, trial = threading.Event(), threading.Lock()
    hook = quiet = None
    wanted: KeyboardInterrupt | None = None
    tried = False

    def try_again(signum: int) -> None:
        nonlocal tried
        while not left.wait(_SECONDS_BETWEEN_TRIALS):
            with trial:  # fails if the previous handler is back
                if not left.is_set():
                    tried = True
                    signal.raise_signal(signum)

    def handle(signum: int, frame: FrameType | None) -> None:
        nonlocal wanted, tried, hook, quiet
        again, tried = tried, False
        if not again:
            if unless() and callable(before[signum]):
                before[signum](signum, frame)
                return
            error = error_of(signum)
            if error is None:
                return
            if wanted is None:
                hook = sys.unraisablehook
                quiet = sys.unraisablehook = _without_interrupts(hook)
                threading.Thread(target=try_again, args=(signum,), daemon=True).start()
            wanted = error
        if wanted is not None and not _imports(frame) and not (again and _is_handled()):
            raise wanted

    for signum in before:
        signal.signal(signum, handle)
    try:
        yield
    finally:
        with trial:
            left.set()
        for signum, handler in before.items():
            signal.signal(signum, handler)
        if quiet is not None and sys.unraisablehook is quiet:  # unless another hook was installed in the block
            sys.unraisablehook = hook


def _without_interrupts(hook: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return the hook for unraisable errors without interrupts, which are raised again."""
    return lambda lost: None if isinstance(lost.exc_value, KeyboardInterrupt) else hook(lost)


def _heard() -> list[int]:
    return [signum for signum in SIGNALS if signal.getsignal(signum) not in (signal.SIG_IGN, None)]


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _is_handled() -> bool:
    """Return whether an interrupt, or an error that it caused, is in an `except`, `finally` or `with`."""
    error = sys.exception()
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None
