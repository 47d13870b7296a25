"""Keep the page of a run up to date while it is in progress."""

import contextlib
import time
from typing import Any

from experiments.runs.curves import Curves, add_line
from experiments.runs.folder import RunFolder
from experiments.runs.metrics_log import MetricsLine, parse_line
from experiments.runs.page import Progress, write_run_page
from experiments.runs.study import Study

SECONDS_BETWEEN_PAGES = 3.0
_SHARE_OF_TIME = 0.02
"""The largest share of a run's time that its page may take."""


class LivePage:
    """A listener of a run's folder: it writes the page at once, and again from time to time with each line of metrics.

    A page that cannot be written does not end the run.

    Args:
      folder: the run's.
      study: what is run.
      resume: the command that resumes the run if it is interrupted; empty if it cannot be resumed.
    """

    def __init__(self, folder: RunFolder, study: Study, resume: str) -> None:
        self._folder, self._study, self._resume = folder, study, resume
        self._curves: Curves = {}
        self._write()

    def __call__(self, line: dict[str, Any]) -> None:
        parsed = parse_line(line)
        if parsed is None:
            return
        with contextlib.suppress(ValueError):  # too many curves: the page has the first ones
            add_line(self._curves, parsed)
        if time.monotonic() >= self._next:
            self._write(parsed)

    def close(self) -> None:
        """Do nothing: the page of the end is written with the results."""

    def _write(self, latest: MetricsLine | None = None) -> None:
        began = time.monotonic()
        with contextlib.suppress(OSError):
            write_run_page(self._folder, self._study, progress=Progress(self._curves, latest), resume=self._resume)
        now = time.monotonic()
        self._next = now + max(SECONDS_BETWEEN_PAGES, (now - began) / _SHARE_OF_TIME)
