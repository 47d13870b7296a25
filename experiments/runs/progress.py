"""Show progress on stderr: a bar on a terminal, otherwise a line from time to time.

The bar shows "compiling" until the first report, since that takes most of the time until then. Every experiment shows
its progress, in each of several processes at the same places: there they agree on whether to stop.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from experiments.runs import processes

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def show_progress(description: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Yield `show(done, note)`, which updates the progress; of several processes, all call it alike."""
    with _shown(description, total) as shown:

        def show(done: int, note: str) -> None:
            shown(done, note)
            processes.report()

        yield show


@contextmanager
def _shown(description: str, total: int) -> Iterator[Callable[[int, str], None]]:
    if not processes.is_first():
        yield lambda done, note: None
        return
    if not sys.stderr.isatty():
        yield _line_printer(description, total)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    # Transient: a finished bar disappears before the results on stdout.
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total, note="compiling")
        yield lambda done, note: bar.update(task, completed=done, note=note)


def _line_printer(description: str, total: int) -> Callable[[int, str], None]:
    last = time.monotonic()

    def show(done: int, note: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            print(f"{description}: {done} of {total}  {note}", file=sys.stderr, flush=True)

    return show
