"""End a process of several whose next report does not come: another one is alive, but stuck."""

import os
from threading import Timer

from experiments.runs import processes


class Deadline:
    """The time until which the next report is expected, if there are several processes; of one, it never passes.

    JAX ends the other processes when one is gone. One that is alive but no longer takes part would let them wait for
    as long as they live: the one whose deadline passes ends itself, and JAX then ends all others.

    Args:
      seconds: the time between two reports that is too long.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._timer = seconds, None

    def extend(self) -> None:
        """Expect the next report within as many seconds from now."""
        self.cancel()
        if processes.count() == 1:
            return
        self._timer = Timer(self._seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        """Expect none."""
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        causes = "another process is stuck, or reports take longer than --report-seconds"
        os.write(2, f"{processes.name()}error: no report for {self._seconds:g} s: {causes}\n".encode())
        os._exit(1)
