"""`python -m experiments`. Until a run has a folder, Ctrl-C and SIGTERM end it at any moment with one line.

An exception is not enough: raised while an extension module is imported, it is lost, or aborts the process.
"""

import _signal as signal  # the same functions without the enumerations, which are slow to import
import os
import sys

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _end(signum, frame):
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)  # a second one, between the line and the end, would print it again
    try:  # noqa: SIM105 (contextlib is slow to import, and until then no signal would be handled)
        sys.stdout.flush()
    except Exception:  # the signal may have come in the middle of a print
        pass
    os.write(2, b"error: interrupted\n")
    os._exit(128 + signum)


def _handle(handler):
    """Set the handler of both signals, except of a signal that is ignored, as in a background job of a shell."""
    for signum in _SIGNALS:
        if signal.getsignal(signum) != signal.SIG_IGN:
            signal.signal(signum, handler)


if __name__ == "__main__":
    _handle(_end)  # before all that takes time to import
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)  # scripts/run blocks them until there is a handler

    from experiments.cli.main import main

    # A file name that is not valid in the terminal's encoding is shown by its bytes.
    sys.stdout.reconfigure(errors="backslashreplace")
    status = main()
    _handle(signal.SIG_IGN)  # the process is about to end
    sys.exit(status)
