"""End a process of several whose next report does not come: another one is alive, but stuck."""

import os
from threading import Timer


class Deadline:
    """The time until which the next report is expected.

    JAX ends the other processes when one is gone. One that is alive but no longer takes part would let them wait for
    as long as they live: the one whose deadline passes ends itself, and JAX then ends all others.

    Args:
      seconds: the time between two reports that is too long.
      name: what the line on stderr begins with.
    """

    def __init__(self, seconds: float, name: str) -> None:
        self._seconds, self._name, self._timer = seconds, name, None

    def extend(self) -> None:
        """Expect the next report within as many seconds from now."""
        self.cancel()
        self._timer = Timer(self._seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        """Expect none."""
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        line = (
            f"{self._name}error: no report for {self._seconds:g} s: another process is stuck, or reports take longer "
            "than --report-seconds\n"
        )
        os.write(2, line.encode())
        os._exit(1)
